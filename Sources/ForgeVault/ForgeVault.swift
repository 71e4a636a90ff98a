// ForgeVault: what the institution's models are kept under, and the only way they come out again.
//
// owns      the root key and its slots, the key hierarchy (root → project → blob), the store's sealed files, the hand-over of weights
// promises  nothing leaves without a permit, which it spends; a crash at any point leaves no row's bytes missing; sealed means that the keys
//           are wiped, not hidden; plaintext goes into sealed memory and never to a disk
// never     decides (ForgeGate), keeps rows (ForgeCatalog), or puts a key where a log, a file or an argument could hold it
// flow      passphrase → KeySlots → RootKey → Vault → project key → blob key → SealedFile → memory of forge-serve
//
// Formats: docs/formats/keyslots.md and docs/formats/sealed-blob.md.
