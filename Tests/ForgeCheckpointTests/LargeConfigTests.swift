import ForgeCore
import ForgeModel
import Testing

@Suite struct LargeConfigTests {
    private func release() throws -> LargeConfig { try LargeConfig(json: ["model_type": "mistral_large4"]) }

    /// Counted are the tensors of the decoder of text: embedding, layers, final norm, head. A token meets all but the embedding, of which it takes one row, and the 124 experts of a layer it does not go to.
    /// The numbers are those of transformers 5.23.0: the sums over `MistralLarge4ForConditionalGeneration(MistralLarge4Config())` on the device `meta`, with `alpha`.
    @Test func `with what transformers' class says there are a trillion parameters, and a token meets 52 billion`() throws {
        let config = try release(), table = LargeTable(config)
        #expect(table.count == 1_050_118_202_912 && table.active == 51_840_296_480)
        #expect(table.count(.vision) + table.count(.projector) == 1_704_218_624)
        #expect(table.count(.experts) == 71 * 128 * 3 * 6_144 * 6_144 && table.count(.head) == 204_800 * 6_144)
        #expect(config.layers.count { !$0.turns } == 18 && config.layers.allSatisfy { $0.chooses } && config.layers.count { $0.isMixture } == 71)
        #expect(table["layers.2.attention.wkv_a_with_mqa.weight"]?.shape == [576, 6_144] && table["layers.3.attention.wkv_a_with_mqa.weight"]?.shape == [512, 6_144])
        #expect(table["layers.2.attention.wkv_b.weight"]?.shape == [64 * 192, 512] && table["layers.3.attention.wkv_b.weight"]?.shape == [64 * 256, 512])
        #expect(table["layers.0.feed_forward.w1.weight"]?.shape == [24_576, 6_144] && table["layers.0.gate.weight"] == nil)
        #expect(config.vision?.layers == 30 && table["vision_encoder.patch_conv.weight"]?.shape == [2_048, 3, 14, 14])
        // The decoder alone is the same without the tower.
        let text = try LargeConfig(json: ["model_type": "mistral_large4_text"])
        #expect(text.vision == nil && LargeTable(text).count == table.count)
    }

    @Test func `the plan says what weights and caches take`() throws {
        let config = try release(), plan = MemoryPlan(LargeTable(config))
        // 54 layers keep 512 + 64 numbers, 18 keep 512, and all 72 a key of 128 for their indexer, in two bytes each.
        #expect(plan.bytesPerToken == ByteCount(2 * (54 * 576 + 18 * 512 + 72 * 128)))
        #expect(plan.contexts.map(\.tokens) == [4_096, 32_768, 131_072, 524_288, 1_048_576] && plan.contexts.last?.bytes == plan.bytesPerToken * 1_048_576)
        // Of the text's matrices two bytes a parameter, and less than an eighth above one and a half.
        let text = Double(LargeTable(config).count)
        for (bytes, least) in zip(plan.weights, [2.0, 1.0, 0.5]) {
            let share = Double(bytes.count) / text
            #expect(share > least && share < least * 1.13 + 0.02, "\(share)")
        }
        var shared = config
        for layer in [4, 5] { shared.layers[layer].source = 0 }
        shared.layers[7].source = 3
        shared.layers[9].chooses = false
        try shared.validate()
        let less = MemoryPlan(LargeTable(shared))
        #expect(plan.bytesPerToken - less.bytesPerToken == ByteCount(2 * (2 * 576 + 512 + 128)))
    }

