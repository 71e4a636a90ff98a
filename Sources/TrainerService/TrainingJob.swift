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
    private let stop: Flag
    private let key: SecretBytes
    private let lock: FileLock

    /// - Throws: `os.locked` while another worker still holds the run.
    init(_ training: WorkerOrder.Training, _ order: WorkerOrder, _ channel: WorkerChannel, _ stop: Flag) throws(Fault) {
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
        let (start, tokenizerFile) = try start(recipe)
        guard !stop.isSet else { return try channel.send(WorkerReport.stopped(step: 0)) }
        let material = try material(recipe, start, .sha256(tokenizerFile))
        guard !stop.isSet else { return try channel.send(WorkerReport.stopped(step: 0)) }

        if recipe.preference?.needsReference == true, !recipe.method.draws { try channel.send(WorkerReport.preparing(what: "asking the model it starts from")) }
        let run = try TrainingRun(
            recipe, material, start: start, stateDirectory: path("checkpoints"), key: key, project: training.project, store: training.store, threads: order.threads)
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

    private func texts(_ split: DocumentLeaf.Split, _ body: (DocumentKind, [UInt8]) throws(Fault) -> Void) throws(Fault) {
        for data in order.data {
            let reader = try DocumentArchive.Reader(data.directory, key: try Worker.key(data.key))
            guard reader.manifest.root == data.digest else {
                throw Fault(.environment, "dataset.other", "the stored data set is not the one the run names", why: "its digest is \(reader.manifest.root)", remedy: "add the documents again")
            }
            try reader.forEach(split, body)
        }
    }

    /// What the run begins with, and the tokenizer.json that goes with it.
    private func start(_ recipe: Recipe) throws(Fault) -> (RunStart, [UInt8]) {
        switch recipe.start {
        case .architecture(let model):
            let (tokenizer, bytes) = try tokenizer(model)
            return (.tokenizer(tokenizer), bytes)
        case .base(let reference):
            guard let model = try Worker.lentModel(order, channel) else {
                throw Fault(.environment, "worker.order", "the worker cannot read its order", why: "the run starts from `\(reference)`, and no model came")
            }
            return (.base(model), model.tokenizerFile)
        }
    }

    private func tokenizer(_ model: Recipe.Architecture) throws(Fault) -> (Tokenizer, [UInt8]) {
        if try Path.information(path("tokenizer.blob")) != nil {
            let bytes = try SealedReader(path("tokenizer.blob"), key: key).readAll(limit: .mib(64))
            return (try Tokenizer(parsing: bytes), bytes)
        }
        try channel.send(WorkerReport.preparing(what: "training the tokenizer"))
        var trainer = try BPETrainer(vocabularyCount: model.vocabulary)
        try texts(.train) { (kind, text) throws(Fault) in for text in try Preparation.words(text, kind) { trainer.add(text) } }
        let tokenizer = try trainer.train()
        let bytes = tokenizer.json
        _ = try seal("tokenizer.blob", bytes)
        return (tokenizer, bytes)
    }

    private func material(_ recipe: Recipe, _ start: RunStart, _ tokenizer: Digest) throws(Fault) -> TrainingMaterial {
        if try Path.information(path("train.blob")) != nil {
            let bytes = try SealedReader(path("train.blob"), key: key).readAll(limit: .gib(64))
            let material = try TrainingMaterial(parsing: bytes, for: recipe.method)
            guard material.tokenizer == tokenizer else {
                throw Fault(.environment, "shard.other", "the token shard belongs to another tokenizer", why: "its digest is \(material.tokenizer)", remedy: "cancel the run and submit it again")
            }
            return material
        }
        try channel.send(WorkerReport.preparing(what: recipe.method.learnsFromSamples ? "encoding the samples" : "encoding the documents"))
        var preparation = try Preparation(recipe, start, tokenizerFile: tokenizer)
        try texts(.train) { (kind, text) throws(Fault) in try preparation.take(text, kind) }
        let material = preparation.finish()
        _ = try seal("train.blob", material.encoded)
        return material
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
            shareOfPeak: step.shareOfPeak, secondsLeft: step.secondsLeft, measures: step.measures.isEmpty ? nil : step.measures, time: Clock.now().nanoseconds / 1000)
    }
}
