import ForgeArtifact
import ForgeBlocks
import ForgeCore

/// Finds a matrix among a checkpoint's tensors in whatever form it is kept, and what belongs to it (docs/formats/checkpoints.md §4).
struct QuantisedTensors {
    private let places: [String: TensorShards.Place]
    /// Names nobody has asked for yet.
    private(set) var left: Set<String>

    init(_ shards: TensorShards) {
        places = shards.places
        left = Set(shards.places.keys)
    }

    /// What may stand beside `X.weight`, or in its place, and begins with `X.`.
    private static let packed = "weight_packed"
    private static let beside = [
        packed, "weight_scale", "weight_global_scale", "input_global_scale", "weight_scale_inv", "activation_scale", "input_scale", "qscale_weight", "qscale_act",
    ]

    /// The matrix that a tensor with such a name belongs to; any other name as it is.
    static func matrix(_ name: String) -> String {
        guard let dot = name.lastIndex(of: "."), beside.contains(String(name[dot...].dropFirst())) else { return name }
        return name[...dot] + "weight"
    }

    /// Whether it is there, in whatever form.
    func has(_ name: String) -> Bool { places[name] != nil || places[QuantisedTensors.stem(name) + "." + QuantisedTensors.packed] != nil }

    /// Lets go of what belongs to a matrix that does not fit.
    mutating func pass(_ name: String) {
        drop(name)
        for part in QuantisedTensors.beside { drop(QuantisedTensors.stem(name) + "." + part) }
    }

    private static func stem(_ name: String) -> String { name.hasSuffix(".weight") ? String(name.dropLast(7)) : name }

    /// A matrix or a norm by its own name.
    /// - Parameter name: with its `.weight`.
    mutating func source(_ name: String, _ shape: Shape) throws(Fault) -> TensorSource {
        guard let source = try find(name, shape) else { throw ModelWeights.fault("tensor `\(name)` is missing") }
        return source
    }

    /// A matrix that may lie with those of other experts in one tensor.
    /// - Parameters:
    ///   - all: that tensor's name, `[experts, rows, columns]`.
    ///   - first: the element of it that is the matrix's first.
    mutating func source(_ name: String, _ shape: Shape, in all: String, _ whole: Shape, first: Int) throws(Fault) -> TensorSource {
        guard let place = places[all] else { return try source(name, shape) }
        try fits(all, place, whole)
        left.remove(all)
        var source = TensorSource(place: place, rows: shape[0], columns: shape[1], firstRow: first / shape[1])
        if let format = SmallFloat(rawValue: place.entry.dtype.rawValue) {
            let scale = all + "_scale_inv", expert = first / (whole[1] * whole[2])
            guard let values = try numbers(scale), values.count == whole[0] else { throw ModelWeights.fault("tensor `\(scale)` is missing or has not one scale an expert") }
            source.code = .float8(format, .tensor(values[expert]))
            drop(all + "_activation_scale")
        }
        return source
    }

    private mutating func find(_ name: String, _ shape: Shape) throws(Fault) -> TensorSource? {
        let rows = shape.rank == 2 ? shape[0] : 1, columns = shape.count / rows
        if let place = places[name] {
            try fits(name, place, shape)
            left.remove(name)
            var source = TensorSource(place: place, rows: rows, columns: columns)
            if let format = SmallFloat(rawValue: place.entry.dtype.rawValue) { source.code = .float8(format, try scales(of: name, rows, columns)) }
            return source
        }
        let stem = QuantisedTensors.stem(name)
        guard let packed = places[stem + ".weight_packed"] else { return nil }
        guard columns.isMultiple(of: PackedFloat4.group), packed.entry.dtype == .u8, packed.entry.shape == [rows, columns / 2],
            let scales = places[stem + ".weight_scale"], scales.entry.dtype == .f8e4m3, scales.entry.shape == [rows, columns / PackedFloat4.group],
            let global = try numbers(stem + ".weight_global_scale"), global.count == 1
        else { throw ModelWeights.fault("`\(stem).weight_packed` and what belongs to it are not the \(shape) numbers of four bits that the configuration says") }
        guard global[0].isFinite, global[0] != 0 else { throw ModelWeights.fault("`\(stem).weight_global_scale` is \(global[0])") }
        left.remove(stem + ".weight_packed")
        drop(stem + ".weight_scale")
        drop(stem + ".input_global_scale")
        return TensorSource(place: packed, rows: rows, columns: columns, code: .float4(scales: scales, global: global[0]))
    }

    private func fits(_ name: String, _ place: TensorShards.Place, _ shape: Shape) throws(Fault) {
        guard place.entry.shape == shape else { throw ModelWeights.fault("tensor `\(name)` has the shape \(place.entry.shape), and the configuration says \(shape)") }
        guard DType.widening.contains(place.entry.dtype) || SmallFloat(rawValue: place.entry.dtype.rawValue) != nil else {
            throw ModelWeights.fault("tensor `\(name)` is of type \(place.entry.dtype.rawValue), which is not read: F32, BF16, F16, F8_E4M3 and F8_E5M2 are")
        }
    }

    /// Of a float of eight bits: one for the matrix, one a row, or one for each tile of 128 × 128. Scales of activations are not used: inputs are not rounded here.
    private mutating func scales(of name: String, _ rows: Int, _ columns: Int) throws(Fault) -> TensorSource.Scales {
        let stem = QuantisedTensors.stem(name)
        drop(stem + ".activation_scale")
        drop(stem + ".input_scale")
        drop(stem + ".qscale_act")
        for scale in [name + "_scale_inv", name + "_scale", stem + ".qscale_weight"] where places[scale] != nil {
            guard let values = try numbers(scale), let shape = places[scale]?.entry.shape else { break }
            if values.count == 1 { return .tensor(values[0]) }
            if shape == [rows, 1] { return .rows(values) }
            if let tiles = TileScales(values, rows: rows, columns: columns), shape == [(rows + 127) / 128, (columns + 127) / 128] { return .tiles(tiles) }
            throw ModelWeights.fault("tensor `\(scale)` has the shape \(shape), which is neither one scale, nor one a row, nor one for each 128 × 128 of [\(rows), \(columns)]")
        }
        throw ModelWeights.fault("tensor `\(name)` is of type F8 and has no scale beside it")
    }

    private mutating func numbers(_ name: String) throws(Fault) -> [Float]? {
        guard let place = places[name], DType.widening.contains(place.entry.dtype), place.entry.shape.count <= 1 << 24 else { return nil }
        left.remove(name)
        return place.entry.dtype.floats(try place.bytes(0..<place.entry.range.count))
    }

    private mutating func drop(_ name: String) { left.remove(name) }
}
