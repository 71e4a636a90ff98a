import Glibc

/// Something on disk that cannot be read: not a verdict.
struct Unreadable: Error {
    let what: String
}

/// Evidence that is not true: the first thing found, by name or index.
struct Bad: Error {
    let what: String
    init(_ what: String) { self.what = what }
}

/// Reading files with plain system calls.
enum Files {
    static func isThere(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    static func isDirectory(_ path: String) -> Bool {
        var info = stat()
        return unsafe stat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFDIR
    }

    /// The whole file.
    /// - Throws: `Bad` when it is not there, `Unreadable` when it cannot be read.
    static func read(_ path: String, limit: Int = 64 << 20) throws -> [UInt8] {
        var file = try OpenFile(path)
        var bytes: [UInt8] = []
        while let piece = try file.next(1 << 16) {
            bytes += piece
            guard bytes.count <= limit else { throw Bad("\(path): larger than \(limit) bytes") }
        }
        return bytes
    }

    /// Names in a directory, sorted; empty when there is none.
    static func list(_ path: String) throws -> [String] {
        guard let directory = unsafe opendir(path) else {
            if errno == ENOENT { return [] }
            throw Unreadable(what: "\(path): \(unsafe String(cString: strerror(errno)))")
        }
        defer { _ = unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) } }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}

/// A file read from front to back.
struct OpenFile: ~Copyable {
    private let descriptor: Int32
    private let path: String

    init(_ path: String) throws {
        self.path = path
        descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT || errno == ENOTDIR { throw Bad("\(path): missing") }
            throw Unreadable(what: "\(path): \(unsafe String(cString: strerror(errno)))")
        }
    }

    deinit { close(descriptor) }

    /// Up to `count` bytes; nil at the end.
    mutating func next(_ count: Int) throws -> [UInt8]? {
        var got = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                got = unsafe Glibc.read(descriptor, buffer.baseAddress! + filled, count - filled)
                if got < 0, errno == EINTR { continue }
                if got <= 0 { break }
                filled += got
            }
        }
        if got < 0 { throw Unreadable(what: "\(path): \(unsafe String(cString: strerror(errno)))") }
        return bytes.isEmpty ? nil : bytes
    }

    /// Exactly `count` bytes.
    mutating func exactly(_ count: Int) throws -> [UInt8] {
        if count == 0 { return [] }
        guard let bytes = try next(count), bytes.count == count else { throw Bad("\(path): ends early") }
        return bytes
    }
}

/// Lines of a file, one at a time.
struct LineReader: ~Copyable {
    private var file: OpenFile
    private var buffer: [UInt8] = []
    private var at = 0
    private let path: String
    private(set) var number = 0

    init(_ path: String) throws {
        self.path = path
        file = try OpenFile(path)
    }

    mutating func next() throws -> [UInt8]? {
        while true {
            if let end = buffer[at...].firstIndex(of: 0x0a) {
                defer { at = end + 1 }
                number += 1
                return Array(buffer[at..<end])
            }
            buffer.removeFirst(at)
            at = 0
            guard let piece = try file.next(1 << 16) else {
                guard buffer.isEmpty else { throw Bad("\(path): its last line is cut") }
                return nil
            }
            buffer += piece
            guard buffer.count <= 1 << 20 else { throw Bad("\(path): a line of more than a mebibyte") }
        }
    }
}
