package import ForgeCore

/// What came in and what became of it. Never "0 files, fine": every file received is in exactly one count.
package struct IngestReport: Sendable, Hashable, Codable {
    package struct Line: Sendable, Hashable, Codable {
        package let path: String
        package let reason: Refusal.Reason
        package let why: String

        package init(path: String, reason: Refusal.Reason, why: String) {
            self.path = path
            self.reason = reason
            self.why = why
        }
    }

    /// Refusals are listed one by one up to this many, and counted beyond.
    package static let refusalsListed = 2000

    /// Documents accepted, by kind, and bytes of their texts.
    package var kinds: [DocumentKind: Int] = [:]
    package var bytes = 0
    package var reasons: [Refusal.Reason: Int] = [:]
    package var refusals: [Line] = []
    package var groups = 0
    package var trainDocuments = 0
    package var trainBytes = 0
    package var heldOutDocuments = 0
    package var heldOutBytes = 0
    /// Accepted documents that are not kept: equal to, or nearly equal to, one that is.
    package var exactDuplicates = 0
    package var nearDuplicates = 0
    package var personal: [PersonalData.Kind: Int] = [:]
    package var documentsWithPersonalData = 0

    package init() {}

    package var accepted: Int { kinds.values.reduce(0, +) }
    package var refused: Int { reasons.values.reduce(0, +) }
    package var received: Int { accepted + refused }

    mutating func count(_ split: DocumentLeaf.Split, _ bytes: Int, isExact: Bool) {
        switch split {
        case .train:
            trainDocuments += 1
            trainBytes += bytes
        case .heldout:
            heldOutDocuments += 1
            heldOutBytes += bytes
        case .duplicate: if isExact { exactDuplicates += 1 } else { nearDuplicates += 1 }
        }
    }

    package var json: JSON {
        func counts<K: RawRepresentable>(_ table: [K: Int]) -> JSON where K.RawValue == String {
            var object = JSON.Object()
            for (key, count) in table.sorted(by: { $0.key.rawValue < $1.key.rawValue }) { object[key.rawValue] = .int(Int64(count)) }
            return .object(object)
        }
        return [
            "received": .int(Int64(received)), "accepted": .int(Int64(accepted)), "refused": .int(Int64(refused)), "kinds": counts(kinds), "bytes": .int(Int64(bytes)),
            "groups": .int(Int64(groups)), "duplicates": ["exact": .int(Int64(exactDuplicates)), "near": .int(Int64(nearDuplicates))],
            "train": ["documents": .int(Int64(trainDocuments)), "bytes": .int(Int64(trainBytes))],
            "heldout": ["documents": .int(Int64(heldOutDocuments)), "bytes": .int(Int64(heldOutBytes))],
            "personal": ["documents": .int(Int64(documentsWithPersonalData)), "found": counts(personal)], "reasons": counts(reasons),
            "refusals": .array(refusals.map { ["path": .string($0.path), "reason": .string($0.reason.rawValue), "why": .string($0.why)] }),
        ]
    }
}
