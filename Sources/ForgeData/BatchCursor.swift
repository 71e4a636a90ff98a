package import ForgeCore
import ForgeCrypto
package import ForgeTokenizer

/// Sequences for one step of training. All arrays are `[rows, length]`, row-major.
package struct Batch: Sendable, Hashable {
    package let rows: Int
    package let length: Int
    package let inputs: [Token]
    /// The id each place should predict; −1 where there is nothing to learn (a document's end, filling).
    package let targets: [Token]
    /// Where in its row the document of each place begins: attention starts there, and positions count from there.
    package let segments: [Int32]

    /// Places that carry loss.
    package var targetCount: Int { targets.reduce(0) { $0 + ($1 >= 0 ? 1 : 0) } }

    /// Position of each place within its document's piece.
    package var positions: [Int32] { segments.indices.map { Int32($0 % length) - segments[$0] } }
}

/// Walks a shard in the order of docs/formats/token-shard.md, for ever. Its state is a few numbers; resumed from them it gives the same batches.
package struct BatchCursor: Sendable {
    package struct State: Sendable, Hashable, Codable {
        package var seed: UInt64
        package var epoch: UInt64
        /// Sequences already taken in this epoch.
        package var taken: Int
        package var length: Int
        /// Of the shard the state belongs to.
        package var shard: Digest

        package init(seed: UInt64, epoch: UInt64, taken: Int, length: Int, shard: Digest) {
            self.seed = seed
            self.epoch = epoch
            self.taken = taken
            self.length = length
            self.shard = shard
        }
    }

    private let shard: TokenShard
    private let begin: Token
    private let end: Token
    package private(set) var state: State
    /// Documents in this epoch's order, and where each ends in the stream.
    private var documents: [Int32] = []
    private var streamEnds: [Int] = []
    private var sequences: [Int32] = []

    /// - Parameter length: ids in a sequence, T.
    /// - Throws: `.request` when the shard holds no document or the length is not positive.
    package init(_ shard: TokenShard, length: Int, seed: UInt64, control: ControlTokens) throws(Fault) {
        try self.init(shard, state: State(seed: seed, epoch: 0, taken: 0, length: length, shard: BatchCursor.digest(shard)), control: (control.begin, control.end))
    }

    /// Goes on from there.
    /// - Throws: `.environment` when the state belongs to another shard.
    package mutating func resume(at state: State) throws(Fault) {
        guard state.shard == self.state.shard else {
            throw Fault(
                .environment, "cursor.shard", "the training state belongs to other data", why: "its token shard has another digest",
                remedy: "restore the run's own files, or start a new run")
        }
        self = try BatchCursor(shard, state: state, control: (begin, end))
    }

    private init(_ shard: TokenShard, state: State, control: (begin: Token, end: Token)) throws(Fault) {
        guard shard.documentCount > 0, state.length > 0 else {
            throw Fault(
                .request, "data.empty", "there is nothing to train on", why: "the data set's training split holds no document",
                remedy: "add documents, or hold out a smaller share")
        }
        self.shard = shard
        self.state = state
        begin = control.begin
        end = control.end
        order()
        guard state.taken >= 0, state.taken <= sequences.count else {
            throw Fault(.environment, "cursor.range", "the training state does not fit its data", why: "it counts more sequences than an epoch has")
        }
    }

    /// What tells one shard from another without reading all of it twice: its tokenizer, its documents' ends and every id.
    private static func digest(_ shard: TokenShard) -> Digest { .sha256(shard.encoded()) }

    package var sequencesPerEpoch: Int { sequences.count }
    /// Ids of one epoch, `<s>` and `</s>` included.
    package var tokensPerEpoch: Int { streamEnds.last ?? 0 }

    /// The next `rows` sequences; an epoch's last ones may share a batch with the next epoch's first.
    package mutating func next(rows: Int) -> Batch {
        let length = state.length
        var inputs: [Token] = []
        var targets: [Token] = []
        var segments: [Int32] = []
        inputs.reserveCapacity(rows * length)
        targets.reserveCapacity(rows * length)
        segments.reserveCapacity(rows * length)
        for _ in 0..<rows {
            if state.taken == sequences.count {
                state.epoch += 1
                state.taken = 0
                order()
            }
            appendSequence(Int(sequences[state.taken]) * length, &inputs, &targets, &segments)
            state.taken += 1
        }
        return Batch(rows: rows, length: length, inputs: inputs, targets: targets, segments: segments)
    }

    private func appendSequence(_ start: Int, _ inputs: inout [Token], _ targets: inout [Token], _ segments: inout [Int32]) {
        let length = state.length
        var place = documentIndex(at: start)
        var at = start
        var row = 0
        while row < length {
            guard place < documents.count else {
                // Past the stream's end: filling.
                for _ in row..<length {
                    inputs.append(end)
                    targets.append(-1)
                    segments.append(Int32(row))
                }
                return
            }
            let range = shard.range(of: Int(documents[place]))
            let documentStart = streamEnds[place] - range.count - 2
            let segment = Int32(row)
            while row < length, at < streamEnds[place] {
                let offset = at - documentStart
                inputs.append(token(offset, range))
                targets.append(at + 1 < streamEnds[place] ? token(offset + 1, range) : -1)
                segments.append(segment)
                at += 1
                row += 1
            }
            place += 1
        }
    }

    /// The id at `offset` of a document that stands as `<s>`, ids, `</s>`.
    @inline(__always)
    private func token(_ offset: Int, _ range: Range<Int>) -> Token {
        if offset == 0 { return begin }
        return offset <= range.count ? shard.tokens[range.lowerBound + offset - 1] : end
    }

    private func documentIndex(at position: Int) -> Int {
        var low = 0
        var high = streamEnds.count
        while low < high {
            let middle = (low + high) / 2
            if streamEnds[middle] <= position { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func order() {
        let base = SplitMix64.mix(state.seed)
        var forDocuments = SplitMix64(state: SplitMix64.mix(base ^ (2 &* state.epoch)))
        var forSequences = SplitMix64(state: SplitMix64.mix(base ^ (2 &* state.epoch &+ 1)))
        documents = forDocuments.permutation(shard.documentCount)
        var total = 0
        streamEnds = documents.map { document in
            total += shard.range(of: Int(document)).count + 2
            return total
        }
        sequences = forSequences.permutation((total + state.length - 1) / state.length)
    }
}
