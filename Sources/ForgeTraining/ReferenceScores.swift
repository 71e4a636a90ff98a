import ForgeCore
import ForgeData
import ForgeNN

/// How likely what a run starts from holds the answers that are learnt: the reference of preference learning. Asked once, before the first step; a run that is taken up
/// again asks again, and gets the same bits.
struct ReferenceScores {
    /// By sequence, the log-probability of each learnt token.
    private(set) var logp: [[Float]] = []

    init(_ sequences: [LearntSequence], _ evaluator: Decoder, rows: Int) throws(Fault) {
        var first = 0
        while first < sequences.count {
            // As many as a pass has room for.
            var end = first, filled = 0
            while end < sequences.count, end == first || filled + sequences[end].rows <= rows {
                filled += sequences[end].rows
                end += 1
            }
            let some = sequences[first..<end]
            logp += LearntRows.values(of: try evaluator.logProbabilities(TokenBatch(Array(some))), some)
            first = end
        }
    }

    func sum(_ sequence: Int) -> Double { logp[sequence].reduce(0) { $0 + Double($1) } }
}

/// The rows of a pass that hold what is learnt.
enum LearntRows {
    /// By sequence, the rows of its learnt tokens.
    static func places(_ sequences: some Sequence<LearntSequence>) -> [[Int]] {
        var row = 0
        return sequences.map { sequence in
            defer { row += sequence.rows }
            return sequence.learnt.flatMap { $0.map { row + $0 - 1 } }
        }
    }

    /// By row, the derivative of its log-probability; 0 where nothing is learnt.
    /// - Parameter derivatives: by sequence, of each of its `places`.
    static func spread(_ derivatives: some Sequence<[Double]>, over places: [[Int]], of rows: Int) -> [Float] {
        var out = [Float](repeating: 0, count: rows)
        for (rows, values) in zip(places, derivatives) { for (row, value) in zip(rows, values) { out[row] = Float(value) } }
        return out
    }

    static func values(of rows: [Float], _ sequences: some Sequence<LearntSequence>) -> [[Float]] { places(sequences).map { $0.map { rows[$0] } } }
}
