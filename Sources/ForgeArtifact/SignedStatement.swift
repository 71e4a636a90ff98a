package import ForgeCore
package import ForgeCrypto

/// An in-toto statement in a signed DSSE envelope, wrapped as OpenSSF Model Signing wraps it (docs/formats/model-manifest.md).
///
/// Two types keep the two moments apart: this one was read and not yet believed; `verified(by:)` gives the statement.
package struct SignedStatement: Sendable, Hashable {
    package let payload: [UInt8]
    package let signature: [UInt8]
    /// Hexadecimal SHA-256 of the signer's PEM text.
    package let keyHint: String

    private static let mediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
    private static let payloadType = "application/vnd.in-toto+json"

    // MARK: Signing

    /// - Precondition: the statement holds no floating-point number.
    package init(_ statement: JSON, signedBy key: P256.PrivateKey) {
        payload = statement.canonical
        signature = key.sign(SignedStatement.preAuthentication(payload))
        keyHint = SignedStatement.hint(of: key.publicKey)
    }

    /// The bytes as they are stored and exported.
    package var bundle: [UInt8] {
        let json: JSON = [
            "mediaType": .string(SignedStatement.mediaType),
            "verificationMaterial": ["publicKey": ["hint": .string(keyHint)], "tlogEntries": []],
            "dsseEnvelope": [
                "payload": .string(Base64.encode(payload)), "payloadType": .string(SignedStatement.payloadType),
                "signatures": [["keyid": "", "sig": .string(Base64.encode(signature))]],
            ],
        ]
        return json.canonical
    }

    package static func hint(of key: P256.PublicKey) -> String { Digest.sha256(key.pem).hex }

    // MARK: Reading

    /// - Throws: `.request` when the bundle is not exactly of the form that is documented. Says nothing yet about the signature.
    package init(parsing bundle: [UInt8], source: String) throws(Fault) {
        func wrong(_ why: String) -> Fault { Fault(.request, "statement.form", "cannot read the signed statement `\(source)`", why: why) }
        let json: JSON
        do { json = try JSON.parse(bundle, limits: .init(bytes: 4 << 20, depth: 8)) } catch { throw wrong("it is not JSON: \(error)") }
        guard json.isCanonicalisable, json.canonical == bundle else { throw wrong("its JSON is not canonical") }
        guard json["mediaType"]?.string == SignedStatement.mediaType else { throw wrong("its media type is not that of a signature bundle") }
        guard let hint = json["verificationMaterial"]?["publicKey"]?["hint"]?.string, Digest(parsing: hint) != nil else { throw wrong("it names no key") }
        guard let envelope = json["dsseEnvelope"], envelope["payloadType"]?.string == SignedStatement.payloadType else {
            throw wrong("its payload is not an in-toto statement")
        }
        guard let signatures = envelope["signatures"]?.array, signatures.count == 1 else { throw wrong("it should have exactly one signature") }
        guard let payload = envelope["payload"]?.string.flatMap({ Base64.decode($0) }), let signature = signatures[0]["sig"]?.string.flatMap({ Base64.decode($0) })
        else { throw wrong("its payload or signature is not base64") }
        self.payload = payload
        self.signature = signature
        keyHint = hint
        // What the form does not account for would be carried along unseen.
        guard self.bundle == bundle else { throw wrong("it has members that do not belong to it") }
    }

    /// - Returns: the statement, once its signature holds.
    /// - Throws: `.request` naming the check that failed.
    package func verified(by key: P256.PublicKey, source: String) throws(Fault) -> JSON {
        func wrong(_ why: String) -> Fault { Fault(.request, "statement.signature", "the signed statement `\(source)` does not verify", why: why) }
        guard keyHint == SignedStatement.hint(of: key) else { throw wrong("it was signed with another key") }
        guard key.verify(signature, of: SignedStatement.preAuthentication(payload)) else { throw wrong("its signature does not match its content") }
        let statement: JSON
        do { statement = try JSON.parse(payload, limits: .init(bytes: 4 << 20, depth: 16)) } catch { throw wrong("its statement is not JSON: \(error)") }
        guard statement.isCanonicalisable, statement.canonical == payload else { throw wrong("its statement is not canonical") }
        return statement
    }

    /// DSSE v1, "Signature Definition".
    private static func preAuthentication(_ payload: [UInt8]) -> [UInt8] {
        Array("DSSEv1 \(payloadType.utf8.count) \(payloadType) \(payload.count) ".utf8) + payload
    }
}
