package import ForgeCore

extension Tokenizer {
    /// Reads a `tekken.json`, the tokenizer of Mistral's releases since 2024 (docs/formats/tokenizer.md §6).
    ///
    /// Tokens have ranks and there is no list of merges: of two neighbours whose bytes together are a token, those whose token has the lowest rank are joined first.
    /// - Throws: `.request`, naming the part that cannot be honoured.
    package init(tekken json: [UInt8]) throws(Fault) {
        func refuse(_ why: String) -> Fault {
            Fault(.request, "tokenizer.malformed", "tekken.json cannot be used", why: why, remedy: "use the tekken.json of the model's release, unchanged")
        }
        let document: JSON
        do { document = try JSON.parse(json, limits: .init(bytes: 64 << 20)) } catch { throw refuse("it is not JSON: \(error)") }
        let config = document["config"]
        func size(_ key: String) throws(Fault) -> Int {
            guard let value = config?[key]?.int, (1...(1 << 20)).contains(value) else { throw refuse("`config.\(key)` is not a count of tokens") }
            return Int(value)
        }
        guard config?["pattern"]?.string == SplitExpression.mistral.text else { throw refuse("it splits words by another expression: not yet") }
        let total = try size("default_vocab_size"), special = try size("default_num_special_tokens")
        guard let vocabulary = document["vocab"]?.array, total > special, total - special <= vocabulary.count else {
            throw refuse("`vocab` has fewer tokens than `config.default_vocab_size` says")
        }

        var names = try Tokenizer.specialNames(document, special, refuse)
        for id in names.count..<special { names.append("<SPECIAL_\(id)>") }
        guard Set(names).count == special else { throw refuse("a special token is written twice") }
        var tokens = [[UInt8]](repeating: [], count: special)
        tokens.reserveCapacity(total)
        var byBytes: [[UInt8]: Token] = [:]
        byBytes.reserveCapacity(total - special)
        // The file lists more tokens than the model has rows: the first are meant.
        for (rank, entry) in vocabulary.prefix(total - special).enumerated() {
            guard entry["rank"]?.int == Int64(rank), let bytes = entry["token_bytes"]?.string.flatMap({ Base64.decode($0) }), (1...1024).contains(bytes.count) else {
                throw refuse("token \(rank) has no bytes, or is not the one of that rank")
            }
            guard rank >= 256 || bytes == [UInt8(rank)] else { throw refuse("the first 256 tokens are not the bytes in their order") }
            guard byBytes.updateValue(Token(special + rank), forKey: bytes) == nil else { throw refuse("token \(rank) is written twice") }
            tokens.append(bytes)
        }
        var merges: [(left: Token, right: Token)] = []
        for bytes in tokens.dropFirst(special + 256) {
            for cut in 1..<max(bytes.count, 1) {
                if let left = byBytes[Array(bytes[..<cut])], let right = byBytes[Array(bytes[cut...])] { merges.append((left, right)) }
            }
        }
        let control = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, Token($0)) })
        try self.init(tokens: tokens, control: control, merges: merges, wholeWords: true)
    }

    /// `tekken.json` of the format `version`, such as `v7`: what `init(tekken:)` reads as this tokenizer.
    /// - Returns: nil for one whose merges do not follow from the ranks of its tokens.
    package func tekken(version: String) -> [UInt8]? {
        let special = control.count
        guard let pairs = bytePairs, pairs.wholeWords, pairs.expression == .mistral, control.sorted.map({ Int($0.token) }) == Array(0..<special) else { return nil }
        let vocabulary: [JSON] = (special..<count).map { id in
            let bytes = bytes(of: Token(id)), text = String(validating: bytes, as: UTF8.self)
            return ["rank": .int(Int64(id - special)), "token_bytes": .string(Base64.encode(Array(bytes))), "token_str": text.map { .string($0) } ?? .null]
        }
        // What fills the places that are left has names of its own.
        let named = control.sorted.prefix { $0.name != "<SPECIAL_\($0.token)>" }
        let document: JSON = [
            "config": [
                "pattern": .string(SplitExpression.mistral.text), "num_vocab_tokens": .int(Int64(count - special)), "default_vocab_size": .int(Int64(count)),
                "default_num_special_tokens": .int(Int64(special)), "version": .string(version),
            ],
            "vocab": .array(vocabulary),
            "special_tokens": .array(named.map { ["rank": .int(Int64($0.token)), "token_str": .string($0.name), "is_control": true] }),
        ]
        let written = Array(document.text.utf8)
        return (try? Tokenizer(tekken: written))?.json == json ? written : nil
    }

    /// The names the file gives, in the order of their ids; releases up to the third format give none and mean the standard ones.
    private static func specialNames(_ document: JSON, _ most: Int, _ refuse: (String) -> Fault) throws(Fault) -> [String] {
        guard let list = document["special_tokens"], list != .null else {
            let version = document["config"]?["version"]?.string ?? ""
            guard ["v3", "v7"].contains(version) else { throw refuse("`special_tokens` is missing, and the format `\(version.prefix(20))` has no standard ones") }
            return ControlTokens.standard
        }
        guard let list = list.array, list.count <= most else { throw refuse("`special_tokens` is not a list of at most \(most)") }
        var names: [String] = []
        for entry in list {
            guard let name = entry["token_str"]?.string, (1...256).contains(name.utf8.count), entry["rank"]?.int == Int64(names.count) else {
                throw refuse("special token \(names.count) has no name, or is not the one of that rank")
            }
            names.append(name)
        }
        return names
    }
}
