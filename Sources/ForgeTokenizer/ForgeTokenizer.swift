// ForgeTokenizer: text to token ids and back.
//
// owns      the splitters, byte-level BPE (training, encoding, decoding), pieces of SentencePiece, tokenizer.json, tekken.json, tokenizer.model, the chat templates
// promises  the same text gives the same ids on every machine; decode(encode(bytes)) == bytes where tokens are bytes, and the same text where they are pieces;
//           text never becomes a control token; every file from outside is bounded and refused by sentence, never trapped on (docs/formats/tokenizer.md)
// never     reads a file, keeps a clock or knows a model's weights
// flow      text → PreTokenizer → words → Encoder → ids → StreamDecoder → text        documents → BPETrainer → Tokenizer → tokenizer.json
//           tokenizer.model → SentencePieceModel → Tokenizer → tokenizer.json, which holds the file
//           Conversation → ChatLayout → marks and texts → ChatTokens                    ids → AssistantReader → words, reasoning, calls

/// A token's id: its row in the model's embedding table. 32 bits, because kernels take `int32_t`.
package typealias Token = Int32
