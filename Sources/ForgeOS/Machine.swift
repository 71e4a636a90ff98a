import CForgeOS
package import ForgeCore

/// What the machine has to offer this process. No file under /proc is read: sandboxed units do not see them.
package enum Machine {
    /// Cores this process may run on, at least one.
    package static var cores: Int { max(1, Int(fos_cores())) }

    /// Memory of the whole machine, and the part nobody uses now (the page cache counts as used).
    package static func memory() throws(Fault) -> (total: ByteCount, free: ByteCount) {
        var total: UInt64 = 0, free: UInt64 = 0
        try checked("ask for", "the machine's memory") { unsafe fos_memory(&total, &free) }
        return (ByteCount(Int64(clamping: total)), ByteCount(Int64(clamping: free)))
    }
}
