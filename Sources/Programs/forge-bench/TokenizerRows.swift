import ForgeCore
import ForgeOS
import ForgeTokenizer

/// Learning 8,192 tokens and encoding with them, one thread, over the documents that the peer gets too. The tokenizer is left in the
/// scratch directory, so that the peer encodes with the very same one.
func tokenizerRows(_ bench: Bench) throws {
    guard let corpus = bench.corpus else { throw Fault(.request, "bench.corpus", "cannot measure the tokenizer", why: "no corpus was named") }
    let text = try File(try Path.absolute(corpus), .read).readAll(limit: .mib(256))
    let documents = text.split(separator: 0, omittingEmptySubsequences: true).map(Array.init)
    let megabytes = Double(documents.reduce(0) { $0 + $1.count }) / 1e6
    var tokenizer: Tokenizer?
    var training: [Double] = []
    for _ in 0..<3 {
        training.append(megabytes / (try Bench.seconds {
            var trainer = try BPETrainer(vocabularyCount: 8_192)
            for document in documents { trainer.add(document) }
            tokenizer = try trainer.train()
        }))
    }
    guard let tokenizer else { preconditionFailure("three rounds make a tokenizer") }
    try Durable.replace(bench.path("tokenizer.json"), with: tokenizer.json)
    bench.say("tokenizer.train", "MB/s", samples: training, ["megabytes": .double(megabytes), "vocabulary": .int(Int64(tokenizer.count))])
    var encoding: [Double] = [], tokens = 0
    for _ in 0..<3 {
        // A fresh encoder a round: its memory of words is earned inside the measurement, as a process earns it.
        var encoder = Encoder(tokenizer)
        tokens = 0
        encoding.append(megabytes / Bench.seconds { for document in documents { tokens += encoder.encode(document).count } })
    }
    bench.say("tokenizer.encode", "MB/s", samples: encoding, ["tokens": .int(Int64(tokens))])
}
