// ForgeTokenizer: text to token ids and back.
//
// owns      the splitter, byte-level BPE (training, encoding, decoding), tokenizer.json, the chat templates
// promises  the same text gives the same ids on every machine; decode(encode(bytes)) == bytes; text never becomes a control token;
//           every file from outside is bounded and refused by sentence, never trapped on (docs/formats/tokenizer.md)
// never     reads a file, keeps a clock or knows a model's weights
// flow      text → PreTokenizer → words → Encoder → ids → StreamDecoder → text        documents → BPETrainer → Tokenizer → tokenizer.json
//           Conversation → ChatLayout → marks and texts → ChatTokens                    ids → AssistantReader → words, reasoning, calls

/// A token's id: its row in the model's embedding table. 32 bits, because kernels take `int32_t`.
package typealias Token = Int32
