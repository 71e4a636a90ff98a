package import ForgeCore
import ForgeCrypto

/// Takes documents one at a time and decides, at the end, which are kept and on which side of the split they stand. Holds digests, never texts.
package struct Ingestor: Sendable {
    private struct Entry: Sendable {
        let path: String
        let kind: DocumentKind
        let raw: Digest
        let text: Digest
        let bytes: Int
        let buckets: [UInt64]
    }

    private let heldOutPermille: Int
    private var entries: [Entry] = []
    private var paths = Set<[UInt8]>()
    private var report = IngestReport()

    /// - Parameter heldOutPermille: the share of groups held out, in thousandths, 0 to 500.
    package init(heldOutPermille: Int = 50) throws(Fault) {
        guard (0...500).contains(heldOutPermille) else {
            throw Fault(.request, "dataset.split", "the held-out share cannot be \(heldOutPermille) thousandths", why: "it must be from 0 to 500", remedy: "leave it out for 50")
        }
        self.heldOutPermille = heldOutPermille
    }

    package var acceptedCount: Int { entries.count }

    /// - Throws: a refusal if the path came before; it is counted already.
    package mutating func accept(_ document: ReadDocument) throws(Refusal) {
        guard paths.insert(Array(document.path.utf8)).inserted else {
            let refusal = Refusal(.path, "a document of this path came before")
            refuse(document.path, refusal)
            throw refusal
        }
        report.kinds[document.kind, default: 0] += 1
        report.bytes += document.text.count
        for (kind, count) in document.personal {
            report.personal[kind, default: 0] += count
        }
        if !document.personal.isEmpty { report.documentsWithPersonalData += 1 }
        entries.append(
            Entry(path: document.path, kind: document.kind, raw: document.raw, text: document.textDigest, bytes: document.text.count, buckets: document.buckets))
    }

    package mutating func refuse(_ path: String, _ refusal: Refusal) {
        report.reasons[refusal.reason, default: 0] += 1
        if report.refusals.count < IngestReport.refusalsListed { report.refusals.append(.init(path: String(path.prefix(1024)), reason: refusal.reason, why: refusal.why)) }
    }

    /// Groups, splits and counts. - Throws: `.request` if nothing was accepted.
    package consuming func finish() throws(Fault) -> (manifest: DatasetManifest, report: IngestReport) {
        guard !entries.isEmpty else {
            let reasons = report.reasons.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.value) \($0.key.rawValue)" }.joined(separator: ", ")
            throw Fault(
                .request, "dataset.empty", "no document was accepted", why: reasons.isEmpty ? "none was sent" : "refused: \(reasons)",
                remedy: "send text, Markdown, HTML, manual pages or JSON Lines of samples, in UTF-8")
        }
        let groups = Ingestor.groups(of: entries)
        let names = groups.map { members in members.map { entries[$0].text }.min()! }
        let keeps = groups.map { members in members.min { Ingestor.isKept(entries[$0], before: entries[$1]) }! }
        let heldOut = Ingestor.heldOut(zip(keeps, names).filter { entries[$0.0].kind != .samples }.map(\.1), permille: heldOutPermille)
        var leaves: [DocumentLeaf] = []
        for ((members, name), kept) in zip(zip(groups, names), keeps) {
            // The name of a file of samples says which side it is on.
            let isHeldOut = entries[kept].kind == .samples ? SampleReader.isHeldOut(entries[kept].path) : heldOut.contains(name)
            let side: DocumentLeaf.Split = isHeldOut ? .heldout : .train
            for member in members {
                let entry = entries[member]
                let split: DocumentLeaf.Split = member == kept ? side : .duplicate
                leaves.append(DocumentLeaf(path: entry.path, kind: entry.kind, raw: entry.raw, text: entry.text, bytes: entry.bytes, split: split, group: name))
                report.count(split, entry.bytes, isExact: member != kept && entry.text == entries[kept].text)
            }
        }
        report.groups = groups.count
        return (DatasetManifest(leaves), report)
    }

    /// The longest text, then the smaller digest, then the smaller path: the order of arrival plays no part.
    private static func isKept(_ a: Entry, before b: Entry) -> Bool {
        if a.bytes != b.bytes { return a.bytes > b.bytes }
        if a.text != b.text { return a.text < b.text }
        return a.path.utf8.lexicographicallyPrecedes(b.path.utf8)
    }

    private static func groups(of entries: [Entry]) -> [[Int]] {
        var union = UnionFind(count: entries.count)
        var byText: [Digest: Int] = [:]
        for (i, entry) in entries.enumerated() {
            if let first = byText[entry.text] { union.join(first, i) } else { byText[entry.text] = i }
        }
        for bucket in 0..<MinHash.bucketCount {
            var first: [UInt64: Int] = [:]
            for (i, entry) in entries.enumerated() {
                if let other = first[entry.buckets[bucket]] { union.join(other, i) } else { first[entry.buckets[bucket]] = i }
            }
        }
        var members: [Int: [Int]] = [:]
        for i in entries.indices { members[union.root(of: i), default: []].append(i) }
        return members.sorted { $0.key < $1.key }.map(\.value)
    }

    private static func splitHash(_ group: Digest) -> UInt64 {
        Digest.sha256(Array("forge.split.v1".utf8) + [0] + group.bytes).bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// docs/formats/dataset.md §3.
    static func heldOut(_ groups: [Digest], permille: Int) -> Set<Digest> {
        var out = Set(groups.filter { splitHash($0) % 1000 < UInt64(permille) })
        guard groups.count > 1, permille > 0 else { return out }
        if out.isEmpty { out.insert(groups.min { (splitHash($0), $0) < (splitHash($1), $1) }!) }
        if out.count == groups.count { out.remove(groups.max { (splitHash($0), $0) < (splitHash($1), $1) }!) }
        return out
    }
}
