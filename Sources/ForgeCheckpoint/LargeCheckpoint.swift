import ForgeArtifact
package import ForgeCore
package import ForgeModel

/// A Mistral Large 4 in a folder, looked at and not brought in: what its tensors are held against, what was found, and their numbers for the plain pass (docs/formats/mistral-large-4.md §3).
package struct LargeCheckpoint: Sendable {
    package let config: LargeConfig
    package let table: LargeTable
    package let audit: LargeAudit
    private let sources: [String: TensorSource]

    /// Whether the folder says that it holds one.
    package static func isDescribed(in folder: CheckpointFolder) throws(Fault) -> Bool {
        guard folder.has("config.json") else { return false }
        return LargeConfig.describes(try folder.json("config.json"))
    }

    /// - Throws: `.request` for a configuration or an index that cannot be read, or a folder without weights. What is wrong with the weights stands in `audit`.
    package init(_ folder: CheckpointFolder) throws(Fault) {
        config = try LargeConfig(json: try folder.json("config.json"))
        table = LargeTable(config)
        let listed = try TensorShards.listed(folder, "model.safetensors.index.json")
        let present = folder.has("model.safetensors") ? ["model.safetensors"] : folder.files.filter { $0.hasSuffix(".safetensors") }
        let names = listed.map { Set($0.values).sorted() } ?? present
        guard !names.isEmpty else { throw CheckpointFolder.missing("model.safetensors") }
        var findings = LargeAudit.Findings()
        let shards = try TensorShards(folder, names: names, listed: listed) { (fault) throws(Fault) in findings.add(.file, fault.message) }

        var tensors = QuantisedTensors(shards), sources: [String: TensorSource] = [:]
        for entry in table.entries {
            guard tensors.has(entry.name) else {
                findings.add(.missing, "`\(entry.name)` \(entry.shape)")
                continue
            }
            do throws(Fault) { sources[entry.name] = try tensors.source(entry.name, entry.shape) } catch {
                tensors.pass(entry.name)
                findings.add(.unfit, error.why)
            }
        }
        for name in tensors.left.sorted() where !name.hasPrefix(LargeTable.draftPrefix) { findings.add(.surplus, "`\(name.prefix(200))`") }
        self.sources = sources
        audit = LargeAudit(table, shards, names, findings)
    }

    /// Some rows of a tensor, as float32.
    /// - Throws: `.request` if the folder lacks it, or a file was cut since it was opened.
    package func values(_ entry: LargeTable.Entry, rows: Range<Int>) throws(Fault) -> [Float] {
        guard let source = sources[entry.name] else { throw ModelWeights.fault("tensor `\(entry.name)` is missing or does not fit") }
        let width = source.columns * source.dtype.width, range = rows.lowerBound * width..<rows.upperBound * width
        var bytes = [UInt8](repeating: 0, count: range.count)
        try source.read(range, as: source.dtype, into: &bytes, at: 0)
        return source.dtype.floats(bytes)
    }
}

/// What a folder's tensors are beside what its configuration says that they should be.
package struct LargeAudit: Sendable {
    package enum Kind: String, Sendable, CaseIterable { case file, missing, unfit, surplus }

    /// What is wrong: all of it counted, the first of each kind named.
    package struct Findings: Sendable {
        package private(set) var counts: [Kind: Int] = [:]
        package private(set) var named: [Kind: [String]] = [:]
        package static let namedMax = 20

        package var isEmpty: Bool { counts.isEmpty }
        package var count: Int { counts.values.reduce(0, +) }

        mutating func add(_ kind: Kind, _ text: String) {
            counts[kind, default: 0] += 1
            if counts[kind, default: 0] <= Findings.namedMax { named[kind, default: []].append(text) }
        }
    }

    package struct Stored: Sendable {
        package var tensors = 0
        package var bytes: ByteCount = 0
    }

    package let findings: Findings
    /// What lies on disk, scales with the matrices they belong to.
    package let parts: [LargeTable.Part: Stored]
    /// Tensors by their type, as safetensors names it.
    package let types: [DType: Int]
    package let files: Int
    /// Of all tensors, those of no part too.
    package let bytes: ByteCount

    init(_ table: LargeTable, _ shards: TensorShards, _ names: [String], _ findings: Findings) {
        var parts: [LargeTable.Part: Stored] = [:], types: [DType: Int] = [:], bytes: ByteCount = 0
        for (name, place) in shards.places {
            let size = ByteCount(place.entry.range.count)
            types[place.entry.dtype, default: 0] += 1
            bytes += size
            let part = name.hasPrefix(LargeTable.draftPrefix) ? .draft : (table[name] ?? table[QuantisedTensors.matrix(name)])?.part
            guard let part else { continue }
            parts[part, default: Stored()].tensors += 1
            parts[part, default: Stored()].bytes += size
        }
        self.findings = findings
        self.parts = parts
        self.types = types
        self.bytes = bytes
        files = names.count
    }
}
