package import ForgeCore
import ForgeCrypto

/// The Merkle tree over a data set's leaves, as RFC 6962 §2 has it.
package enum DocumentTree {
    package static func leafHash(_ leaf: [UInt8]) -> Digest { .sha256([0] + leaf) }
    private static func node(_ left: Digest, _ right: Digest) -> Digest { .sha256([1] + left.bytes + right.bytes) }

    /// The root; of no leaves it is the digest of nothing.
    package static func root(of hashes: [Digest]) -> Digest { hashes.isEmpty ? .sha256([UInt8]()) : root(hashes[...]) }

    private static func root(_ hashes: ArraySlice<Digest>) -> Digest {
        guard hashes.count > 1 else { return hashes.first! }
        let middle = hashes.startIndex + split(hashes.count)
        return node(root(hashes[..<middle]), root(hashes[middle...]))
    }

    /// The largest power of two below `count`.
    private static func split(_ count: Int) -> Int {
        var power = 1
        while power * 2 < count { power *= 2 }
        return power
    }

    /// Siblings of leaf `index` on the way to the root, lowest first.
    /// - Precondition: `index` is a leaf.
    package static func inclusionProof(of index: Int, in hashes: [Digest]) -> [Digest] {
        precondition(hashes.indices.contains(index), "a proof is of a leaf there is")
        var path: [Digest] = []
        var range = 0..<hashes.count
        while range.count > 1 {
            let middle = range.lowerBound + split(range.count)
            if index < middle {
                path.append(root(hashes[middle..<range.upperBound]))
                range = range.lowerBound..<middle
            } else {
                path.append(root(hashes[range.lowerBound..<middle]))
                range = middle..<range.upperBound
            }
        }
        return path.reversed()
    }

    /// Whether `proof` leads from a leaf to `root` (RFC 9162 §2.1.3.2).
    package static func verify(_ leafHash: Digest, index: Int, count: Int, proof: [Digest], root: Digest) -> Bool {
        guard index >= 0, index < count else { return false }
        var position = index, last = count - 1
        var hash = leafHash
        for sibling in proof {
            guard last > 0 else { return false }
            if position & 1 == 1 || position == last {
                hash = node(sibling, hash)
                while position & 1 == 0, position > 0 {
                    position >>= 1
                    last >>= 1
                }
            } else {
                hash = node(hash, sibling)
            }
            position >>= 1
            last >>= 1
        }
        return last == 0 && hash == root
    }
}
