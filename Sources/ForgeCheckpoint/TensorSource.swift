import ForgeArtifact
import ForgeBlocks
import ForgeCore
import ForgeModel

/// Where a matrix's numbers come from and what becomes of them on the way: some rows of one tensor of a file, turned, scaled or added to. Made row by row when asked for.
struct TensorSource: Sendable {
    /// How the rows of heads so wide are turned on their way.
    enum Turn: Sendable { case none, toHalves(Int), toPairs(Int) }

    /// How the numbers are kept in the file.
    enum Code: Sendable {
        /// As elements of the tensor's type.
        case plain
        case float8(SmallFloat, Scales)
        /// NVFP4 as compressed-tensors packs it: `scales` has a code for every 16 numbers, and `global` divides.
        case float4(scales: TensorShards.Place, global: Float)
    }

    enum Scales: Sendable {
        case tensor(Float)
        case rows([Float])
        case tiles(TileScales)
    }

    let place: TensorShards.Place
    let rows: Int
    let columns: Int
    /// The row of the tensor that is the first of these.
    var firstRow = 0
    var code = Code.plain
    var turn = Turn.none
    /// What is added on the way.
    var delta: AdapterDelta?

    /// The type the numbers leave in.
    var dtype: DType {
        switch code {
        // F16 has three bits of fraction more than BF16 and fewer exponents than float32, which alone holds every one of its values.
        case .plain: place.entry.dtype == .f16 ? .f32 : place.entry.dtype
        case .float8, .float4: .bf16
        }
    }

    /// The same bytes as they lie in the file, and nil where they are not those.
    func kept(_ range: Range<Int>, as dtype: DType) throws(Fault) -> [UInt8]? {
        guard case .plain = code, case .none = turn, delta == nil, dtype == place.entry.dtype else { return nil }
        let start = firstRow * columns * dtype.width
        return try place.bytes(start + range.lowerBound..<start + range.upperBound)
    }

    /// - Parameter range: of the bytes the rows become in `dtype`.
    func read(_ range: Range<Int>, as dtype: DType, into out: inout [UInt8], at place: Int) throws(Fault) {
        let width = columns * dtype.width
        if case .plain = code, delta == nil, dtype == self.place.entry.dtype {
            guard case .none = turn else {
                var at = range.lowerBound
                while at < range.upperBound {
                    let within = at % width, end = min(width, within + range.upperBound - at), from = stored(at / width) * width
                    try self.place.read(from + within..<from + end, into: &out, at: place + at - range.lowerBound)
                    at += end - within
                }
                return
            }
            return try self.place.read(firstRow * width + range.lowerBound..<firstRow * width + range.upperBound, into: &out, at: place)
        }
        // Rows that are begun are made whole and cut: scales and what is added go by rows.
        let some = range.lowerBound / width..<(range.upperBound + width - 1) / width
        var values = try floats(some)
        delta?.add(to: &values, from: some.lowerBound * columns)
        let skipped = range.lowerBound - some.lowerBound * width
        out.replaceSubrange(place..<place + range.count, with: dtype.bytes(values)[skipped..<skipped + range.count])
    }

    /// The row of the tensor that is row `row` of these.
    private func stored(_ row: Int) -> Int {
        switch turn {
        case .none: firstRow + row
        case .toHalves(let d): firstRow + NativeNames.row(row, headDim: d)
        case .toPairs(let d): firstRow + NativeNames.rowHere(row, headDim: d)
        }
    }

    private func floats(_ some: Range<Int>) throws(Fault) -> [Float] {
        // Rows that lie together in the file are read at once.
        guard case .none = turn else {
            var out: [Float] = []
            out.reserveCapacity(some.count * columns)
            for row in some { out += try decoded(stored(row)..<stored(row) + 1) }
            return out
        }
        return try decoded(firstRow + some.lowerBound..<firstRow + some.upperBound)
    }

    private func decoded(_ some: Range<Int>) throws(Fault) -> [Float] {
        switch code {
        case .plain:
            let width = columns * place.entry.dtype.width
            return place.entry.dtype.floats(try place.bytes(some.lowerBound * width..<some.upperBound * width))
        case .float8(let format, let scales):
            return decode(try place.bytes(some.lowerBound * columns..<some.upperBound * columns), some, format, scales)
        case .float4(let kept, let global):
            let packed = try place.bytes(some.lowerBound * columns / 2..<some.upperBound * columns / 2)
            let codes = try kept.bytes(some.lowerBound * columns / PackedFloat4.group..<some.upperBound * columns / PackedFloat4.group)
            var out = [Float](repeating: 0, count: some.count * columns)
            var span = out.mutableSpan
            unsafe PackedFloat4.decode(packed.span.bytes, scales: codes.span.bytes, global: global, into: &span)
            return out
        }
    }

    private func decode(_ codes: [UInt8], _ some: Range<Int>, _ format: SmallFloat, _ scales: Scales) -> [Float] {
        guard case .tensor(let scale) = scales else {
            var out: [Float] = [], line = [Float](repeating: 0, count: columns)
            out.reserveCapacity(codes.count)
            for (number, row) in some.enumerated() {
                let codes = unsafe codes.span.bytes.extracting(number * columns..<(number + 1) * columns)
                var span = line.mutableSpan
                // Scales are those of these rows, and not of the tensor's.
                switch scales {
                case .tensor: break
                case .rows(let scales): format.decode(codes, scale: scales[row - firstRow], into: &span)
                case .tiles(let tiles): tiles.decode(codes, row: row - firstRow, as: format, into: &span)
                }
                out += line
            }
            return out
        }
        var out = [Float](repeating: 0, count: codes.count)
        var span = out.mutableSpan
        unsafe format.decode(codes.span.bytes, scale: scale, into: &span)
        return out
    }
}
