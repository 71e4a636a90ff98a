package import ForgeCore
package import ForgeTokenizer

/// A sequence of ids and which of them are learnt.
package struct LearntSequence: Sendable, Hashable {
    package var tokens: [Token]
    /// Ascending, apart, none with the first id: nothing comes before that to predict it from.
    package var learnt: [Range<Int>]
    /// A score, or 1 and 0 for good and bad.
    package var value: Double?

    package init(_ tokens: [Token], learnt: [Range<Int>], value: Double? = nil) {
        precondition(learnt.allSatisfy { !$0.isEmpty && $0.lowerBound >= 1 && $0.upperBound <= tokens.count }, "what is learnt is in the sequence and follows something")
        precondition(zip(learnt, learnt.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound }, "what is learnt ascends")
        self.tokens = tokens
        self.learnt = learnt
        self.value = value
    }

    /// Rows it takes in a pass. The last id is predicted and predicts nothing; it has a row of its own where that makes them even, because products in bfloat16 sum rows two by
    /// two, and which two must not depend on what else is in the pass.
    package var rows: Int { tokens.count / 2 * 2 }
    package var targetCount: Int { learnt.reduce(0) { $0 + $1.count } }
    package var inputs: ArraySlice<Token> { tokens.prefix(rows) }
    /// By row, the id that is learnt there; -1 where none is.
    package var targets: [Token] {
        var out = [Token](repeating: -1, count: rows)
        for range in learnt { for i in range { out[i - 1] = tokens[i] } }
        return out
    }
}

/// Samples as tokens (docs/formats/sample-shard.md).
package struct SampleShard: Sendable {
    package enum Form: UInt32, Sendable {
        case single = 0
        case pairs = 1
        case labelled = 2
        /// Of tasks: nothing of them is learnt as it stands.
        case prompts = 3
    }

    private static let magic = Array("FORGESMP".utf8)
    private static let headerCount = 80

    /// SHA-256 of the tokenizer.json that made the ids.
    package let tokenizer: Digest
    package let form: Form
    package private(set) var sequences: [LearntSequence] = []

    package init(tokenizer: Digest, form: Form) {
        self.tokenizer = tokenizer
        self.form = form
    }

    package mutating func append(_ sequence: LearntSequence) { sequences.append(sequence) }

    /// Samples: a pair is one.
    package var count: Int { form == .pairs ? sequences.count / 2 : sequences.count }
    package var targetCount: Int { sequences.reduce(0) { $0 + $1.targetCount } }

    package func encoded() -> [UInt8] {
        let width = sequences.allSatisfy { $0.tokens.allSatisfy { $0 < 65536 } } ? 2 : 4, ids = sequences.reduce(0) { $0 + $1.tokens.count }
        let ranges = sequences.reduce(0) { $0 + $1.learnt.count }
        var out = SampleShard.magic
        out.reserveCapacity(SampleShard.headerCount + sequences.count * 24 + ranges * 8 + ids * width)
        for number in [1, UInt64(width), UInt64(form.rawValue), 0] { out.append(littleEndian: number, count: 4) }
        for number in [sequences.count, ranges, ids] { out.append(littleEndian: UInt64(number), count: 8) }
        out += tokenizer.bytes
        var (token, range) = (0, 0)
        for sequence in sequences {
            token += sequence.tokens.count
            out.append(littleEndian: UInt64(token), count: 8)
        }
        for sequence in sequences {
            range += sequence.learnt.count
            out.append(littleEndian: UInt64(range), count: 8)
        }
        for sequence in sequences {
            for range in sequence.learnt { for bound in [range.lowerBound, range.upperBound] { out.append(littleEndian: UInt64(bound), count: 4) } }
        }
        for sequence in sequences { out.append(littleEndian: (sequence.value ?? .nan).bitPattern, count: 8) }
        for sequence in sequences { for id in sequence.tokens { out.append(littleEndian: UInt64(id), count: width) } }
        return out
    }

    /// - Throws: `.environment`: shards are our own files, so a malformed one was damaged.
    package init(parsing bytes: [UInt8]) throws(Fault) {
        func damaged(_ why: String) -> Fault {
            Fault(.environment, "shard.damaged", "a sample shard is damaged", why: why, remedy: "cancel the run and submit it again: shards are made from the data set")
        }
        func number(_ at: Int, _ count: Int) -> UInt64 { (0..<count).reduce(0) { $0 | UInt64(bytes[at + $1]) << UInt64($1 * 8) } }
        guard bytes.count >= SampleShard.headerCount, bytes.starts(with: SampleShard.magic) else { throw damaged("it does not start as a shard does") }
        guard number(8, 4) == 1, number(20, 4) == 0 else { throw damaged("its format is not 1") }
        let width = Int(number(12, 4)), limit = UInt64(bytes.count)
        guard width == 2 || width == 4, let form = Form(rawValue: UInt32(number(16, 4))) else { throw damaged("its ids or its form are none of those there are") }
        guard number(24, 8) <= limit / 24, number(32, 8) <= limit / 8, number(40, 8) <= limit / UInt64(width) else { throw damaged("its size does not fit its counts") }
        let count = Int(number(24, 8)), ranges = Int(number(32, 8)), ids = Int(number(40, 8))
        guard bytes.count == SampleShard.headerCount + count * 24 + ranges * 8 + ids * width, form != .pairs || count.isMultiple(of: 2) else { throw damaged("its size does not fit its counts") }
        self.init(tokenizer: Digest(bytes[48..<80])!, form: form)
        let rangeEnds = SampleShard.headerCount + count * 8, bounds = rangeEnds + count * 8, values = bounds + ranges * 8, tokens = values + count * 8
        var (token, range) = (0, 0)
        for i in 0..<count {
            let tokenEnd = number(SampleShard.headerCount + i * 8, 8), rangeEnd = number(rangeEnds + i * 8, 8)
            guard tokenEnd >= UInt64(token), tokenEnd <= UInt64(ids), rangeEnd >= UInt64(range), rangeEnd <= UInt64(ranges) else { throw damaged("sequence \(i) ends before it starts") }
            let size = Int(tokenEnd) - token
            var learnt: [Range<Int>] = [], last = 1
            for r in range..<Int(rangeEnd) {
                let first = Int(number(bounds + r * 8, 4)), end = Int(number(bounds + r * 8 + 4, 4))
                guard first >= last, end > first, end <= size else { throw damaged("what sequence \(i) teaches is not in it") }
                learnt.append(first..<end)
                last = end
            }
            var sequence: [Token] = []
            sequence.reserveCapacity(size)
            for t in token..<Int(tokenEnd) {
                let id = number(tokens + t * width, width)
                guard id < 1 << 31 else { throw damaged("an id is negative") }
                sequence.append(Token(id))
            }
            let value = Double(bitPattern: number(values + i * 8, 8))
            append(LearntSequence(sequence, learnt: learnt, value: value.isNaN ? nil : value))
            (token, range) = (Int(tokenEnd), Int(rangeEnd))
        }
        guard token == ids, range == ranges else { throw damaged("something follows the last sequence") }
    }
}
