package import ForgeCore

/// Proofs over `leaves`, a subtree of a log (draft-ietf-plants-merkle-tree-certs): how a stranger's client may ask about a part
/// of the log. Forge verifies them; it does not hand them out yet.
package struct SubtreeProof: Hashable, Sendable {
    package let leaves: Range<UInt64>
    package let hashes: [Digest]

    /// - Returns: nil for a range that is not a subtree: its start must be a multiple of its length rounded up to a power of two.
    package init?(_ start: UInt64, _ end: UInt64, hashes: [Digest]) {
        guard start <= end else { return nil }
        let count = end - start
        let bits = count <= 1 ? 0 : 64 - (count - 1).leadingZeroBitCount
        guard bits < 64, start & ((1 << UInt64(bits)) - 1) == 0 else { return nil }
        leaves = start..<end
        self.hashes = hashes
    }

    /// The leaf with this index in the log is in the subtree with this root.
    package func includes(_ index: UInt64, _ leafHash: Digest, under root: Digest) -> Bool {
        guard leaves.contains(index) else { return false }
        return InclusionProof(index: index - leaves.lowerBound, size: leaves.upperBound - leaves.lowerBound, hashes: hashes).verifies(leafHash, under: root)
    }

    /// The subtree with root `part` is a part of the tree of `size` leaves with root `whole`.
    package func isConsistent(_ part: Digest, size: UInt64, _ whole: Digest) -> Bool {
        guard leaves.upperBound <= size else { return false }
        // The empty subtree is in every tree.
        guard !leaves.isEmpty else { return hashes.isEmpty && part == Merkle.emptyRoot }
        var (fn, sn, tn) = (leaves.lowerBound, leaves.upperBound - 1, size - 1)
        func halve() {
            fn >>= 1
            sn >>= 1
            tn >>= 1
        }
        if sn == tn {
            while fn != sn { halve() }
        } else {
            while fn != sn, sn & 1 == 1 { halve() }
        }
        var rest = hashes[...]
        var (fr, sr) = (part, part)
        if fn != sn {
            guard let first = rest.popFirst() else { return false }
            (fr, sr) = (first, first)
        }
        for hash in rest {
            guard tn != 0 else { return false }
            if sn & 1 == 1 || sn == tn {
                if fn < sn { fr = Merkle.node(hash, fr) }
                sr = Merkle.node(hash, sr)
                while sn & 1 == 0, sn != 0 { halve() }
            } else {
                sr = Merkle.node(sr, hash)
            }
            halve()
        }
        return tn == 0 && fr == part && sr == whole
    }
}
