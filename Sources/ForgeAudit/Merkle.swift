package import ForgeCore
import ForgeCrypto

/// Hashes of the tree of RFC 6962, section 2.1, with SHA-256.
package enum Merkle {
    /// The root of a tree without leaves: the hash of nothing.
    package static let emptyRoot = Digest.sha256([UInt8]())

    package static func leafHash(_ leaf: some Collection<UInt8>) -> Digest {
        var bytes: [UInt8] = [0]
        bytes.reserveCapacity(1 + leaf.count)
        bytes += leaf
        return Digest.sha256(bytes)
    }

    package static func node(_ left: Digest, _ right: Digest) -> Digest {
        var bytes: [UInt8] = [1]
        bytes.reserveCapacity(65)
        bytes += left.bytes
        bytes += right.bytes
        return Digest.sha256(bytes)
    }

    /// The plain twin of everything else here: the definition in RFC 6962, on an array.
    package static func root(of leafHashes: some RandomAccessCollection<Digest>) -> Digest {
        switch leafHashes.count {
        case 0: return emptyRoot
        case 1: return leafHashes.first!
        default:
            let half = leafHashes.index(leafHashes.startIndex, offsetBy: Int(split(UInt64(leafHashes.count))))
            return node(root(of: leafHashes[..<half]), root(of: leafHashes[half...]))
        }
    }

    /// The largest power of two smaller than `count`.
    /// - Precondition: `count` is at least 2.
    static func split(_ count: UInt64) -> UInt64 {
        precondition(count >= 2, "only a tree of two leaves or more is split")
        return 1 << UInt64(63 - (count - 1).leadingZeroBitCount)
    }

    /// The hash over `leaves`, folded from the complete subtrees it is made of.
    /// - Precondition: the range is one that the definition of the tree produces, so its start is aligned to its first subtree.
    static func hash(of leaves: Range<UInt64>, node source: (TreeNode) throws(Fault) -> Digest) throws(Fault) -> Digest {
        let count = leaves.upperBound - leaves.lowerBound
        if count.nonzeroBitCount == 1 {
            let level = count.trailingZeroBitCount
            return try source(TreeNode(level: level, index: leaves.lowerBound >> UInt64(level)))
        }
        let middle = leaves.lowerBound + split(count)
        return node(try hash(of: leaves.lowerBound..<middle, node: source), try hash(of: middle..<leaves.upperBound, node: source))
    }
}

/// The root of one complete subtree: 2^level leaves from `index << level`. Level 0 are the leaf hashes.
package struct TreeNode: Hashable, Sendable {
    package let level: Int
    package let index: UInt64

    package init(level: Int, index: UInt64) {
        self.level = level
        self.index = index
    }
}

/// The right edge of a growing tree: the complete subtrees that the binary digits of its size name, largest first.
/// With it a leaf is appended, and the root folded, in O(log n) without reading anything.
package struct TreeEdge: Hashable, Sendable {
    package private(set) var size: UInt64 = 0
    private var peaks: [Digest] = []

    package init() {}

    /// Takes the edge of a stored tree up again.
    /// - Throws: what `source` throws for a node that is not there.
    package init(size: UInt64, node source: (TreeNode) throws(Fault) -> Digest) throws(Fault) {
        self.size = size
        var from: UInt64 = 0
        for level in stride(from: 63, through: 0, by: -1) where size >> UInt64(level) & 1 == 1 {
            peaks.append(try source(TreeNode(level: level, index: from >> UInt64(level))))
            from += 1 << UInt64(level)
        }
    }

    /// Appends one leaf.
    /// - Returns: the interior nodes that became complete, lowest first: they never change again.
    package mutating func append(_ leafHash: Digest) -> [(node: TreeNode, hash: Digest)] {
        var completed: [(node: TreeNode, hash: Digest)] = []
        var hash = leafHash
        for level in 0..<size.trailingOneBitCount {
            hash = Merkle.node(peaks.removeLast(), hash)
            completed.append((TreeNode(level: level + 1, index: size >> UInt64(level + 1)), hash))
        }
        peaks.append(hash)
        size += 1
        return completed
    }

    package var root: Digest {
        guard var root = peaks.last else { return Merkle.emptyRoot }
        for peak in peaks.dropLast().reversed() { root = Merkle.node(peak, root) }
        return root
    }
}

extension UInt64 {
    fileprivate var trailingOneBitCount: Int { (~self).trailingZeroBitCount }
}
