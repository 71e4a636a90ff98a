package import ForgeCore
import ForgeCrypto
package import ForgeGate

/// Schema and policies under one digest, parsed and checked against the profile (docs/formats/policy-bundle.md).
package struct PolicyBundle: Sendable {
    package struct File: Hashable, Sendable {
        package let name: String
        package let content: String

        package init(name: String, content: String) {
            self.name = name
            self.content = content
        }
    }

    package static let limits = ParserLimits(bytes: 1 << 20, depth: 64, policies: 10_000)

    package let digest: Digest
    package let files: [File]
    package let schema: Schema
    package let policies: PolicySet
    package let authorizer: Authorizer
    private let byID: [String: Policy]

    /// - Throws: `.request` naming the file, the place and what is wrong with it.
    package init(files: [File]) throws(Fault) {
        let sorted = files.sorted { ExactText($0.name) < ExactText($1.name) }
        guard sorted.reduce(0, { $0 + $1.content.utf8.count }) <= PolicyBundle.limits.bytes else {
            throw PolicyBundle.fault("the policy bundle is longer than \(PolicyBundle.limits.bytes) bytes")
        }
        var schema: Schema?
        var all: [Policy] = []
        for file in sorted {
            do {
                if file.name == PolicyBundle.schemaName {
                    schema = try Schema(parsing: file.content, limits: PolicyBundle.limits)
                } else {
                    guard PolicyBundle.isPolicyName(file.name) else { throw PolicyBundle.fault("`\(file.name)` is not a name of a policy file") }
                    all += try PolicySet(parsing: file.content, limits: PolicyBundle.limits).policies
                }
            } catch let error as SyntaxError {
                throw PolicyBundle.fault("`\(file.name)` cannot be read", why: error.description)
            } catch let fault as Fault {
                throw fault
            } catch {
                throw PolicyBundle.fault("`\(file.name)` cannot be read")
            }
        }
        guard let schema else { throw PolicyBundle.fault("the policy bundle has no `\(PolicyBundle.schemaName)`") }
        guard all.count <= PolicyBundle.limits.policies else { throw PolicyBundle.fault("the policy bundle has more than \(PolicyBundle.limits.policies) policies") }
        var byID: [String: Policy] = [:]
        for i in all.indices {
            guard let id = all[i].annotations["id"], PolicyBundle.isPolicyID(id) else {
                throw PolicyBundle.fault("the policy at \(all[i].position) needs an `@id` of lower-case letters, digits, `.` and `_`")
            }
            all[i].id = id
            guard byID.updateValue(all[i], forKey: id) == nil else { throw PolicyBundle.fault("two policies have the `@id` `\(id)`") }
        }
        let set = PolicySet(all)
        if let complaint = PolicyProfile.complaints(about: set, schema: schema).first { throw PolicyBundle.fault("the policy bundle breaks the profile", why: complaint) }
        self.files = sorted
        self.schema = schema
        self.byID = byID
        policies = set
        authorizer = Authorizer(set)
        digest = PolicyBundle.digest(of: sorted)
    }

    /// The bundle that is compiled in.
    package static let shipped: PolicyBundle = {
        do {
            return try PolicyBundle(files: ShippedBundle.files.map { File(name: $0.name, content: $0.content) })
        } catch {
            // Our own text: a test reads it on every build.
            preconditionFailure("the shipped policy bundle is broken: \(error)")
        }
    }()

    package func reason(_ id: String) -> PolicyReason { PolicyReason(id: id, text: byID[id]?.annotations["reason"] ?? "") }
    package func policy(_ id: String) -> Policy? { byID[id] }

    package static let schemaName = "schema.cedarschema"

    /// SHA-256 of the canonical concatenation.
    package static func digest(of files: [File]) -> Digest {
        var bytes = Array("forge-policy-bundle-v1\n".utf8)
        for file in files.sorted(by: { ExactText($0.name) < ExactText($1.name) }) {
            bytes += "\(file.name) \(file.content.utf8.count)\n".utf8
            bytes += file.content.utf8
            bytes.append(UInt8(ascii: "\n"))
        }
        return Digest.sha256(bytes)
    }

    /// The bytes an officer signs, with SSHSIG namespace `forge-policy`.
    package static func signedMessage(_ digest: Digest) -> [UInt8] { Array("forge-policy-bundle-v1 \(digest)\n".utf8) }
    package static let signatureNamespace = "forge-policy"

    private static func isPolicyName(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        let suffix = Array(".cedar".utf8)
        guard bytes.count > 3 + suffix.count, bytes.suffix(suffix.count).elementsEqual(suffix), bytes[2] == UInt8(ascii: "-") else { return false }
        let stem = bytes[3..<(bytes.count - suffix.count)]
        return bytes[..<2].allSatisfy { 0x30...0x39 ~= $0 } && stem.allSatisfy { 0x61...0x7a ~= $0 || 0x30...0x39 ~= $0 || $0 == UInt8(ascii: "-") }
    }

    private static func isPolicyID(_ id: String) -> Bool {
        !id.isEmpty && id.utf8.count <= 128 && id.utf8.allSatisfy { 0x61...0x7a ~= $0 || 0x30...0x39 ~= $0 || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") }
    }

    private static func fault(_ what: String, why: String = "") -> Fault {
        Fault(.request, "policy.invalid", what, why: why, remedy: "mend it in `policy/` and run its tests again")
    }
}
