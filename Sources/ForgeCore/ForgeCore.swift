// ForgeCore: the nouns every other target shares.
//
// owns      ids, digests, byte counts, shapes, times, faults and the one JSON value
// promises  values only: no I/O, no clock, no Foundation; every parser here bounds its input and never traps on it
// never     hashes (ForgeCrypto), reads a file (ForgeOS) or decides anything (ForgePolicy)
// flow      bytes from outside → `JSON.parse` / `Digest.init(parsing:)` → values → canonical bytes

/// The version that packages, manifests and audit records carry.
package enum ForgeVersion {
    package static let current = "0.1.0"
}
