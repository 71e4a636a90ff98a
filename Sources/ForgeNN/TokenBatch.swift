/// Rows of tokens for one pass: sequences packed end to end, each blind to the others.
package struct TokenBatch: Sendable, Hashable {
    package let ids: [Int32]
    /// The token each row should predict; negative where it should predict none.
    package let targets: [Int32]
    /// Where each sequence starts, and the end: 0 … ids.count.
    package let cumulativeLengths: [Int32]

    package init(ids: [Int32], targets: [Int32], cumulativeLengths: [Int32]) {
        precondition(ids.count == targets.count, "a target a row")
        precondition(cumulativeLengths.first == 0 && cumulativeLengths.last == Int32(ids.count), "sequences cover the rows")
        precondition(zip(cumulativeLengths, cumulativeLengths.dropFirst()).allSatisfy { $0 < $1 }, "a sequence has a row")
        self.ids = ids
        self.targets = targets
        self.cumulativeLengths = cumulativeLengths
    }

    /// Sequences of next-token prediction: each list of n + 1 tokens gives n rows.
    package init(sequences: [[Int32]]) {
        var ids: [Int32] = [], targets: [Int32] = [], lengths: [Int32] = [0]
        for sequence in sequences where sequence.count > 1 {
            ids += sequence.dropLast()
            targets += sequence.dropFirst()
            lengths.append(Int32(ids.count))
        }
        self.init(ids: ids, targets: targets, cumulativeLengths: lengths)
    }

    package var rows: Int { ids.count }
    package var sequences: Int { cumulativeLengths.count - 1 }
    package var targetCount: Int { targets.reduce(0) { $0 + ($1 >= 0 ? 1 : 0) } }

    /// Each row's place in its own sequence.
    package var positions: [Int32] {
        var positions: [Int32] = []
        positions.reserveCapacity(rows)
        for (start, end) in zip(cumulativeLengths, cumulativeLengths.dropFirst()) { positions += 0..<(end - start) }
        return positions
    }
}
