// ForgeArtifact: what a model is, and what is said of it, in forms that others can check without a key of ours.
//
// owns      the tensor file, the set of files that makes a model and their one digest, signed manifests and provenance,
//           the evidence behind a receipt
// promises  equal work gives equal bytes and an equal digest; everything signed is a DSSE envelope that OpenSSF tools verify
// never     encrypts (ForgeVault), stores (ForgeCatalog) or decides
// flow      parameters → TensorTable → ModelFiles → digest → ModelManifest and Provenance → Receipt
