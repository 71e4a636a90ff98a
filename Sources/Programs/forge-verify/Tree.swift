/// The tree of docs/formats/audit-tree.md, its right edge alone: as much memory as the log has digits.
struct Tree {
    private let sha: SHA256
    private(set) var size: UInt64 = 0
    private var peaks: [Hash] = []

    init(_ sha: SHA256) { self.sha = sha }

    /// - Returns: every node that became complete, the leaf's own first.
    mutating func append(_ leaf: Hash) -> [(level: Int, index: UInt64, hash: Hash)] {
        var completed: [(level: Int, index: UInt64, hash: Hash)] = [(0, size, leaf)]
        var hash = leaf
        var level = 0
        while size >> UInt64(level) & 1 == 1 {
            hash = sha.node(peaks.removeLast(), hash)
            level += 1
            completed.append((level, size >> UInt64(level), hash))
        }
        peaks.append(hash)
        size += 1
        return completed
    }

    var root: Hash {
        guard var root = peaks.last else { return sha.hash([]) }
        for peak in peaks.dropLast().reversed() { root = sha.node(peak, root) }
        return root
    }
}
