package import ForgeCore

extension Tokenizer {
    /// Reads a `tokenizer.model` (docs/formats/tokenizer.md §7). The bytes are kept, and come back as `sentencePiece`.
    /// - Throws: `.request`, naming what cannot be honoured.
    package init(sentencePiece bytes: [UInt8]) throws(Fault) { try self.init(try SentencePieceModel(parsing: bytes), source: bytes) }

    /// A tokenizer of a vocabulary that came by other ways than a `tokenizer.model`, such as a GGUF file.
    /// - Throws: `.request`, naming what cannot be honoured.
    package init(sentencePiece model: SentencePieceModel) throws(Fault) { try self.init(model, source: model.encoded) }

    private init(_ model: SentencePieceModel, source: [UInt8]) throws(Fault) {
        let pieces = try PieceTable(model)
        guard let control = ControlTokens(pieces.control, begins: [model.begin] + ControlTokens.begins, ends: [model.end] + ControlTokens.ends) else {
            throw SentencePieceModel.refusal("it has no control pieces `\(model.begin.prefix(40))` and `\(model.end.prefix(40))`")
        }
        let form = PieceForm(sentencePiece: model.addsDummyPrefix, found: pieces.kept.map { String(decoding: $0.text, as: UTF8.self) })
        let joins = try pieces.joins()
        let pairs = PiecePairs(
            form, names: model.pieces.map(\.text), text: pieces.text, merges: joins.merges, rules: joins.rules, ghosts: pieces.ghosts, byteTokens: pieces.byteTokens,
            unknown: pieces.unknown, fusesUnknown: true, kept: pieces.kept)
        let bytes = model.pieces.enumerated().map { id, piece -> [UInt8] in
            switch piece.kind {
            case .control: []
            case .unknown: Array(model.unknownSurface.utf8)
            case .byte: [pieces.byteValues[Token(id)] ?? 0]
            default: Tokenizer.unspelt(piece.text)
            }
        }
        self.init(.pieces(pairs), bytes: bytes, control: control, sentencePiece: source)
    }

    /// The text that a piece stands for.
    static func unspelt(_ piece: String) -> [UInt8] {
        let text = Array(piece.utf8)
        var out: [UInt8] = [], at = 0
        while at < text.count {
            if text[at...].starts(with: PieceForm.blank) {
                out.append(UInt8(ascii: " "))
                at += 3
            } else {
                out.append(text[at])
                at += 1
            }
        }
        return out
    }