    @Test func `members that say the same in older or shorter words are read alike`() throws {
        let plain = try release()
        func text(_ members: JSON.Object) throws -> LargeConfig { try LargeConfig(json: ["model_type": "mistral_large4", "text_config": .object(members)]) }
        #expect(try text(["num_local_experts": 128, "first_k_dense_replace": 1, "no_rope_layer_interval": 4, "head_dim": 64, "qk_head_dim": 128, "rope_theta": .double(5.0)]) == plain)
        #expect(try text(["rope_parameters": ["type": "yarn", "factor": 2048, "original_max_position_embeddings": 512, "attention_factor": 1]]) == plain)
        let sparse = try text(["index_topk_freq": 4])
        #expect(sparse.layers.indices.filter { sparse.layers[$0].chooses } == [0, 1] + Array(stride(from: 5, to: 72, by: 4)))
        #expect(try text(["num_hidden_layers": 4, "index_topk_pattern": "FSSF"]).layers.map(\.chooses) == [true, false, false, true])
        #expect(try text(["num_hidden_layers": 2, "index_topk_pattern": ["full", "shared"], "indexer_types": ["full", "full"]]).layers.map(\.chooses) == [true, true])
        let stretched = try text(["rope_parameters": ["rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 512, "mscale": 1, "mscale_all_dim": .double(0.5), "beta_fast": 0]])
        #expect(stretched.yarn?.betaFast == 32 && abs((stretched.yarn?.attentionFactor ?? 0) - Yarn.magnitude(4) / Yarn.magnitude(4, mscale: 0.5)) < 1e-12)
        #expect(stretched.scoreScale == Yarn.magnitude(4, mscale: 0.5) * Yarn.magnitude(4, mscale: 0.5))
        #expect(try text(["rope_parameters": ["rope_type": "default"]]).yarn == nil)
        #expect(try text(["an_invention": 3]).unread == ["text_config.an_invention"])
        let vision = try LargeConfig(json: ["model_type": "mistral_large4", "vision_config": [:], "vision_feature_layer": [-1, -2], "multimodal_projector_bias": true])
        let table = LargeTable(vision)
        #expect(vision.vision?.width == 1_024 && table["vision_language_adapter.w_in.weight"]?.shape == [6_144, 2_048] && table["vision_language_adapter.w_out.bias"]?.shape == [6_144])
    }

    /// What a stranger could write, and what the refusal names.
    private static let hostile: [(JSON.Object, String)] = [
        (["num_hidden_layers": 0], "num_hidden_layers"), (["num_hidden_layers": 100_000], "num_hidden_layers"), (["num_hidden_layers": -1], "num_hidden_layers"), (["vocab_size": "many"], "vocab_size"),
        (["hidden_size": .double(1e6)], "hidden_size"), (["hidden_size": 2_147_483_648], "hidden_size"), (["n_routed_experts": 1], "n_routed_experts"), (["n_routed_experts": 100_000], "n_routed_experts"),
        (["num_hidden_layers": 1_024, "n_routed_experts": 4_096], "n_routed_experts"), (["n_routed_experts": 64, "num_experts": 128], "n_routed_experts"), (["num_experts_per_tok": 129], "num_experts_per_tok"),
        (["n_group": 2], "n_group"), (["topk_group": 2], "topk_group"), (["n_shared_experts": 0], "n_shared_experts"), (["hidden_act": "gelu"], "hidden_act"), (["attention_bias": true], "attention_bias"),
        (["attention_bias": 1], "attention_bias"), (["tie_word_embeddings": true], "tie_word_embeddings"), (["num_key_value_heads": 8], "num_key_value_heads"), (["num_attention_heads": 32], "num_key_value_heads"),
        (["qk_rope_head_dim": 63], "qk_rope_head_dim"), (["qk_head_dim": 64], "qk_head_dim"), (["index_head_dim": 32], "index_head_dim"), (["index_topk": 0], "index_topk"), (["index_n_heads": 0], "index_n_heads"),
        (["kv_lora_rank": 0], "kv_lora_rank"), (["final_logit_softcapping": 0], "final_logit_softcapping"), (["final_logit_softcapping": "30"], "final_logit_softcapping"), (["rms_norm_eps": 1], "rms_norm_eps"),
        (["routed_scaling_factor": .double(-1.0)], "routed_scaling_factor"), (["max_position_embeddings": 0], "max_position_embeddings"), (["bos_token_id": 204_800], "bos_token_id"), (["eos_token_id": []], "eos_token_id"),
        (["no_rope_layer_interval": 0], "no_rope_layer_interval"), (["rope_scaling": [:]], "rope_scaling"), (["rope_parameters": 3], "rope_parameters"), (["rope_parameters": ["rope_type": "llama3"]], "llama3"),
        (["rope_parameters": ["rope_type": "yarn"]], "factor"), (["rope_parameters": ["rope_type": "yarn", "factor": .double(0.5)]], "factor"), (["rope_parameters": ["rope_type": "yarn", "factor": 2, "truncate": false]], "truncate"),
        (["rope_parameters": ["rope_theta": 1]], "rope_theta"), (["rope_parameters": ["partial_rotary_factor": .double(0.5)]], "partial_rotary_factor"), (["rope_parameters": ["surprise": 1]], "surprise"),
        (["rope_parameters": ["rope_type": "yarn", "factor": 2, "original_max_position_embeddings": 2_000_000]], "original_max_position_embeddings"),
        (["num_hidden_layers": 3, "no_rope_layers": [1, 1]], "no_rope_layers"), (["num_hidden_layers": 3, "no_rope_layers": [1, 1, 2]], "no_rope_layers"), (["num_hidden_layers": 3, "no_rope_layers": [1, 1, true]], "no_rope_layers"),
        (["num_hidden_layers": 3, "indexer_types": ["shared", "full", "full"]], "indexer_types"), (["num_hidden_layers": 3, "indexer_types": ["full", "full"]], "indexer_types"),
        (["num_hidden_layers": 3, "indexer_types": ["full", "full", "half"]], "indexer_types"), (["num_hidden_layers": 3, "index_topk_pattern": "FSX"], "index_topk_pattern"),
        (["num_hidden_layers": 3, "index_topk_pattern": "FS"], "index_topk_pattern"), (["num_hidden_layers": 3, "mlp_layer_types": ["dense", "sparse", "wide"]], "mlp_layer_types"),
        (["num_hidden_layers": 3, "layer_types": ["indexed_attention", "indexed_attention", "full_attention"]], "layer_types"), (["num_hidden_layers": 3, "kv_source_layers": [0, 1]], "kv_source_layers"),
        (["num_hidden_layers": 3, "kv_source_layers": [1, 1, 2]], "does not come before it"), (["num_hidden_layers": 3, "kv_source_layers": [0, 0, 1]], "has none of its own"),
        (["num_hidden_layers": 3, "kv_source_layers": [0, -1, 2]], "kv_source_layers"), (["num_hidden_layers": 3, "kv_source_layers": [0, 3, 2]], "kv_source_layers"),
        (["num_hidden_layers": 4, "kv_source_layers": [0, 1, 2, 0]], "only one of the two turns"), (["num_hidden_layers": 3, "kv_source_layers": [0, 1, 2], "quantization_config": ["quant_method": "gptq"]], "gptq"),
        // Layer 3 turns here, and by then the reference keeps what layer 1 kept for layer 2.
        (["num_hidden_layers": 4, "no_rope_layers": [1, 1, 1, 1], "kv_source_layers": [0, 1, 1, 0]], "either could be meant"),
    ]

    @Test(arguments: hostile.indices)
    func `what contradicts itself or is not supported is refused by name`(index: Int) throws {
        let (members, named) = LargeConfigTests.hostile[index]
        let wrapped = #expect(throws: Fault.self, "\(named)") { _ = try LargeConfig(json: ["model_type": "mistral_large4", "text_config": .object(members)]) }
        #expect(wrapped?.kind == .request && wrapped?.why.contains(named) == true, "\(wrapped?.message ?? "")")
        var bare = members
        bare["model_type"] = "mistral_large4_text"
        #expect(throws: Fault.self) { _ = try LargeConfig(json: .object(bare)) }
    }

    @Test func `so are parts of the wrapper, and code of its own`() throws {
        for (members, named) in [
            (["text_config": 3], "text_config"), (["text_config": ["model_type": "mistral"]], "mistral"), (["vision_config": ["model_type": "siglip"]], "siglip"), (["auto_map": ["AutoConfig": "code.Config"]], "auto_map"),
            (["vision_config": ["num_attention_heads": 3]], "num_attention_heads"), (["vision_config": ["patch_size": [14, 14]]], "patch_size"), (["spatial_merge_size": 0], "spatial_merge_size"),
            (["tie_word_embeddings": true], "tie_word_embeddings"), (["vision_feature_layer": []], "vision_feature_layer"), (["quantization_config": ["quant_method": "awq"]], "awq"),
        ] as [(JSON.Object, String)] {
            var root = members
            root["model_type"] = "mistral_large4"
            let fault = #expect(throws: Fault.self, "\(named)") { _ = try LargeConfig(json: .object(root)) }
            #expect(fault?.why.contains(named) == true, "\(fault?.message ?? "")")
        }
        #expect(throws: Fault.self) { _ = try LargeConfig(json: ["model_type": "mistral4"]) }
        #expect(throws: Fault.self) { _ = try LargeConfig(json: []) }
    }
}
