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
    package var layout: TensorTable { TensorTable(laying: parameters.table.entries.map { ($0.name, .f32, $0.shape) }, metadata: ["format": "pt"]) }

    /// Gives model.safetensors piece by piece, each at most a few MiB.
    package func writeWeights(_ sink: ([UInt8]) throws(Fault) -> Void) throws(Fault) {
        let layout = layout
        try sink(layout.headerBytes)
        for entry in layout.entries {
            let tensor = parameters.tensor(entry.name), step = 1 << 20
            for start in stride(from: 0, to: tensor.count, by: step) {
                try sink(tensor.view(from: start, rows: 1, columns: min(step, tensor.count - start)).bytes())
            }
        }
    }
}

extension Parameters {
    /// Takes the weights of a model file.
    /// - Parameter read: gives bytes of the file; every tensor of the table must be there as float32 with its shape.
    /// - Throws: `.request` naming the tensor that is missing or does not fit.
    package func load(_ file: TensorTable, read: (Range<Int>) throws(Fault) -> [UInt8]) throws(Fault) {
        for entry in table.entries {
            guard let found = file[entry.name] else {
                throw Fault(.request, "model.tensor", "the weights do not fit the configuration", why: "tensor `\(entry.name)` is missing")
            }
            guard found.shape == entry.shape else {
                throw Fault(.request, "model.tensor", "the weights do not fit the configuration", why: "tensor `\(entry.name)` is \(found.shape), not \(entry.shape)")
            }
            guard found.dtype == .f32 else {
                throw Fault(.request, "model.tensor", "the weights cannot be read", why: "tensor `\(entry.name)` is \(found.dtype.rawValue); only F32 is read yet")
            }
            tensor(entry).write(bytes: try read(found.range))
        }
    }
}
