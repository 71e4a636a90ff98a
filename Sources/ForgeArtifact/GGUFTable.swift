package import ForgeBlocks
package import ForgeCore

/// The head of a GGUF file: pairs, and names, types, shapes and places of tensors, checked against the file's size before anything is read.
/// Format and checks: docs/formats/gguf.md.
package struct GGUFTable: Sendable, Hashable {
    package indirect enum Value: Sendable, Hashable {
        case unsigned(UInt64)
        case signed(Int64)
        case number(Double)
        case truth(Bool)
        case text(String)
        case list([Value])
    }

    package struct Entry: Sendable, Hashable {
        package let name: String
        package let type: BlockFormat
        /// Outermost first, as everywhere in Forge; the file has them the other way round.
        package let shape: Shape
        /// Bytes from the start of the file.
        package let range: Range<Int>
    }

    package let version: Int
    /// In the order of the file.
    package let pairs: [(key: String, value: Value)]
    package let entries: [Entry]
    private let places: [String: Int]
    private let keys: [String: Int]

    package subscript(name: String) -> Entry? { places[name].map { entries[$0] } }
    package func value(_ key: String) -> Value? { keys[key].map { pairs[$0].value } }

    package static func == (a: GGUFTable, b: GGUFTable) -> Bool {
        a.version == b.version && a.entries == b.entries && a.pairs.elementsEqual(b.pairs) { $0.key == $1.key && $0.value == $1.value }
    }
    package func hash(into hasher: inout Hasher) { hasher.combine(entries) }

    package static let pairLimit = 65_536
    package static let tensorLimit = 1_000_000
    fileprivate static let textLimit = 64 << 20
    /// Bytes a head may have.
    package static let headLimit = 256 << 20
    /// Values all lists together may have: one takes some twenty bytes of memory, and in the file as little as one.
    package static let listedLimit = 8 << 20

    /// Types that exist and are not read.
    fileprivate static let unread: [UInt32: String] = [
        9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S", 22: "IQ2_S", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M",
        34: "TQ1_0", 35: "TQ2_0",
    ]

    /// - Parameters:
    ///   - bytes: the file from its start, at least as far as the head goes; a mapped file will do.
    ///   - fileBytes: the whole file's length.
    ///   - source: what to call the file in errors.
    /// - Throws: `.request` naming the place and the check that failed.
    package init(parsing bytes: some RandomAccessCollection<UInt8>, fileBytes: Int, source: String) throws(Fault) { try self.init(reading: bytes, fileBytes, source) }

    /// The same, compiled for an array: heads have hundreds of thousands of texts.
    package init(parsing bytes: [UInt8], fileBytes: Int, source: String) throws(Fault) { try self.init(reading: bytes, fileBytes, source) }

    private init(reading bytes: some RandomAccessCollection<UInt8>, _ fileBytes: Int, _ source: String) throws(Fault) {
        var reader = GGUFReader(bytes, source: source)
        guard try reader.take(4).elementsEqual("GGUF".utf8) else { throw reader.fault("it does not begin with `GGUF`") }
        let version = try reader.u32()
        guard version == 2 || version == 3 else {
            throw reader.fault(version.byteSwapped == 2 || version.byteSwapped == 3 ? "it is big endian" : "it has version \(version); 2 and 3 are read")
        }
        // A tensor's entry has at least 33 bytes with one of name, a pair 14 with one of key.
        let tensors = try reader.count(of: "tensors", most: GGUFTable.tensorLimit, bytesEach: 33)
        let pairCount = try reader.count(of: "pairs", most: GGUFTable.pairLimit, bytesEach: 14)

        var pairs: [(key: String, value: Value)] = [], keys: [String: Int] = [:]
        pairs.reserveCapacity(pairCount)
        for _ in 0..<pairCount {
            let key = try reader.text(most: 65_535, what: "a key")
            guard !key.isEmpty else { throw reader.fault("a key is empty") }
            guard keys.updateValue(pairs.count, forKey: key) == nil else { throw reader.fault("the key `\(key.prefix(80))` comes twice") }
            pairs.append((key, try reader.value(of: try reader.u32(), key: key, depth: 0)))
        }
        var alignment = 32
        if let stated = keys["general.alignment"].map({ pairs[$0].value }) {
            guard case .unsigned(let number) = stated, (8...1 << 20).contains(number), number.nonzeroBitCount == 1 else {
                throw reader.fault("`general.alignment` is no power of two from 8 to 1048576")
            }
            alignment = Int(number)
        }

        var raw: [(name: String, type: BlockFormat, shape: Shape, offset: UInt64, bytes: Int)] = [], places: [String: Int] = [:]
        raw.reserveCapacity(tensors)
        for _ in 0..<tensors {
            let name = try reader.text(most: 64, what: "a tensor's name")
            guard !name.isEmpty else { throw reader.fault("a tensor has no name") }
            guard places.updateValue(raw.count, forKey: name) == nil else { throw reader.fault("the tensor `\(name)` comes twice") }
            let (type, shape, bytes) = try reader.shape(of: name)
            raw.append((name, type, shape, try reader.u64(), bytes))
        }

        func padded(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }
        let start = padded(reader.position)
        var expected = start, entries: [Entry] = []
        entries.reserveCapacity(tensors)
        for tensor in raw {
            guard let offset = Int(exactly: tensor.offset), offset <= fileBytes, start + offset == expected else {
                throw reader.fault("tensor `\(tensor.name)` does not begin where the one before it ends")
            }
            guard tensor.bytes <= fileBytes - expected else { throw reader.fault("the data of tensor `\(tensor.name)` go beyond the file") }
            entries.append(Entry(name: tensor.name, type: tensor.type, shape: tensor.shape, range: expected..<(expected + tensor.bytes)))
            expected = padded(expected + tensor.bytes)
        }
        let end = entries.last?.range.upperBound ?? reader.position
        guard fileBytes >= end, fileBytes <= max(expected, start) else { throw reader.fault("\(fileBytes - end) bytes follow the last tensor") }
        self.version = Int(version)
        self.pairs = pairs
        self.keys = keys
        self.entries = entries
        self.places = places
    }
}

