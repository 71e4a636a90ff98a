package import ForgeCore

/// That a leaf stands at `index` in the tree of `size` leaves: the sibling hashes from the leaf up (RFC 6962, section 2.1.1).
package struct InclusionProof: Hashable, Sendable {
    package let index: UInt64
    package let size: UInt64
    package let hashes: [Digest]

    package init(index: UInt64, size: UInt64, hashes: [Digest]) {
        self.index = index
        self.size = size
        self.hashes = hashes
    }

    /// Builds the proof from stored nodes.
    /// - Throws: `.request` when the tree has no such leaf, or what `source` throws.
    package init(index: UInt64, size: UInt64, node source: (TreeNode) throws(Fault) -> Digest) throws(Fault) {
        guard index < size else {
            throw Fault(.request, "audit.no_such_record", "there is no record \(index) in a log of \(size)", remedy: "`forge audit tail` shows the latest records")
        }
        var hashes: [Digest] = []
        var range = 0..<size
        while range.upperBound - range.lowerBound > 1 {
            let middle = range.lowerBound + Merkle.split(range.upperBound - range.lowerBound)
            if index < middle {
                hashes.append(try Merkle.hash(of: middle..<range.upperBound, node: source))
                range = range.lowerBound..<middle
            } else {
                hashes.append(try Merkle.hash(of: range.lowerBound..<middle, node: source))
                range = middle..<range.upperBound
            }
        }
        self.init(index: index, size: size, hashes: hashes.reversed())
    }

    /// The root this proof leads to from `leafHash`; nil when the proof has the wrong length (RFC 9162, section 2.1.3.2).
    package func root(from leafHash: Digest) -> Digest? {
        guard index < size else { return nil }
        var fn = index
        var sn = size - 1
        var root = leafHash
        for hash in hashes {
            guard sn != 0 else { return nil }
            if fn & 1 == 1 || fn == sn {
                root = Merkle.node(hash, root)
                while fn & 1 == 0, fn != 0 {
                    fn >>= 1
                    sn >>= 1
                }
            } else {
                root = Merkle.node(root, hash)
            }
            fn >>= 1
            sn >>= 1
        }
        return sn == 0 ? root : nil
    }

    package func verifies(_ leafHash: Digest, under root: Digest) -> Bool { self.root(from: leafHash) == root }
}

/// That the tree of `second` leaves begins with the tree of `first` leaves (RFC 6962, section 2.1.2).
package struct ConsistencyProof: Hashable, Sendable {
    package let first: UInt64
    package let second: UInt64
    package let hashes: [Digest]

    package init(from first: UInt64, to second: UInt64, hashes: [Digest]) {
        self.first = first
        self.second = second
        self.hashes = hashes
    }

    /// Builds the proof from stored nodes.
    /// - Throws: `.request` unless 0 < first ≤ second, or what `source` throws.
    package init(from first: UInt64, to second: UInt64, node source: (TreeNode) throws(Fault) -> Digest) throws(Fault) {
        guard first > 0, first <= second else {
            throw Fault(.request, "audit.no_such_proof", "there is no consistency proof from \(first) to \(second)", why: "the first size is at least 1 and at most the second")
        }
        var hashes: [Digest] = []
        var range = 0..<second
        var isWhole = true  // whether the verifier already knows the hash of the range's first part
        while first != range.upperBound {
            let middle = range.lowerBound + Merkle.split(range.upperBound - range.lowerBound)
            if first <= middle {
                hashes.append(try Merkle.hash(of: middle..<range.upperBound, node: source))
                range = range.lowerBound..<middle
            } else {
                hashes.append(try Merkle.hash(of: range.lowerBound..<middle, node: source))
                range = middle..<range.upperBound
                isWhole = false
            }
        }
        if !isWhole { hashes.append(try Merkle.hash(of: range, node: source)) }
        self.init(from: first, to: second, hashes: hashes.reversed())
    }

    /// RFC 9162, section 2.1.4.2. A proof from size 0 proves nothing and is refused.
    package func verifies(_ firstRoot: Digest, _ secondRoot: Digest) -> Bool {
        guard first > 0, first <= second else { return false }
        if first == second { return hashes.isEmpty && firstRoot == secondRoot }
        guard !hashes.isEmpty else { return false }
        let path = first.nonzeroBitCount == 1 ? [firstRoot] + hashes : hashes
        var fn = first - 1
        var sn = second - 1
        while fn & 1 == 1 {
            fn >>= 1
            sn >>= 1
        }
        var (fr, sr) = (path[0], path[0])
        for hash in path.dropFirst() {
            guard sn != 0 else { return false }
            if fn & 1 == 1 || fn == sn {
                fr = Merkle.node(hash, fr)
                sr = Merkle.node(hash, sr)
                while fn & 1 == 0, fn != 0 {
                    fn >>= 1
                    sn >>= 1
                }
            } else {
                sr = Merkle.node(sr, hash)
            }
            fn >>= 1
            sn >>= 1
        }
        return sn == 0 && fr == firstRoot && sr == secondRoot
    }
}
