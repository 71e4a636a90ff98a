package import ForgeCore
package import ForgeTensor

/// A decoder's weights that are only read, in serving or under adapters: each matrix packed once, the embedding kept plain beside it for look-ups.
package final class PackedWeights {
    /// W₂(silu(W₁x)·W₃x).
    package struct Gated {
        /// gate and up as one matrix.
        package let gateUp: PackedMatrix
        package let down: PackedMatrix
    }

    package enum FeedForward {
        case dense(Gated)
        /// `router` is `[experts, width]` in float32 whatever the format, because a rounded score can choose another expert.
        case mixture(router: PackedMatrix, experts: [Gated])
    }

    package struct Layer {
        package let attentionNorm: Tensor
        /// q, k and v as one matrix.
        package let qkv: PackedMatrix
        package let output: PackedMatrix
        package let feedForwardNorm: Tensor
        package let feedForward: FeedForward

        /// - Precondition: the decoder is dense.
        package var dense: Gated {
            guard case .dense(let gated) = feedForward else { preconditionFailure("a mixture has experts in place of one feed-forward") }
            return gated
        }
    }

    package let config: MistralConfig
    package let format: WeightFormat
    package let embedding: Tensor
    package let layers: [Layer]
    package let finalNorm: Tensor
    package let head: PackedMatrix

    /// - Parameters:
    ///   - format: of every matrix; look-ups and norms stay float32.
    ///   - fill: writes one parameter's values into the tensor it is given, of the entry's shape (norms are one row). Called once for each entry of the table, in
    ///     the table's order, so that no second whole copy ever exists.
    /// - Throws: what `fill` throws; `.environment` without memory.
    package init(_ table: ParameterTable, as format: WeightFormat, on device: Device, fill: (ParameterTable.Entry, Tensor) throws(Fault) -> Void) throws(Fault) {
        let config = table.config
        func entry(_ name: String) -> ParameterTable.Entry {
            guard let entry = table[name] else { preconditionFailure("no parameter is called `\(name)`") }
            return entry
        }
        func plain(_ name: String) throws(Fault) -> Tensor {
            let entry = entry(name)
            let rows = entry.shape.rank == 2 ? entry.shape[0] : 1
            let tensor = try device.tensor(rows: rows, columns: entry.count / rows)
            try fill(entry, tensor)
            return tensor
        }
        /// Matrices that lie under one another are one matrix to the kernels.
        func stacked(_ names: [String], as format: WeightFormat = format) throws(Fault) -> PackedMatrix {
            let entries = names.map(entry), columns = entries[0].shape[1]
            let source = try device.tensor(rows: entries.reduce(0) { $0 + $1.shape[0] }, columns: columns)
            var row = 0
            for entry in entries {
                try fill(entry, source.view(from: row * columns, rows: entry.shape[0], columns: columns))
                row += entry.shape[0]
            }
            return try device.packed(source, as: format)
        }
        self.config = config
        self.format = format
        embedding = try plain("model.embed_tokens.weight")
        var layers: [Layer] = []
        for number in 0..<config.layers {
            let prefix = "model.layers.\(number)."
            let attentionNorm = try plain(prefix + "input_layernorm.weight")
            let qkv = try stacked(["q", "k", "v"].map { prefix + "self_attn.\($0)_proj.weight" })
            let output = try stacked([prefix + "self_attn.o_proj.weight"])
            let feedForwardNorm = try plain(prefix + "post_attention_layernorm.weight")
            /// In the table's order: gate, up, down.
            func gated(_ prefix: String, _ gate: String, _ up: String, _ down: String) throws(Fault) -> Gated {
                let gateUp = try stacked([prefix + gate + ".weight", prefix + up + ".weight"])
                return Gated(gateUp: gateUp, down: try stacked([prefix + down + ".weight"]))
            }
            let feedForward: FeedForward
            if let experts = config.experts {
                let prefix = prefix + "block_sparse_moe.", router = try stacked([prefix + "gate.weight"], as: .f32)
                var packed: [Gated] = []
                for expert in 0..<experts.count { packed.append(try gated(prefix + "experts.\(expert).", "w1", "w3", "w2")) }
                feedForward = .mixture(router: router, experts: packed)
            } else {
                feedForward = .dense(try gated(prefix + "mlp.", "gate_proj", "up_proj", "down_proj"))
            }
            layers.append(Layer(attentionNorm: attentionNorm, qkv: qkv, output: output, feedForwardNorm: feedForwardNorm, feedForward: feedForward))
        }
        self.layers = layers
        finalNorm = try plain("model.norm.weight")
        head = try config.tiedEmbeddings ? device.packed(embedding, as: format) : stacked(["lm_head.weight"])
    }

    /// From parameters that lie in memory already, as after training.
    package convenience init(_ parameters: Parameters, as format: WeightFormat = .f32, on device: Device) throws(Fault) {
        try self.init(parameters.table, as: format, on: device) { (entry, tensor) throws(Fault) in tensor.write(parameters.tensor(entry).values()) }
    }

    /// What the weights of `config` take in `format`.
    package static func bytes(_ config: MistralConfig, as format: WeightFormat) -> ByteCount {
        let attention = format.bytes(k: config.width, n: config.attentionWidth) + format.bytes(k: config.queryWidth, n: config.width)
        let gated = format.bytes(k: config.width, n: 2 * config.feedForward) + format.bytes(k: config.feedForward, n: config.width)
        let feedForward = config.experts.map { WeightFormat.f32.bytes(k: config.width, n: $0.count) + $0.count * gated } ?? gated
        let layer = attention + feedForward + 4 * 2 * config.width
        let ends = 4 * (config.vocabulary + 1) * config.width + format.bytes(k: config.width, n: config.vocabulary)
        return ByteCount(config.layers * layer + ends)
    }

    /// The most inputs one of its products has.
    package var inputsMax: Int { max(config.width, config.queryWidth, config.feedForward) }
}
