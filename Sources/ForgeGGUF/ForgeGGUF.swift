// ForgeGGUF: models in the one file that llama.cpp and its kin read.
//
// owns      what the pairs of such a file say of a model, which of our tensors each of its tensors is, its tokenizer, and the file a model of ours becomes
// promises  every tensor is found once and has the shape the pairs say, or the file is refused by the tensor's name; files are read by pieces, and no more than a piece of one
//           tensor is ever decoded; what is written appears whole or not at all, and only after it was read again and gave the model's logits
// never     computes a forward pass (a `LogitCheck` does), opens a socket, or runs anything a file says, its template among it
// flow      GGUFModel (configuration, tensors by our names) → GGUFWeights (the bytes of a model.safetensors)        tensors → GGUFExport → a new file
