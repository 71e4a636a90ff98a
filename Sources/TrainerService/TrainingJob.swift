import ForgeArtifact
import ForgeCore
import ForgeCrypto
import ForgeData
import ForgeOS
import ForgeTensor
import ForgeTokenizer
import ForgeTraining
import TrainerAPI

/// One run in its worker: tokenizer and shard if they are not there yet, steps from the last checkpoint on, and the model's files, all sealed.
struct TrainingJob: ~Copyable {
    private let order: WorkerOrder
    private let training: WorkerOrder.Training
    private let channel: WorkerChannel
    private let stop: StopFlag
    private let key: SecretBytes
    private let lock: FileLock

    /// - Throws: `os.locked` while another worker still holds the run.
    init(_ training: WorkerOrder.Training, _ order: WorkerOrder, _ channel: WorkerChannel, _ stop: StopFlag) throws(Fault) {
        let key = try Worker.key(training.key)
        let lock = try FileLock(Path.join(training.directory, "lock"), holder: "worker of run \(training.run)")
        self.order = order
        self.training = training
        self.channel = channel
        self.stop = stop
        self.key = key
        self.lock = lock
    }

    private func path(_ name: String) -> String { Path.join(training.directory, name) }
    private var header: SealedHeader { SealedHeader(blob: ID(), project: training.project, store: training.store) }

    /// What a worker that was killed left in the run's directory. The daemon writes its record there too, at any moment: that one is not ours to remove.
    static func isLeftover(_ name: String) -> Bool { Durable.isTemporary(name) && !name.hasPrefix(".\(TrainerStore.recordName).") }

    func run() throws(Fault) {
        let recipe = try Recipe(parsing: Array(training.recipe.utf8))
        for name in try Path.list(training.directory) where TrainingJob.isLeftover(name) { try Path.removeTree(path(name)) }
        let (tokenizer, tokenizerFile) = try tokenizer(recipe)
        guard !stop.isSet else { return try channel.send(WorkerReport.stopped(step: 0)) }
        let shard = try shard(tokenizer, .sha256(tokenizerFile))
        guard !stop.isSet else { return try channel.send(WorkerReport.stopped(step: 0)) }

        let run = try TrainingRun(
            recipe, shard: shard, tokenizer: tokenizer, stateDirectory: path("checkpoints"), key: key, project: training.project, store: training.store, threads: order.threads)
        if !run.damaged.isEmpty { try channel.send(WorkerReport.damaged(run.damaged)) }
        try channel.send(WorkerReport.running(step: run.steps, kernels: run.kernels))
        while !run.isFinished {
            let done = try run.step()
            try channel.send(WorkerReport.step(RunMetric(done)))
            if stop.isSet || run.wantsCheckpoint {
                try run.checkpoint()
                try channel.send(WorkerReport.checkpoint(step: run.steps))
            }
            if stop.isSet, !run.isFinished { return try channel.send(WorkerReport.stopped(step: run.steps)) }
        }
        try run.checkpoint()
        try channel.send(WorkerReport.trained(files: try write(try run.finish(), tokenizerFile), kernels: run.kernels))
    }

    // MARK: preparing

    private func texts(_ split: DocumentLeaf.Split, _ body: ([UInt8]) throws(Fault) -> Void) throws(Fault) {
        for data in order.data {
            let reader = try DocumentArchive.Reader(data.directory, key: try Worker.key(data.key))
            guard reader.manifest.root == data.digest else {
                throw Fault(.environment, "dataset.other", "the stored data set is not the one the run names", why: "its digest is \(reader.manifest.root)", remedy: "add the documents again")
            }
            try reader.forEach(split, body)
        }
    }

    private func tokenizer(_ recipe: Recipe) throws(Fault) -> (Tokenizer, [UInt8]) {
        if try Path.information(path("tokenizer.blob")) != nil {
            let bytes = try SealedReader(path("tokenizer.blob"), key: key).readAll(limit: .mib(64))
            return (try Tokenizer(parsing: bytes), bytes)
        }
        try channel.send(WorkerReport.preparing(what: "training the tokenizer"))
        var trainer = try BPETrainer(vocabularyCount: recipe.vocabulary)
        try texts(.train) { (text) throws(Fault) in trainer.add(text) }
        let tokenizer = try trainer.train()
        let bytes = tokenizer.json
        _ = try seal("tokenizer.blob", bytes)
        return (tokenizer, bytes)
    }

    private func shard(_ tokenizer: Tokenizer, _ digest: Digest) throws(Fault) -> TokenShard {
        if try Path.information(path("train.blob")) != nil {
            let shard = try TokenShard(parsing: SealedReader(path("train.blob"), key: key).readAll(limit: .gib(64)))
            guard shard.tokenizer == digest else {
                throw Fault(.environment, "shard.other", "the token shard belongs to another tokenizer", why: "its digest is \(shard.tokenizer)", remedy: "cancel the run and submit it again")
            }
            return shard
        }
        try channel.send(WorkerReport.preparing(what: "encoding the documents"))
        var shard = TokenShard(tokenizer: digest)
        var encoder = Encoder(tokenizer)
        try texts(.train) { (text) throws(Fault) in shard.append(text, with: &encoder) }
        _ = try seal("train.blob", shard.encoded())
        return shard
    }

    private func seal(_ name: String, _ bytes: [UInt8]) throws(Fault) -> SealedSummary {
        var writer = try SealedWriter(path(name), header: header, key: key)
        try writer.append(bytes)
        return try writer.commit()
    }

    // MARK: the model

    private func write(_ model: TrainedModel, _ tokenizer: [UInt8]) throws(Fault) -> [RunRecord.File] {
        try channel.send(WorkerReport.preparing(what: "writing the model"))
        try Durable.makeDirectory(path("model"))
        var files = try model.files()
        files[.tokenizer] = tokenizer
        files[.datasets] = try DatasetsRecord(datasetItems()).encoded
        var out: [RunRecord.File] = []
        for (file, bytes) in files {
            let summary = try seal("model/\(file.rawValue).blob", bytes)
            out.append(.init(name: file.rawValue, digest: summary.digest, bytes: summary.count))
        }
        var writer = try SealedWriter(path("model/\(ModelFile.weights.rawValue).blob"), header: header, key: key)
        try model.writeWeights { (piece) throws(Fault) in try writer.append(piece) }
        let summary = try writer.commit()
        out.append(.init(name: ModelFile.weights.rawValue, digest: summary.digest, bytes: summary.count))
        return out.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    private func datasetItems() throws(Fault) -> [DatasetsRecord.Item] {
        var items: [DatasetsRecord.Item] = []
        for data in order.data {
            let leaves = try DocumentArchive.Reader(data.directory, key: try Worker.key(data.key)).manifest.leaves.filter { $0.split == .train }
            items.append(.init(name: data.name, digest: data.digest, documents: leaves.count, bytes: leaves.reduce(0) { $0 + Int64($1.bytes) }))
        }
        return items
    }
}

extension RunMetric {
    init(_ step: StepMetrics) {
        self.init(
            step: step.step, loss: step.loss, gradientNorm: step.gradientNorm, learningRate: step.learningRate, epoch: step.epoch, tokensPerSecond: step.tokensPerSecond,
            shareOfPeak: step.shareOfPeak, secondsLeft: step.secondsLeft, time: Clock.now().nanoseconds / 1000)
    }
}
