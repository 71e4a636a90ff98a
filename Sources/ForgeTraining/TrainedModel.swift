package import ForgeArtifact
package import ForgeCore
package import ForgeModel
import ForgeTensor
import ForgeTokenizer

/// A finished model's files, short ones whole and the weights in pieces.
package struct TrainedModel {
    package let recipe: Recipe
    package let config: MistralConfig
    /// Of the model, or of the adapters that are merged into `base`.
    package let parameters: Parameters
    package let base: StoredModel?
    package let kernels: String

    package init(recipe: Recipe, config: MistralConfig, parameters: Parameters, base: StoredModel? = nil, kernels: String) {
        precondition(parameters.table.adapters == nil || base != nil, "adapters are merged into a model")
        (self.recipe, self.config, self.parameters, self.base, self.kernels) = (recipe, config, parameters, base, kernels)
    }

    private var isMerged: Bool { parameters.table.adapters != nil }

    /// config.json, generation.json, recipe.yaml and code.json.
    /// - Throws: `.request` if the recipe names a chat template that does not exist.
    package func files() throws(Fault) -> [ModelFile: [UInt8]] {
        if let name = recipe.chatTemplate, ChatTemplate(rawValue: name) == nil {
            throw Fault(.request, "recipe.template", "the recipe cannot be used", why: "the chat template `\(name.prefix(64))` is not known")
        }
        return [
            .config: Array(config.json.text.utf8), .recipe: Array(recipe.yaml.utf8), .code: CodeRecord(kernelPath: kernels).encoded,
            .generation: GenerationRecord(
                chatTemplate: recipe.chatTemplate ?? base?.generation.chatTemplate, template: recipe.chatTemplate == nil ? base?.generation.template : nil,
                contextLength: base?.generation.contextLength ?? config.contextMax, endOfText: base?.generation.endOfText ?? config.eos ?? 2, precision: recipe.precision.rawValue
            ).encoded,
        ]
    }

    /// Where each tensor lies in model.safetensors. What was merged into keeps its type; what learnt is float32.
    package var layout: TensorTable {
        TensorTable(
            laying: ParameterTable(config).homes.map { ($0.home.name, isMerged ? base?.weights[$0.home.name]?.dtype ?? .f32 : .f32, $0.home.shape) }, metadata: ["format": "pt"])
    }

    /// Gives model.safetensors piece by piece, each at most a few MiB.
    package func writeWeights(_ sink: ([UInt8]) throws(Fault) -> Void) throws(Fault) {
        let layout = layout, parts = Dictionary(uniqueKeysWithValues: ParameterTable(config).homes.map { ($0.home.name, $0.entries) })
        let merge = AdapterMerge(parameters)
        try sink(layout.headerBytes)
        for stored in layout.entries {
            for entry in parts[stored.name] ?? [] {
                if isMerged { try write(entry, merge, as: stored.dtype, sink) } else { try write(parameters.tensor(entry), sink) }
            }
        }
    }

    private static let piece = 1 << 20

    private func write(_ tensor: Tensor, _ sink: ([UInt8]) throws(Fault) -> Void) throws(Fault) {
        for start in stride(from: 0, to: tensor.count, by: TrainedModel.piece) {
            try sink(tensor.view(from: start, rows: 1, columns: min(TrainedModel.piece, tensor.count - start)).bytes())
        }
    }

    /// W + s·B·A in float32, rounded once to W's type (docs/formats/adapters.md §3).
    private func write(_ entry: ParameterTable.Entry, _ merge: AdapterMerge, as type: DType, _ sink: ([UInt8]) throws(Fault) -> Void) throws(Fault) {
        guard let base, let found = base.weights[entry.home.name] else { preconditionFailure("a run of adapters has looked at every tensor of its base") }
        let delta = merge.delta(entry)
        for start in stride(from: 0, to: entry.count, by: TrainedModel.piece) {
            let count = min(TrainedModel.piece, entry.count - start), bytes = try base.bytes(found.bytes(of: count, from: entry.home.first + start))
            guard let delta else {
                try sink(bytes)
                continue
            }
            var values = type.floats(bytes)
            delta.add(to: &values, from: start)
            try sink(type.bytes(values))
        }
    }
}
