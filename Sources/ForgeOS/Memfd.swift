import CForgeOS
package import ForgeCore
import Glibc

/// Memory behind a descriptor: filled, sealed for ever, handed to another process, mapped there read-only.
package struct Memfd: ~Copyable, Sendable {
    /// -1 once it is given away.
    package private(set) var descriptor: Int32
    package let name: String

    /// An empty one of `size` bytes.
    package init(_ name: String, size: Int) throws(Fault) {
        let fd = try checked("make shared memory", name) { unsafe fos_memfd_create(name) }
        if ftruncate(fd, off_t(size)) != 0 {
            let code = errno
            _ = close(fd)
            throw OSError.fault("make shared memory", name, errno: code)
        }
        descriptor = fd
        self.name = name
    }

    /// Takes over a received descriptor. Nothing about it is believed until `map()`.
    package init(adopting descriptor: Int32, name: String) {
        self.descriptor = descriptor
        self.name = name
    }

    deinit { if descriptor >= 0 { _ = close(descriptor) } }

    package func size() throws(Fault) -> Int {
        var info = stat()
        try checked("look at shared memory", name) { unsafe fstat(descriptor, &info) }
        return Int(info.st_size)
    }

    /// Writes at `offset`, within the size.
    package func fill(_ bytes: [UInt8], at offset: Int) throws(Fault) {
        guard offset >= 0, try offset + bytes.count <= size() else {
            throw Fault(.environment, "os.memfd_bounds", "cannot fill shared memory `\(name)`", why: "byte \(offset + bytes.count) lies beyond its end")
        }
        let file = File(adopting: descriptor, path: name)
        do throws(Fault) { try file.write(bytes, at: Int64(offset)) } catch {
            _ = file.release()
            throw error
        }
        _ = file.release()
    }

    /// No write, growth, shrinking or unsealing from here on, by anyone. Every writable mapping must be gone.
    package func seal() throws(Fault) { try checked("seal shared memory", name) { fos_memfd_seal(descriptor) } }

    package var isSealed: Bool { fos_memfd_is_sealed(descriptor) == 1 }

    /// Maps it read-only, after checking that it is sealed: the sender can then change nothing under the reader.
    package func map() throws(Fault) -> SealedMapping {
        guard isSealed else {
            throw Fault(
                .environment, "os.memfd_unsealed", "cannot map shared memory `\(name)`", why: "it is not sealed against changes",
                remedy: "only sealed memory is accepted from another process")
        }
        return try SealedMapping(descriptor, size: size(), name: name)
    }

    /// Gives the descriptor away.
    package consuming func release() -> Int32 {
        let fd = descriptor
        descriptor = -1
        return fd
    }
}

/// Read-only memory, unmapped at the end of its life.
@safe package final class SealedMapping: Sendable {
    // SAFETY: the memory is mapped read-only until deinit, and sealed against writers, so any thread may read it.
    private nonisolated(unsafe) let base: UnsafeRawPointer
    package let count: Int

    fileprivate init(_ descriptor: Int32, size: Int, name: String) throws(Fault) {
        guard size > 0 else { throw Fault(.environment, "os.memfd_empty", "cannot map shared memory `\(name)`", why: "it is empty") }
        let raw = unsafe mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0)
        guard let raw = unsafe raw, unsafe raw != MAP_FAILED else { throw OSError.fault("map shared memory", name, errno: errno) }
        unsafe base = UnsafeRawPointer(raw)
        count = size
    }

    deinit { unsafe munmap(UnsafeMutableRawPointer(mutating: base), count) }

    package func withSpan<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
        try unsafe body(UnsafeRawBufferPointer(start: base, count: count).bytes)
    }

    package func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try unsafe body(UnsafeRawBufferPointer(start: base, count: count))
    }
}
