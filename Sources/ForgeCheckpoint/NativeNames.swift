import ForgeModel

/// What Mistral's own releases call the tensors of our table.
enum NativeNames {
    private static let whole = ["model.embed_tokens.weight": "tok_embeddings.weight", "model.norm.weight": "norm.weight", "lm_head.weight": "output.weight"]
    private static let parts = [
        "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk",
        "self_attn.v_proj": "attention.wv", "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.up_proj": "feed_forward.w3",
        "mlp.down_proj": "feed_forward.w2", "block_sparse_moe.gate": "feed_forward.gate", "mlp.gate": "gate", "self_attn.q_a_proj": "attention.wq_a",
        "self_attn.q_a_layernorm": "attention.q_a_norm", "self_attn.q_b_proj": "attention.wq_b", "self_attn.kv_a_proj_with_mqa": "attention.wkv_a_with_mqa",
        "self_attn.kv_a_layernorm": "attention.kv_a_norm", "self_attn.kv_b_proj": "attention.wkv_b",
    ]
    /// Of an expert of Mistral 4, and of the ones every token goes to.
    private static let gated = ["gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"]
    private static let layer = "model.layers.", weight = ".weight", expert = "block_sparse_moe.experts."

    /// - Parameter name: of an entry of a `ParameterTable`.
    static func name(_ name: String) -> String {
        if let whole = whole[name] { return whole }
        precondition(name.hasPrefix(layer) && name.hasSuffix(weight), "a parameter is of a layer or one of three")
        let rest = name.dropFirst(layer.count).dropLast(weight.count), dot = rest.firstIndex(of: ".") ?? rest.endIndex
        let number = rest[..<dot], part = String(rest[dot...].dropFirst())
        if let known = parts[part] { return "layers.\(number).\(known).weight" }
        if part.hasPrefix("mlp."), let last = part.lastIndex(of: "."), let matrix = gated[String(part[last...].dropFirst())] {
            return "layers.\(number).\(part[..<last].dropFirst(4)).\(matrix).weight"
        }
        precondition(part.hasPrefix(expert), "every part of a layer has a native name")
        return "layers.\(number).feed_forward.experts.\(part.dropFirst(expert.count)).weight"
    }

    /// Rows of queries and keys lie in pairs there, (2i, 2i + 1) of a head turned together, and in halves here, (i, i + d/2); latent attention has pairs everywhere.
    /// - Returns: nil where rows lie alike; else the head's width.
    static func pairedHeads(_ name: String, _ config: MistralConfig) -> Int? {
        config.latent == nil && (name.hasSuffix("self_attn.q_proj.weight") || name.hasSuffix("self_attn.k_proj.weight")) ? config.headDim : nil
    }

    /// The row here that is the native row `row`.
    static func rowHere(_ row: Int, headDim d: Int) -> Int { row / d * d + row % d / 2 + (row % 2 == 0 ? 0 : d / 2) }

    /// The native row that is row `row` here.
    static func row(_ row: Int, headDim d: Int) -> Int {
        let head = row / d, within = row % d, half = d / 2
        return head * d + (within < half ? 2 * within : 2 * (within - half) + 1)
    }
}
