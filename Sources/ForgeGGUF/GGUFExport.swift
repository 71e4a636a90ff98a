import ForgeBlocks
package import ForgeCore
package import ForgeModel
import ForgeOS
package import ForgeTokenizer

/// A model of ours as one GGUF file that llama.cpp loads (docs/formats/gguf.md, "What Forge writes").
package struct GGUFExport: Sendable {
    /// What the matrices of a file are kept in.
    package enum Matrices: String, Sendable, Hashable, CaseIterable {
        case bf16
        case q8_0
        case q4_0

        fileprivate var format: BlockFormat {
            switch self {
            case .bf16: .bf16
            case .q8_0: .q8_0
            case .q4_0: .q4_0
            }
        }

        /// llama.cpp's number for such a file.
        fileprivate var fileType: Int {
            switch self {
            case .bf16: 32
            case .q8_0: 7
            case .q4_0: 2
            }
        }

        /// How far logits may be from the model's own, as `LogitCheck` measures it.
        package var tolerance: Double {
            switch self {
            case .bf16: 0.02
            case .q8_0: 0.03
            case .q4_0: 0.3
            }
        }
    }

    /// Runs a file that was just written beside the model it was written from, on texts of its choice.
    /// - Returns: the root of the mean square of the difference between their logits, over that of the model's own logits.
    package typealias LogitCheck = (_ reopened: GGUFModel) throws(Fault) -> Double

    /// Gives the numbers of some rows of a parameter, as `GGUFModel.read` does.
    package typealias Rows = (_ entry: ParameterTable.Entry, _ rows: Range<Int>, _ out: inout MutableSpan<Float>) throws(Fault) -> Void

    private struct Part: Sendable {
        let tensor: GGUFHead.Tensor
        /// One, or every expert's.
        let entries: [ParameterTable.Entry]
        let paired: Int?
    }

    package let matrices: Matrices
    private let config: MistralConfig
    private let tokenizer: Tokenizer
    private let parts: [Part]
    private let head: GGUFHead

    /// - Parameters:
    ///   - name: what the file calls the model.
    ///   - chatTemplate: text for programs that run such templates; nil writes none.
    /// - Throws: `.request` for a model that llama.cpp would compute differently.
    package init(_ config: MistralConfig, _ tokenizer: Tokenizer, matrices: Matrices, name: String, chatTemplate: String? = nil) throws(Fault) {
        func fault(_ why: String, _ remedy: String = "") -> Fault { Fault(.request, "gguf.export", "this model cannot be written as GGUF", why: why, remedy: remedy) }
        try config.validate()
        if config.latent != nil { throw fault("it has latent attention, which is not written in that format yet", "export it in Hugging Face's or Mistral's layout") }
        guard tokenizer.splitsAsTekken else { throw fault("its tokenizer is not one of byte pairs that splits words as `tekken` does", "export it in Hugging Face's layout") }
        if let window = config.window, window < config.contextMax, config.windowed.isEmpty || config.windowed.contains(true) {
            throw fault("its attention has a window of \(window), which llama.cpp does not apply to it", "export it in Hugging Face's or Mistral's layout")
        }
        guard tokenizer.count <= config.vocabulary else { throw fault("its tokenizer has \(tokenizer.count) tokens, and the model \(config.vocabulary) rows for them") }
        parts = GGUFExport.parts(config, matrices)
        head = GGUFHead(GGUFExport.pairs(config, tokenizer, matrices, name, chatTemplate), parts.map(\.tensor))
        self.config = config
        self.tokenizer = tokenizer
        self.matrices = matrices
    }

    package var count: ByteCount { ByteCount(parts.reduce(head.bytes.count) { $0 + GGUFHead.padded($1.tensor.bytes) }) }

    /// Writes the file, reads it again as a stranger would, and puts it in place only if it still is this model.
    /// - Parameters:
    ///   - path: where nothing is yet.
    ///   - rows: called for every row of every parameter once, some rows at a time; in the order of the file.
    /// - Throws: `.request` if the file's logits are too far from the model's, and no file is left; what `rows` and `check` throw; `.environment` for what the system refuses.
    package func write(to path: String, rows: Rows, check: LogitCheck) throws(Fault) {
        func fault(_ why: String) -> Fault {
            Fault(.request, "gguf.export", "the export was not kept", why: why, remedy: matrices == .bf16 ? "export it in Hugging Face's or Mistral's layout" : "choose a format with more bits a weight")
        }
        try Durable.create(path) { (file) throws(Fault) in
            try file.write(head.bytes)
            for part in parts { try write(part, to: file, rows) }
        } checking: { (temporary) throws(Fault) in
            let reopened = try GGUFModel(temporary)
            guard GGUFExport.normal(reopened.config, tokenizer) == GGUFExport.normal(config, tokenizer) else { throw fault("its pairs read back as another configuration") }
            let kept = try reopened.tokenizer()
            guard kept.pieces == tokenizer.pieces, kept.mergedPieces.elementsEqual(tokenizer.mergedPieces, by: ==) else {
                throw fault("its tokenizer reads back as another")
            }
            let error = try check(reopened)
            guard error <= matrices.tolerance else { throw fault("its logits differ from the model's by \(error) of their size; \(matrices.tolerance) is allowed for `\(matrices.rawValue)`") }
        }
    }

    private func write(_ part: Part, to file: borrowing File, _ rows: Rows) throws(Fault) {
        let format = part.tensor.format
        for entry in part.entries {
            let height = entry.shape.rank == 2 ? entry.shape[0] : 1, columns = entry.count / height
            // Whole heads where rows change places.
            let least = part.paired ?? 1, step = max((1 << 20) / columns / least, 1) * least
            for from in stride(from: 0, to: height, by: step) {
                let range = from..<min(from + step, height)
                var numbers = [Float](repeating: 0, count: range.count * columns), span = numbers.mutableSpan
                try rows(entry, range, &span)
                if let d = part.paired {
                    let ours = numbers
                    for row in range {
                        let there = GGUFNames.row(row, headDim: d) - from, here = row - from
                        numbers.replaceSubrange(there * columns..<(there + 1) * columns, with: ours[here * columns..<(here + 1) * columns])
                    }
                }
                var out = [UInt8](repeating: 0, count: numbers.count / format.numbers * format.bytes), target = out.mutableSpan
                format.encode(numbers.span, into: &target)
                try file.write(out)
            }
        }
        try file.write([UInt8](repeating: 0, count: GGUFHead.padded(part.tensor.bytes) - part.tensor.bytes))
    }

    private static func parts(_ config: MistralConfig, _ matrices: Matrices) -> [Part] {
        var order: [String] = [], entries: [String: [ParameterTable.Entry]] = [:]
        for entry in ParameterTable(config).entries {
            let place = GGUFNames.place(entry.name).tensor
            if entries[place] == nil { order.append(place) }
            entries[place, default: []].append(entry)
        }
        return order.map { name in
            let entries = entries[name]!, first = entries[0], stacked = GGUFNames.place(first.name).expert != nil ? [entries.count] : []
            var format = matrices.format
            // The first and the last matrix decide more than their share; norms and routers are small.
            if first.role == .embedding, matrices == .q4_0 { format = .q8_0 }
            if first.role == .norm || name.hasSuffix("ffn_gate_inp.weight") { format = .f32 }
            if !first.shape.extents.last!.isMultiple(of: format.numbers) { format = .bf16 }
            return Part(tensor: .init(name: name, format: format, shape: Shape(stacked + first.shape.extents)), entries: entries, paired: GGUFNames.pairedHeads(first.name, config))
        }
    }

    /// What a file can say of a configuration: float32, and nothing of windows that are never full or of training.
    private static func normal(_ config: MistralConfig, _ tokenizer: Tokenizer) -> MistralConfig {
        func float(_ value: Double) -> Double { Double(Float(value)) }
        var config = config
        config.ropeTheta = float(config.ropeTheta)
        config.yarn = config.yarn.map {
            Yarn(
                factor: float($0.factor), originalContext: $0.originalContext, betaFast: float($0.betaFast), betaSlow: float($0.betaSlow), attentionFactor: float($0.attentionFactor))
        }
        config.queryScale = config.queryScale.map { QueryScale(beta: float($0.beta), originalContext: $0.originalContext) }
        config.window = nil
        config.windowed = []
        config.bos = Int(tokenizer.control.begin)
        config.eos = Int(tokenizer.control.end)
        config.experts = config.experts.map { .init(count: $0.count, choices: $0.choices) }
        return config
    }
}

