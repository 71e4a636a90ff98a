package import ForgeCore

/// A piece of the log as a file: 256 hashes of one level, or 256 leaves (C2SP tlog-tiles; docs/formats/audit-tree.md §4).
package struct Tile: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// Hashes of tree level 8·L.
        case hashes(level: Int)
        /// The leaves themselves.
        case entries
    }

    package static let width: UInt64 = 256

    package let kind: Kind
    package let index: UInt64
    /// 1…256; a full tile has 256.
    package let width: Int

    package init(_ kind: Kind, index: UInt64, width: Int) {
        precondition((1...256).contains(width), "a tile holds 1 to 256 hashes")
        self.kind = kind
        self.index = index
        self.width = width
    }

    package var isFull: Bool { width == 256 }

    /// Relative to the log's directory, such as `tile/0/x001/234.p/7`.
    package var path: String {
        let level =
            switch kind {
            case .hashes(let level): String(level)
            case .entries: "entries"
            }
        return "tile/\(level)/\(Tile.path(of: index))" + (isFull ? "" : ".p/\(width)")
    }

    static func path(of index: UInt64) -> String {
        var groups: [String] = []
        var rest = index
        repeat {
            let digits = String(rest % 1000)
            groups.append(String(repeating: "0", count: 3 - digits.count) + digits)
            rest /= 1000
        } while rest > 0
        return (groups.dropFirst().reversed().map { "x" + $0 } + [groups[0]]).joined(separator: "/")
    }

    /// All tiles and bundles of a tree of `size` leaves.
    package static func all(size: UInt64) -> some Sequence<Tile> {
        var kinds: [(Kind, UInt64)] = [(.entries, size)]
        var level = 0
        var count = size
        while count > 0 {
            kinds.append((.hashes(level: level), count))
            level += 1
            count /= width
        }
        return kinds.lazy.flatMap { kind, count in
            (0..<(count + width - 1) / width).lazy.map { Tile(kind, index: $0, width: Int(min(width, count - $0 * width))) }
        }
    }

    /// The nodes a tile of hashes holds, in order; for a bundle, its leaves.
    package var nodes: [TreeNode] {
        let level =
            switch kind {
            case .hashes(let level): level * 8
            case .entries: 0
            }
        return (0..<UInt64(width)).map { TreeNode(level: level, index: index * Tile.width + $0) }
    }
}

/// A run of leaves, each after its length as a big-endian 16-bit number.
package enum EntryBundle {
    /// - Precondition: every leaf is at most 8192 bytes, as the leaf encoder promises.
    package static func encode(_ leaves: some Sequence<[UInt8]>) -> [UInt8] {
        var out: [UInt8] = []
        for leaf in leaves {
            precondition(leaf.count <= AuditRecord.bytesMax, "a leaf has at most 8192 bytes")
            out.append(UInt8(leaf.count >> 8))
            out.append(UInt8(leaf.count & 255))
            out += leaf
        }
        return out
    }

    package static func decode(_ bytes: [UInt8]) throws(Fault) -> [[UInt8]] {
        var leaves: [[UInt8]] = []
        var at = 0
        while at < bytes.count {
            guard at + 2 <= bytes.count else { throw .malformed("an entry bundle ends early", "a length is cut at byte \(at)") }
            let count = Int(bytes[at]) << 8 | Int(bytes[at + 1])
            guard at + 2 + count <= bytes.count else { throw .malformed("an entry bundle ends early", "leaf \(leaves.count) is cut") }
            leaves.append(Array(bytes[at + 2..<at + 2 + count]))
            at += 2 + count
        }
        return leaves
    }
}
