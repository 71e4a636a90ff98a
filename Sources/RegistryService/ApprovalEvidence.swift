import AdminAPI
import ForgeCore

/// The votes behind a promotion as the log's erasable side text keeps them (docs/formats/receipt.md §4): the document voters read, and their signatures.
struct ApprovalEvidence {
    let bytes: [UInt8]

    init(_ view: ApprovalView) {
        let votes: [JSON] = view.votes.map {
            [
                "fingerprint": .string($0.fingerprint), "person": .string($0.person), "roles": .array($0.roles.sorted().map { .string($0) }), "signature": .string($0.signature),
                "user": .string($0.user),
            ]
        }
        bytes = JSON.object(["approval": .string(view.id.description), "document": .string(view.document), "votes": .array(votes)]).canonical
    }

    /// The accounts that voted.
    static func voters(_ bytes: [UInt8]) -> [String] { (try? JSON.parse(bytes))?["votes"]?.array?.compactMap { $0["user"]?.string } ?? [] }
}