/// Walks the head from its start; every step checks that it stays inside.
private struct GGUFReader<Bytes: RandomAccessCollection<UInt8>> {
    private let bytes: Bytes
    private let source: String
    private(set) var position = 0
    private var listed = 0
    private var index: Bytes.Index

    init(_ bytes: Bytes, source: String) {
        self.bytes = bytes
        self.source = source
        index = bytes.startIndex
    }

    func fault(_ why: String) -> Fault { Fault(.request, "gguf.invalid", "cannot read the GGUF file `\(source)`", why: "\(why) (before byte \(position))") }

    mutating func take(_ count: Int) throws(Fault) -> Bytes.SubSequence {
        guard position + count <= GGUFTable.headLimit else { throw fault("its head has more than \(GGUFTable.headLimit) bytes") }
        guard count <= bytes.count - position else { throw fault("it is cut short: \(count) bytes are wanted, \(bytes.count - position) are there") }
        let end = bytes.index(index, offsetBy: count)
        defer {
            index = end
            position += count
        }
        return bytes[index..<end]
    }

    private mutating func integer(_ width: Int) throws(Fault) -> UInt64 { try take(width).reversed().reduce(0) { $0 << 8 | UInt64($1) } }
    mutating func u32() throws(Fault) -> UInt32 { UInt32(truncatingIfNeeded: try integer(4)) }
    mutating func u64() throws(Fault) -> UInt64 { try integer(8) }

