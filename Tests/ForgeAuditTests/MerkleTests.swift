import ForgeAudit
import ForgeCore
import Testing

/// A log held in memory, with every complete node, as the catalog keeps them.
struct MemoryLog {
    var edge = TreeEdge()
    var nodes: [TreeNode: Digest] = [:]
    var hashes: [Digest] = []

    init(_ count: Int = 0) {
        for i in 0..<count { append(Array("leaf \(i)".utf8)) }
    }

    mutating func append(_ leaf: [UInt8]) {
        let hash = Merkle.leafHash(leaf)
        nodes[TreeNode(level: 0, index: edge.size)] = hash
        for (node, hash) in edge.append(hash) { nodes[node] = hash }
        hashes.append(hash)
    }

    func node(_ node: TreeNode) throws(Fault) -> Digest {
        guard let hash = nodes[node] else { throw Fault(.environment, "test.no_node", "no node \(node)") }
        return hash
    }
}

@Suite struct MerkleTests {
    @Test func `hashes are those of RFC 6962`() {
        #expect(Merkle.emptyRoot.hex == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(Merkle.leafHash([]).hex == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")
        #expect(MemoryLog(0).edge.root == Merkle.emptyRoot)
    }

    @Test func `the edge and the definition agree for every size up to 600`() throws {
        var log = MemoryLog()
        for size in 0...600 {
            #expect(log.edge.root == Merkle.root(of: log.hashes))
            let resumed = try TreeEdge(size: UInt64(size), node: log.node)
            #expect(resumed == log.edge)
            log.append(Array("leaf \(size)".utf8))
        }
    }

    @Test func `every leaf of every size up to 600 is proven, and nothing else is`() throws {
        let log = MemoryLog(600)
        for size in 1...600 {
            let root = Merkle.root(of: log.hashes[..<size])
            // All indexes for small trees; for large ones the edges and a stride through the middle.
            for index in Set(Array(stride(from: 0, to: size, by: size < 70 ? 1 : 37)) + [0, size / 2, size - 1]) {
                let proof = try InclusionProof(index: UInt64(index), size: UInt64(size), node: log.node)
                #expect(proof.verifies(log.hashes[index], under: root))
                #expect(!proof.verifies(log.hashes[(index + 1) % 600], under: root))
                #expect(!InclusionProof(index: UInt64(index ^ 1), size: UInt64(size), hashes: proof.hashes).verifies(log.hashes[index], under: root) || size == 1)
                if let first = proof.hashes.first {
                    #expect(!InclusionProof(index: UInt64(index), size: UInt64(size), hashes: proof.hashes + [first]).verifies(log.hashes[index], under: root))
                    #expect(!InclusionProof(index: UInt64(index), size: UInt64(size), hashes: Array(proof.hashes.dropLast())).verifies(log.hashes[index], under: root))
                }
            }
        }
        #expect(throws: Fault.self) { try InclusionProof(index: 600, size: 600, node: log.node) }
    }

    @Test func `every growth up to 600 is proven, and no other past is`() throws {
        let log = MemoryLog(600)
        let roots = (0...600).map { Merkle.root(of: log.hashes[..<$0]) }
        for second in 1...600 {
            for first in Set(Array(stride(from: 1, through: second, by: second < 70 ? 1 : 41)) + [1, second]) {
                let proof = try ConsistencyProof(from: UInt64(first), to: UInt64(second), node: log.node)
                #expect(proof.verifies(roots[first], roots[second]))
                #expect(first == second || !proof.verifies(roots[first - 1], roots[second]))
                #expect(!proof.verifies(roots[first], roots[second - 1]))
            }
        }
        #expect(throws: Fault.self) { try ConsistencyProof(from: 0, to: 9, node: log.node) }
        #expect(throws: Fault.self) { try ConsistencyProof(from: 10, to: 9, node: log.node) }
        #expect(!ConsistencyProof(from: 0, to: 9, hashes: []).verifies(roots[0], roots[9]))
    }

    @Test(arguments: [(1 << 33 + 1, 5), (1 << 62, 1), (3_000_000_019, 999)]) func `a proof for a size no machine holds still ends`(size: UInt64, index: UInt64) throws {
        // Every subtree of equal leaves has one hash per level, so a tree of any size can be folded without holding it.
        var levels = [Merkle.leafHash([1])]
        for _ in 0..<63 { levels.append(Merkle.node(levels.last!, levels.last!)) }
        let proof = try InclusionProof(index: index, size: size) { node throws(Fault) in levels[node.level] }
        let edge = try TreeEdge(size: size) { node throws(Fault) in levels[node.level] }
        #expect(proof.verifies(levels[0], under: edge.root))
    }

    @Test func `tile names are those of tlog-tiles`() {
        #expect(Tile(.hashes(level: 0), index: 1_234_067, width: 256).path == "tile/0/x001/x234/067")
        #expect(Tile(.entries, index: 0, width: 7).path == "tile/entries/000.p/7")
        #expect(Tile(.hashes(level: 12), index: 999, width: 255).path == "tile/12/999.p/255")
    }

    @Test func `a tree of 70000 has the tiles that tlog-tiles counts`() {
        let tiles = Array(Tile.all(size: 70_000))
        func count(_ kind: Tile.Kind, full: Bool) -> Int { tiles.count { $0.kind == kind && $0.isFull == full } }
        #expect(count(.hashes(level: 0), full: true) == 273)
        #expect(tiles.last { $0.kind == .hashes(level: 0) }?.width == 112)
        #expect(count(.hashes(level: 1), full: true) == 1)
        #expect(tiles.last { $0.kind == .hashes(level: 1) }?.width == 17)
        #expect(tiles.filter { $0.kind == .hashes(level: 2) }.map(\.width) == [1])
        #expect(!tiles.contains { $0.kind == .hashes(level: 3) })
        #expect(count(.entries, full: true) == 273)
        #expect(Array(Tile.all(size: 256)).map(\.path) == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"])
        #expect(Array(Tile.all(size: 0)).isEmpty)
    }

    @Test func `an entry bundle comes back leaf by leaf, and a cut one does not`() throws {
        let leaves: [[UInt8]] = [[], [1, 2, 3], Array(repeating: 7, count: 300)]
        let bytes = EntryBundle.encode(leaves)
        #expect(try EntryBundle.decode(bytes) == leaves)
        for count in 1..<bytes.count where ![2, 7].contains(count) { #expect(throws: Fault.self) { try EntryBundle.decode(Array(bytes.prefix(count))) } }
    }
}
