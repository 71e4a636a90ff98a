package import ForgeArtifact
package import ForgeCore
import ForgeModel

/// The `model.safetensors` that a GGUF file becomes: laid out from its tensors, its bytes made from the file when they are asked for.
package struct GGUFWeights: Sendable {
    package let table: TensorTable
    private let model: GGUFModel
    private let precision: GGUFModel.Precision
    private let header: [UInt8]

    package init(_ model: GGUFModel, as precision: GGUFModel.Precision) {
        self.model = model
        self.precision = precision
        table = TensorTable(laying: model.table.entries.map { ($0.name, model.dtype(of: $0, as: precision), $0.shape) }, metadata: ["format": "pt"])
        header = table.headerBytes
    }

    package var count: Int { table.fileBytes }

    /// Any bytes of the file, made now.
    /// - Precondition: the range lies in the file.
    package func bytes(_ range: Range<Int>) throws(Fault) -> [UInt8] {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "a file is read within its bytes")
        var out: [UInt8] = []
        out.reserveCapacity(range.count)
        if range.lowerBound < header.count { out += header[range.lowerBound..<min(range.upperBound, header.count)] }
        // The first tensor that ends behind the start.
        var low = 0, high = table.entries.count
        while low < high {
            let middle = (low + high) / 2
            if table.entries[middle].range.upperBound <= range.lowerBound { low = middle + 1 } else { high = middle }
        }
        for tensor in table.entries[low...] {
            let part = tensor.range.clamped(to: range)
            guard !part.isEmpty, let entry = model.table[tensor.name] else { break }
            let rowBytes = tensor.range.count / (tensor.shape.rank == 2 ? tensor.shape[0] : 1)
            let from = part.lowerBound - tensor.range.lowerBound, to = part.upperBound - tensor.range.lowerBound, first = from / rowBytes
            let rows = try model.bytes(entry, rows: first..<(to - 1) / rowBytes + 1, as: precision)
            out += rows[(from - first * rowBytes)..<(to - first * rowBytes)]
        }
        return out
    }
}
