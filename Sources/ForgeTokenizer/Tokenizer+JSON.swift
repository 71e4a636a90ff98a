package import ForgeCore

extension Tokenizer {
    /// Reads a `tokenizer.json` from anywhere (docs/formats/tokenizer.md §4, §8).
    /// - Throws: `.request`, naming the part that cannot be honoured.
    package init(parsing json: [UInt8]) throws(Fault) {
        let document: JSON
        do { document = try JSON.parse(json, limits: .init(bytes: 64 << 20)) } catch { throw Tokenizer.refusal("it is not JSON: \(error)") }
        if let written = document["model"]?["sentencepiece"] {
            // Everything follows from the file within; the rest is for other readers, and must say the same.
            guard let bytes = written.string.flatMap({ Base64.decode($0) }) else { throw Tokenizer.refusal("its `sentencepiece` is not base64") }
            try self.init(sentencePiece: bytes)
            guard self.json == json else { throw Tokenizer.refusal("it contradicts the tokenizer.model it holds", "take the member `sentencepiece` out of it, or import the model again") }
            return
        }
        let file = try File(document)
        switch try Tokenizer.splitter(document["pre_tokenizer"]) {
        case .some(let expression): try self.init(bytes: file, expression)
        case nil: try self.init(pieces: file)
        }
    }

    static func refusal(_ why: String, _ remedy: String = "use the tokenizer.json of the model's release, or its tekken.json or tokenizer.model") -> Fault {
        Fault(.request, "tokenizer.malformed", "tokenizer.json cannot be used", why: why, remedy: remedy)
    }

    /// What both kinds of tokenizer say in the same way.
    private struct File {
        let document: JSON
        let model: JSON
        let vocabulary: JSON.Object
        /// Names by id; nil for an id that only an added token has.
        private(set) var names: [String?]
        private(set) var control: [String: Token] = [:]
        private(set) var added: [AddedTokens.Entry] = []
        private(set) var merges: [(left: Token, right: Token)] = []

        init(_ document: JSON) throws(Fault) {
            guard let model = document["model"], model["type"]?.string == "BPE" else { throw Tokenizer.refusal("its model is not `BPE`") }
            guard model["dropout"].isNull || model["dropout"]?.number == 0 else { throw Tokenizer.refusal("it has dropout") }
            for option in ["continuing_subword_prefix", "end_of_word_suffix"] where !(model[option].isNull || model[option]?.string == "") {
                throw Tokenizer.refusal("it sets `\(option)`: not supported")
            }
            guard let vocabulary = model["vocab"]?.object, let written = model["merges"]?.array else { throw Tokenizer.refusal("`vocab` or `merges` is missing") }
            (self.document, self.model, self.vocabulary) = (document, model, vocabulary)
            names = []
            var ids = Set<Token>(), contents = Set<[UInt8]>()
            for token in document["added_tokens"]?.array ?? [] {
                let entry = try File.entry(token)
                guard ids.insert(entry.token).inserted, contents.insert(Array(entry.content.utf8)).inserted else { throw Tokenizer.refusal("an added token is written twice") }
                added.append(entry)
                if entry.isControl { control[entry.content] = entry.token }
            }
            guard contents.reduce(0, { $0 + $1.count }) <= Lexicon.bytesMax else { throw Tokenizer.refusal("its added tokens are longer than 1 MiB together") }
            let total = max(vocabulary.count, Int(ids.max() ?? -1) + 1)
            guard total <= 1 << 20 else { throw Tokenizer.refusal("it has more than 1048576 tokens") }
            names = Array(repeating: nil, count: total)
            for (text, value) in vocabulary.members {
                guard let id = value.int, id >= 0, id < Int64(total) else { throw Tokenizer.refusal("ids have gaps or are not numbers") }
                guard names[Int(id)] == nil else { throw Tokenizer.refusal("id \(id) is given twice") }
                names[Int(id)] = text
            }
            for entry in added {
                if let known = vocabulary[entry.content]?.int, known != Int64(entry.token) { throw Tokenizer.refusal("an added token has two ids") }
                if let name = names[Int(entry.token)], !name.utf8.elementsEqual(entry.content.utf8) { throw Tokenizer.refusal("id \(entry.token) is given twice") }
            }
            for (id, name) in names.enumerated() where name == nil && !ids.contains(Token(id)) { throw Tokenizer.refusal("id \(id) is missing") }
            for (rank, rule) in written.enumerated() {
                let sides = rule.array?.compactMap(\.string) ?? rule.string.map { $0.split(separator: " ", omittingEmptySubsequences: false).map(String.init) } ?? []
                guard sides.count == 2, let left = vocabulary[sides[0]]?.int, let right = vocabulary[sides[1]]?.int else {
                    throw Tokenizer.refusal("merge \(rank) is not two tokens of the vocabulary")
                }
                merges.append((Token(truncatingIfNeeded: left), Token(truncatingIfNeeded: right)))
            }
        }

