internal import AdminAPI
internal import ForgeCore
internal import ForgeCrypto

/// The digest an officer signs, computed here from the files at hand: nobody signs a number a daemon sent (docs/formats/policy-bundle.md).
enum PolicyBundleDigest {
    static func of(_ files: [BundleMessage.File]) -> Digest {
        var bytes = Array("forge-policy-bundle-v1\n".utf8)
        for file in files.sorted(by: { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }) {
            bytes += "\(file.name) \(file.content.utf8.count)\n".utf8
            bytes += file.content.utf8
            bytes.append(UInt8(ascii: "\n"))
        }
        return .sha256(bytes)
    }
}
