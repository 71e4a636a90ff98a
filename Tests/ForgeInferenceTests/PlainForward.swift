import ForgeModel
import Glibc

/// The decoder as one would write it on a blackboard, in float64, for one sequence without any cache. Slow, and plainly right.
struct PlainForward {
    let config: MistralConfig
    let values: (String) -> [Float]

    /// Logits after the last token.
    func logits(_ tokens: [Int32]) -> [Double] {
        let width = config.width
        let embedding = values("model.embed_tokens.weight").map(Double.init)
        var x = tokens.map { Array(embedding[Int($0) * width..<(Int($0) + 1) * width]) }
        for layer in 0..<config.layers {
            let name = "model.layers.\(layer)."
            let h = x.map { norm($0, name + "input_layernorm.weight") }
            let (q, k, v) = config.latent.map { latent($0, h, name + "self_attn.") } ?? grouped(h, name + "self_attn.")
            for t in x.indices { x[t] = add(x[t], times(attend(q[t], k, v, t, config.window(of: layer)), name + "self_attn.o_proj.weight")) }
            for t in x.indices {
                let h = norm(x[t], name + "post_attention_layernorm.weight")
                x[t] = add(x[t], feedForward(h, name))
            }
        }
        return times(norm(x[x.count - 1], "model.norm.weight"), config.tiedEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight")
    }

    private func grouped(_ h: [[Double]], _ name: String) -> (q: [[Double]], k: [[Double]], v: [[Double]]) {
        func turned(_ part: String) -> [[Double]] { h.map { times($0, name + part) }.enumerated().map { turn($1, position: $0) } }
        return (turned("q_proj.weight").enumerated().map { (t, q) in q.map { $0 * growth(t) } }, turned("k_proj.weight"), h.map { times($0, name + "v_proj.weight") })
    }

    /// DeepSeek-V2, equations 9 to 13 and 37 to 47: every head gets a key and a value of its own out of the latent, and its key ends with the one all heads share.
    private func latent(_ latent: LatentAttention, _ h: [[Double]], _ name: String) -> (q: [[Double]], k: [[Double]], v: [[Double]]) {
        let eps = 1e-6, plain = latent.plainDim, turned = latent.turnedDim, both = plain + latent.valueDim
        var q: [[Double]] = [], k: [[Double]] = [], v: [[Double]] = []
        for (t, h) in h.enumerated() {
            let asked = latent.queryRank == nil
                ? times(h, name + "q_proj.weight") : times(norm(times(h, name + "q_a_proj.weight"), name + "q_a_layernorm.weight", eps: eps), name + "q_b_proj.weight")
            let down = times(h, name + "kv_a_proj_with_mqa.weight"), up = times(norm(Array(down[..<latent.rank]), name + "kv_a_layernorm.weight", eps: eps), name + "kv_b_proj.weight")
            let shared = turnPairs(Array(down[latent.rank...]), position: t)
            var queries: [Double] = [], keys: [Double] = [], values: [Double] = []
            for head in 0..<config.queryHeads {
                let own = asked[(head * (plain + turned))..<((head + 1) * (plain + turned))]
                queries += (own.prefix(plain) + turnPairs(Array(own.suffix(turned)), position: t)).map { $0 * growth(t) }
                keys += up[(head * both)..<(head * both + plain)] + shared
                values += up[(head * both + plain)..<((head + 1) * both)]
            }
            q.append(queries)
            k.append(keys)
            v.append(values)
        }
        return (q, k, v)
    }

    private func feedForward(_ h: [Double], _ name: String) -> [Double] {
        func gated(_ gate: String, _ up: String, _ down: String) -> [Double] {
            times(zip(times(h, gate), times(h, up)).map { $0 / (1 + exp(-$0)) * $1 }, down)
        }
        guard let experts = config.experts else { return gated(name + "mlp.gate_proj.weight", name + "mlp.up_proj.weight", name + "mlp.down_proj.weight") }
        let block = name + config.mixtureBlock, names = config.expertNames, scores = times(h, block + "gate.weight")
        let best = scores.indices.sorted { scores[$0] > scores[$1] }.prefix(experts.choices), total = best.reduce(0) { $0 + exp(scores[$1]) }
        func one(_ name: String) -> [Double] { gated(name + names.gate + ".weight", name + names.up + ".weight", name + names.down + ".weight") }
        return best.reduce(experts.shared > 0 ? one(block + "shared_experts.") : h.map { _ in 0 }) { sum, expert in
            add(sum, one(block + "experts.\(expert).").map { $0 * exp(scores[expert]) / total * experts.scale })
        }
    }

    private func norm(_ x: [Double], _ name: String, eps: Double? = nil) -> [Double] {
        let mean = x.reduce(0) { $0 + $1 * $1 } / Double(x.count)
        return zip(x, values(name)).map { $0 / sqrt(mean + (eps ?? Double(config.normEps))) * Double($1) }
    }

    private func times(_ x: [Double], _ name: String) -> [Double] {
        let w = values(name)
        return (0..<w.count / x.count).map { row in x.indices.reduce(0.0) { $0 + x[$1] * Double(w[row * x.count + $1]) } }
    }

    private func add(_ a: [Double], _ b: [Double]) -> [Double] { zip(a, b).map { $0 + $1 } }

    private func turn(_ x: [Double], position: Int) -> [Double] {
        var out = x
        let d = config.headDim, half = d / 2
        for head in 0..<x.count / d {
            for i in 0..<half {
                let angle = Double(position) * frequency(i), size = config.yarn?.attentionFactor ?? 1
                let a = x[head * d + i] * size, b = x[head * d + half + i] * size
                out[head * d + i] = a * cos(angle) - b * sin(angle)
                out[head * d + half + i] = b * cos(angle) + a * sin(angle)
            }
        }
        return out
    }

    /// The same for pairs that are neighbours.
    private func turnPairs(_ x: [Double], position: Int) -> [Double] {
        let size = config.yarn?.attentionFactor ?? 1
        return (0..<x.count / 2).flatMap { i in
            let angle = Double(position) * frequency(i), a = x[2 * i] * size, b = x[2 * i + 1] * size
            return [a * cos(angle) - b * sin(angle), b * cos(angle) + a * sin(angle)]
        }
    }

    /// YaRN, section 3.2: a pair that turns at least betaFast times over the original context is left alone, one that turns at most betaSlow times is slowed by the
    /// factor, and between the two pairs, taken whole, the share falls evenly.
    private func frequency(_ i: Int) -> Double {
        let d = Double(config.latent?.turnedDim ?? config.headDim), plain = pow(config.ropeTheta, -2 * Double(i) / d)
        guard let yarn = config.yarn else { return plain }
        func pair(turning turns: Double) -> Double { d / 2 * log(Double(yarn.originalContext) / (2 * Double.pi * turns)) / log(config.ropeTheta) }
        let fast = max(0, floor(pair(turning: yarn.betaFast))), slow = min(d - 1, ceil(pair(turning: yarn.betaSlow)))
        let slowed = min(1, max(0, (Double(i) - fast) / (slow - fast)))
        return plain * (1 - slowed) + plain / yarn.factor * slowed
    }

    private func growth(_ t: Int) -> Double {
        config.queryScale.map { 1 + $0.beta * log(1 + floor(Double(t) / Double($0.originalContext))) } ?? 1
    }

    private func attend(_ q: [Double], _ k: [[Double]], _ v: [[Double]], _ t: Int, _ window: Int) -> [Double] {
        let d = config.headDim, group = config.queryHeads / config.kvHeads, wide = config.latent?.valueDim ?? d
        let raised = config.latent?.raisesScores == true ? pow(0.1 * log(config.yarn?.factor ?? 1) + 1, 2) : 1
        let first = window == 0 ? 0 : max(0, t + 1 - window)
        return (0..<config.queryHeads).flatMap { head -> [Double] in
            let at = head / group * d
            let scores = (first...t).map { j in (0..<d).reduce(0.0) { $0 + q[head * d + $1] * k[j][at + $1] } / sqrt(Double(d)) * raised }
            let weights = scores.map { exp($0 - scores.max()!) }
            let total = weights.reduce(0, +)
            return (0..<wide).map { i in (first...t).reduce(0.0) { $0 + weights[$1 - first] * v[$1][head / group * wide + i] } / total }
        }
    }
}