        private static func entry(_ token: JSON) throws(Fault) -> AddedTokens.Entry {
            guard let content = token["content"]?.string, !content.isEmpty, let id = token["id"]?.int.flatMap(Token.init(exactly:)), id >= 0 else {
                throw Tokenizer.refusal("an added token has no content or id")
            }
            let special = token["special"]?.bool ?? false
            guard special || token["single_word"]?.bool != true else { throw Tokenizer.refusal("the added token `\(content.prefix(40))` sets `single_word`: not supported") }
            guard content.utf8.count <= Lexicon.longest else { throw Tokenizer.refusal("the added token `\(content.prefix(40))` is longer than \(Lexicon.longest) bytes") }
            return AddedTokens.Entry(
                token: id, content: content, takesBefore: token["lstrip"]?.bool ?? false, takesAfter: token["rstrip"]?.bool ?? false,
                normalized: token["normalized"]?.bool ?? !special, isControl: special)
        }

        var contents: [Token: String] { Dictionary(added.map { ($0.token, $0.content) }, uniquingKeysWith: { a, _ in a }) }
    }

    private init(bytes file: File, _ expression: SplitExpression) throws(Fault) {
        guard file.document["normalizer"].isNull else { throw Tokenizer.refusal("it has the normaliser `\(String((file.document["normalizer"]?["type"]?.string ?? "").prefix(40)))`: not supported") }
        if file.model["byte_fallback"]?.bool == true { throw Tokenizer.refusal("it sets `byte_fallback` over a byte-level vocabulary") }
        guard file.document["decoder"]?["type"]?.string == "ByteLevel" else { throw Tokenizer.refusal("its decoder is not `ByteLevel`") }
        let controls = Set(file.control.values), contents = file.contents
        var tokens: [[UInt8]] = [], apart = controls
        for (id, name) in file.names.enumerated() {
            let token = Token(id)
            if controls.contains(token) {
                tokens.append([])
            } else if let name, let bytes = ByteAlphabet.decode(name) {
                tokens.append(bytes)
            } else if let content = contents[token] {
                apart.insert(token)
                tokens.append(Array(content.utf8))
            } else {
                throw Tokenizer.refusal("token \(id) is not in the byte alphabet")
            }
        }
        try self.init(
            tokens: tokens, control: file.control, merges: file.merges, wholeWords: file.model["ignore_merges"]?.bool ?? false, expression: expression,
            added: AddedTokens(file.added) { $0 }, apart: apart)
    }

