import ForgeArtifact
import ForgeCore
import ForgeCrypto
import ForgeData
import ForgeOS
import ForgeTensor
import ForgeTokenizer
import ForgeTraining

/// A small corpus, its tokenizer and shard, and runs on it.
struct Bench: Sendable {
    let tokenizer: Tokenizer
    let shard: TokenShard
    let recipe: Recipe

    static let yaml = """
        format: forge-recipe/v1
        name: small
        seed: 7
        model: {width: 32, layers: 2, query_heads: 4, kv_heads: 2, feed_forward: 48, context: 32}
        tokenizer: {vocabulary: 300}
        training: {steps: 30, sequences_per_step: 8, sequences_per_pass: 4, checkpoint_every: 1}
        optimizer: {learning_rate: 0.01}
        schedule: {warmup_steps: 3}
        """

    init(_ yaml: String = Bench.yaml) throws {
        let documents = (0..<40).map { n in
            Array("section \(n). the daemon reads its configuration from file \(n % 7) and then waits for \(n) requests; see also part \(n % 5).\n".utf8)
        }
        recipe = try Recipe(parsing: Array(yaml.utf8))
        var trainer = try BPETrainer(vocabularyCount: 300)
        for document in documents { trainer.add(document) }
        tokenizer = try trainer.train()
        var shard = TokenShard(tokenizer: .sha256(tokenizer.json)), encoder = Encoder(tokenizer)
        for document in documents { shard.append(document, with: &encoder) }
        self.shard = shard
    }

    static let key = [UInt8](repeating: 42, count: 32)

    func run(in folder: String, backend: Backend = .best, threads: Int = 2, recipe: Recipe? = nil) throws -> TrainingRun {
        try Bench.run(recipe ?? self.recipe, .documents(shard), .tokenizer(tokenizer), in: folder, backend: backend, threads: threads)
    }

    static func run(_ recipe: Recipe, _ material: TrainingMaterial, _ start: RunStart, in folder: String, backend: Backend = .best, threads: Int = 2) throws -> TrainingRun {
        try TrainingRun(
            recipe, material, start: start, stateDirectory: folder, key: SecretBytes(copying: Bench.key), project: ID([UInt8](repeating: 1, count: 16))!,
            store: ID([UInt8](repeating: 2, count: 16))!, backend: backend, threads: threads)
    }

    /// A finished model as it is read again.
    static func stored(_ model: TrainedModel, _ tokenizer: [UInt8]) throws -> StoredModel {
        var files = try model.files(), weights: [UInt8] = []
        try model.writeWeights { weights += $0 }
        (files[.tokenizer], files[.weights]) = (tokenizer, weights)
        let all = files
        return try StoredModel(count: { all[$0]?.count }) { (file, range) in Array(all[file]![range]) }
    }

    /// Runs to the end with a checkpoint whenever the recipe wants one.
    static func finish(_ run: TrainingRun) throws -> Digest {
        while !run.isFinished {
            _ = try run.step()
            if run.wantsCheckpoint { try run.checkpoint() }
        }
        return run.parameterDigest()
    }
}

/// A folder of its own, removed at the end.
func scratch<R>(_ body: (String) async throws -> R) async throws -> R {
    let folder = "/tmp/forge-training-\(ID())"
    defer { try? Path.removeTree(folder) }
    return try await body(folder)
}
