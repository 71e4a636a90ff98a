import ForgeAudit
package import ForgeCore
import ForgeHTTP
import ForgeOS

extension RegistryClient {
    /// A model's files in the clear, part by part in their order.
    /// - Parameter reference: `name@version` or `name@alias`.
    package func exportModel(_ reference: String, _ request: ExportRequest, use: @Sendable (ExportReader.Part) async throws(Fault) -> Void) async throws(Fault) {
        try await http.stream(
            .post, HTTPClient.path("v1", "models", reference, "export"), headers: ["content-type": "application/json"], body: try Wire.encode(request), timeout: .seconds(600)
        ) { _, _, stream in
            let body = BodyReader(stream)
            var reader = ExportReader(), piece = try await body.read(RegistryClient.piece)
            // The next piece arrives while this one is used.
            while !piece.isEmpty {
                async let next = body.read(RegistryClient.piece)
                for part in try reader.feed(piece) { try await use(part) }
                piece = try await next
            }
            try reader.finish()
        }
    }

    /// Writes the audit archive (docs/formats/audit-tree.md §6) into `directory`, which must not exist yet.
    /// - Returns: how many files it has.
    package func exportArchive(to directory: String) async throws(Fault) -> Int {
        guard try Path.information(directory) == nil else {
            throw Fault(.request, "cli.exists", "cannot export into `\(directory)`", why: "it exists already", remedy: "name a directory that does not")
        }
        return try await http.stream(.post, "/v1/audit/export", timeout: .seconds(600)) { _, _, stream in
            try Durable.makeDirectory(directory)
            var reader = TarReader()
            var count = 0
            for try await piece in stream {
                for entry in try reader.feed(piece) {
                    let path = Path.join(directory, entry.path)
                    try Durable.makeDirectory(Path.parent(path))
                    try Durable.create(path, with: entry.bytes, mode: 0o644)
                    count += 1
                }
            }
            try reader.finish()
            return count
        }
    }
}
