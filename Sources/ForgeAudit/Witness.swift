package import ForgeCore

/// Lines a witness adds to a checkpoint (C2SP tlog-cosignature, version 1).
package enum Cosignature {
    static func message(text: String, time: Int64) -> [UInt8] { Array("cosignature/v1\ntime \(time)\n\(text)".utf8) }

    /// - Parameter time: seconds since 1970.
    package static func make(of head: TreeHead, time: Int64, by signer: NoteSigner) -> NoteSignature {
        precondition(signer.key.kind == .cosignature && time >= 0, "a witness signs with a cosignature key, after 1970")
        let signature = signer.signature(of: message(text: head.text, time: time))
        return NoteSignature(name: signer.key.name, id: signer.key.id, signature: time.bigEndianBytes + signature)
    }
}

extension NoteSignature {
    /// The time in a cosignature, in seconds since 1970.
    package var cosignatureTime: Int64? {
        guard signature.count == 72 else { return nil }
        let value = signature.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return Int64(exactly: value)
    }
}

/// What the log asks a witness: here is my head, and a proof that it continues the one you signed last
/// (C2SP tlog-witness, add-checkpoint; docs/formats/checkpoint.md §4).
package struct WitnessRequest: Hashable, Sendable {
    package let old: UInt64
    package let proof: [Digest]
    package let checkpoint: SignedNote

    package init(old: UInt64, proof: [Digest], checkpoint: SignedNote) {
        self.old = old
        self.proof = proof
        self.checkpoint = checkpoint
    }

    package var text: String { "old \(old)\n" + proof.map { Base64.encode($0.bytes) + "\n" }.joined() + "\n" + checkpoint.description }

    package init(parsing bytes: some Collection<UInt8>) throws(Fault) {
        let bytes = Array(bytes)
        guard bytes.count <= SignedNote.bytesMax + 4096 else { throw .malformed("not a request to a witness", "it is too long") }
        guard let gap = bytes.indices.dropFirst().first(where: { bytes[$0] == 0x0a && bytes[$0 - 1] == 0x0a }) else {
            throw .malformed("not a request to a witness", "no empty line parts the proof from the checkpoint")
        }
        let lines = bytes[..<(gap - 1)].split(separator: 0x0a, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
        guard lines[0].hasPrefix("old "), let old = TreeHead.decimal(String(lines[0].dropFirst(4))) else {
            throw .malformed("not a request to a witness", "it starts with `old` and a size")
        }
        guard lines.count <= 64 else { throw .malformed("not a request to a witness", "a proof has at most 63 hashes") }
        var proof: [Digest] = []
        for line in lines.dropFirst() {
            guard let hash = Base64.decode(line).flatMap({ Digest($0) }) else { throw .malformed("not a request to a witness", "a line of the proof is not base64 of 32 bytes") }
            proof.append(hash)
        }
        self.init(old: old, proof: proof, checkpoint: try SignedNote(parsing: bytes[(gap + 1)...]))
    }
}

/// What a witness remembers of one log, and the only rule it has: the log may grow, never change. A pure value: make the
/// returned state durable first, then sign its head.
package struct WitnessState: Hashable, Sendable {
    package let log: NoteKey
    /// The head it signed last; nil before the first.
    package let latest: TreeHead?

    package init(log: NoteKey, latest: TreeHead? = nil) {
        self.log = log
        self.latest = latest
    }

    package var size: UInt64 { latest?.size ?? 0 }

    /// - Throws: `.request` with code `witness.stale` when the request starts from another size than the latest signed one, and
    ///   `witness.fork` when the log contradicts what was signed before: the one fault a security officer must see at once.
    package func accepting(_ request: WitnessRequest) throws(Fault) -> WitnessState {
        let head = try SignedTreeHead(request.checkpoint, log: log).head
        guard request.old <= head.size else { throw .malformed("not a request to a witness", "the old size \(request.old) is above the checkpoint's size \(head.size)") }
        guard request.old == size else {
            throw Fault(.request, "witness.stale", "the request starts from size \(request.old)", why: "the latest size signed is \(size)", remedy: "ask again from size \(size)", retryable: true)
        }
        if let latest, head.size == size {
            guard request.proof.isEmpty, latest.root == head.root else { throw fork(head) }
        } else if let latest, size > 0 {
            guard ConsistencyProof(from: size, to: head.size, hashes: request.proof).verifies(latest.root, head.root) else { throw fork(head) }
        } else {
            guard request.proof.isEmpty else { throw .malformed("not a request to a witness", "a proof from size 0 proves nothing") }
        }
        return WitnessState(log: log, latest: head)
    }

    private func fork(_ head: TreeHead) -> Fault {
        Fault(
            .request, "witness.fork", "the log at size \(head.size) does not continue the log signed at size \(size)",
            why: "records were changed or removed, or an older database was restored", remedy: "stop changing things and run `forge-verify` on a copy")
    }
}
