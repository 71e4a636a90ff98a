import ForgeArtifact
package import ForgeCore
package import ForgeData
package import ForgeModel
import ForgeNN
package import ForgeTensor
import ForgeTokenizer

/// What a model is scored on: documents by all their text, samples by what the assistant says in them, tasks by what its own answers earn; and what the baseline beside it is fitted on.
package struct HeldOut {
    package private(set) var texts: [[UInt8]] = []
    package private(set) var sequences: [LearntSequence] = []
    private var tasks: [HeldOutTask] = []
    /// The same as texts, for a baseline that knows no tokens.
    package private(set) var plain: [[UInt8]] = []
    package private(set) var training: [[UInt8]] = []
    private let model: StoredModel
    private var encoder: SampleEncoder?

    package init(for model: StoredModel) { self.model = model }

    /// Documents and samples; tasks apart.
    package var count: Int { plain.count }
    package var isEmpty: Bool { plain.isEmpty && tasks.isEmpty }

    package mutating func take(_ text: [UInt8], _ kind: DocumentKind) throws(Fault) {
        guard kind == .samples else {
            texts.append(text)
            plain.append(text)
            return
        }
        let learnt = try learnt(text, held: true)
        sequences += learnt
        plain += learnt.map(answer)
    }

    package mutating func fit(_ text: [UInt8], _ kind: DocumentKind) throws(Fault) { training += kind == .samples ? try learnt(text, held: false).map(answer) : [text] }

    /// What the model's own answers to the tasks earn; nil where there are none.
    package func scoreTasks(_ parameters: Parameters, on device: Device) throws(Fault) -> TaskScore? {
        tasks.isEmpty ? nil : try HeldOutTask.score(tasks, model, parameters, on: device)
    }

    /// - Parameter held: tasks among them are kept, to be answered.
    private mutating func learnt(_ text: [UInt8], held: Bool) throws(Fault) -> [LearntSequence] {
        // Only now: a model of another template is scored on documents all the same.
        var encoder: SampleEncoder
        if let known = self.encoder { encoder = known } else { encoder = SampleEncoder(model.tokenizer, template: try Preparation.template(model.generation.chatTemplate)) }
        var out: [LearntSequence] = []
        for sample in try SampleReader.samples(text) {
            // Of a pair only the better answer is one to be likely; a task has none.
            if case .task(let prompt, let reward) = sample {
                if held { tasks.append(HeldOutTask(prompt: try encoder.prompt(prompt), reward: try Reward(reward))) }
                continue
            }
            if let first = try encoder.sequences(sample).first { out.append(first) }
        }
        self.encoder = encoder
        return out
    }

    private func answer(_ sequence: LearntSequence) -> [UInt8] { sequence.learnt.reduce(into: []) { $0 += model.tokenizer.decode(sequence.tokens[$1]) } }
}
