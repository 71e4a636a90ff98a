package import ForgeCore
import ForgeCrypto

/// Walks a sample shard in the order of docs/formats/sample-shard.md, for ever. Its state is a few numbers; resumed from them it gives the same units.
package struct SampleCursor: Sendable {
    package let shard: SampleShard
    package private(set) var state: BatchCursor.State
    private let packs: Bool
    /// By unit, its sequences, in this epoch's order.
    private var units: [[Int]] = []

    /// - Parameters:
    ///   - length: rows of a bin, and the most a sequence may have.
    ///   - packs: whether several single sequences share a bin.
    /// - Throws: `.request` when there is nothing to learn or a sequence is too long.
    package init(_ shard: SampleShard, length: Int, packs: Bool, seed: UInt64) throws(Fault) {
        try self.init(shard, state: .init(seed: seed, epoch: 0, taken: 0, length: length, shard: .sha256(shard.encoded())), packs: packs)
    }

    /// Goes on from there.
    /// - Throws: `.environment` when the state belongs to another shard.
    package mutating func resume(at state: BatchCursor.State) throws(Fault) {
        guard state.shard == self.state.shard else {
            throw Fault(
                .environment, "cursor.shard", "the training state belongs to other data", why: "its sample shard has another digest", remedy: "restore the run's own files, or start a new run")
        }
        self = try SampleCursor(shard, state: state, packs: packs)
    }

    private init(_ shard: SampleShard, state: BatchCursor.State, packs: Bool) throws(Fault) {
        guard shard.count > 0, shard.targetCount > 0 || shard.form == .prompts else {
            throw Fault(
                .request, "train.no_targets", "there is nothing to learn", why: shard.count == 0 ? "the data sets' training split holds no sample" : "no token of any sample is learnt",
                remedy: "look at the samples: what the assistant says is learnt, unless its weight is 0")
        }
        if let longest = shard.sequences.map(\.rows).max(), longest > state.length {
            throw Fault(
                .request, "train.too_long", "a sample does not fit", why: "it has \(longest) rows; sequence_length is \(state.length)", remedy: "raise sequence_length, or set `samples.too_long: drop`")
        }
        self.shard = shard
        self.state = state
        self.packs = packs && shard.form == .single
        order()
        guard (0...units.count).contains(state.taken) else {
            throw Fault(.environment, "cursor.range", "the training state does not fit its data", why: "it counts more units than an epoch has")
        }
    }

    package var unitsPerEpoch: Int { units.count }

    /// The next units, each the numbers of its sequences.
    package mutating func next(_ count: Int) -> [[Int]] {
        var out: [[Int]] = []
        for _ in 0..<count {
            if state.taken == units.count {
                state.epoch += 1
                state.taken = 0
                order()
            }
            out.append(units[state.taken])
            state.taken += 1
        }
        return out
    }

    private mutating func order() {
        let base = SplitMix64.mix(state.seed)
        var first = SplitMix64(state: SplitMix64.mix(base ^ (2 &* state.epoch)))
        var second = SplitMix64(state: SplitMix64.mix(base ^ (2 &* state.epoch &+ 1)))
        let samples = first.permutation(shard.count).map(Int.init)
        let made: [[Int]] = switch shard.form {
        case .pairs: samples.map { [2 * $0, 2 * $0 + 1] }
        case .single where packs: SampleCursor.pack(samples, rows: { shard.sequences[$0].rows }, length: state.length)
        default: samples.map { [$0] }
        }
        units = second.permutation(made.count).map { made[Int($0)] }
    }

    /// Best fit, the longest first (Johnson 1973): bins of at most `length` rows.
    static func pack(_ samples: [Int], rows: (Int) -> Int, length: Int) -> [[Int]] {
        var bins: [[Int]] = []
        /// By rows left, the bins with that many, the oldest first, and from where on they are unused.
        var open = [(bins: [Int], from: Int)](repeating: ([], 0), count: length + 1)
        let ordered = samples.enumerated().sorted { (rows($0.element), -$0.offset) > (rows($1.element), -$1.offset) }.map(\.element)
        for sample in ordered {
            let need = rows(sample)
            var bin = bins.count, left = length
            if let found = (need...length).first(where: { open[$0].from < open[$0].bins.count }) {
                bin = open[found].bins[open[found].from]
                open[found].from += 1
                left = found
                bins[bin].append(sample)
            } else {
                bins.append([sample])
            }
            // A bin keeps its age: those with as much room stay in the order they were opened.
            var place = open[left - need].bins.count
            while place > open[left - need].from, open[left - need].bins[place - 1] > bin { place -= 1 }
            open[left - need].bins.insert(bin, at: place)
        }
        return bins
    }
}
