// ForgeBlocks: numbers as releases pack them, to float32 and back.
//
// owns      the block types of GGUF (docs/formats/gguf.md), floats of eight and four bits and their scales (docs/formats/small-floats.md)
// promises  the same bits as the reference programs, on every machine; any bytes decode to numbers, none traps; results go into the caller's memory
// never     allocates, opens a file, or knows what a tensor is for
// flow      RawSpan of whole blocks → BlockFormat.decode → MutableSpan<Float> → BlockFormat.encode → bytes
