// ForgeModel: what a decoder is made of, before anything is computed.
//
// owns      `MistralConfig` (config.json), `ParameterTable` (names, shapes, places), `Parameters` (the weights themselves),
//           initial values by seed, the rotary tables
// promises  tensor names and layouts are those of Hugging Face Mistral and Mixtral; one table for training and serving; equal seeds
//           give equal bits on every machine
// never     differentiates, attends, or opens a file (ForgeArtifact knows the file's layout)
// flow      config.json → MistralConfig → ParameterTable → Parameters.initialise(seed) or .load(name, bytes)
