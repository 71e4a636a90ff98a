package import ForgeCore
import ForgeCrypto

/// A key that only a higher key opens, as it lies in the catalog (docs/formats/sealed-blob.md, "Keys").
package struct WrappedKey: Hashable, Sendable {
    package enum Purpose: String, Sendable, Hashable, CaseIterable {
        /// Wraps the keys of one project; wrapped under the root key.
        case project
        /// Opens one sealed file of the registry.
        case blob
        /// Opens the sealed files of one data set or one run; released to the trainer.
        case dataset
        case run
        /// The log's Ed25519 key and the manifests' P-256 key; wrapped under the root key.
        case log
        case manifest

        package var isUnderRoot: Bool { self == .project || self == .log || self == .manifest }
        package var isReleasable: Bool { self == .dataset || self == .run }
    }

    package let id: ID
    package let purpose: Purpose
    /// The blob, data set or run it belongs to; for keys under the root key their own id.
    package let subject: ID
    /// Sixteen zero bytes for the signing keys, which belong to the whole store.
    package let project: ID
    /// A project key's own number, otherwise that of the project key it is wrapped under; 1 for the signing keys.
    package let version: UInt32
    package let bytes: [UInt8]

    package init(id: ID, purpose: Purpose, subject: ID, project: ID, version: UInt32, bytes: [UInt8]) {
        self.id = id
        self.purpose = purpose
        self.subject = subject
        self.project = project
        self.version = version
        self.bytes = bytes
    }

    package static let wholeStore = ID([UInt8](repeating: 0, count: 16))!

    func context(store: ID) -> [UInt8] { WrappedKey.context(purpose, store: store, project: project, subject: subject, version: version) }

    static func context(_ purpose: Purpose, store: ID, project: ID, subject: ID, version: UInt32) -> [UInt8] {
        let name = Array(purpose.rawValue.utf8)
        let head = Array("forge.wrap.v1\0".utf8) + [UInt8(name.count)] + name
        return head + store.bytes + project.bytes + subject.bytes + (0..<4).map { UInt8(truncatingIfNeeded: version >> UInt32(24 - 8 * $0)) }
    }
}
