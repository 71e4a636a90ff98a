import ForgeCore

extension Tokenizer {
    /// `tokenizer.json`: the same tokenizer gives the same bytes.
    package var json: [UInt8] {
        let (names, parts): (JSON.Object, Parts) =
            switch model {
            case .bytes(let pairs): bytesParts(pairs)
            case .pieces(let pairs): piecesParts(pairs)
            }
        let begin = control.name(of: control.begin) ?? ""
        let document: JSON = [
            "version": "1.0", "truncation": nil, "padding": nil, "added_tokens": .array(parts.added), "normalizer": parts.normalizer, "pre_tokenizer": parts.preTokenizer,
            "post_processor": [
                "type": "TemplateProcessing",
                "single": [["SpecialToken": ["id": .string(begin), "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]]],
                "pair": [
                    ["SpecialToken": ["id": .string(begin), "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]], ["Sequence": ["id": "B", "type_id": 1]],
                ],
                "special_tokens": [begin: ["id": .string(begin), "ids": [.int(Int64(control.begin))], "tokens": [.string(begin)]]],
            ],
            "decoder": parts.decoder, "model": .object(names),
        ]
        return Array(document.text.utf8)
    }

    private struct Parts {
        let added: [JSON]
        let normalizer: JSON
        let preTokenizer: JSON
        let decoder: JSON
    }

    private static func addedToken(_ token: Token, _ content: String, before: Bool = false, after: Bool = false, normalized: Bool = false, special: Bool) -> JSON {
        [
            "id": .int(Int64(token)), "content": .string(content), "single_word": false, "lstrip": .bool(before), "rstrip": .bool(after), "normalized": .bool(normalized),
            "special": .bool(special),
        ]
    }

    private var addedTokens: [JSON] {
        guard added.isEmpty else {
            return added.entries.map {
                Tokenizer.addedToken($0.token, $0.content, before: $0.takesBefore, after: $0.takesAfter, normalized: $0.normalized, special: $0.isControl)
            }
        }
        return control.sorted.map { Tokenizer.addedToken($0.token, $0.name, special: true) }
    }

    private static func modelPart(_ vocabulary: JSON.Object, _ merges: [JSON], unknown: JSON, fuses: Bool, falls: Bool, whole: Bool) -> JSON.Object {
        [
            "type": "BPE", "dropout": nil, "unk_token": unknown, "continuing_subword_prefix": nil, "end_of_word_suffix": nil, "fuse_unk": .bool(fuses),
            "byte_fallback": .bool(falls), "ignore_merges": .bool(whole), "vocab": .object(vocabulary), "merges": .array(merges),
        ]
    }

    private func bytesParts(_ pairs: BytePairs) -> (JSON.Object, Parts) {
        let apart = Dictionary(added.entries.map { ($0.token, $0.content) }, uniquingKeysWith: { a, _ in a })
        var vocabulary = JSON.Object()
        for id in 0..<count {
            let token = Token(id)
            vocabulary[control.name(of: token) ?? (pairs.apart.contains(token) ? apart[token] : nil) ?? ByteAlphabet.text(bytes(of: token))] = .int(Int64(id))
        }
        let rules: [JSON] = pairs.merges.map { [.string(ByteAlphabet.text(bytes(of: $0.left))), .string(ByteAlphabet.text(bytes(of: $0.right)))] }
        let ownExpression: JSON = ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true]
        let split: JSON = [
            "type": "Sequence",
            "pretokenizers": [
                ["type": "Split", "pattern": ["Regex": .string(pairs.expression.text)], "behavior": "Isolated", "invert": false],
                ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false],
            ],
        ]
        return (
            Tokenizer.modelPart(vocabulary, rules, unknown: nil, fuses: false, falls: false, whole: pairs.wholeWords),
            Parts(
                added: addedTokens, normalizer: nil, preTokenizer: pairs.expression == .gpt2 ? ownExpression : split,
                decoder: ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false])
        )
    }

    private func piecesParts(_ pairs: PiecePairs) -> (JSON.Object, Parts) {
        var vocabulary = JSON.Object()
        for (id, name) in pairs.names.enumerated() { vocabulary[name] = .int(Int64(id)) }
        let rules: [JSON] = pairs.merges.map { [.string(pairs.names[Int($0.left)]), .string(pairs.names[Int($0.right)])] }
        var model = Tokenizer.modelPart(
            vocabulary, rules, unknown: pairs.unknown.map { .string(pairs.names[Int($0)]) } ?? .null, fuses: pairs.fusesUnknown, falls: !pairs.byteTokens.isEmpty,
            whole: !pairs.whole.isEmpty)
        var added = addedTokens
        if let sentencePiece {
            if let unknown = pairs.unknown { added.append(Tokenizer.addedToken(unknown, pairs.names[Int(unknown)], special: true)) }
            added += pairs.keptTokens.map { Tokenizer.addedToken($0, pairs.names[Int($0)], normalized: true, special: false) }
            model["sentencepiece"] = .string(Base64.encode(sentencePiece))
        }
        return (model, Parts(added: added, normalizer: pairs.form.normalizer, preTokenizer: pairs.form.preTokenizer, decoder: pairs.form.decoder))
    }
}
