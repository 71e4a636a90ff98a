package import ForgeCore
package import ForgeModel

/// `adapter_config.json` (docs/formats/adapters.md §1).
extension AdapterConfig {
    private static let ignored: Set<String> = ["base_model_name_or_path", "revision", "inference_mode", "auto_mapping", "peft_version", "megatron_core", "qalora_group_size", "eva_config"]
    private static let read: Set<String> = ["peft_type", "task_type", "r", "lora_alpha", "use_rslora", "target_modules", "bias", "init_lora_weights", "lora_dropout"]
    /// Ways to draw A and B that leave the matrix beside them as it is.
    private static let starts: Set<JSON> = [.null, true, false, "gaussian", "orthogonal", "eva"]
    private static let meanings = [
        "use_dora": "DoRA scales every row anew", "rank_pattern": "ranks differ from matrix to matrix", "alpha_pattern": "scales differ from matrix to matrix", "layers_to_transform": "only some layers have adapters",
        "modules_to_save": "whole matrices are trained beside the adapters", "trainable_token_indices": "single tokens are trained beside the adapters", "lora_bias": "adapters have biases",
        "fan_in_fan_out": "matrices lie transposed", "target_parameters": "adapters lie beside parameters of other modules", "exclude_modules": "some matrices are left out",
        "alora_invocation_tokens": "the adapter is awake for part of a text alone", "layer_replication": "layers are repeated",
    ]

    /// - Parameter base: the decoder that the adapters lie beside.
    /// - Throws: `.request` naming the member that is missing, of the wrong kind, or not supported. A member nobody knows is refused if it says anything.
    package init(peft json: JSON, beside base: MistralConfig) throws(Fault) {
        func fault(_ why: String) -> Fault { Fault(.request, "adapter.config", "cannot read the adapter's adapter_config.json", why: why, remedy: "LoRA adapters of one rank on the same matrices of every layer are supported") }
        guard let root = json.object else { throw fault("it is not a JSON object") }
        guard let kind = root["peft_type"]?.string else { throw fault("`peft_type` is missing") }
        guard kind == "LORA" else { throw fault("`peft_type` is `\(kind.prefix(40))`, not `LORA`") }
        if let task = root["task_type"], task != .null, task.string != "CAUSAL_LM" { throw fault("`task_type` is \(task.text.prefix(40)), not `CAUSAL_LM`") }
        if let other = root.members.first(where: { !AdapterConfig.ignored.contains($0.key) && !AdapterConfig.read.contains($0.key) && !$0.value.saysNothing }) {
            throw fault("`\(other.key.prefix(60))` is set: \(AdapterConfig.meanings[other.key] ?? "what it changes is not supported")")
        }
        if let bias = root["bias"], bias != "none" { throw fault("`bias` is \(bias.text.prefix(40)), not `none`") }
        if let start = root["init_lora_weights"], !AdapterConfig.starts.contains(start) {
            throw fault("`init_lora_weights` is \(start.text.prefix(40)): the adapter fits a matrix that was changed first; let PEFT convert it when it is saved")
        }
        if let dropout = root["lora_dropout"], dropout != .null, !(dropout.number.map { (0...1).contains($0) } ?? false) { throw fault("`lora_dropout` is not a number from 0 to 1") }
        guard let rank = root["r"].flatMap(MistralConfig.whole), (1...65_536).contains(rank) else { throw fault("`r` is not a whole number from 1 to 65536") }
        guard let alpha = root["lora_alpha"]?.number, abs(alpha) <= 1e9 else { throw fault("`lora_alpha` is not a number of at most 1e9") }
        let stabilised = root["use_rslora"] ?? false
        guard let stabilised = stabilised.bool else { throw fault("`use_rslora` is neither true nor false") }
        self.init(rank: rank, alpha: alpha, stabilised: stabilised, targets: try AdapterConfig.targets(root["target_modules"], base, fault))
    }

    /// What names mean: a whole name, or its end after a dot.
    private static func targets(_ json: JSON?, _ base: MistralConfig, _ fault: (String) -> Fault) throws(Fault) -> Set<Target> {
        if let text = json?.string {
            guard text == "all-linear" else { throw fault("`target_modules` is an expression, `\(text.prefix(60))`: only lists of names and `all-linear` are supported") }
            return Set(base.adapterTargets)
        }
        guard let list = json?.array, !list.isEmpty else { throw fault("`target_modules` is neither a list of names nor `all-linear`") }
        var unused: Set<String> = [], targets: Set<Target> = []
        for name in list {
            guard let name = name.string else { throw fault("`target_modules` lists what is no name") }
            unused.insert(name)
        }
        let names = unused
        for target in base.adapterTargets {
            let layers = (0..<base.layers).count { layer in
                let parts = target.module(layer).split(separator: "."), meant = parts.indices.map { parts[$0...].joined(separator: ".") }.filter(names.contains)
                unused.subtract(meant)
                return !meant.isEmpty
            }
            guard layers == 0 || layers == base.layers else { throw fault("`target_modules` means `\(target.rawValue)` in \(layers) of \(base.layers) layers: adapters on some layers are not supported") }
            if layers > 0 { targets.insert(target) }
        }
        if let other = unused.min() { throw fault("`target_modules` has `\(other.prefix(60))`, which is no matrix of a layer") }
        return targets
    }

    /// As PEFT reads it; members in ascending order, so equal adapters give equal bytes.
    /// - Parameter base: where the model lies that they were made for; nil does not say.
    package func peft(base: String? = nil) -> JSON {
        [
            "base_model_name_or_path": base.map { .string($0) } ?? .null, "bias": "none", "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true,
            "lora_alpha": Int64(exactly: alpha).map { .int($0) } ?? .double(alpha), "lora_dropout": .double(0), "modules_to_save": .null, "peft_type": "LORA", "r": .int(Int64(rank)),
            "target_modules": .array(Target.allCases.filter(targets.contains).map { .string($0.rawValue) }), "task_type": "CAUSAL_LM", "use_dora": false, "use_rslora": .bool(stabilised),
        ]
    }
}

extension JSON {
    /// Null, false, and what is empty or made of such.
    fileprivate var saysNothing: Bool {
        switch self {
        case .null: true
        case .bool(let value): !value
        case .string(let text): text.isEmpty
        case .array(let items): items.allSatisfy(\.saysNothing)
        case .object(let object): object.members.allSatisfy { $0.value.saysNothing }
        case .int, .double: false
        }
    }
}
