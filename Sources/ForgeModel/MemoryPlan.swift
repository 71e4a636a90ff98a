package import ForgeCore
package import ForgeTensor

/// What a model takes: its weights in each format, and what is kept of every position of a text.
package struct MemoryPlan: Sendable {
    package struct Part: Sendable {
        package let name: String
        package let tensors: Int
        package let parameters: Int
        /// In each of `formats`; empty where only the sum is known.
        package let bytes: [ByteCount]
    }

    /// What is kept of a position, by what it is for.
    package struct Cached: Sendable {
        package let name: String
        package let bytesPerToken: ByteCount
    }

    package static let formats: [WeightFormat] = [.bf16, .q8, .q4]

    package let parts: [Part]
    /// Of all parts, in each of `formats`.
    package let weights: [ByteCount]
    package let cached: [Cached]
    /// Positions a text may have.
    package let contextMax: Int

    package var bytesPerToken: ByteCount { cached.reduce(0) { $0 + $1.bytesPerToken } }

    /// The cache of one text, for a few lengths up to the longest.
    package var contexts: [(tokens: Int, bytes: ByteCount)] {
        (Array([4_096, 32_768, 131_072, 524_288].prefix { $0 < contextMax }) + [contextMax]).map { ($0, bytesPerToken * Int64($0)) }
    }

    /// Matrices in the format, with the scales of its blocks; the embedding and the tower of images in bfloat16; what decides or scales in float32. The cache in bfloat16.
    package init(_ table: LargeTable) {
        let config = table.config
        let parts: [Part] = LargeTable.Part.allCases.compactMap { part in
            let entries = table.entries.filter { $0.part == part }
            guard !entries.isEmpty else { return nil }
            let bytes = MemoryPlan.formats.map { format in
                ByteCount(entries.reduce(0) { sum, entry in
                    switch entry.keeping {
                    case .exact: sum + 4 * entry.shape.count
                    case .half: sum + 2 * entry.shape.count
                    case .blocks: sum + format.bytes(k: entry.columns, n: entry.rows)
                    }
                })
            }
            return Part(name: part.rawValue, tensors: entries.count, parameters: entries.reduce(0) { $0 + $1.shape.count }, bytes: bytes)
        }
        self.parts = parts
        weights = MemoryPlan.formats.indices.map { format in parts.reduce(0) { $0 + $1.bytes[format] } }
        cached = [
            Cached(name: "latents", bytesPerToken: ByteCount(2 * config.cachedLatents)), Cached(name: "keys of indexers", bytesPerToken: ByteCount(2 * config.cachedIndexKeys)),
        ]
        contextMax = config.contextMax
    }

    /// As `forge-serve` keeps it.
    /// - Parameter bytesPerToken: what its cache keeps of a position.
    package init(_ table: ParameterTable, bytesPerToken: ByteCount) {
        let config = table.config
        var order: [String] = [], sums: [String: (tensors: Set<String>, parameters: Int)] = [:]
        for entry in table.entries {
            let part = MemoryPlan.part(of: entry, config)
            if sums[part] == nil { order.append(part) }
            sums[part, default: ([], 0)].tensors.insert(entry.home.name)
            sums[part, default: ([], 0)].parameters += entry.count
        }
        parts = order.compactMap { name in sums[name].map { Part(name: name, tensors: $0.tensors.count, parameters: $0.parameters, bytes: []) } }
        weights = MemoryPlan.formats.map { PackedWeights.bytes(config, as: $0) }
        cached = [Cached(name: config.latent == nil ? "keys and values" : "latents", bytesPerToken: bytesPerToken)]
        contextMax = config.contextMax
    }

    private static func part(of entry: ParameterTable.Entry, _ config: MistralConfig) -> String {
        switch entry.role {
        case .norm: "norms"
        case .embedding: entry.name.hasPrefix("lm_head") ? "head" : "embedding"
        case .matrix, .adapterDown, .adapterUp:
            entry.name.contains(".self_attn.") ? "attention" : config.experts == nil ? "feed-forward"
                : entry.name.contains(".shared_experts.") ? "shared experts" : entry.name.contains(".experts.") ? "experts" : "router"
        }
    }
}
