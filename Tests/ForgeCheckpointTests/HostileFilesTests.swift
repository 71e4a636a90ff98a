import ForgeCheckpoint
import ForgeCore
import ForgeOS
import Testing

@Suite struct HostileFilesTests {
    private static let folder: String? = {
        let given = Environment["FORGE_SHARED_DATA"].map { $0 + "/hostile-files" } ?? Fixture.folder + "../../../shared/data/hostile-files"
        return ((try? Path.information(given)) ?? nil) == nil ? nil : given
    }()

    /// The folder's README lets a reader that admits no pickle refuse each by its format; the one good `.npz` goes with them, as no checkpoint is an archive.
    /// Pickles, archives and compressed files are turned away by what they are, under their own names and under names that promise something else.
    @Test(.enabled(if: folder != nil, "the shared data are not here"), arguments: ["pickles", "zip", "tar", "gzip"])
    func `files that can execute, or hide what they are, are refused by name`(kind: String) throws {
        let folder = try #require(HostileFilesTests.folder)
        let manifest = try File(folder + "/manifest.jsonl", .read)
        var seen = 0, disguised = 0
        for line in String(decoding: try manifest.read(Int(manifest.size())), as: UTF8.self).split(separator: "\n") {
            let row = try JSON.parse(Array(line.utf8)), file = try #require(row["file"]?.string), verdict = try #require(row["verdict"]?.string)
            guard file.hasPrefix(kind + "/") else { continue }
            seen += 1
            let source = try File(folder + "/" + file, .read), bytes = try source.read(Int(source.size()))
            let scratch = try Scratch()
            try scratch.write(Path.name(file), bytes)
            let fault = #expect(throws: Fault.self, "\(file) was taken") { _ = try CheckpointFolder(scratch.path) }
            #expect(verdict != "refuse" || fault?.code == "checkpoint.executable" && fault?.what.contains(Path.name(file)) == true, "\(file): \(fault?.why ?? "")")
            if ExecutableFormat(name: "model.safetensors", start: Array(bytes.prefix(ExecutableFormat.sniffed))) != nil { disguised += 1 }
        }
        #expect(seen >= 2)
        // A renamed pickle is known by its first bytes; what is neither this nor a tensor file is refused by the readers of those.
        if kind != "pickles" { #expect(disguised == seen, "\(disguised) of \(seen)") } else { #expect(disguised * 10 >= seen * 6, "\(disguised) of \(seen)") }
    }
}
