package import ForgeCore
package import ForgeTensor

/// A decoder's weights that are only read, in serving or under adapters: each matrix packed once, the embedding kept plain beside it for look-ups.
package final class PackedWeights {
    package struct Layer {
        package let attentionNorm: Tensor
        /// q, k and v as one matrix.
        package let qkv: PackedMatrix
        package let output: PackedMatrix
        package let feedForwardNorm: Tensor
        /// gate and up as one matrix.
        package let gateUp: PackedMatrix
        package let down: PackedMatrix
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
    /// - Throws: what `fill` throws; `.environment` without memory; `.request` for a mixture.
    package init(_ table: ParameterTable, as format: WeightFormat, on device: Device, fill: (ParameterTable.Entry, Tensor) throws(Fault) -> Void) throws(Fault) {
        let config = table.config
        guard config.experts == nil else {
            throw Fault(
                .request, "model.architecture", "mixtral models are not served yet", why: "this version of forge trains and evaluates mixtures of experts only",
                remedy: "serve a dense model")
        }
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
        func stacked(_ names: [String]) throws(Fault) -> PackedMatrix {
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
            let gateUp = try stacked([prefix + "mlp.gate_proj.weight", prefix + "mlp.up_proj.weight"])
            let down = try stacked([prefix + "mlp.down_proj.weight"])
            layers.append(Layer(attentionNorm: attentionNorm, qkv: qkv, output: output, feedForwardNorm: feedForwardNorm, gateUp: gateUp, down: down))
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
        let matrices = [
            (config.width, config.attentionWidth), (config.queryWidth, config.width), (config.width, 2 * config.feedForward), (config.feedForward, config.width),
        ]
        let layer = matrices.reduce(0) { $0 + format.bytes(k: $1.0, n: $1.1) } + 4 * 2 * config.width
        let ends = 4 * (config.vocabulary + 1) * config.width + format.bytes(k: config.width, n: config.vocabulary)
        return ByteCount(config.layers * layer + ends)
    }

    /// The most inputs one of its products has.
    package var inputsMax: Int { max(config.width, config.queryWidth, config.feedForward) }
}
