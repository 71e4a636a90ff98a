import ForgeArtifact
import ForgeCore
import ForgeCrypto
import ForgeData
import ForgeModel
import ForgeOS
import ForgeTensor
import ForgeTokenizer
import ForgeTraining

/// Scores a model on held-out documents, and the Kneser–Ney baseline fitted on the training documents beside it; or an imported one on the fixed text.
struct EvaluationJob {
    private let order: WorkerOrder
    private let evaluation: WorkerOrder.Evaluation
    private let channel: WorkerChannel

    init(_ evaluation: WorkerOrder.Evaluation, _ order: WorkerOrder, _ channel: WorkerChannel) {
        self.order = order
        self.evaluation = evaluation
        self.channel = channel
    }

    func run() throws(Fault) {
        let files = try mapped()
        func whole(_ file: ModelFile) throws(Fault) -> [UInt8] {
            guard let mapping = files[file.rawValue] else { throw Fault(.request, "model.files", "this is not a whole model", why: "`\(file.rawValue)` is missing") }
            return EvaluationJob.bytes(mapping, 0..<mapping.count)
        }
        let tokenizer = try Tokenizer(parsing: try whole(.tokenizer))
        let configJSON: JSON
        do { configJSON = try JSON.parse(try whole(.config)) } catch let fault as Fault { throw fault } catch {
            throw Fault(.request, "model.config", "cannot read `config.json`", why: "\(error)")
        }
        let config = try MistralConfig(json: configJSON)
        let device = try Device(threads: order.threads)
        let parameters = try Parameters(ParameterTable(config), on: device)
        guard let weights = files[ModelFile.weights.rawValue] else { throw Fault(.request, "model.files", "this is not a whole model", why: "its weights are missing") }
        let size = try TensorTable.headerBytes(first: EvaluationJob.bytes(weights, 0..<min(8, weights.count)), fileBytes: weights.count, source: ModelFile.weights.rawValue)
        let table = try TensorTable(parsing: EvaluationJob.bytes(weights, 0..<min(size, weights.count)), fileBytes: weights.count, source: ModelFile.weights.rawValue)
        try parameters.load(table) { (range) throws(Fault) in EvaluationJob.bytes(weights, range) }

        if evaluation.importing {
            try channel.send(WorkerReport.preparing(what: "scoring the model"))
            let texts = MeasuringText.documents
            let score = try Scorer(parameters, tokenizer: tokenizer, on: device).score(texts)
            // Where the checkpoint could mean two models, the other one is scored beside it.
            let other = try config.otherReading.map { other throws(Fault) in
                try Scorer(Parameters(ParameterTable(other), of: parameters), tokenizer: tokenizer, on: device).score(texts).bits
            }
            return try channel.send(WorkerReport.scored(documents: texts.count, bytes: score.bytes, modelBits: score.bits, baselineBits: other ?? 0))
        }
        try channel.send(WorkerReport.preparing(what: "reading the documents"))
        var train: [[UInt8]] = [], heldOut: [[UInt8]] = []
        for data in order.data {
            let reader = try DocumentArchive.Reader(data.directory, key: try Worker.key(data.key))
            guard reader.manifest.root == data.digest else { throw Fault(.environment, "dataset.other", "the stored data set is another one", why: "its digest is \(reader.manifest.root)") }
            try reader.forEach(.train) { (text) throws(Fault) in train.append(text) }
            try reader.forEach(.heldout) { (text) throws(Fault) in heldOut.append(text) }
        }
        guard !heldOut.isEmpty else {
            throw Fault(.request, "evaluation.no_documents", "there is nothing to score on", why: "the data set holds out no document", remedy: "add the documents again with a held-out share")
        }
        try channel.send(WorkerReport.preparing(what: "scoring the model"))
        let score = try Scorer(parameters, tokenizer: tokenizer, on: device).score(heldOut)
        try channel.send(WorkerReport.preparing(what: "fitting the baseline"))
        let baseline = KneserNey(order: 5, documents: train)
        let bits = heldOut.reduce(0) { $0 + baseline.bits($1) }
        try channel.send(WorkerReport.scored(documents: heldOut.count, bytes: score.bytes, modelBits: score.bits, baselineBits: bits))
    }

    private func mapped() throws(Fault) -> [String: SealedMapping] {
        let descriptors = channel.takeDescriptors()
        guard descriptors.count == evaluation.files.count else {
            for descriptor in descriptors { UnixSocket.close(descriptor) }
            throw Fault(.environment, "worker.order", "the worker cannot read its order", why: "\(descriptors.count) files came of \(evaluation.files.count)")
        }
        var out: [String: SealedMapping] = [:]
        for (file, descriptor) in zip(evaluation.files, descriptors) { out[file.name] = try Memfd(adopting: descriptor, name: file.name).map() }
        return out
    }

    private static func bytes(_ mapping: SealedMapping, _ range: Range<Int>) -> [UInt8] {
        unsafe mapping.withUnsafeBytes { unsafe Array($0[range]) }
    }
}
