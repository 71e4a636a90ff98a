// ForgeConfig: what people write, read strictly.
//
// owns      YAML over the system's libyaml, positions of every key and value, decoding that names the key at fault
// promises  duplicate keys, anchors, aliases, tags, several documents, unknown keys and wrong types are refused with line
//           and column; a misspelt key is answered with the nearest known one; every document is bounded
// never     guesses: an unquoted `yes` is text, a number is a number only where a number is asked for
// flow      bytes → `YAML.parse` → `YAMLNode` → `YAMLReader` (one per mapping) → typed values
