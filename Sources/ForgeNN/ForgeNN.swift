// ForgeNN: the decoder as a differentiable whole.
//
// owns      `Decoder` (the architecture recorded on a tape), `DecoderWeights` (which of its weights learn: all, or adapters beside
//           frozen ones), `TokenBatch` (what one pass reads)
// promises  one forward pass for training and evaluation; the loss is the sum over unmasked targets times one weight that
//           the caller fixes for the whole optimiser step; splitting a step into more passes changes no bit of it, unless a
//           mixture trains with the balancing loss or with its experts in bfloat16 (`Decoder.forwardBackward`)
// never     updates a parameter (ForgeTraining) or keeps a KV cache (ForgeInference)
// flow      Parameters + gradients, or PackedWeights + adapters + gradients → Decoder(capacity) → forwardBackward(batch, weight) → log-probabilities, gradients
