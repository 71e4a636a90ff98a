/// The pages of the KV cache: which are free, and who holds the others.
///
/// A block holds the keys and values of `blockSize` consecutive positions in every layer. Blocks are handed out lowest number first after a
/// fresh start and in order of release later, so a run can be repeated. Each block has one holder: no two
/// sequences share a prefix's pages, so `holders` only tells a release from a second one.
package struct BlockPool: Sendable {
    /// Where a block lies in the cache's memory.
    package typealias BlockID = Int32

    package let blockSize: Int
    package let count: Int
    private var free: [BlockID]
    /// The free queue is a ring: `head` is the next block to hand out, `freeCount` how many follow.
    private var head = 0
    package private(set) var freeCount: Int
    private var holders: [UInt16]

    /// - Precondition: both are positive, and the blocks can be numbered in 31 bits.
    package init(blocks count: Int, blockSize: Int) {
        precondition(count > 0 && blockSize > 0 && count < Int(Int32.max), "a pool has blocks, and blocks have room")
        self.count = count
        self.blockSize = blockSize
        free = (0..<Int32(count)).map { $0 }
        freeCount = count
        holders = Array(repeating: 0, count: count)
    }

    package var usedCount: Int { count - freeCount }
    /// The share of blocks in use, as `/metrics` shows it.
    package var usage: Double { Double(usedCount) / Double(count) }

    /// Blocks that `tokens` positions need.
    package func blocks(forTokens tokens: Int) -> Int { (tokens + blockSize - 1) / blockSize }

    /// Extends `table` until it covers `tokens` positions, or leaves everything as it was.
    /// - Returns: false when too few blocks are free.
    package mutating func extend(_ table: inout [BlockID], toTokens tokens: Int) -> Bool {
        let missing = blocks(forTokens: tokens) - table.count
        guard missing <= freeCount else { return false }
        for _ in 0..<max(0, missing) {
            let block = free[head]
            head = (head + 1) % count
            freeCount -= 1
            holders[Int(block)] += 1
            table.append(block)
        }
        return true
    }

    /// Gives a table back, its tail first: once prefixes are shared, the end of a chain is the first to be reused.
    package mutating func release(_ table: inout [BlockID]) {
        for block in table.reversed() {
            precondition(holders[Int(block)] > 0, "block \(block) was released twice")
            holders[Int(block)] -= 1
            guard holders[Int(block)] == 0 else { continue }
            free[(head + freeCount) % count] = block
            freeCount += 1
        }
        table.removeAll()
    }
}
