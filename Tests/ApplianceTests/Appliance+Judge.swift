import ForgeCore
import ForgeOS
import Glibc
import Synchronization
import Testing

/// Something a command said is on record.
struct Acknowledged: Sendable, Hashable {
    /// Where in the log, when the command said so.
    var record: UInt64?
    /// The answer's receipt, which its records carry as their request.
    var receipt: String?
    /// nil for a refusal, whose action only its sentence names.
    var action: String?
}

extension Appliance {
    func acknowledge(_ record: JSON?, _ action: String, sourceLocation: SourceLocation = #_sourceLocation) {
        guard let index = record?.int else {
            Issue.record("`\(action)` was done, and no record of it was named", sourceLocation: sourceLocation)
            return
        }
        acknowledged.withLock { $0.append(.init(record: UInt64(index), action: action)) }
    }

    func acknowledge(receipt: String?, sourceLocation: SourceLocation = #_sourceLocation) {
        guard let receipt else {
            Issue.record("an answer has no receipt", sourceLocation: sourceLocation)
            return
        }
        acknowledged.withLock { $0.append(.init(receipt: receipt, action: "infer")) }
    }

    /// Whatever a command says in the words "(audit record N)", be it done or refused.
    func note(_ said: Said) {
        for line in said.err.split(separator: "\n") {
            guard let words = line.firstRange(of: "(audit record "), let index = UInt64(line[words.upperBound...].prefix { $0.isNumber }) else { continue }
            acknowledged.withLock { $0.append(.init(record: index)) }
        }
    }

    /// The judge of every bad day: the log is exported, the verifier that shares no line with the daemons passes it under the key the officer
    /// wrote down, and whatever was acknowledged stands in it.
    /// - Returns: the log, record by record.
    @discardableResult
    func judge(sourceLocation: SourceLocation = #_sourceLocation) async throws -> [JSON] {
        let archive = path("archive-\(String(describing: ID()).prefix(8))")
        let exported = try await forge("audit", "export", archive, as: "otto")
        try #require(exported.code == 0, "\(exported.err)\n\(lastWords())", sourceLocation: sourceLocation)
        let verdict = try await verify(archive, "--log-key", path("people/log.vkey"))
        #expect(verdict.code == 0 && verdict.out.contains("\nVERIFIED "), "\(verdict.out)\(verdict.err)", sourceLocation: sourceLocation)
        let records = try Appliance.records(archive)
        for claim in acknowledged.withLock({ $0 }) {
            let found: Bool
            if let index = claim.record {
                found = index < UInt64(records.count) && (claim.action == nil || records[Int(index)]["act"]?.string == claim.action)
            } else {
                found = records.contains { $0["act"]?.string == claim.action && $0["phase"]?.string == "outcome" && $0["req"]?.string == claim.receipt }
            }
            #expect(found, "acknowledged, and not in the log: \(claim)", sourceLocation: sourceLocation)
        }
        return records
    }

    func verify(_ arguments: String...) async throws -> Said { try await call(Path.join(Appliance.programs, "forge-verify"), arguments) }

    /// The entries of an archive: bundles of up to 256, each entry with its length before it (c2sp.org/tlog-tiles).
    private static func records(_ archive: String) throws -> [JSON] {
        var out: [JSON] = []
        let folder = Path.join(archive, "tile/entries")
        for name in try Path.list(folder).sorted() {
            var path = Path.join(folder, name)
            // A bundle that is not full yet lies in a folder, under the number of its entries.
            if name.hasSuffix(".p") { path = Path.join(path, try #require(try Path.list(path).max { (Int($0) ?? 0) < (Int($1) ?? 0) })) }
            var rest = try File(path, .read).readAll(limit: .mib(64))[...]
            while let high = rest.popFirst(), let low = rest.popFirst() {
                let count = Int(high) << 8 | Int(low)
                out.append(try JSON.parse(Array(rest.prefix(count))))
                rest = rest.dropFirst(count)
            }
        }
        for (index, record) in out.enumerated() { try #require(record["seq"]?.int == Int64(index)) }
        return out
    }

    /// The sign-in of a person, for a call that has no verb.
    func bearer(of person: String) throws -> String { text(try File(path("people/\(person).session"), .read).readAll(limit: .kib(4))).filter { !$0.isWhitespace } }

    /// All files below a directory of the site.
    func files(_ directory: String) throws -> [String] {
        try Path.list(directory).flatMap { name -> [String] in
            let path = Path.join(directory, name)
            return try Path.information(path)?.kind == .directory ? try files(path) : [path]
        }
    }
}