    /// The byte that `<0x41>` names.
    static func byte(named name: String) -> UInt8? {
        let text = Array(name.utf8)
        guard text.count == 6, name.hasPrefix("<0x"), text[5] == UInt8(ascii: ">"), !text[3...4].contains(where: { UInt8(ascii: "a")...UInt8(ascii: "f") ~= $0 || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-") })
        else { return nil }
        return UInt8(String(decoding: text[3...4], as: UTF8.self), radix: 16)
    }
}

/// The pieces of a SentencePiece vocabulary by what they are for.
private struct PieceTable {
    /// Texts by id that characters can be joined to; nil for all others.
    private(set) var text: [[UInt8]?] = []
    private(set) var control: [String: Token] = [:]
    private(set) var kept: [(text: [UInt8], token: Token)] = []
    private(set) var byteTokens: [Token] = []
    private(set) var byteValues: [Token: UInt8] = [:]
    private(set) var unknown: Token?
    /// Characters inside pieces that are no piece themselves.
    private(set) var ghosts: [[UInt8]] = []
    private let scores: [Float]
    private let unused: Set<Token>
    private var ids: [[UInt8]: Token] = [:]

    init(_ model: SentencePieceModel) throws(Fault) {
        func refuse(_ why: String) -> Fault { SentencePieceModel.refusal(why) }
        guard (1...SentencePieceModel.piecesMax).contains(model.pieces.count) else { throw refuse("it has no pieces, or more than 1048576") }
        guard model.unknownSurface.utf8.count <= SentencePieceModel.pieceBytesMax else { throw refuse("its unknown piece decodes to more than 1024 bytes") }
        var seen = Set<[UInt8]>(), unused = Set<Token>()
        for (id, piece) in model.pieces.enumerated() {
            let bytes = Array(piece.text.utf8), token = Token(id)
            guard (1...SentencePieceModel.pieceBytesMax).contains(bytes.count) else { throw refuse("piece \(id) is empty or longer than 1024 bytes") }
            guard seen.insert(bytes).inserted else { throw refuse("piece \(id) is written twice") }
            guard piece.score.isFinite else { throw refuse("piece \(id) has a score that is no number") }
            text.append(nil)
            switch piece.kind {
            case .normal, .unused:
                text[id] = bytes
                ids[bytes] = token
                if piece.kind == .unused { unused.insert(token) }
            case .unknown:
                guard unknown == nil else { throw refuse("it has two unknown pieces") }
                unknown = token
            case .control:
                guard control.updateValue(token, forKey: piece.text) == nil else { throw refuse("piece \(id) is written twice") }
            case .userDefined:
                guard bytes.count <= Lexicon.longest else { throw refuse("piece \(id) is defined by its user and longer than \(Lexicon.longest) bytes") }
                kept.append((bytes, token))
            case .byte:
                guard model.byteFallback, let byte = Tokenizer.byte(named: piece.text) else { throw refuse("piece \(id) is a byte that has no name, or is not used") }
                byteValues[token] = byte
            }
        }
        guard unknown != nil else { throw refuse("it has no unknown piece") }
        guard kept.reduce(0, { $0 + $1.text.count }) <= Lexicon.bytesMax else { throw refuse("its user-defined pieces are longer than 1 MiB together") }
        if model.byteFallback {
            let byValue = Dictionary(byteValues.map { ($1, $0) }, uniquingKeysWith: { a, _ in a })
            guard byValue.count == 256 else { throw refuse("it falls back to bytes and lacks some of the 256") }
            byteTokens = (UInt8.min...UInt8.max).map { byValue[$0]! }
        }
        scores = model.pieces.map(\.score)
        self.unused = unused
        addGhosts()
    }

    private mutating func addGhosts() {
        for bytes in text {
            guard let bytes else { continue }
            var at = 0
            while at < bytes.count {
                let next = UTF8Form.scalar(bytes, at).next, character = Array(bytes[at..<next])
                at = next
                guard character.count < bytes.count, ids[character] == nil else { continue }
                ids[character] = Token(text.count + ghosts.count)
                ghosts.append(character)
            }
        }
    }

    /// Every way to join two pieces to a third: the one that scores highest first, among equals the piece with the lower id, then the shorter first part.
    func joins() throws(Fault) -> (merges: [(left: Token, right: Token)], rules: PairTable) {
        let order = text.indices.filter { text[$0] != nil }.sorted { scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1 }
        var merges: [(left: Token, right: Token)] = [], rules = PairTable(capacity: order.count * 4), rank: UInt64 = 0, former: Float?
        for id in order {
            guard let bytes = text[id] else { continue }
            // Pieces of one score are equals, and the leftmost is joined.
            if let former, former != scores[id] { rank += 1 }
            former = scores[id]
            var cut = UTF8Form.scalar(bytes, 0).next
            while cut < bytes.count {
                if let left = ids[Array(bytes[..<cut])], let right = ids[Array(bytes[cut...])] {
                    guard !unused.contains(Token(id)) else { throw SentencePieceModel.refusal("piece \(id) is unused and can be joined from others: not supported") }
                    rules.insert(rank << 32 | UInt64(id), for: PairTable.key(left, right))
                    if Int(left) < text.count, Int(right) < text.count { merges.append((left, right)) }
                }
                cut = UTF8Form.scalar(bytes, cut).next
            }
        }
        return (merges, rules)
    }
}