    /// A count of things that take at least so many bytes each: more than the rest of the file can hold are none.
    mutating func count(of what: String, most: Int, bytesEach: Int) throws(Fault) -> Int {
        let announced = try u64()
        guard announced <= UInt64(most), Int(announced) <= (bytes.count - position) / bytesEach else { throw fault("it announces \(announced) \(what), more than fit") }
        return Int(announced)
    }

    mutating func text(most: Int, what: String) throws(Fault) -> String {
        let length = try u64()
        guard length <= UInt64(most) else { throw fault("\(what) has \(length) bytes; at most \(most) are read") }
        guard let text = String(validating: try take(Int(length)), as: UTF8.self) else { throw fault("\(what) is not UTF-8") }
        return text
    }

    mutating func value(of type: UInt32, key: String, depth: Int) throws(Fault) -> GGUFTable.Value {
        switch type {
        case 0: return .unsigned(try integer(1))
        case 1: return .signed(Int64(Int8(truncatingIfNeeded: try integer(1))))
        case 2: return .unsigned(try integer(2))
        case 3: return .signed(Int64(Int16(truncatingIfNeeded: try integer(2))))
        case 4: return .unsigned(try integer(4))
        case 5: return .signed(Int64(Int32(truncatingIfNeeded: try integer(4))))
        case 6: return .number(Double(Float(bitPattern: try u32())))
        case 7:
            let byte = try integer(1)
            guard byte <= 1 else { throw fault("the truth value `\(key.prefix(80))` is \(byte)") }
            return .truth(byte == 1)
        case 8: return .text(try text(most: GGUFTable.textLimit, what: "the value of `\(key.prefix(80))`"))
        case 9:
            guard depth < 2 else { throw fault("the value of `\(key.prefix(80))` is nested deeper than two lists") }
            // What a value of each type takes at least, text and lists by their lengths.
            let inner = try u32(), widths = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8]
            guard inner < widths.count else { throw fault("the list `\(key.prefix(80))` is of the unknown type \(inner)") }
            let count = try count(of: "values in the list `\(key.prefix(80))`", most: GGUFTable.listedLimit - listed, bytesEach: widths[Int(inner)])
            listed += count
            var values: [GGUFTable.Value] = []
            values.reserveCapacity(count)
            for _ in 0..<count { values.append(try value(of: inner, key: key, depth: depth + 1)) }
            return .list(values)
        case 10: return .unsigned(try u64())
        case 11: return .signed(Int64(bitPattern: try u64()))
        case 12: return .number(Double(bitPattern: try u64()))
        default: throw fault("the value of `\(key.prefix(80))` has the unknown type \(type)")
        }
    }

    /// Extents, type and size of a tensor; its offset follows.
    mutating func shape(of name: String) throws(Fault) -> (BlockFormat, Shape, bytes: Int) {
        let rank = try u32()
        guard (1...4).contains(rank) else { throw fault("tensor `\(name)` has \(rank) extents; 1 to 4 are read") }
        var extents: [Int] = [], elements = 1
        for _ in 0..<rank {
            let extent = try u64()
            guard extent > 0, let extent = Int(exactly: extent) else { throw fault("tensor `\(name)` has an extent of \(extent)") }
            let (product, overflow) = elements.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw fault("tensor `\(name)` has extents whose product overflows") }
            elements = product
            extents.append(extent)
        }
        let number = try u32()
        guard let type = BlockFormat(rawValue: number) else {
            throw fault("tensor `\(name)` has the type \(GGUFTable.unread[number].map { "\($0), which is not supported" } ?? "\(number), which is unknown")")
        }
        guard extents[0].isMultiple(of: type.numbers) else { throw fault("tensor `\(name)` has rows of \(extents[0]); \(type) has blocks of \(type.numbers)") }
        let (bytes, overflow) = (elements / type.numbers).multipliedReportingOverflow(by: type.bytes)
        guard !overflow else { throw fault("tensor `\(name)` has extents whose product overflows") }
        return (type, Shape(extents.reversed()), bytes)
    }
}