extension GGUFExport {
    /// In one fixed order, so that equal models give equal bytes.
    private static func pairs(_ config: MistralConfig, _ tokenizer: Tokenizer, _ matrices: Matrices, _ name: String, _ chatTemplate: String?) -> [(key: String, value: GGUFHead.Value)] {
        // llama.cpp lets queries grow in the one and not in the other.
        let architecture = config.queryScale == nil ? GGUFArchitecture.llama.rawValue : GGUFArchitecture.mistral3.rawValue
        var pairs: [(key: String, value: GGUFHead.Value)] = [
            ("general.architecture", .text(architecture)), ("general.type", .text("model")), ("general.name", .text(name)), ("general.file_type", .u32(matrices.fileType)),
            ("general.quantization_version", .u32(2)),
        ]
        func add(_ key: String, _ value: GGUFHead.Value) { pairs.append(("\(architecture).\(key)", value)) }
        add("vocab_size", .u32(config.vocabulary))
        add("context_length", .u32(config.contextMax))
        add("embedding_length", .u32(config.width))
        add("block_count", .u32(config.layers))
        add("feed_forward_length", .u32(config.feedForward))
        add("attention.head_count", .u32(config.queryHeads))
        add("attention.head_count_kv", .u32(config.kvHeads))
        add("attention.key_length", .u32(config.headDim))
        add("attention.value_length", .u32(config.headDim))
        add("attention.layer_norm_rms_epsilon", .f32(Double(config.normEps)))
        add("rope.dimension_count", .u32(config.headDim))
        add("rope.freq_base", .f32(config.ropeTheta))
        if let yarn = config.yarn {
            add("rope.scaling.type", .text("yarn"))
            add("rope.scaling.factor", .f32(yarn.factor))
            add("rope.scaling.original_context_length", .u32(yarn.originalContext))
            add("rope.scaling.yarn_beta_fast", .f32(yarn.betaFast))
            add("rope.scaling.yarn_beta_slow", .f32(yarn.betaSlow))
            // Without a multiplier the factor is the paper's; a multiplier of 1 takes that away.
            if yarn.attentionFactor != Yarn.magnitude(yarn.factor) {
                add("rope.scaling.yarn_log_multiplier", .f32(1))
                if yarn.attentionFactor != 1 { add("rope.scaling.attn_factor", .f32(yarn.attentionFactor)) }
            }
        }
        if let growth = config.queryScale {
            add("attention.temperature_scale", .f32(growth.beta))
            add("attention.temperature_length", .u32(growth.originalContext))
        }
        if let experts = config.experts {
            add("expert_count", .u32(experts.count))
            add("expert_used_count", .u32(experts.choices))
        }
        let fill = (tokenizer.count..<config.vocabulary).map { "[PAD\($0)]" }
        let kinds = (0..<tokenizer.count).map { tokenizer.control.contains(Token($0)) ? SentencePieceModel.Piece.Kind.control : .normal } + fill.map { _ in .unused }
        pairs += [
            ("tokenizer.ggml.model", .text("gpt2")), ("tokenizer.ggml.pre", .text("tekken")), ("tokenizer.ggml.tokens", .texts(tokenizer.pieces + fill)),
            ("tokenizer.ggml.token_type", .i32s(kinds.map(\.rawValue))), ("tokenizer.ggml.merges", .texts(tokenizer.mergedPieces.map { "\($0.left) \($0.right)" })),
            ("tokenizer.ggml.bos_token_id", .u32(Int(tokenizer.control.begin))), ("tokenizer.ggml.eos_token_id", .u32(Int(tokenizer.control.end))),
        ]
        if let unknown = tokenizer.control["<unk>"] { pairs.append(("tokenizer.ggml.unknown_token_id", .u32(Int(unknown)))) }
        if let padding = tokenizer.control.padding { pairs.append(("tokenizer.ggml.padding_token_id", .u32(Int(padding)))) }
        pairs += [("tokenizer.ggml.add_bos_token", .truth(true)), ("tokenizer.ggml.add_eos_token", .truth(false)), ("tokenizer.ggml.add_space_prefix", .truth(false))]
        if let chatTemplate { pairs.append(("tokenizer.chat_template", .text(chatTemplate))) }
        return pairs
    }
}
