package import ForgeCore

/// A SentencePiece vocabulary (Kudo & Richardson 2018, arXiv:1808.06226): what a `tokenizer.model` says, as far as encoding depends on it (docs/formats/tokenizer.md §7).
package struct SentencePieceModel: Sendable, Hashable {
    package struct Piece: Sendable, Hashable {
        package enum Kind: Int, Sendable, Hashable, Codable { case normal = 1, unknown, control, userDefined, unused, byte }
        /// A blank is written `▁`.
        package var text: String
        /// Among neighbours that can be joined, those whose piece scores highest are.
        package var score: Float
        package var kind: Kind

        package init(_ text: String, score: Float, kind: Kind = .normal) {
            self.text = text
            self.score = score
            self.kind = kind
        }

        package static func == (a: Piece, b: Piece) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) && a.score == b.score && a.kind == b.kind }
    }

    /// In the order of ids.
    package var pieces: [Piece]
    /// What no piece spells becomes `<0x…>` pieces; without it, the unknown piece.
    package var byteFallback: Bool
    /// A text is encoded with a blank before it, and decoded without.
    package var addsDummyPrefix: Bool
    package var begin: String
    package var end: String
    /// What the unknown piece decodes to.
    package var unknownSurface: String

    package init(
        pieces: [Piece], byteFallback: Bool = true, addsDummyPrefix: Bool = true, begin: String = "<s>", end: String = "</s>",
        unknownSurface: String = SentencePieceModel.unknownSurface
    ) {
        self.pieces = pieces
        self.byteFallback = byteFallback
        self.addsDummyPrefix = addsDummyPrefix
        self.begin = begin
        self.end = end
        self.unknownSurface = unknownSurface
    }

    package static let unknownSurface = " \u{2047} "

    /// No file of a model we know is a quarter of this.
    private static let bytesMax = 16 << 20
    static let piecesMax = 1 << 20
    static let pieceBytesMax = 1024

    /// Reads a `tokenizer.model`.
    /// - Throws: `.request`, naming what cannot be honoured.
    package init(parsing bytes: [UInt8]) throws(Fault) {
        guard bytes.count <= SentencePieceModel.bytesMax else { throw SentencePieceModel.refusal("it is longer than 16 MiB") }
        do throws(Refused) { self = try SentencePieceModel(message: bytes[...]) } catch { throw SentencePieceModel.refusal(error.why) }
    }

    /// The same vocabulary in the same wire format: what `init(parsing:)` reads as this.
    package var encoded: [UInt8] {
        var model = ProtobufWriter()
        for piece in pieces {
            var message = ProtobufWriter()
            message.put(1, piece.text.utf8)
            message.put(2, piece.score)
            if piece.kind != .normal { message.put(3, UInt64(piece.kind.rawValue)) }
            model.put(1, message.bytes)
        }
        var trainer = ProtobufWriter()
        trainer.put(3, SentencePieceModel.pairs)
        trainer.put(4, UInt64(pieces.count))
        trainer.put(35, byteFallback)
        for (number, name, absent) in [(41, begin, "<s>"), (42, end, "</s>")] {
            let id = pieces.firstIndex { $0.text == name && $0.kind == .control }.map(UInt64.init) ?? .max
            trainer.put(number, id)
            if name != absent { trainer.put(number + 5, name.utf8) }
        }
        let unknown = pieces.firstIndex { $0.kind == .unknown } ?? 0
        trainer.put(40, UInt64(unknown))
        trainer.put(43, UInt64.max)
        if unknownSurface != SentencePieceModel.unknownSurface { trainer.put(44, unknownSurface.utf8) }
        if !pieces.isEmpty, pieces[unknown].text != "<unk>" { trainer.put(45, pieces[unknown].text.utf8) }
        var normalizer = ProtobufWriter()
        normalizer.put(1, "identity".utf8)
        normalizer.put(3, addsDummyPrefix)
        normalizer.put(4, false)
        normalizer.put(5, true)
        model.put(2, trainer.bytes)
        model.put(3, normalizer.bytes)
        return model.bytes
    }

    static func refusal(_ why: String) -> Fault {
        Fault(.request, "tokenizer.malformed", "tokenizer.model cannot be used", why: why, remedy: "use the file of the model's release, unchanged")
    }

    /// `model_type` of byte-pair encoding.
    private static let pairs: UInt64 = 2

    fileprivate struct Refused: Error {
        let why: String
        init(_ why: String) { self.why = why }
    }

    private init(message: ArraySlice<UInt8>) throws(Refused) {
        self.init(pieces: [], byteFallback: false)
        var seen = Set<Int>(), kind: UInt64 = 1, plain = true
        try SentencePieceModel.read(message) { (field) throws(Refused) in
            switch field.number {
            case 1:
                guard pieces.count < SentencePieceModel.piecesMax else { throw Refused("it has more than 1048576 pieces") }
                pieces.append(try SentencePieceModel.piece(try field.message()))
            case 2...5:
                guard seen.insert(field.number).inserted else { throw Refused("a part of it is written twice") }
                switch field.number {
                case 2: try trainer(try field.message(), &kind)
                case 3: try normalizer(try field.message(), &plain)
                case 5: guard try SentencePieceModel.isPlain(try field.message()) else { throw Refused("it changes text after decoding: not supported") }
                default: break
                }
            default: break
            }
        }
        guard kind == SentencePieceModel.pairs else {
            throw Refused("its model is `\(kind == 1 ? "unigram" : kind == 3 ? "word" : kind == 4 ? "char" : "type \(kind)")`; `bpe` is read")
        }
        guard seen.contains(3), plain else { throw Refused("it normalises text or removes blanks: only the normaliser `identity` is read, with every blank kept") }
    }

    private static func piece(_ message: ArraySlice<UInt8>) throws(Refused) -> Piece {
        var text: String?, score: Float = 0, kind = Piece.Kind.normal
        try read(message) { (field) throws(Refused) in
            switch field.number {
            case 1: text = try field.text()
            case 2:
                guard case .fixed32(let bits) = field.value else { throw Refused("a score is no number") }
                score = Float(bitPattern: bits)
            case 3:
                guard let known = Piece.Kind(rawValue: Int(truncatingIfNeeded: try field.number64())) else { throw Refused("a piece is of an unknown type") }
                kind = known
            default: break
            }
        }
        guard let text else { throw Refused("a piece has no text") }
        return Piece(text, score: score, kind: kind)
    }

    private mutating func trainer(_ message: ArraySlice<UInt8>, _ kind: inout UInt64) throws(Refused) {
        try SentencePieceModel.read(message) { (field) throws(Refused) in
            switch field.number {
            case 3: kind = try field.number64()
            case 24: if try field.number64() != 0 { throw Refused("it writes blanks after words: not supported") }
            case 35: byteFallback = try field.number64() != 0
            case 44: unknownSurface = try field.text()
            case 46: begin = try field.text()
            case 47: end = try field.text()
            default: break
            }
        }
    }

    private mutating func normalizer(_ message: ArraySlice<UInt8>, _ plain: inout Bool) throws(Refused) {
        var keepsBlanks = false, escapes = true
        try SentencePieceModel.read(message) { (field) throws(Refused) in
            switch field.number {
            case 3: addsDummyPrefix = try field.number64() != 0
            case 4: keepsBlanks = try field.number64() == 0
            case 5: escapes = try field.number64() != 0
            default: break
            }
        }
        let changesNothing = try SentencePieceModel.isPlain(message)
        plain = changesNothing && keepsBlanks && escapes
    }

    /// Whether a normaliser changes no character.
    private static func isPlain(_ message: ArraySlice<UInt8>) throws(Refused) -> Bool {
        var plain = true
        try read(message) { (field) throws(Refused) in
            guard [2, 6].contains(field.number) else { return }
            if try !field.message().isEmpty { plain = false }
        }
        return plain
    }

    private static func read(_ message: ArraySlice<UInt8>, _ body: (ProtobufReader.Field) throws(Refused) -> Void) throws(Refused) {
        var reader = ProtobufReader(message)
        while true {
            let field: ProtobufReader.Field?
            do throws(ProtobufReader.Malformed) {
                field = try reader.next()
            } catch {
                throw Refused("\(error.reason) at byte \(error.offset)")
            }
            guard let field else { return }
            try body(field)
        }
    }
}

extension ProtobufReader.Field {
    fileprivate func message() throws(SentencePieceModel.Refused) -> ArraySlice<UInt8> {
        guard case .bytes(let bytes) = value else { throw .init("field \(number) is not of its kind") }
        return bytes
    }

    fileprivate func number64() throws(SentencePieceModel.Refused) -> UInt64 {
        guard case .varint(let value) = value else { throw .init("field \(number) is not of its kind") }
        return value
    }

    fileprivate func text() throws(SentencePieceModel.Refused) -> String {
        guard let text = String(validating: try message(), as: UTF8.self) else { throw .init("a text is not UTF-8") }
        return text
    }
}
