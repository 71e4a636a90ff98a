import ForgeArtifact
package import ForgeCore
package import ForgeModel
import ForgeOS

/// Low-rank adapters in a folder of PEFT's layout (docs/formats/adapters.md).
package struct AdapterCheckpoint: Sendable {
    private static let described = "adapter_config.json", tensors = "adapter_model.safetensors"
    /// Names of its files, in ascending order.
    static let sources = [described, tensors]

    let folder: CheckpointFolder
    package let config: AdapterConfig
    /// A and B of each matrix, in the order of the forward pass.
    package let table: ParameterTable
    /// The tensor file, in the types it came in.
    package let weights: ModelWeights

    /// - Parameter base: the decoder that they lie beside.
    /// - Throws: `.request` naming the file, member or tensor that is missing, surplus or not supported.
    package init(_ folder: CheckpointFolder, beside base: MistralConfig) throws(Fault) {
        self.folder = folder
        config = try AdapterConfig(peft: try folder.json(AdapterCheckpoint.described), beside: base)
        table = ParameterTable(base, adapters: config)
        weights = try ModelWeights(adapters: try TensorShards(folder, names: [AdapterCheckpoint.tensors], listed: nil), table)
    }

    /// One tensor of the table as float32, row-major.
    /// - Throws: `.request` if the file was cut since it was opened.
    package func values(_ entry: ParameterTable.Entry) throws(Fault) -> [Float] { try weights.values(entry.name) }

    /// Writes a folder's two files as PEFT would, in float32.
    /// - Parameters:
    ///   - directory: it exists and has neither file.
    ///   - base: where the model lies that they were made for; nil does not say.
    ///   - values: of each entry, row-major.
    package static func write(_ table: ParameterTable, to directory: String, base: String? = nil, _ values: (ParameterTable.Entry) throws(Fault) -> [Float]) throws(Fault) {
        guard var config = table.adapters else { preconditionFailure("the table is one of adapters") }
        config.targets.formIntersection(table.config.adapterTargets)
        let laid = TensorTable(laying: table.entries.map { ($0.name, .f32, $0.shape) }, metadata: ["format": "pt"])
        let file = try File(Path.join(directory, tensors), .create), header = laid.headerBytes
        try file.write(header, at: 0)
        for entry in laid.entries {
            let floats = try values(table[entry.name]!)
            precondition(floats.count == entry.shape.count, "a tensor has a value an element")
            try file.write(DType.f32.bytes(floats), at: Int64(entry.range.lowerBound))
        }
        try file.sync()
        try Durable.create(Path.join(directory, described), with: Array(config.peft(base: base).text.utf8))
    }
}
