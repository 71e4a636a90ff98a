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
        /// `router` is `[experts, width]` in float32 whatever the format, because a rounded score can choose another expert. Every token goes to `shared`.
        case mixture(router: PackedMatrix, experts: [Gated], shared: Gated?)
    }

    package enum Attention {
        /// q, k and v as one matrix.
        case grouped(qkv: PackedMatrix)
        case latent(Latent)
    }

    /// Latent attention's matrices. What leads out of the latent lies head by head, and not rounded to blocks: it is a thousandth of a model's weights. It is kept plain
    /// beside that, for the way back through it.
    package struct Latent {
        /// Squeezes queries, where they are.
        package let queryDown: (norm: Tensor, matrix: PackedMatrix)?
        package let query: PackedMatrix
        package let down: PackedMatrix
        package let norm: Tensor
        /// `[heads · (plain + value), rank]`
        package let up: Tensor
        /// By head, from a query's plain dimensions to the latent's.
        package let absorb: [PackedMatrix]
        /// By head, from the latent to the head's values.
        package let value: [PackedMatrix]
    }

    package struct Layer {
        package let attentionNorm: Tensor
        package let attention: Attention
        package let output: PackedMatrix
        package let feedForwardNorm: Tensor
        package let feedForward: FeedForward

        /// - Precondition: heads have keys and values of their own.
        package var qkv: PackedMatrix {
            guard case .grouped(let qkv) = attention else { preconditionFailure("latent attention has no keys and values of its own") }
            return qkv
        }

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
        func unfolded(_ latent: LatentAttention, _ prefix: String) throws(Fault) -> Latent {
            var queryDown: (norm: Tensor, matrix: PackedMatrix)?
            if latent.queryRank != nil {
                let matrix = try stacked([prefix + "q_a_proj.weight"])
                queryDown = (try plain(prefix + "q_a_layernorm.weight"), matrix)
            }
            let query = try stacked([prefix + (latent.queryRank == nil ? "q_proj.weight" : "q_b_proj.weight")])
            let down = try stacked([prefix + "kv_a_proj_with_mqa.weight"]), norm = try plain(prefix + "kv_a_layernorm.weight")
            let up = try plain(prefix + "kv_b_proj.weight"), kept: WeightFormat = format == .f32 ? .f32 : .bf16, rows = latent.plainDim + latent.valueDim
            var absorb: [PackedMatrix] = [], value: [PackedMatrix] = []
            for head in 0..<config.queryHeads {
                absorb.append(try device.packed(up.rows(head * rows, latent.plainDim), from: .plain, as: kept))
                value.append(try device.packed(up.rows(head * rows + latent.plainDim, latent.valueDim), as: kept))
            }
            return Latent(queryDown: queryDown, query: query, down: down, norm: norm, up: up, absorb: absorb, value: value)
        }
        self.config = config
        self.format = format
        embedding = try plain("model.embed_tokens.weight")
        var layers: [Layer] = []
        for number in 0..<config.layers {
            let prefix = "model.layers.\(number)."
            let attentionNorm = try plain(prefix + "input_layernorm.weight")
            let attention: Attention
            if let latent = config.latent {
                attention = .latent(try unfolded(latent, prefix + "self_attn."))
            } else {
                attention = .grouped(qkv: try stacked(["q", "k", "v"].map { prefix + "self_attn.\($0)_proj.weight" }))
            }
            let output = try stacked([prefix + "self_attn.o_proj.weight"])
            let feedForwardNorm = try plain(prefix + "post_attention_layernorm.weight")
            /// In the table's order: gate, up, down.
            func gated(_ prefix: String, _ names: MistralConfig.GatedNames) throws(Fault) -> Gated {
                let gateUp = try stacked([prefix + names.gate + ".weight", prefix + names.up + ".weight"])
                return Gated(gateUp: gateUp, down: try stacked([prefix + names.down + ".weight"]))
            }
            let feedForward: FeedForward
            if let experts = config.experts {
                let prefix = prefix + config.mixtureBlock, router = try stacked([prefix + "gate.weight"], as: .f32)
                var packed: [Gated] = []
                for expert in 0..<experts.count { packed.append(try gated(prefix + "experts.\(expert).", config.expertNames)) }
                feedForward = .mixture(router: router, experts: packed, shared: experts.shared > 0 ? try gated(prefix + "shared_experts.", .dense) : nil)
            } else {
                feedForward = .dense(try gated(prefix + "mlp.", .dense))
            }
            layers.append(Layer(attentionNorm: attentionNorm, attention: attention, output: output, feedForwardNorm: feedForwardNorm, feedForward: feedForward))
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
        let out = format.bytes(k: config.headsWidth, n: config.width)
        let attention = config.latent.map { latent($0, config, as: format) + out } ?? format.bytes(k: config.width, n: config.attentionWidth) + out
        func gated(_ width: Int) -> Int { format.bytes(k: config.width, n: 2 * width) + format.bytes(k: width, n: config.width) }
        let feedForward = config.experts.map {
            WeightFormat.f32.bytes(k: config.width, n: $0.count) + $0.count * gated(config.feedForward) + ($0.shared > 0 ? gated($0.shared * config.feedForward) : 0)
        } ?? gated(config.feedForward)
        let layer = attention + feedForward + 4 * 2 * config.width
        let ends = 4 * (config.vocabulary + 1) * config.width + format.bytes(k: config.width, n: config.vocabulary)
        return ByteCount(config.layers * layer + ends)
    }

    private static func latent(_ latent: LatentAttention, _ config: MistralConfig, as format: WeightFormat) -> Int {
        let kept: WeightFormat = format == .f32 ? .f32 : .bf16, inputs = latent.queryRank ?? config.width
        let head = kept.bytes(k: latent.plainDim, n: latent.rank) + kept.bytes(k: latent.rank, n: latent.valueDim) + 4 * (latent.plainDim + latent.valueDim) * latent.rank
        let squeeze = latent.queryRank.map { format.bytes(k: config.width, n: $0) + 4 * $0 } ?? 0
        return squeeze + format.bytes(k: inputs, n: config.queryWidth) + format.bytes(k: config.width, n: latent.width) + 4 * latent.rank + config.queryHeads * head
    }

    /// The most inputs one of its products has.
    package var inputsMax: Int { max(config.width, config.headsWidth, config.feedForward * max(1, config.experts?.shared ?? 0), config.latent?.queryRank ?? 0) }
}
