package import ForgeCore
package import ForgeTensor

/// The weights of a decoder in one flat run of memory, in the order of its table. Gradients and moments use the same shape.
package final class Parameters {
    package let table: ParameterTable
    /// `[1, table.count]`.
    package let flat: Tensor

    /// All zero.
    package init(_ table: ParameterTable, on device: Device) throws(Fault) {
        self.table = table
        flat = try device.tensor(rows: 1, columns: table.count)
    }

    /// The same numbers under another table of the same tensors: a model read in another way.
    package init(_ table: ParameterTable, of other: Parameters) {
        precondition(table.count == other.table.count && table.entries.map(\.name) == other.table.entries.map(\.name), "two readings have one set of tensors")
        self.table = table
        flat = other.flat
    }

    package func tensor(_ entry: ParameterTable.Entry) -> Tensor {
        entry.shape.rank == 2
            ? flat.view(from: entry.offset, rows: entry.shape[0], columns: entry.shape[1]) : flat.view(from: entry.offset, rows: 1, columns: entry.count)
    }

    package func tensor(_ name: String) -> Tensor {
        guard let entry = table[name] else { preconditionFailure("no parameter is called `\(name)`") }
        return tensor(entry)
    }

    private func fused(_ first: String, rows: Int) -> Tensor {
        guard let entry = table[first] else { preconditionFailure("no parameter is called `\(first)`") }
        return flat.view(from: entry.offset, rows: rows, columns: entry.shape[1])
    }

    // The matrices as the kernels multiply them.
    package var embedding: Tensor { tensor("model.embed_tokens.weight") }
    package var head: Tensor { table.config.tiedEmbeddings ? embedding : tensor("lm_head.weight") }
    package var finalNorm: Tensor { tensor("model.norm.weight") }
    package func attentionNorm(_ layer: Int) -> Tensor { tensor("model.layers.\(layer).input_layernorm.weight") }
    package func feedForwardNorm(_ layer: Int) -> Tensor { tensor("model.layers.\(layer).post_attention_layernorm.weight") }
    /// q, k and v: `[queryWidth + 2 kvWidth, width]`.
    package func qkv(_ layer: Int) -> Tensor { fused("model.layers.\(layer).self_attn.q_proj.weight", rows: table.config.attentionWidth) }
    package func output(_ layer: Int) -> Tensor { tensor("model.layers.\(layer).self_attn.o_proj.weight") }
    /// gate and up: `[2 feedForward, width]`.
    package func gateUp(_ layer: Int) -> Tensor { fused("model.layers.\(layer).mlp.gate_proj.weight", rows: 2 * table.config.feedForward) }
    package func down(_ layer: Int) -> Tensor { tensor("model.layers.\(layer).mlp.down_proj.weight") }

    // The same of a mixture.
    private func block(_ layer: Int) -> String { "model.layers.\(layer)." + table.config.mixtureBlock }
    package func router(_ layer: Int) -> Tensor { tensor(block(layer) + "gate.weight") }
    /// gate and up of each expert: `[2 feedForward, width]`.
    package func expertGateUp(_ layer: Int) -> TensorGroup {
        group(fused(block(layer) + "experts.0." + table.config.expertNames.gate + ".weight", rows: 2 * table.config.feedForward))
    }
    /// `[width, feedForward]` each.
    package func expertDown(_ layer: Int) -> TensorGroup { group(tensor(block(layer) + "experts.0." + table.config.expertNames.down + ".weight")) }
    /// Of the experts that every token goes to, as one.
    package func sharedGateUp(_ layer: Int) -> Tensor {
        fused(block(layer) + "shared_experts.gate_proj.weight", rows: 2 * (table.config.experts?.shared ?? 0) * table.config.feedForward)
    }
    package func sharedDown(_ layer: Int) -> Tensor { tensor(block(layer) + "shared_experts.down_proj.weight") }

    // The same of latent attention.
    private func attention(_ layer: Int, _ name: String) -> Tensor { tensor("model.layers.\(layer).self_attn.\(name).weight") }
    /// Squeezes queries, `[queryRank, width]`.
    package func queryDown(_ layer: Int) -> Tensor { attention(layer, "q_a_proj") }
    package func queryNorm(_ layer: Int) -> Tensor { attention(layer, "q_a_layernorm") }
    /// `[queryWidth, queryRank]`, or `[queryWidth, width]` where queries are not squeezed.
    package func query(_ layer: Int) -> Tensor { attention(layer, table.config.latent?.queryRank == nil ? "q_proj" : "q_b_proj") }
    /// The latent and the shared key, `[rank + turnedDim, width]`.
    package func latentDown(_ layer: Int) -> Tensor { attention(layer, "kv_a_proj_with_mqa") }
    package func latentNorm(_ layer: Int) -> Tensor { attention(layer, "kv_a_layernorm") }
    /// Keys and values out of the latent, `[heads · (plainDim + valueDim), rank]`.
    package func latentUp(_ layer: Int) -> Tensor { attention(layer, "kv_b_proj") }

    private func group(_ first: Tensor) -> TensorGroup {
        guard let experts = table.config.experts else { preconditionFailure("a dense decoder has no experts") }
        return TensorGroup(first, count: experts.count, spacing: 3 * table.config.feedForward * table.config.width)
    }
}

extension Parameters {
    /// Initial values: norms one; matrices uniform with standard deviation 1/√in, those that close a branch divided by √(2·layers)
    /// as well; embeddings with standard deviation `embeddingDeviation`. Uniform rather than normal, because its bits need no
    /// logarithm: integers become floats exactly. Of an adapter A is uniform on ±1/√in, as PEFT draws it, and B zero: at first it changes nothing.
    package func initialise(seed: UInt64, embeddingDeviation: Float = 0.02) {
        for (index, entry) in table.entries.enumerated() {
            let reach: Float
            switch entry.role {
            case .norm, .adapterUp:
                tensor(entry).fill(entry.role == .norm ? 1 : 0)
                continue
            case .adapterDown: reach = 1 / Float(entry.shape[1]).squareRoot()
            case .embedding, .matrix:
                var deviation = entry.role == .embedding ? embeddingDeviation : 1 / Float(entry.shape[1]).squareRoot()
                if entry.closesBranch { deviation /= Float(2 * table.config.layers).squareRoot() }
                reach = deviation * Float(3).squareRoot()
            }
            var generator = SeededGenerator(seed: seed, stream: UInt64(index))
            var values = [Float](repeating: 0, count: entry.count)
            for i in values.indices { values[i] = generator.symmetric() * reach }
            tensor(entry).write(values)
        }
    }
}

/// Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators": 64 bits a call, state one counter.
package struct SeededGenerator: RandomNumberGenerator, Sendable, Codable, Hashable {
    package private(set) var state: UInt64

    package init(seed: UInt64) { state = seed }

    /// Streams of one seed are independent for every use here: their states are far apart after mixing twice.
    package init(seed: UInt64, stream: UInt64) {
        var mixer = SeededGenerator(seed: seed ^ (stream &* 0x9e37_79b9_7f4a_7c15))
        var second = SeededGenerator(seed: mixer.next() &+ stream)
        state = second.next()
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// Uniform on (-1, 1), on the odd multiples of 2⁻²⁴.
    package mutating func symmetric() -> Float { (Float(next() >> 40) * 2 + 1) * 0x1p-24 - 1 }
}
