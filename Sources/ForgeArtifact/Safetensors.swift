package import ForgeCore

/// The header of a tensor file: names, types, shapes and places, checked against the file's size before anything is read.
/// Format and checks: docs/formats/safetensors.md.
package struct TensorTable: Sendable, Hashable {
    package struct Entry: Sendable, Hashable {
        package let name: String
        package let dtype: DType
        package let shape: Shape
        /// Bytes from the start of the file.
        package let range: Range<Int>

        /// Where `count` of its elements lie in the file, from the element `first` on.
        package func bytes(of count: Int, from first: Int) -> Range<Int> {
            precondition(first >= 0 && count >= 0 && first + count <= shape.count, "elements are taken from those there are")
            let start = range.lowerBound + first * dtype.width
            return start..<(start + count * dtype.width)
        }
    }

    /// In ascending order of their names' bytes.
    package let entries: [Entry]
    package let metadata: [String: String]
    /// The whole file's length.
    package let fileBytes: Int

    package static let headerLimit = 100_000_000
    private static let tensorLimit = 1_000_000

    package subscript(name: String) -> Entry? {
        var low = 0, high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if TensorTable.precedes(entries[middle].name, name) { low = middle + 1 } else { high = middle }
        }
        return low < entries.count && entries[low].name == name ? entries[low] : nil
    }

    fileprivate static func precedes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }
}

// MARK: Writing

extension TensorTable {
    /// Lays out the tensors as the one file that holds them.
    /// - Precondition: names are unique, not empty, not `__metadata__`, and at most 512 bytes: they come from our own parameter tables.
    package init(laying tensors: [(name: String, dtype: DType, shape: Shape)], metadata: [String: String] = [:]) {
        let sorted = tensors.sorted { TensorTable.precedes($0.name, $1.name) }
        precondition(
            zip(sorted, sorted.dropFirst()).allSatisfy { $0.name != $1.name } && sorted.allSatisfy { (1...512).contains($0.name.utf8.count) && $0.name != "__metadata__" },
            "a parameter table names each tensor once")
        var offset = 0
        let relative = sorted.map { tensor in
            let range = offset..<(offset + tensor.shape.count * tensor.dtype.width)
            offset = range.upperBound
            return Entry(name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, range: range)
        }
        let header = TensorTable.header(relative, metadata)
        self.entries = relative.map {
            Entry(name: $0.name, dtype: $0.dtype, shape: $0.shape, range: ($0.range.lowerBound + header.count)..<($0.range.upperBound + header.count))
        }
        self.metadata = metadata
        self.fileBytes = header.count + offset
    }

    /// The first bytes of the file, up to the data.
    package var headerBytes: [UInt8] {
        let start = entries.map(\.range.lowerBound).min() ?? fileBytes
        let relative = entries.map {
            Entry(name: $0.name, dtype: $0.dtype, shape: $0.shape, range: ($0.range.lowerBound - start)..<($0.range.upperBound - start))
        }
        return TensorTable.header(relative, metadata)
    }

    private static func header(_ entries: [Entry], _ metadata: [String: String]) -> [UInt8] {
        var root = JSON.Object()
        if !metadata.isEmpty {
            var strings = JSON.Object()
            for key in metadata.keys.sorted(by: precedes) { strings[key] = .string(metadata[key]!) }
            root["__metadata__"] = .object(strings)
        }
        for entry in entries {
            root[entry.name] = [
                "dtype": .string(entry.dtype.rawValue), "shape": .array(entry.shape.extents.map { .int(Int64($0)) }),
                "data_offsets": [.int(Int64(entry.range.lowerBound)), .int(Int64(entry.range.upperBound))],
            ]
        }
        var text = Array(JSON.object(root).text.utf8)
        while !(text.count + 8).isMultiple(of: 8) { text.append(0x20) }
        return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> ($0 * 8)) } + text
    }
}

// MARK: Reading

extension TensorTable {
    /// How many bytes of a file hold its header, told by the first eight.
    /// - Throws: `.request` when that many cannot be.
    package static func headerBytes(first eight: some Collection<UInt8>, fileBytes: Int, source: String) throws(Fault) -> Int {
        guard eight.count == 8 else { throw fault(source, "it is shorter than eight bytes") }
        let count = eight.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard count <= UInt64(headerLimit) else { throw fault(source, "its header claims \(count) bytes; at most \(headerLimit) are read") }
        guard 8 + Int(count) <= fileBytes else { throw fault(source, "its header ends beyond the file") }
        return 8 + Int(count)
    }

