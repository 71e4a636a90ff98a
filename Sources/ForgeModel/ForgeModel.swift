// ForgeModel: what a decoder is made of, before anything is computed.
//
// owns      `MistralConfig` (config.json), `ParameterTable` (names, shapes, places), `Parameters` (the weights themselves), `PackedWeights`
//           (the same, only read), `AdapterConfig` (low-rank changes beside them), initial values by seed, the rotary tables; of Mistral Large 4,
//           which nothing here trains or serves, `LargeConfig`, `LargeTable` and `LargeTwin`, its plain pass; `MemoryPlan` of either
// promises  tensor names and layouts are those of Hugging Face Mistral, Ministral 3 and Mixtral, and of PEFT; one table for training and
//           serving; equal seeds give equal bits on every machine
// never     differentiates, attends (but for the twin), or opens a file (ForgeArtifact knows the file's layout)
// flow      config.json → MistralConfig → ParameterTable → Parameters.initialise(seed) or .load(name, bytes)
