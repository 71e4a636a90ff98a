package import ForgeCore
package import ForgeData
package import ForgeModel
import ForgeNN
package import ForgeTensor
package import ForgeTokenizer
import Glibc

/// Scores text in bits per byte, so that models with different vocabularies, and models without one, compare.
///
/// A document is `<s>` and its tokens; every token counts, the end of the text does not. Longer documents are read in windows of the
/// context length, or 4,096 tokens, that overlap by half, and a token is scored in the first window it appears in, so that each but the first few has at
/// least half a context before it. A text has many spellings in tokens and only one is scored: the true bits are at most these.
package final class Scorer {
    private let decoder: Decoder
    private let tokenizer: Tokenizer
    private var encoder: Encoder
    private let rows: Int
    private let window: Int

    package struct Score: Sendable, Hashable {
        package var bits = 0.0
        package var bytes = 0
        package var tokens = 0
        package var bitsPerByte: Double { bytes == 0 ? 0 : bits / Double(bytes) }
        package init() {}

        package static func + (a: Score, b: Score) -> Score {
            var sum = Score()
            (sum.bits, sum.bytes, sum.tokens) = (a.bits + b.bits, a.bytes + b.bytes, a.tokens + b.tokens)
            return sum
        }
    }

    package init(_ parameters: Parameters, tokenizer: Tokenizer, window: Int? = nil, on device: Device) throws(Fault) {
        self.tokenizer = tokenizer
        encoder = Encoder(tokenizer)
        // Memory follows the window: a model that could read a hundred thousand tokens at once is not asked to.
        self.window = min(window ?? 4096, parameters.table.config.contextMax)
        rows = max(4096 / self.window, 1) * self.window
        decoder = try Decoder(parameters, rows: rows, on: device)
    }

    /// The score of all documents together.
    package func score(_ documents: some Sequence<[UInt8]>) throws(Fault) -> Score {
        var score = Score()
        var ids: [Int32] = [], targets: [Int32] = [], lengths: [Int32] = [0]
        func flush() throws(Fault) {
            guard !ids.isEmpty else { return }
            score.bits += try bits(TokenBatch(ids: ids, targets: targets, cumulativeLengths: lengths))
            ids.removeAll(keepingCapacity: true)
            targets.removeAll(keepingCapacity: true)
            lengths = [0]
        }
        for document in documents {
            let tokens = [tokenizer.control.begin] + encoder.encode(document)
            score.bytes += document.count
            score.tokens += tokens.count - 1
            var start = 0, scored = 0  // tokens[scored + 1] is the next to score
            while scored < tokens.count - 1 {
                let end = min(start + window, tokens.count - 1)
                if ids.count + end - start > rows { try flush() }
                ids += tokens[start..<end]
                targets += (start..<end).map { $0 >= scored ? tokens[$0 + 1] : -1 }
                lengths.append(Int32(ids.count))
                scored = end
                start = end - window / 2
            }
        }
        try flush()
        return score
    }

    /// What is learnt of each sequence, with all that stands before it; the marks that end an answer count as tokens, and not as bytes.
    /// - Throws: `.request` for a sequence longer than the model reads, or than is read at once.
    package func score(_ sequences: [LearntSequence]) throws(Fault) -> Score {
        var score = Score(), pass: [LearntSequence] = []
        for sequence in sequences {
            guard sequence.rows <= window else {
                throw Fault(.request, "evaluation.too_long", "a sample cannot be scored", why: "it has \(sequence.rows) tokens, and \(window) are read at once", remedy: "leave it out of what is held out")
            }
            if pass.reduce(sequence.rows, { $0 + $1.rows }) > rows {
                score.bits += try bits(TokenBatch(pass))
                pass = []
            }
            pass.append(sequence)
            score.tokens += sequence.targetCount
            for range in sequence.learnt { score.bytes += tokenizer.decode(sequence.tokens[range]).count }
        }
        if !pass.isEmpty { score.bits += try bits(TokenBatch(pass)) }
        return score
    }

    private func bits(_ batch: TokenBatch) throws(Fault) -> Double { try decoder.logProbabilities(batch).reduce(0.0) { $0 - Double($1) / M_LN2 } }
}
