package import ForgeCore

extension Tokenizer {
    /// The expression of docs/formats/tokenizer.md §1, as `tokenizer.json` carries it.
    static let expression =
        #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    /// `tokenizer.json`: the same tokenizer gives the same bytes.
    package var json: [UInt8] {
        var vocabulary = JSON.Object()
        for id in 0..<count {
            let token = Token(id)
            vocabulary[control.name(of: token) ?? ByteAlphabet.text(bytes(of: token))] = .int(Int64(id))
        }
        let added: [JSON] = control.sorted.map { token, name in
            [
                "id": .int(Int64(token)), "content": .string(name), "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                "special": true,
            ]
        }
        let rules: [JSON] = merges.map { [.string(ByteAlphabet.text(bytes(of: $0.left))), .string(ByteAlphabet.text(bytes(of: $0.right)))] }
        let begin = "<s>"
        let document: JSON = [
            "version": "1.0", "truncation": nil, "padding": nil, "added_tokens": .array(added), "normalizer": nil,
            "pre_tokenizer": [
                "type": "Sequence",
                "pretokenizers": [
                    ["type": "Split", "pattern": ["Regex": .string(Tokenizer.expression)], "behavior": "Isolated", "invert": false],
                    ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false],
                ],
            ],
            "post_processor": [
                "type": "TemplateProcessing",
                "single": [["SpecialToken": ["id": .string(begin), "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]]],
                "pair": [
                    ["SpecialToken": ["id": .string(begin), "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]], ["Sequence": ["id": "B", "type_id": 1]],
                ],
                "special_tokens": ["<s>": ["id": .string(begin), "ids": [.int(Int64(control.begin))], "tokens": [.string(begin)]]],
            ],
            "decoder": ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false],
            "model": [
                "type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil, "fuse_unk": false,
                "byte_fallback": false, "ignore_merges": .bool(wholeWords), "vocab": .object(vocabulary), "merges": .array(rules),
            ],
        ]
        return Array(document.text.utf8)
    }

    /// Reads a `tokenizer.json` from anywhere.
    /// - Throws: `.request`, naming the part that cannot be honoured.
    package init(parsing json: [UInt8]) throws(Fault) {
        func refuse(_ why: String, _ remedy: String = "use a tokenizer.json of the byte-level BPE kind with Mistral's splitting expression") -> Fault {
            Fault(.request, "tokenizer.malformed", "tokenizer.json cannot be used", why: why, remedy: remedy)
        }
        let document: JSON
        do { document = try JSON.parse(json, limits: .init(bytes: 64 << 20)) } catch { throw refuse("it is not JSON: \(error)") }
        guard let model = document["model"], model["type"]?.string == "BPE" else { throw refuse("its model is not `BPE`") }
        guard document["normalizer"].isNull else { throw refuse("it has a normaliser: not yet") }
        guard model["dropout"].isNull else { throw refuse("it has dropout") }
        if model["byte_fallback"]?.bool == true { throw refuse("it sets `byte_fallback`: not yet") }
        for option in ["continuing_subword_prefix", "end_of_word_suffix"] where !(model[option].isNull || model[option]?.string == "") {
            throw refuse("it sets `\(option)`: not yet")
        }
        guard Tokenizer.splits(document["pre_tokenizer"]) else { throw refuse("it splits words by another expression: not yet") }
        guard let vocabulary = model["vocab"]?.object, let written = model["merges"]?.array else { throw refuse("`vocab` or `merges` is missing") }

        var control: [String: Token] = [:]
        for added in document["added_tokens"]?.array ?? [] {
            guard let name = added["content"]?.string, let id = added["id"]?.int.flatMap(Token.init(exactly:)), id >= 0 else {
                throw refuse("an added token has no content or id")
            }
            guard control.updateValue(id, forKey: name) == nil else { throw refuse("an added token is written twice") }
        }
        let total = max(vocabulary.count, Int(control.values.max() ?? -1) + 1)
        guard total <= 1 << 20 else { throw refuse("it has more than 1048576 tokens") }
        var tokens = [[UInt8]?](repeating: nil, count: total)
        for id in control.values { tokens[Int(id)] = [] }
        for (text, value) in vocabulary.members {
            guard let id = value.int, id >= 0, id < Int64(total) else { throw refuse("ids have gaps or are not numbers") }
            if let known = control[text] {
                guard Int64(known) == id else { throw refuse("a control token has two ids") }
                continue
            }
            guard let bytes = ByteAlphabet.decode(text) else { throw refuse("token \(id) is not in the byte alphabet") }
            guard tokens[Int(id)] == nil else { throw refuse("id \(id) is given twice") }
            tokens[Int(id)] = bytes
        }
        var whole: [[UInt8]] = []
        for (id, bytes) in tokens.enumerated() {
            guard let bytes else { throw refuse("id \(id) is missing") }
            whole.append(bytes)
        }
        var merges: [(left: Token, right: Token)] = []
        for (rank, rule) in written.enumerated() {
            let sides = rule.array?.compactMap(\.string) ?? rule.string.map { $0.split(separator: " ", omittingEmptySubsequences: false).map(String.init) } ?? []
            guard sides.count == 2, let left = vocabulary[sides[0]]?.int, let right = vocabulary[sides[1]]?.int else {
                throw refuse("merge \(rank) is not two tokens of the vocabulary")
            }
            merges.append((Token(truncatingIfNeeded: left), Token(truncatingIfNeeded: right)))
        }
        try self.init(tokens: whole, control: control, merges: merges, wholeWords: model["ignore_merges"]?.bool ?? false)
    }

    private static func splits(_ value: JSON?) -> Bool {
        guard let parts = value?["pretokenizers"]?.array, value?["type"]?.string == "Sequence", parts.count == 2 else { return false }
        return parts[0]["type"]?.string == "Split" && parts[0]["pattern"]?["Regex"]?.string == expression && parts[0]["behavior"]?.string == "Isolated"
            && parts[0]["invert"]?.bool != true && parts[1]["type"]?.string == "ByteLevel" && parts[1]["add_prefix_space"]?.bool == false
            && parts[1]["use_regex"]?.bool == false
    }
}

extension JSON? {
    fileprivate var isNull: Bool { self == nil || self == .some(.null) }
}
