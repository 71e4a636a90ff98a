package import ForgeCore
import Glibc

/// Mistral Large 4 computed as it is written down: every position of one text at once, no cache, no blocks, no kernel. It is slow, and it is what a fast pass would be held against.
///
/// Values are float32; a sum runs in double and is rounded once. T: positions, E: width of the stream, H: heads, Q: dimensions of a head's query, R: those that turn, P: those that do not,
/// C: the latent, D: dimensions of a value, X: experts.
package struct LargeTwin {
    /// Some rows of a tensor, row-major; a vector is one row.
    package typealias Weights = (LargeTable.Entry, Range<Int>) throws(Fault) -> [Float]

    /// What a reader could take wrongly and neither a configuration nor weights can say. A test takes it so on purpose, and shows that the logits depend on it.
    package enum Slip: Sendable { case turnsEveryLayer, leavesShares }

    private let table: LargeTable
    private let weights: Weights
    private let slip: Slip?
    private var config: LargeConfig { table.config }

    /// - Parameter weights: asked again and again, for no more than is used now.
    package init(_ table: LargeTable, slip: Slip? = nil, weights: @escaping Weights) {
        self.table = table
        self.slip = slip
        self.weights = weights
    }

    /// What layers hand on to later ones.
    private struct Carried {
        /// By layer that owns its cache.
        var latents: [Int: (latent_TC: [Float], key_TR: [Float])] = [:]
        /// By position, those it attends to; of the last layer that chose.
        var chosen: [[Int]] = []
        let turns: Turns
    }

    /// Cosines and sines of every position and pair.
    private struct Turns {
        let pairs: Int
        private let cosines: [Float]
        private let sines: [Float]

        init(_ frequencies: [Float], positions: Int, magnitude: Float) {
            pairs = frequencies.count
            let angles = (0..<positions).flatMap { position in frequencies.map { Double(Float(position) * $0) } }
            cosines = angles.map { Float(cos($0)) * magnitude }
            sines = angles.map { Float(sin($0)) * magnitude }
        }

        /// Turns the neighbours (2i, 2i + 1) that begin at `start`.
        func turn(_ values: inout [Float], from start: Int, at position: Int) {
            for pair in 0..<pairs {
                let c = cosines[position * pairs + pair], s = sines[position * pairs + pair], a = values[start + 2 * pair], b = values[start + 2 * pair + 1]
                values[start + 2 * pair] = a * c - b * s
                values[start + 2 * pair + 1] = b * c + a * s
            }
        }
    }

    /// - Parameter last: only what follows the last token.
    /// - Returns: by position, the logits of every token.
    /// - Throws: `.request` for a token there is none of, or more than a text may have; what `weights` throws.
    package func logits(_ tokens: [Int], last: Bool = false) throws(Fault) -> [[Float]] {
        guard !tokens.isEmpty, tokens.count <= config.contextMax, tokens.allSatisfy({ (0..<config.vocabulary).contains($0) }) else {
            throw Fault(.request, "model.tokens", "these tokens cannot be read", why: "a text has 1 to \(config.contextMax) tokens, each from 0 to \(config.vocabulary - 1)")
        }
        let frequencies = zip(Yarn.frequencies(config.yarn, dimensions: config.turnedDim, theta: config.ropeTheta), try vector("lerope.alpha")).map { $0 * expf($1) }
        var carried = Carried(turns: Turns(frequencies, positions: tokens.count, magnitude: Float(config.yarn?.attentionFactor ?? 1)))
        var stream_TE: [Float] = []
        let embedding = try entry("tok_embeddings.weight")
        for token in tokens { stream_TE += try weights(embedding, token..<token + 1) }
        for layer in config.layers.indices {
            let prefix = "layers.\(layer)."
            add(try attention(layer, try normed(stream_TE, prefix + "attention_norm.weight"), &carried), to: &stream_TE)
            add(try feedForward(layer, try normed(stream_TE, prefix + "ffn_norm.weight")), to: &stream_TE)
        }
        if last { stream_TE = Array(stream_TE.suffix(config.width)) }
        let cap = Float(config.logitsCap), raw = try product(try normed(stream_TE, "norm.weight"), "output.weight")
        return stride(from: 0, to: raw.count, by: config.vocabulary).map { start in raw[start..<start + config.vocabulary].map { tanhf($0 / cap) * cap } }
    }

    // MARK: Attention

    private func attention(_ layer: Int, _ x_TE: [Float], _ carried: inout Carried) throws(Fault) -> [Float] {
        let prefix = "layers.\(layer).attention.", positions = x_TE.count / config.width, kind = config.layers[layer], heads = config.heads
        let headDim = config.headDim, plain = config.plainDim(of: layer), value = config.valueDim, turned = config.turnedDim
        var query_THQ = try product(x_TE, prefix + "wq.weight")
        let growth_TH = try growth(prefix, heads: heads, positions: positions)
        for position in 0..<positions {
            for head in 0..<heads {
                let start = (position * heads + head) * headDim
                if kind.turns || slip == .turnsEveryLayer { carried.turns.turn(&query_THQ, from: start + headDim - turned, at: position) }
                for i in start..<start + headDim { query_THQ[i] *= growth_TH[position * heads + head] }
            }
        }
        if kind.source == layer { carried.latents[layer] = try latents(layer, x_TE, carried.turns) }
        if kind.chooses { carried.chosen = try chosen(layer, x_TE, carried.turns) }
        guard let kept = carried.latents[kind.source], carried.chosen.count == positions else { preconditionFailure("a valid configuration names earlier layers") }
        let expanded = try product(kept.latent_TC, prefix + "wkv_b.weight")

        // Of every position and head, its whole key: what comes from the latent, then the turned end that all heads share.
        var key_THQ: [Float] = []
        key_THQ.reserveCapacity(positions * heads * headDim)
        for position in 0..<positions {
            for head in 0..<heads {
                let start = (position * heads + head) * (plain + value)
                key_THQ += expanded[start..<start + plain]
                if kind.turns {
                    key_THQ += kept.key_TR[position * turned..<(position + 1) * turned]
                } else if slip == .turnsEveryLayer {
                    carried.turns.turn(&key_THQ, from: key_THQ.count - turned, at: position)
                }
            }
        }
        var out_THD = [Float](repeating: 0, count: positions * heads * value)
        let scale = config.scoreScale / Double(headDim).squareRoot()
        for position in 0..<positions {
            for head in 0..<heads {
                let chosen = carried.chosen[position]
                let shares = softmax(chosen.map { dot(query_THQ, (position * heads + head) * headDim, key_THQ, ($0 * heads + head) * headDim, headDim) * scale })
                for i in 0..<value {
                    var sum = 0.0
                    for (share, other) in zip(shares, chosen) { sum += share * Double(expanded[(other * heads + head) * (plain + value) + plain + i]) }
                    out_THD[(position * heads + head) * value + i] = Float(sum)
                }
            }
        }
        return try product(out_THD, prefix + "wo.weight")
    }

    /// What a layer keeps of every position: the latent, normed, and the end of the key that turns.
    private func latents(_ layer: Int, _ x_TE: [Float], _ turns: Turns) throws(Fault) -> (latent_TC: [Float], key_TR: [Float]) {
        let prefix = "layers.\(layer).attention.", width = config.latentWidth(of: layer), rank = config.latentRank
        let both = try product(x_TE, prefix + "wkv_a_with_mqa.weight")
        var raw_TC: [Float] = [], key_TR: [Float] = []
        for (position, start) in stride(from: 0, to: both.count, by: width).enumerated() {
            raw_TC += both[start..<start + rank]
            key_TR += both[start + rank..<start + width]
            if config.layers[layer].turns { turns.turn(&key_TR, from: position * config.turnedDim, at: position) }
        }
        return (try normed(raw_TC, prefix + "kv_a_norm.weight"), key_TR)
    }

    /// Of every position, the best of those before it and itself by the indexer's score; of equal ones the earlier.
    private func chosen(_ layer: Int, _ x_TE: [Float], _ turns: Turns) throws(Fault) -> [[Int]] {
        let prefix = "layers.\(layer).attention.indexer.", heads = config.indexer.heads, headDim = config.indexer.headDim, positions = x_TE.count / config.width
        var query = try product(try centred(x_TE, prefix + "q_input_norm"), prefix + "wq_b.weight"), key = try centred(try product(x_TE, prefix + "wk.weight"), prefix + "k_norm")
        let growth_TH = try growth(prefix, heads: heads, positions: positions), weight_TH = try product(x_TE, prefix + "weights_proj.weight")
        let turnsHere = config.layers[layer].turns || slip == .turnsEveryLayer
        for position in 0..<positions {
            for head in 0..<heads {
                let start = (position * heads + head) * headDim
                for i in start..<start + headDim { query[i] *= growth_TH[position * heads + head] }
                if turnsHere { turns.turn(&query, from: start, at: position) }
            }
            if turnsHere { turns.turn(&key, from: position * headDim, at: position) }
        }
        let scale = 1 / Double(headDim).squareRoot(), share = 1 / Double(heads).squareRoot()
        return (0..<positions).map { position in
            let scores = (0...position).map { other in
                var score = 0.0
                for head in 0..<heads {
                    let agreement = dot(query, (position * heads + head) * headDim, key, other * headDim, headDim) * scale
                    score += Double(weight_TH[position * heads + head]) * share * max(agreement, 0)
                }
                return score
            }
            return LargeTwin.best(scores, config.indexer.choices).sorted()
        }
    }

    /// What softmax's inputs are multiplied with so that they stay sharp over long texts: s·ln(position + 1) + b, by head (SSMax: Nakanishi 2025, arXiv:2501.19399).
    private func growth(_ prefix: String, heads: Int, positions: Int) throws(Fault) -> [Float] {
        let scale = try vector(prefix + "ssmax_scaling.s"), offset = try vector(prefix + "ssmax_scaling.b")
        return (0..<positions).flatMap { position in (0..<heads).map { scale[$0] * logf(Float(position + 1)) + offset[$0] } }
    }

    // MARK: Feed-forward

    private func feedForward(_ layer: Int, _ x_TE: [Float]) throws(Fault) -> [Float] {
        let prefix = "layers.\(layer).", width = config.width
        guard config.layers[layer].isMixture else { return try gated(x_TE, prefix + "feed_forward.") }
        let logits_TX = try product(x_TE, prefix + "gate.weight")
        var going: [Int: [(position: Int, weight: Float)]] = [:]
        for position in 0..<x_TE.count / width {
            let shares = softmax(logits_TX[position * config.experts..<(position + 1) * config.experts].map(Double.init)), best = LargeTwin.best(shares, config.choices)
            let sum = slip == .leavesShares ? 1 : best.reduce(1e-20) { $0 + shares[$1] }
            for expert in best { going[expert, default: []].append((position, Float(shares[expert] / sum * config.routedScale))) }
        }
        var out_TE = try gated(x_TE, prefix + "shared_experts.")
        for expert in going.keys.sorted() {
            guard let tokens = going[expert] else { continue }
            let branch = try gated(tokens.flatMap { x_TE[$0.position * width..<($0.position + 1) * width] }, prefix + "experts.\(expert).")
            for (row, token) in tokens.enumerated() {
                for i in 0..<width { out_TE[token.position * width + i] += branch[row * width + i] * token.weight }
            }
        }
        return out_TE
    }

    /// w2(silu(w1·x) · w3·x).
    private func gated(_ x: [Float], _ prefix: String) throws(Fault) -> [Float] {
        let gate = try product(x, prefix + "w1.weight"), up = try product(x, prefix + "w3.weight")
        return try product(zip(gate, up).map { $0 / (1 + expf(-$0)) * $1 }, prefix + "w2.weight")
    }

    // MARK: Plain work

    private func entry(_ name: String) throws(Fault) -> LargeTable.Entry {
        guard let entry = table[name] else { preconditionFailure("no tensor is called `\(name)`") }
        return entry
    }

    private func vector(_ name: String) throws(Fault) -> [Float] { try weights(try entry(name), 0..<1) }

    /// x·Wᵀ, of a piece of W at a time.
    private func product(_ x: [Float], _ name: String) throws(Fault) -> [Float] {
        let entry = try entry(name), inputs = entry.columns, rows = x.count / inputs, step = max(1, (1 << 22) / inputs)
        var out = [Float](repeating: 0, count: rows * entry.rows)
        for first in stride(from: 0, to: entry.rows, by: step) {
            let piece = first..<min(first + step, entry.rows), weight = try weights(entry, piece)
            for row in 0..<rows {
                for column in piece { out[row * entry.rows + column] = Float(dot(x, row * inputs, weight, (column - first) * inputs, inputs)) }
            }
        }
        return out
    }

    private func dot(_ a: [Float], _ from: Int, _ b: [Float], _ start: Int, _ count: Int) -> Double {
        var sum = 0.0
        for i in 0..<count { sum += Double(a[from + i]) * Double(b[start + i]) }
        return sum
    }

    private func add(_ branch: [Float], to stream: inout [Float]) {
        for i in stream.indices { stream[i] += branch[i] }
    }

    /// x/√(mean x² + eps) · weight, row by row.
    private func normed(_ x: [Float], _ name: String) throws(Fault) -> [Float] {
        let weight = try vector(name), width = weight.count
        return stride(from: 0, to: x.count, by: width).flatMap { start in
            let scale = 1 / (dot(x, start, x, start, width) / Double(width) + config.normEps).squareRoot()
            return (0..<width).map { weight[$0] * Float(Double(x[start + $0]) * scale) }
        }
    }

    /// LayerNorm with weight and bias, as the indexer has it, whatever the model's own epsilon.
    private func centred(_ x: [Float], _ name: String) throws(Fault) -> [Float] {
        let weight = try vector(name + ".weight"), bias = try vector(name + ".bias"), width = weight.count
        return stride(from: 0, to: x.count, by: width).flatMap { start in
            let row = x[start..<start + width].map(Double.init), mean = row.reduce(0, +) / Double(width)
            let scale = 1 / (row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width) + 1e-6).squareRoot()
            return (0..<width).map { Float((row[$0] - mean) * scale) * weight[$0] + bias[$0] }
        }
    }

    private func softmax(_ scores: [Double]) -> [Double] {
        let top = scores.max() ?? 0, raised = scores.map { exp($0 - top) }, sum = raised.reduce(0, +)
        return raised.map { $0 / sum }
    }

    /// ln Σ exp: what is taken from a logit to have a log-probability.
    package static func logOfSum(_ logits: [Double]) -> Double {
        let top = logits.max() ?? 0
        return top + log(logits.reduce(0) { $0 + exp($1 - top) })
    }

    /// Places of the largest, largest first; of equal ones the first.
    package static func best(_ values: [some Comparable], _ count: Int) -> [Int] {
        Array(values.indices.sorted { values[$0] != values[$1] ? values[$0] > values[$1] : $0 < $1 }.prefix(count))
    }
}
