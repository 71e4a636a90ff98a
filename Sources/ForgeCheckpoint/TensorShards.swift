import ForgeArtifact
import ForgeCore
import ForgeOS

/// The tensors of one or several safetensors files, each found exactly once.
struct TensorShards: Sendable {
    struct Place: Sendable {
        let file: SourceFile
        let entry: TensorTable.Entry

        /// Bytes of the tensor, counted from its first.
        func bytes(_ range: Range<Int>) throws(Fault) -> [UInt8] { try file.bytes(entry.range.lowerBound + range.lowerBound..<entry.range.lowerBound + range.upperBound) }

        func read(_ range: Range<Int>, into out: inout [UInt8], at place: Int) throws(Fault) {
            try file.read(entry.range.lowerBound + range.lowerBound..<entry.range.lowerBound + range.upperBound, into: &out, at: place)
        }
    }

    let places: [String: Place]
    /// File names in ascending order.
    let names: [String]

    /// Each stays open, and a process may have 1,024 files open unless it was given more.
    static let shardsMax = 512

    /// What `model.safetensors.index.json` lists, or the one file.
    /// - Parameter index: the name of the index, if the layout may have one.
    init(_ folder: CheckpointFolder, single: String, index: String) throws(Fault) {
        guard let listed = try TensorShards.listed(folder, index) else {
            try self.init(folder, names: [single], listed: nil)
            return
        }
        try self.init(folder, names: Set(listed.values).sorted(), listed: listed)
    }

    /// In which file each tensor lies, if there is an index.
    static func listed(_ folder: CheckpointFolder, _ index: String) throws(Fault) -> [String: String]? {
        guard folder.has(index) else { return nil }
        func fault(_ why: String) -> Fault { Fault(.request, "checkpoint.index", "cannot read `\(index)`", why: why) }
        guard let map = try folder.json(index, limit: .mib(64))["weight_map"]?.object else { throw fault("it has no `weight_map`") }
        var listed: [String: String] = [:]
        for (tensor, file) in map.members {
            guard let file = file.string, file.hasSuffix(".safetensors"), !file.contains("/") else { throw fault("`\(tensor.prefix(100))` does not lie in a safetensors file of this folder") }
            listed[tensor] = file
        }
        guard !listed.isEmpty else { throw fault("it lists no tensor") }
        return listed
    }

    /// - Parameter report: what becomes of a file that cannot be read and of a tensor that is not where it should be; whoever takes note of it and returns has the rest.
    init(_ folder: CheckpointFolder, names: [String], listed: [String: String]?, report: (Fault) throws(Fault) -> Void = { (fault) throws(Fault) in throw fault }) throws(Fault) {
        guard names.count <= TensorShards.shardsMax else { throw Fault(.request, "checkpoint.shards", "the checkpoint is not accepted", why: "it has \(names.count) weight files; at most \(TensorShards.shardsMax) are read") }
        var places: [String: Place] = [:]
        for name in names {
            let file: SourceFile, table: TensorTable
            do throws(Fault) {
                file = try folder.open(name)
                let header = try TensorTable.headerBytes(first: try file.bytes(0..<min(8, file.count)), fileBytes: file.count, source: name)
                table = try TensorTable(parsing: try file.bytes(0..<header), fileBytes: file.count, source: name)
            } catch {
                try report(error)
                continue
            }
            for entry in table.entries {
                if places.updateValue(Place(file: file, entry: entry), forKey: entry.name) != nil {
                    try report(Fault(.request, "checkpoint.tensor", "the checkpoint is not accepted", why: "tensor `\(entry.name)` is in more than one file"))
                }
                if let listed, listed[entry.name] != name {
                    try report(
                        Fault(
                            .request, "checkpoint.index", "the checkpoint is not accepted",
                            why: "tensor `\(entry.name)` lies in `\(name)`, and the index says \(listed[entry.name].map { "`\($0)`" } ?? "nothing of it")"))
                }
            }
        }
        if let absent = listed?.keys.filter({ places[$0] == nil }).min() {
            try report(Fault(.request, "checkpoint.index", "the checkpoint is not whole", why: "tensor `\(absent)` is in the index and in no file"))
        }
        self.places = places
        self.names = names
    }

    /// The tensors of the decoder of text, under the names they have where there is nothing else.
    func text(_ layout: Checkpoint.Layout) -> TensorShards {
        let others = layout == .native
            ? ["vision_encoder.", "vision_language_adapter.", "patch_merger.", "pre_mm_projector_norm."]
            : ["model.vision_tower.", "model.multi_modal_projector.", "vision_tower.", "multi_modal_projector."]
        let wraps = layout == .native ? [] : [("model.language_model.", "model."), ("language_model.model.", "model."), ("language_model.lm_head.", "lm_head.")]
        var kept: [String: Place] = [:]
        for (name, place) in places where !others.contains(where: { name.hasPrefix($0) }) {
            let wrap = wraps.first { name.hasPrefix($0.0) }
            kept[wrap.map { $0.1 + name.dropFirst($0.0.count) } ?? name] = place
        }
        return TensorShards(places: kept, names: names)
    }

    private init(places: [String: Place], names: [String]) {
        self.places = places
        self.names = names
    }
}
