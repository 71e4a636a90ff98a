// ForgeAudit: the shape of evidence.
//
// owns      the leaf and its strict codec, redaction, the Merkle tree, tiles, proofs, signed notes, tree heads and cosignatures
// promises  pure values: the same entry and stamp give the same bytes, every parser bounds its input and never traps on it,
//           and every format here is written down in docs/formats/{audit-leaf,audit-tree,checkpoint}.md
// never     opens a file, reads a clock, holds a key (a signer is a closure) or decides what may be recorded
// flow      AuditEntry + LeafStamp + Redactor → AuditRecord → leaf bytes → TreeEdge → TreeHead → SignedNote → LogProof

import ForgeCore

extension Fault {
    /// Evidence that does not read as what it claims to be.
    static func malformed(_ what: String, _ why: String, file: StaticString = #fileID, line: UInt = #line) -> Fault {
        Fault(.request, "audit.malformed", what, why: why, remedy: "docs/formats says what these bytes must be", file: file, line: line)
    }

    /// Evidence that reads well and is not true.
    static func unproven(_ what: String, _ why: String, file: StaticString = #fileID, line: UInt = #line) -> Fault {
        Fault(.request, "audit.unproven", what, why: why, remedy: "treat what it vouches for as changed", file: file, line: line)
    }
}
