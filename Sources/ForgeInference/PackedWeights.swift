package import ForgeCore
package import ForgeModel
package import ForgeTensor

/// A decoder's weights as serving multiplies them: each matrix packed once, the embedding kept plain beside it for look-ups.
package final class PackedWeights {
    package struct Layer {
        let attentionNorm: Tensor
        /// q, k and v as one matrix.
        let qkv: Tensor
        let output: Tensor
        let feedForwardNorm: Tensor
        /// gate and up as one matrix.
        let gateUp: Tensor
        let down: Tensor
    }

    package let config: MistralConfig
    let embedding: Tensor
    let layers: [Layer]
    let finalNorm: Tensor
    let head: Tensor

    /// - Parameter fill: writes one parameter's values into the tensor it is given, of the entry's shape (norms are one row). Called once for each entry of the
    ///   table, in the table's order, so that no second whole copy ever exists.
    /// - Throws: what `fill` throws; `.environment` without memory.
    package init(_ table: ParameterTable, on device: Device, fill: (ParameterTable.Entry, Tensor) throws(Fault) -> Void) throws(Fault) {
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
        func packed(_ source: Tensor) throws(Fault) -> Tensor {
            let tensor = try device.tensor(rows: 1, columns: Device.packedCount(k: source.columns, n: source.rows))
            try device.pack(tensor, from: source, as: .weight)
            return tensor
        }
        /// Matrices that lie under one another are one matrix to the kernels.
        func stacked(_ names: [String]) throws(Fault) -> Tensor {
            let entries = names.map(entry), columns = entries[0].shape[1]
            let source = try device.tensor(rows: entries.reduce(0) { $0 + $1.shape[0] }, columns: columns)
            var row = 0
            for entry in entries {
                try fill(entry, source.view(from: row * columns, rows: entry.shape[0], columns: columns))
                row += entry.shape[0]
            }
            return try packed(source)
        }
        self.config = config
        embedding = try plain("model.embed_tokens.weight")
        var layers: [Layer] = []
        for number in 0..<config.layers {
            let prefix = "model.layers.\(number)."
            let attentionNorm = try plain(prefix + "input_layernorm.weight")
            let qkv = try stacked(["q", "k", "v"].map { prefix + "self_attn.\($0)_proj.weight" })
            let output = try stacked([prefix + "self_attn.o_proj.weight"])
            let feedForwardNorm = try plain(prefix + "post_attention_layernorm.weight")
            let gateUp = try stacked([prefix + "mlp.gate_proj.weight", prefix + "mlp.up_proj.weight"])
            let down = try stacked([prefix + "mlp.down_proj.weight"])
            layers.append(Layer(attentionNorm: attentionNorm, qkv: qkv, output: output, feedForwardNorm: feedForwardNorm, gateUp: gateUp, down: down))
        }
        self.layers = layers
        finalNorm = try plain("model.norm.weight")
        head = try config.tiedEmbeddings ? packed(embedding) : stacked(["lm_head.weight"])
    }

    /// From parameters that lie in memory already, as after training.
    package convenience init(_ parameters: Parameters, on device: Device) throws(Fault) {
        try self.init(parameters.table, on: device) { (entry, tensor) throws(Fault) in tensor.write(parameters.tensor(entry).values()) }
    }

    /// What the packed weights of `config` take.
    package static func bytes(_ config: MistralConfig) -> ByteCount {
        var floats = config.vocabulary * config.width + Device.packedCount(k: config.width, n: config.vocabulary) + config.width
        let layer =
            Device.packedCount(k: config.width, n: config.attentionWidth) + Device.packedCount(k: config.queryWidth, n: config.width)
            + Device.packedCount(k: config.width, n: 2 * config.feedForward) + Device.packedCount(k: config.feedForward, n: config.width) + 2 * config.width
        floats += config.layers * layer
        return ByteCount(floats * 4)
    }
}
