package import ForgeArtifact
package import ForgeCore
import ForgeModel

/// The `model.safetensors` that a GGUF file becomes: laid out from its tensors, its bytes made from the file when they are asked for.
package struct GGUFWeights: Sendable {
    private let model: GGUFModel
    private let made: MadeTensors<ParameterTable.Entry>
    package var table: TensorTable { made.table }

    package init(_ model: GGUFModel) {
        self.model = model
        let table = TensorTable(laying: model.table.entries.map { ($0.name, model.dtype(of: $0), $0.shape) }, metadata: ["format": "pt"])
        made = MadeTensors(table, table.entries.map { ($0.range, model.table[$0.name]!) })  // laid out from these names
    }

    package var count: Int { table.fileBytes }

    /// Any bytes of the file, made now.
    /// - Precondition: the range lies in the file.
    /// - Throws: `.request` if the GGUF file was cut since it was opened.
    package func bytes(_ range: Range<Int>) throws(Fault) -> [UInt8] {
        try made.bytes(range) { (entry, part, out, place) throws(Fault) in
            // Rows that are begun are made whole and cut: blocks lie along them.
            let width = entry.count / (entry.shape.rank == 2 ? entry.shape[0] : 1) * model.dtype(of: entry).width, first = part.lowerBound / width
            let rows = try model.bytes(entry, rows: first..<(part.upperBound - 1) / width + 1)
            out.replaceSubrange(place..<place + part.count, with: rows[(part.lowerBound - first * width)..<(part.upperBound - first * width)])
        }
    }
}