    /// Reads and checks a header.
    /// - Parameters:
    ///   - bytes: the file from its start, at least as far as the header goes.
    ///   - fileBytes: the whole file's length.
    ///   - source: what to call the file in errors.
    /// - Throws: `.request` naming the tensor and the check that failed.
    package init(parsing bytes: [UInt8], fileBytes: Int, source: String) throws(Fault) {
        let start = try TensorTable.headerBytes(first: bytes.prefix(8), fileBytes: fileBytes, source: source)
        guard bytes.count >= start else { throw TensorTable.fault(source, "its header is cut short") }
        let json: JSON
        do { json = try JSON.parse(bytes[8..<start], limits: .init(bytes: TensorTable.headerLimit, depth: 4)) } catch {
            throw TensorTable.fault(source, "its header is not the JSON it should be: \(error)")
        }
        guard let root = json.object else { throw TensorTable.fault(source, "its header is not a JSON object") }
        guard root.count <= TensorTable.tensorLimit else { throw TensorTable.fault(source, "it names more than \(TensorTable.tensorLimit) tensors") }
        var metadata: [String: String] = [:]
        var entries: [Entry] = []
        for (name, value) in root.members {
            if name == "__metadata__" {
                guard let strings = value.object else { throw TensorTable.fault(source, "`__metadata__` is not an object") }
                for (key, value) in strings.members {
                    guard let text = value.string else { throw TensorTable.fault(source, "metadata `\(key)` is not text") }
                    metadata[key] = text
                }
            } else {
                entries.append(try TensorTable.entry(name, value, start: start, fileBytes: fileBytes, source: source))
            }
        }
        var expected = start
        for entry in entries.sorted(by: { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }) {
            guard entry.range.lowerBound == expected else {
                throw TensorTable.fault(source, "tensor `\(entry.name)` \(entry.range.lowerBound < expected ? "overlaps another" : "leaves a gap before it")")
            }
            expected = entry.range.upperBound
        }
        guard expected == fileBytes else { throw TensorTable.fault(source, "\(fileBytes - expected) bytes follow the last tensor") }
        self.entries = entries.sorted { TensorTable.precedes($0.name, $1.name) }
        self.metadata = metadata
        self.fileBytes = fileBytes
    }

    private static func entry(_ name: String, _ value: JSON, start: Int, fileBytes: Int, source: String) throws(Fault) -> Entry {
        guard (1...512).contains(name.utf8.count) else { throw fault(source, "a tensor's name has \(name.utf8.count) bytes") }
        func wrong(_ why: String) -> Fault { fault(source, "tensor `\(name)` \(why)") }
        guard let object = value.object, Set(object.keys) == ["dtype", "shape", "data_offsets"] else {
            throw wrong("should have exactly `dtype`, `shape` and `data_offsets`")
        }
        guard let type = object["dtype"]?.string else { throw wrong("has no `dtype`") }
        guard let dtype = DType(rawValue: type) else { throw wrong("has the type `\(type.prefix(20))`, which is not supported yet") }
        guard let extents = object["shape"]?.array, extents.count <= 8 else { throw wrong("has no `shape` of at most 8 extents") }
        var shape: [Int] = []
        var bytes = dtype.width
        for extent in extents {
            guard let extent = extent.int, extent >= 0, let extent = Int(exactly: extent) else { throw wrong("has an extent that is not a count") }
            let (product, overflow) = bytes.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw wrong("has extents whose product overflows") }
            bytes = product
            shape.append(extent)
        }
        guard let offsets = object["data_offsets"]?.array, offsets.count == 2, let begin = offsets[0].int, let end = offsets[1].int,
            begin >= 0, end >= begin, end <= Int64(fileBytes - start)
        else { throw wrong("has `data_offsets` outside the file") }
        guard end - begin == Int64(bytes) else { throw wrong("has \(end - begin) bytes where its shape needs \(bytes)") }
        return Entry(name: name, dtype: dtype, shape: Shape(shape), range: (start + Int(begin))..<(start + Int(end)))
    }

    private static func fault(_ source: String, _ why: String) -> Fault {
        Fault(.request, "safetensors.invalid", "cannot read the tensor file `\(source)`", why: why)
    }
}
