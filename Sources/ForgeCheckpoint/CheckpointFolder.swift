package import ForgeCore
package import ForgeOS

/// The regular files of one folder, none of which can execute. Nothing below the folder is looked at, and no link is followed.
package struct CheckpointFolder: Sendable {
    package let path: String
    /// Names in ascending order of their bytes.
    package let files: [String]

    private static let filesMax = 4096

    /// - Throws: `.request` naming what may not be there.
    package init(_ path: String) throws(Fault) {
        guard let information = try Path.information(path), information.kind == .directory else {
            throw Fault(.request, "checkpoint.folder", "cannot read `\(path)`", why: "it is not a folder", remedy: "name the folder that holds `config.json` or `params.json`")
        }
        let names = try Path.list(path).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        guard names.count <= CheckpointFolder.filesMax else {
            throw Fault(.request, "checkpoint.folder", "cannot read `\(path)`", why: "it has \(names.count) entries; a checkpoint has at most \(CheckpointFolder.filesMax)")
        }
        var files: [String] = []
        for name in names {
            guard let entry = try Path.information(Path.join(path, name)) else { continue }
            switch entry.kind {
            case .file:
                if let format = try ExecutableFormat(name: name, start: File(Path.join(path, name), .read).read(ExecutableFormat.sniffed)) {
                    throw Fault(
                        .request, "checkpoint.executable", "`\(name)` may not be imported", why: "it is \(format.rawValue)",
                        remedy: "take it out of the folder; weights are read from safetensors alone")
                }
                files.append(name)
            case .directory: continue
            default:
                throw Fault(
                    .request, "checkpoint.not_a_file", "`\(name)` may not be imported", why: "it is a link or a special file, and what it leads to is not part of the folder",
                    remedy: "copy the files themselves")
            }
        }
        self.path = path
        self.files = files
    }

    package func has(_ name: String) -> Bool { files.contains(name) }

    package func open(_ name: String) throws(Fault) -> SourceFile {
        guard has(name) else { throw CheckpointFolder.missing(name) }
        return try SourceFile(Path.join(path, name))
    }

    /// A small file, whole.
    package func read(_ name: String, limit: ByteCount) throws(Fault) -> [UInt8] {
        let file = try open(name)
        guard file.count <= limit.count else {
            throw Fault(.request, "checkpoint.size", "cannot read `\(name)`", why: "it has \(ByteCount(Int64(file.count))); at most \(limit) are read")
        }
        return try file.bytes(0..<file.count)
    }

    package func json(_ name: String, limit: ByteCount = .mib(1), depth: Int = 32) throws(Fault) -> JSON {
        let bytes = try read(name, limit: limit)
        do { return try JSON.parse(bytes, limits: .init(bytes: Int(limit.count), depth: depth)) } catch {
            throw Fault(.request, "checkpoint.json", "cannot read `\(name)`", why: "\(error)")
        }
    }

    static func missing(_ name: String) -> Fault { Fault(.request, "checkpoint.missing", "the checkpoint is not whole", why: "`\(name)` is not there") }
}
