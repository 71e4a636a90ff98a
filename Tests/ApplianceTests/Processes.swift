import ForgeCore
import ForgeOS

/// What the kernel says about processes.
enum Processes {
    static func children(of process: Int32) -> [Int32] {
        ((try? Path.list("/proc/\(process)/task")) ?? []).flatMap { thread in
            text((try? File("/proc/\(process)/task/\(thread)/children", .read).readAll(limit: .kib(64))) ?? []).split(separator: " ").compactMap { Int32($0) }
        }
    }

    /// Neither gone nor waiting to be noticed.
    static func isAlive(_ process: Int32) -> Bool {
        guard let bytes = try? File("/proc/\(process)/stat", .read).readAll(limit: .kib(4)), let name = bytes.lastIndex(of: UInt8(ascii: ")")), name + 2 < bytes.count else { return false }
        return bytes[name + 2] != UInt8(ascii: "Z") && bytes[name + 2] != UInt8(ascii: "X")
    }
}
