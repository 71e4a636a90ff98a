import FoundationEssentials
import ForgeCore
import Testing

@testable import ForgeTokenizer

/// For Tests/Peers/test_sentencepiece.py: our ids and texts for files, texts and ids that it chose.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["FORGE_PEERS_PIECES"] != nil, "set by Tests/Peers/test_sentencepiece.py"))
struct PeerTests {
    @Test func `ids and texts are written out`() throws {
        let folder = try #require(ProcessInfo.processInfo.environment["FORGE_PEERS_PIECES"])
        func read(_ name: String) throws -> [UInt8] { try Array(#require(FileManager.default.contents(atPath: "\(folder)/\(name)"))) }
        func write(_ bytes: [UInt8], _ name: String) throws { try Data(bytes).write(to: URL(filePath: "\(folder)/\(name)")) }
        let texts = try JSON.parse(read("texts.json"), limits: .init(bytes: 64 << 20)).array?.compactMap { $0.string.flatMap { Base64.decode($0) } } ?? []
        for name in try JSON.parse(read("files.json")).array?.compactMap(\.string) ?? [] {
            let file = try read(name)
            let tokenizer = name.hasSuffix(".json") ? try Tokenizer(parsing: file) : try Tokenizer(sentencePiece: file)
            var encoder = Encoder(tokenizer)
            let ids = texts.map { encoder.encode($0) }
            try write(Array(JSON.array(ids.map { .array($0.map { .int(Int64($0)) }) }).text.utf8), "\(name).ids")
            let lists = try JSON.parse(read("\(name).lists"), limits: .init(bytes: 64 << 20)).array ?? []
            let decoded: [JSON] = lists.map { list in
                let list = (list.array ?? []).compactMap(\.int).map(Token.init)
                let whole = tokenizer.decode(list)
                var stream = StreamDecoder(tokenizer)
                let streamed = list.map { stream.push($0) }.joined() + stream.finish()
                #expect(Array(streamed.utf8) == whole || !tokenizer.hasRunsOfBytes, "\(list)")
                return .string(Base64.encode(whole))
            }
            try write(Array(JSON.array(decoded).text.utf8), "\(name).texts")
            let kept = tokenizer.json
            try write(kept, "\(name).kept")
            let again = try Tokenizer(parsing: kept)
            #expect(again.json == kept)
            #expect(again.sentencePiece == tokenizer.sentencePiece)
            var second = Encoder(again)
            #expect(texts.allSatisfy { second.encode($0) == encoder.encode($0) })
            if !name.hasSuffix(".json") { #expect(tokenizer.sentencePiece == file) }
        }
    }
}
