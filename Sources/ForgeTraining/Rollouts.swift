import ForgeCore
import ForgeInference
import ForgeModel
import ForgeTensor
import ForgeTokenizer

/// Answers drawn from a model as it is now, by the same scheduler, pass and sampler that serving has: in the run's own precision their log-probabilities are, to the bit, those
/// that training gives them.
struct Rollouts {
    struct Request {
        let prompt: [Token]
        /// Which of several answers to one prompt.
        let choice: Int
        let seed: UInt64
    }

    struct Answer {
        /// The prompt, then what was drawn.
        let tokens: [Token]
        let promptCount: Int
        /// Of each drawn token, as the loss of training computes it.
        let logp: [Float]
        /// Whether it ended by itself.
        let isWhole: Bool

        var drawn: ArraySlice<Token> { tokens[promptCount...] }
    }

    let temperature: Double
    /// Tokens of an answer at most.
    let tokensMax: Int
    let end: Token

    /// - Parameters:
    ///   - weights: of the model as it is.
    ///   - rows: of one step of the pass; answers do not depend on it.
    /// - Returns: an answer a request, in order.
    func draw(_ requests: [Request], from weights: PackedWeights, rows: Int, on device: Device) throws(Fault) -> [Answer] {
        guard let longest = requests.map(\.prompt.count).max() else { return [] }
        let context = longest + tokensMax, blockSize = 16, side = min(requests.count, max(1, rows))
        let limits = Scheduler.Limits(tokensPerStep: max(rows, side), sequencesMax: side, waitingMax: requests.count, contextMax: context)
        let blocks = side * ((context + blockSize - 1) / blockSize) + 1
        let pass = try ForwardPass(weights, on: device, blocks: blocks, blockSize: blockSize, limits: limits)
        var scheduler = Scheduler(limits: limits, pool: BlockPool(blocks: blocks, blockSize: blockSize))
        var known = requests.map(\.prompt), logp = [[Float]](repeating: [], count: requests.count), isWhole = [Bool](repeating: false, count: requests.count)
        for number in requests.indices { scheduler.handle(.arrived(SequenceID(UInt64(number)), promptTokens: requests[number].prompt.count)) }
        while case .run(let slices) = scheduler.step() {
            let logits = try pass.logits(StepBatch(slices, blockSize: blockSize) { known[Int($0.number)] }), vocabulary = pass.vocabulary
            let drawing = slices.filter(\.draws)
            var drawn: [Token] = []
            for (row, slice) in drawing.enumerated() {
                let number = Int(slice.sequence.number), request = requests[number]
                let token = Sampler.draw(
                    logits.span.extracting(row * vocabulary..<(row + 1) * vocabulary), Sampling(temperature: temperature, seed: request.seed, choice: request.choice),
                    position: known[number].count)
                known[number].append(token)
                drawn.append(token)
                isWhole[number] = token == end
                scheduler.handle(isWhole[number] || known[number].count - request.prompt.count >= tokensMax ? .left(slice.sequence) : .drew(slice.sequence, tokens: 1))
            }
            guard !drawn.isEmpty else { continue }
            let likely = try device.tensor(rows: drawn.count, columns: 1)
            try device.logProbabilities(likely, logits: try device.tensor(logits, rows: drawn.count, columns: vocabulary), targets: try Indices(drawn, on: device))
            for (slice, value) in zip(drawing, likely.values()) { logp[Int(slice.sequence.number)].append(value) }
        }
        return requests.indices.map { Answer(tokens: known[$0], promptCount: requests[$0].prompt.count, logp: logp[$0], isWhole: isWhole[$0]) }
    }
}