    private init(pieces file: File) throws(Fault) {
        let form: PieceForm
        do throws(PieceForm.Refusal) {
            form = try PieceForm(normalizer: file.document["normalizer"], preTokenizer: file.document["pre_tokenizer"], decoder: file.document["decoder"])
        } catch { throw Tokenizer.refusal("\(error.why): not supported") }
        guard let control = ControlTokens(file.control) else { throw Tokenizer.broken("it has no `<s>` and `</s>` control tokens") }
        let falls = file.model["byte_fallback"]?.bool ?? false, controls = Set(file.control.values), contents = file.contents
        let names = file.names.enumerated().map { id, name in name ?? contents[Token(id)] ?? "" }
        var text: [[UInt8]?] = [], bytes: [[UInt8]] = [], byteTokens: [Token] = []
        for (id, name) in names.enumerated() {
            let isControl = controls.contains(Token(id)), byte = falls ? Tokenizer.byte(named: name) : nil
            text.append(isControl || file.names[id] == nil ? nil : Array(name.utf8))
            bytes.append(isControl ? [] : byte.map { [$0] } ?? Tokenizer.unspelt(name))
        }
        if falls {
            for byte in UInt8.min...UInt8.max {
                let digits = String(byte, radix: 16, uppercase: true)
                guard let id = file.vocabulary["<0x\(digits.count < 2 ? "0" : "")\(digits)>"]?.int else { throw Tokenizer.refusal("it falls back to bytes and lacks byte \(byte)") }
                byteTokens.append(Token(truncatingIfNeeded: id))
            }
        }
        var unknown: Token?
        if let name = file.model["unk_token"]?.string {
            guard let id = file.vocabulary[name]?.int else { throw Tokenizer.refusal("its `unk_token` is not in the vocabulary") }
            unknown = Token(truncatingIfNeeded: id)
        }
        guard falls || unknown != nil else { throw Tokenizer.refusal("it has neither `byte_fallback` nor `unk_token`, and would lose text") }
        var rules = PairTable(capacity: file.merges.count)
        for (rank, merge) in file.merges.enumerated() {
            guard let merged = file.vocabulary[names[Int(merge.left)] + names[Int(merge.right)]]?.int, !controls.contains(Token(truncatingIfNeeded: merged)) else {
                throw Tokenizer.broken("the result of merge \(rank) is no token")
            }
            guard merge.left != unknown, merge.right != unknown else { throw Tokenizer.broken("merge \(rank) joins the unknown token") }
            let key = PairTable.key(merge.left, merge.right)
            guard rules[key] == nil else { throw Tokenizer.broken("merge \(rank) is written twice") }
            rules.insert(UInt64(rank) << 32 | UInt64(merged), for: key)
        }
        let pairs = PiecePairs(
            form, names: names, text: text, merges: file.merges, rules: rules, byteTokens: byteTokens, unknown: unknown, fusesUnknown: file.model["fuse_unk"]?.bool ?? false,
            wholeWords: file.model["ignore_merges"]?.bool ?? false)
        self.init(.pieces(pairs), bytes: bytes, control: control, added: AddedTokens(file.added, normalize: form.normalize))
    }

    /// The expression of a byte-level pre-tokenizer; nil for a pre-tokenizer of another kind, or none.
    private static func splitter(_ value: JSON?) throws(Fault) -> SplitExpression? {
        guard let value, value != .null else { return nil }
        let parts = value["type"]?.string == "Sequence" ? value["pretokenizers"]?.array ?? [] : [value]
        guard let last = parts.last, last["type"]?.string == "ByteLevel" else { return nil }
        guard last["add_prefix_space"]?.bool == false else { throw refusal("its pre-tokenizer sets `add_prefix_space`: not supported") }
        if parts.count == 1 {
            guard last["use_regex"]?.bool ?? true else { throw refusal("its pre-tokenizer does not split words: not supported") }
            return .gpt2
        }
        guard parts.count == 2, last["use_regex"]?.bool == false, parts[0]["type"]?.string == "Split", parts[0]["behavior"]?.string == "Isolated", parts[0]["invert"]?.bool != true else {
            throw refusal("its pre-tokenizer is not a `Split` with isolated words before `ByteLevel`: not supported")
        }
        let written = parts[0]["pattern"]?["Regex"]?.string ?? ""
        guard let known = SplitExpression.allCases.first(where: { $0.text == written }) else {
            throw refusal("it splits words by the expression `\(String(written.prefix(200)))`, which is not one of those known")
        }
        return known
    }
}

extension JSON? {
    fileprivate var isNull: Bool { self == nil || self == .some(.null) }
}
