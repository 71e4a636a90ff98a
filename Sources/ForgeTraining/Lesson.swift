package import ForgeCore
package import ForgeData
import ForgeNN

/// What a run learns from, made ready.
package enum TrainingMaterial: Sendable {
    case documents(TokenShard)
    case samples(SampleShard)
    case tasks(TaskShard)

    /// SHA-256 of the tokenizer.json that made its ids.
    package var tokenizer: Digest {
        switch self {
        case .documents(let shard): shard.tokenizer
        case .samples(let shard): shard.tokenizer
        case .tasks(let shard): shard.tokenizer
        }
    }
}

/// What one step taught.
struct Taught {
    /// In nats, averaged as the method averages.
    var loss: Double
    var targets: Int
    /// Rows of the passes.
    var rows: Int
    /// What else the method measures, by name.
    var measures: [String: Double] = [:]
}

/// What the steps of a run learn from, one after the other, and how far they are.
protocol Lesson {
    var cursor: BatchCursor.State { get }
    /// Goes on from there.
    /// - Throws: `.environment` when the state belongs to other data.
    mutating func resume(at state: BatchCursor.State) throws(Fault)
    /// Adds a step's gradients.
    /// - Parameter number: of the step, from 1, for errors.
    mutating func step(_ learner: Learner, number: Int) throws(Fault) -> Taught
}

/// The next token of documents, in sequences of one length.
struct DocumentLesson: Lesson {
    private var documents: BatchCursor
    private let recipe: Recipe

    init(_ documents: BatchCursor, _ recipe: Recipe) {
        self.documents = documents
        self.recipe = recipe
    }

    var cursor: BatchCursor.State { documents.state }
    mutating func resume(at state: BatchCursor.State) throws(Fault) { try documents.resume(at: state) }

    mutating func step(_ learner: Learner, number: Int) throws(Fault) -> Taught {
        let batch = documents.next(rows: recipe.sequencesPerStep)
        return try Likelihood.teach(
            learner.decoder, batch.passes(rows: recipe.sequencesPerPass), number: number,
            remedy: "use longer documents or a longer sequence_length")
    }
}

/// What the assistant says in samples.
struct SampleLesson: Lesson {
    private var samples: SampleCursor
    private let recipe: Recipe

    init(_ samples: SampleCursor, _ recipe: Recipe) {
        self.samples = samples
        self.recipe = recipe
    }

    var cursor: BatchCursor.State { samples.state }
    mutating func resume(at state: BatchCursor.State) throws(Fault) { try samples.resume(at: state) }

    mutating func step(_ learner: Learner, number: Int) throws(Fault) -> Taught {
        let units = samples.next(recipe.sequencesPerStep)
        let passes = stride(from: 0, to: units.count, by: recipe.sequencesPerPass).map { first in
            TokenBatch(units[first..<min(units.count, first + recipe.sequencesPerPass)].joined().map { samples.shard.sequences[$0] })
        }
        return try Likelihood.teach(learner.decoder, passes, number: number, remedy: "raise sequences_per_step, or leave out samples without an answer")
    }
}

/// The mean negative log-likelihood of a step's targets.
enum Likelihood {
    static func teach(_ decoder: Decoder, _ passes: [TokenBatch], number: Int, remedy: String) throws(Fault) -> Taught {
        // All passes together: a mean of their means would weigh a target by its neighbours.
        let targets = passes.reduce(0) { $0 + $1.targetCount }
        guard targets > 0 else {
            throw Fault(.request, "train.no_targets", "step \(number) has nothing to learn", why: "every target of its sequences is masked", remedy: remedy)
        }
        var logp = 0.0
        for pass in passes { logp += try decoder.forwardBackward(pass, weight: 1 / Float(targets)) }
        return Taught(loss: -logp / Double(targets), targets: targets, rows: passes.reduce(0) { $0 + $1.rows })
    }
}

extension TokenBatch {
    /// Sequences one after the other, each blind to the others.
    init(_ sequences: [LearntSequence]) {
        var ids: [Int32] = [], targets: [Int32] = [], lengths: [Int32] = [0]
        for sequence in sequences {
            ids += sequence.inputs
            targets += sequence.targets
            lengths.append(Int32(ids.count))
        }
        self.init(ids: ids, targets: targets, cumulativeLengths: lengths)
    }
}

extension Batch {
    /// The batch in passes of at most `rows` sequences, each document's piece a sequence of its own.
    func passes(rows wanted: Int) -> [TokenBatch] {
        stride(from: 0, to: rows, by: wanted).map { first in
            let range = (first * length)..<(min(rows, first + wanted) * length)
            var lengths: [Int32] = []
            for place in range where Int(segments[place]) == place % length { lengths.append(Int32(place - range.lowerBound)) }
            lengths.append(Int32(range.count))
            return TokenBatch(ids: Array(inputs[range]), targets: Array(targets[range]), cumulativeLengths: lengths)
        }
    }
}
