import ForgeArtifact
package import ForgeCore
package import ForgeData
import ForgeObjective
package import ForgeTokenizer

/// Documents of a training split to what a method learns from, one after the other.
package struct Preparation {
    private let recipe: Recipe
    private var tokens: TokenShard
    private var samples: SampleShard
    private var tasks: TaskShard
    private var encoder: Encoder
    private var sampleEncoder: SampleEncoder
    /// Samples left out because they are too long.
    package private(set) var dropped = 0

    /// - Parameter tokenizerFile: the digest of the tokenizer.json that makes the ids.
    /// - Throws: `.request` where the recipe's chat template is none of those that can be learnt.
    package init(_ recipe: Recipe, _ start: RunStart, tokenizerFile: Digest) throws(Fault) {
        self.recipe = recipe
        tokens = TokenShard(tokenizer: tokenizerFile)
        samples = SampleShard(tokenizer: tokenizerFile, form: recipe.method.form)
        tasks = TaskShard(tokenizer: tokenizerFile)
        encoder = Encoder(start.tokenizer)
        sampleEncoder = SampleEncoder(start.tokenizer, template: try Preparation.template(recipe.chatTemplate ?? start.base?.generation.chatTemplate))
    }

    /// The layout of that name; nil for no name.
    /// - Throws: `.request` for one that prompts are made with and conversations are not learnt in.
    package static func template(_ name: String?) throws(Fault) -> ChatTemplate? {
        guard let name else { return nil }
        if let known = ChatTemplate(rawValue: name) { return known }
        throw Fault(
            .request, "recipe.template", "conversations cannot be learnt in this model's chat template", why: "`\(name.prefix(64))` says how a prompt is laid out, and not which words are the assistant's",
            remedy: "name one under `chat.template`: " + ChatTemplate.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", "))
    }

    package mutating func take(_ text: [UInt8], _ kind: DocumentKind) throws(Fault) {
        guard recipe.method.learnsFromSamples else {
            for text in try Preparation.texts(text, kind) { tokens.append(text, with: &encoder) }
            return
        }
        // A document that is no list of samples is one, of text.
        let taken = kind == .samples ? try SampleReader.samples(text) : [.text(String(decoding: text, as: UTF8.self))]
        for (number, sample) in taken.enumerated() {
            let longest: Int
            do throws(Fault) { longest = try take(try fitting(sample)) } catch {
                throw Fault(error.kind, error.code, error.what, why: "sample \(number + 1): \(error.why)", remedy: error.remedy)
            }
            guard longest > recipe.sequenceLength else { continue }
            guard recipe.samples?.tooLong == .drop else {
                throw Fault(
                    .request, "train.too_long", "a sample does not fit", why: "sample \(number + 1) has \(longest) rows; sequence_length is \(recipe.sequenceLength)",
                    remedy: "raise sequence_length, or set `samples.too_long: drop`")
            }
            dropped += 1
        }
    }

    /// Keeps a sample that is not too long.
    /// - Returns: the rows it takes, of a task with its longest answer.
    private mutating func take(_ sample: Sample) throws(Fault) -> Int {
        if case .task(let prompt, let reward) = sample {
            let tokens = try sampleEncoder.prompt(prompt), rows = tokens.count + (recipe.policy?.answerTokens ?? 0)
            _ = try Reward(reward)
            if rows <= recipe.sequenceLength { tasks.append(tokens, reward: reward) }
            return rows
        }
        let sequences = try sampleEncoder.sequences(sample), rows = sequences.map(\.rows).max() ?? 0
        if case .pair(let pair) = sample { try check(pair, sequences) }
        if rows <= recipe.sequenceLength { for sequence in sequences { samples.append(sequence) } }
        return rows
    }

    private func check(_ pair: Sample.Pair, _ sequences: [LearntSequence]) throws(Fault) {
        guard sequences[0].tokens != sequences[1].tokens else {
            throw Fault(.request, "samples.pair", "a pair teaches nothing", why: "its two answers are the same", remedy: "leave it out, or put the right text in it")
        }
        guard case .pairs(let loss) = recipe.preference, loss.kind.needsScores else { return }
        guard let scores = pair.scores, scores.chosen > scores.rejected else {
            throw Fault(
                .request, "samples.pair", "a pair does not say by how much it is better", why: "`\(loss.kind.rawValue)` learns from scores, the chosen answer's the higher",
                remedy: "add `chosen_score` and `rejected_score`, or choose another loss")
        }
    }

    package consuming func finish() -> TrainingMaterial {
        switch recipe.method {
        case .pretrain: .documents(tokens)
        case .sft, .dpo, .kto: .samples(samples)
        case .grpo, .odpo: .tasks(tasks)
        }
    }

    private func fitting(_ sample: Sample) throws(Fault) -> Sample {
        switch (recipe.method, sample.form) {
        case (.sft, .text), (.sft, .conversation), (.sft, .completion), (.dpo, .pair), (.kto, .labelled), (.grpo, .task), (.odpo, .task): return sample
        default:
            throw Fault(
                .request, "samples.form", "the samples do not fit the method", why: "`\(recipe.method.rawValue)` does not learn from samples of the form `\(sample.form.rawValue)`",
                remedy: "docs/formats/sample.md lists which method takes which form")
        }
    }

    /// What a tokenizer is trained on: a document's text, or every word of its samples.
    package static func words(_ text: [UInt8], _ kind: DocumentKind) throws(Fault) -> [[UInt8]] {
        guard kind == .samples else { return [text] }
        return try SampleReader.samples(text).flatMap(\.words).map { Array($0.utf8) }
    }

    /// The texts of a document that is read as text.
    /// - Throws: `.request` for samples that are more than a text.
    package static func texts(_ text: [UInt8], _ kind: DocumentKind) throws(Fault) -> [[UInt8]] {
        guard kind == .samples else { return [text] }
        return try SampleReader.samples(text).map { (sample) throws(Fault) in
            guard case .text(let text) = sample else {
                throw Fault(
                    .request, "samples.form", "the samples do not fit the method", why: "they are of the form `\(sample.form.rawValue)`, and pre-training takes `text`",
                    remedy: "set `method: sft` in the recipe")
            }
            return Array(text.utf8)
        }
    }
}

extension Recipe.Method {
    fileprivate var form: SampleShard.Form {
        switch self {
        case .pretrain, .sft, .grpo, .odpo: .single
        case .dpo: .pairs
        case .kto: .labelled
        }
    }
}

extension TrainingMaterial {
    /// - Throws: `.environment`: it is our own file, so a malformed one was damaged.
    package init(parsing bytes: [UInt8], for method: Recipe.Method) throws(Fault) {
        switch method {
        case .pretrain: self = .documents(try TokenShard(parsing: bytes))
        case .sft, .dpo, .kto: self = .samples(try SampleShard(parsing: bytes))
        case .grpo, .odpo: self = .tasks(try TaskShard(parsing: bytes))
        }
    }

    package var encoded: [UInt8] {
        switch self {
        case .documents(let shard): shard.encoded()
        case .samples(let shard): shard.encoded()
        case .tasks(let shard): shard.encoded()
        }
    }
}
