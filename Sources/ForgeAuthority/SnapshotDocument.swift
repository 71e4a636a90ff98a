package import AdminAPI
package import ForgeCore
package import ForgeCrypto
internal import ForgeHTTP

/// The bytes of a snapshot, and its signature.
package enum SnapshotDocument {
    package static func decode(_ bytes: [UInt8]) throws(Fault) -> EntitySnapshot { try Wire.decode(from: bytes, "the snapshot") }

    /// Publishes one epoch. forge-admin alone has the key.
    package static func sign(_ snapshot: EntitySnapshot, with key: Ed25519.PrivateKey) throws(Fault) -> SignedSnapshot {
        let document = try Wire.encode(snapshot)
        return SignedSnapshot(
            document: Base64.encode(document), signature: Base64.encode(key.sign(SignedSnapshot.signedMessage(document))), key: Base64.encode(key.publicKey.raw))
    }
}
