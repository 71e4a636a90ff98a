import CForgeKernels
package import ForgeCore
import Glibc

/// One implementation of the kernel table.
// SAFETY: the table is constant for the life of the process; a library that was opened is never closed.
@safe package struct Backend: @unchecked Sendable, Hashable, CustomStringConvertible {
    let table: UnsafePointer<fk_ops>
    /// "avx512", "avx2", "reference" or "cuda"; recorded with a model, because equal bits are promised within one family.
    package let name: String
    package let level: Level

    package enum Level: Int32, Sendable, CaseIterable { case reference = 0, avx2 = 1, avx512 = 2, cuda = 100 }

    private init(_ table: UnsafePointer<fk_ops>, _ level: Level) {
        unsafe self.table = table
        self.name = unsafe String(cString: table.pointee.name)
        self.level = level
    }

    package static func == (a: Backend, b: Backend) -> Bool { a.level == b.level }
    package func hash(into hasher: inout Hasher) { hasher.combine(level) }
    package var description: String { name }

    /// The fastest this CPU can run.
    package static let best = present.last!

    /// Every CPU level that runs here, the scalar reference first.
    package static let present: [Backend] = [Level.reference, .avx2, .avx512].compactMap { cpu($0) }

    /// Nil if this CPU cannot run it.
    package static func cpu(_ level: Level) -> Backend? {
        guard level != .cuda, let table = unsafe fk_cpu_ops(fk_cpu_level(rawValue: UInt32(level.rawValue))) else { return nil }
        return unsafe Backend(table, level)
    }

    /// Results of these levels have the same bits: AVX2 and AVX-512 add in the same order.
    package var family: String { level == .avx2 || level == .avx512 ? "x86-v1" : name }

    /// Whether attention over blocks, which serves, has the bits of the attention that learns.
    package var servesWithTrainingsBits: Bool { level != .cuda }

    /// Opens `libforge-cuda.so`.
    /// - Throws: `.environment` if it is not installed, or does not speak this ABI: everything still works without it.
    package static func cuda(library: String = "libforge-cuda.so") throws(Fault) -> Backend {
        guard let handle = unsafe dlopen(library, RTLD_NOW | RTLD_LOCAL) else {
            let reason = unsafe dlerror().map { unsafe String(cString: $0) } ?? ""
            throw Fault(
                .environment, "compute.no-cuda", "no GPU kernels are available", why: "the library `\(library)` could not be opened",
                remedy: "train and serve on the CPU (`device: cpu`), or install the GPU package", detail: reason)
        }
        // SAFETY: a symbol of that name is declared in forge_kernels.h with exactly this type; the table's first field, checked next, says
        // whether the library was built from the same header.
        guard let symbol = unsafe dlsym(handle, "fk_ops_open"),
            let table = unsafe unsafeBitCast(symbol, to: fk_ops_open_fn.self)(UInt32(FK_ABI)),
            unsafe table.pointee.abi == UInt32(FK_ABI)
        else {
            throw Fault(
                .environment, "compute.cuda-abi", "the GPU kernels do not fit this version of forge",
                why: "`\(library)` does not offer kernel table version \(FK_ABI)", remedy: "install the GPU package of the same version")
        }
        return unsafe Backend(table, .cuda)
    }
}
