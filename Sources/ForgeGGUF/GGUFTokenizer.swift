import ForgeArtifact
package import ForgeCore
import ForgeModel
package import ForgeTokenizer

extension GGUFModel {
    /// What `tokenizer.chat_template` says: text that the file's maker wrote, run by nobody here. Nil if it has none.
    package var chatTemplate: String? {
        guard case .text(let template)? = head.value("tokenizer.chat_template") else { return nil }
        return template
    }

    /// - Throws: `.request`, naming what is missing or cannot be honoured.
    package func tokenizer() throws(Fault) -> Tokenizer {
        func fault(_ why: String) -> Fault {
            Fault(.request, "gguf.tokenizer", "cannot use the tokenizer in the model's file", why: why, remedy: "Mistral's `tekken` and SentencePiece vocabularies are read")
        }
        let pairs = GGUFPairs(head, fault), prefix = "tokenizer.ggml."
        func list<T>(_ key: String, _ what: String, _ value: (GGUFTable.Value) -> T?) throws(Fault) -> [T]? {
            guard let found = head.value(prefix + key) else { return nil }
            guard case .list(let values) = found else { throw fault("`\(prefix + key)` is not a list") }
            var out: [T] = []
            out.reserveCapacity(values.count)
            for member in values {
                guard let member = value(member) else { throw fault("`\(prefix + key)` is not a list of \(what)") }
                out.append(member)
            }
            return out
        }
        func text(_ value: GGUFTable.Value) -> String? { if case .text(let text) = value { text } else { nil } }
        guard let pieces = try list("tokens", "texts", text) else { throw fault("`\(prefix)tokens` is missing") }
        guard pieces.count <= config.vocabulary else { throw fault("it has \(pieces.count) tokens, and the model \(config.vocabulary) rows for them") }
        let kinds = try list("token_type", "kinds of tokens") { value in
            if case .signed(let kind) = value { SentencePieceModel.Piece.Kind(rawValue: Int(clamping: kind)) } else { nil }
        }
        guard let kinds, kinds.count == pieces.count else { throw fault("`\(prefix)token_type` is missing or of another length than `\(prefix)tokens`") }
        switch try pairs.text(prefix + "model") {
        case "gpt2":
            let splitting = try pairs.text(prefix + "pre") ?? "default"
            guard splitting == "tekken" else { throw fault("`\(prefix)pre` is `\(splitting.prefix(40))`: words are split by another expression") }
            guard let lines = try list("merges", "texts", text) else { throw fault("`\(prefix)merges` is missing") }
            return try bytePairs(pieces, kinds, lines, fault)
        case "llama":
            let scores = try list("scores", "numbers") { value in if case .number(let score) = value { Float(score) } else { nil } }
            guard let scores, scores.count == pieces.count else { throw fault("`\(prefix)scores` is missing or of another length than `\(prefix)tokens`") }
            func named(_ key: String, _ usual: Int) throws(Fault) -> String {
                let id = try pairs.int(prefix + key) ?? usual
                guard pieces.indices.contains(id) else { throw fault("`\(prefix + key)` is no token") }
                return pieces[id]
            }
            // What fills the rows behind the last token is none.
            let count = (kinds.lastIndex { $0 != .unused } ?? -1) + 1
            let model = SentencePieceModel(
                pieces: (0..<count).map { SentencePieceModel.Piece(pieces[$0], score: scores[$0], kind: kinds[$0]) }, byteFallback: kinds.contains(.byte),
                addsDummyPrefix: try pairs.truth(prefix + "add_space_prefix") ?? true, begin: try named("bos_token_id", 1), end: try named("eos_token_id", 2))
            return try Tokenizer(sentencePiece: model)
        case let other: throw fault("`\(prefix)model` is \(other.map { "`\($0.prefix(40))`" } ?? "missing")")
        }
    }

    private func bytePairs(_ pieces: [String], _ kinds: [SentencePieceModel.Piece.Kind], _ lines: [String], _ fault: (String) -> Fault) throws(Fault) -> Tokenizer {
        // What fills the rows behind the last token is none.
        let count = (kinds.lastIndex { $0 != .unused } ?? -1) + 1
        var control: Set<Token> = []
        for id in 0..<count {
            switch kinds[id] {
            case .control, .unknown, .unused: control.insert(Token(id))
            case .normal: continue
            case .userDefined, .byte: throw fault("token \(id) is looked for in texts before they are split")
            }
        }
        var merges: [(left: String, right: String)] = []
        for (rank, line) in lines.enumerated() {
            // No side has a space: that is written as another character.
            let sides = line.split(separator: " ", omittingEmptySubsequences: false)
            guard sides.count == 2 else { throw fault("merge \(rank) is not two texts") }
            merges.append((String(sides[0]), String(sides[1])))
        }
        let tokenizer = try Tokenizer(pieces: Array(pieces[..<count]), control: control, merges: merges)
        for (id, wanted, name) in [(config.bos, tokenizer.control.begin, "bos_token_id"), (config.eos, tokenizer.control.end, "eos_token_id")] {
            if let id, id != Int(wanted) { throw fault("`tokenizer.ggml.\(name)` is \(id), and the token of that name \(wanted)") }
        }
        return tokenizer
    }
}
