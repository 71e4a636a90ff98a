import ForgeModel

/// What llama.cpp calls the tensors of our table, and how their rows lie there.
enum GGUFNames {
    /// A tensor of the file, or the part of it that is one expert's.
    struct Place: Hashable {
        let tensor: String
        /// Nil where the tensor is no stack of experts.
        let expert: Int?
        /// What older files call the same, an expert each.
        let alone: String?
    }

    static let embedding = "token_embd.weight", norm = "output_norm.weight", head = "output.weight"
    private static let whole = ["model.embed_tokens.weight": embedding, "model.norm.weight": norm, "lm_head.weight": head]
    private static let parts = [
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "block_sparse_moe.gate": "ffn_gate_inp",
    ]
    private static let ofExperts = ["w1": "ffn_gate", "w3": "ffn_up", "w2": "ffn_down"]
    private static let layer = "model.layers.", weight = ".weight", experts = "block_sparse_moe.experts."

    /// - Parameter name: of an entry of a `ParameterTable`.
    static func place(_ name: String) -> Place {
        if let whole = whole[name] { return Place(tensor: whole, expert: nil, alone: nil) }
        precondition(name.hasPrefix(layer) && name.hasSuffix(weight), "a parameter is of a layer or one of three")
        let rest = name.dropFirst(layer.count).dropLast(weight.count), dot = rest.firstIndex(of: ".") ?? rest.endIndex
        let block = "blk.\(rest[..<dot])", part = String(rest[dot...].dropFirst())
        if let known = parts[part] { return Place(tensor: "\(block).\(known).weight", expert: nil, alone: nil) }
        let pieces = part.dropFirst(experts.count).split(separator: ".")
        guard part.hasPrefix(experts), pieces.count == 2, let expert = Int(pieces[0]), let known = ofExperts[String(pieces[1])] else {
            preconditionFailure("every part of a layer has a name there")
        }
        return Place(tensor: "\(block).\(known)_exps.weight", expert: expert, alone: "\(block).\(known).\(expert).weight")
    }

    /// Rows of queries and keys lie in pairs there, (2i, 2i + 1) of a head turned together, and in halves here, (i, i + d/2).
    /// - Returns: nil where rows lie alike; else the head's width.
    static func pairedHeads(_ name: String, _ config: MistralConfig) -> Int? {
        name.hasSuffix("self_attn.q_proj.weight") || name.hasSuffix("self_attn.k_proj.weight") ? config.headDim : nil
    }

    /// The row there that is row `row` here.
    static func row(_ row: Int, headDim d: Int) -> Int {
        let within = row % d, half = d / 2
        return row - within + (within < half ? 2 * within : 2 * (within - half) + 1)
    }
}
