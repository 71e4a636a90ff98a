package import ForgeArtifact
package import ForgeCore
package import ForgeModel
import ForgeTensor
import ForgeTokenizer

/// A finished model's files, short ones whole and the weights in pieces.
package struct TrainedModel {
    package let recipe: Recipe
    package let config: MistralConfig
    package let parameters: Parameters
    package let kernels: String

    package init(recipe: Recipe, config: MistralConfig, parameters: Parameters, kernels: String) {
        (self.recipe, self.config, self.parameters, self.kernels) = (recipe, config, parameters, kernels)
    }

    /// config.json, generation.json, recipe.yaml and code.json.
    /// - Throws: `.request` if the recipe names a chat template that does not exist.
    package func files() throws(Fault) -> [ModelFile: [UInt8]] {
        if let name = recipe.chatTemplate, ChatTemplate(rawValue: name) == nil {
            throw Fault(.request, "recipe.template", "the recipe cannot be used", why: "the chat template `\(name.prefix(64))` is not known")
        }
        return [
            .config: Array(config.json.text.utf8), .recipe: Array(recipe.yaml.utf8), .code: CodeRecord(kernelPath: kernels).encoded,
            .generation: GenerationRecord(
                chatTemplate: recipe.chatTemplate, contextLength: config.contextMax, endOfText: config.eos ?? 2, precision: recipe.precision.rawValue
            ).encoded,
        ]
    }

    /// Where each tensor lies in model.safetensors.
    package var layout: TensorTable { TensorTable(laying: parameters.table.homes.map { ($0.home.name, .f32, $0.home.shape) }, metadata: ["format": "pt"]) }

    /// Gives model.safetensors piece by piece, each at most a few MiB.
    package func writeWeights(_ sink: ([UInt8]) throws(Fault) -> Void) throws(Fault) {
        let layout = layout, parts = Dictionary(uniqueKeysWithValues: parameters.table.homes.map { ($0.home.name, $0.entries) })
        try sink(layout.headerBytes)
        for stored in layout.entries {
            for entry in parts[stored.name] ?? [] {
                let tensor = parameters.tensor(entry), step = 1 << 20
                for start in stride(from: 0, to: tensor.count, by: step) {
                    try sink(tensor.view(from: start, rows: 1, columns: min(step, tensor.count - start)).bytes())
                }
            }
        }
    }
}

extension Parameters {
    /// Takes the weights of a model file.
    /// - Parameter read: gives bytes of the file; every tensor of the table must be there with its shape, as float32 or as bfloat16, which widens exactly.
    /// - Throws: `.request` naming the tensor that is missing or does not fit.
    package func load(_ file: TensorTable, read: (Range<Int>) throws(Fault) -> [UInt8]) throws(Fault) {
        for entry in table.entries {
            let home = entry.home
            guard let found = file[home.name] else {
                throw Fault(.request, "model.tensor", "the weights do not fit the configuration", why: "tensor `\(home.name)` is missing")
            }
            guard found.shape == home.shape else {
                throw Fault(.request, "model.tensor", "the weights do not fit the configuration", why: "tensor `\(home.name)` is \(found.shape), not \(home.shape)")
            }
            let bytes = try read(found.bytes(of: entry.count, from: home.first))
            switch found.dtype {
            case .f32: tensor(entry).write(bytes: bytes)
            case .bf16: tensor(entry).write(stride(from: 0, to: bytes.count, by: 2).map { Float(bitPattern: UInt32(bytes[$0]) << 16 | UInt32(bytes[$0 + 1]) << 24) })
            default:
                throw Fault(.request, "model.tensor", "the weights cannot be read", why: "tensor `\(home.name)` is \(found.dtype.rawValue); F32 and BF16 are read")
            }
        }
    }
}
