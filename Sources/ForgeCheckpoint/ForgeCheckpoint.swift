// ForgeCheckpoint: models as other programs keep them, read and written exactly.
//
// owns      the folders of Hugging Face, of PEFT and of Mistral's own release: which files they have, what tensors are called, how rows of queries and keys lie
// promises  nothing that can execute is opened; every tensor is found once and has the shape its configuration says; a folder gives the same bytes every time;
//           no more than a piece of one tensor is ever in memory; a file that is cut while it is read ends in a fault
// never     opens a socket, follows a link, decodes a tokenizer, computes with a weight but to merge an adapter
// beside    LargeCheckpoint looks at a Mistral Large 4, counts what is wrong with it and gives its numbers to the plain pass; it brings nothing in
// flow      CheckpointFolder → Checkpoint (configuration, tensors by our names) → ModelWeights (the bytes of a model.safetensors); AdapterCheckpoint (PEFT's adapters) → values, or merged into ModelWeights
