import ForgeArtifact
import ForgeCore
import ForgeCrypto
import ForgeData
import ForgeModel
import ForgeOS
import ForgeTensor
import ForgeTokenizer
import ForgeTraining
import TrainerAPI

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
        guard let model = try Worker.lentModel(order, channel) else { throw Fault(.environment, "worker.order", "the worker cannot read its order", why: "no model came to be scored") }
        let tokenizer = model.tokenizer, config = model.config
        let device = try Device(threads: order.threads)
        let parameters = try Parameters(ParameterTable(config), on: device)
        try parameters.load(model)

        if evaluation.importing {
            try channel.send(WorkerReport.preparing(what: "scoring the model"))
            let texts = MeasuringText.documents
            let score = try Scorer(parameters, tokenizer: tokenizer, on: device).score(texts)
            // Where the checkpoint could mean two models, the other one is scored beside it.
            let other = try config.otherReading.map { other throws(Fault) in
                try Scorer(Parameters(ParameterTable(other), of: parameters), tokenizer: tokenizer, on: device).score(texts).bits
            }
            return try channel.send(WorkerReport.scored(documents: texts.count, bytes: score.bytes, modelBits: score.bits, baselineBits: other ?? 0, tasks: nil))
        }
        try channel.send(WorkerReport.preparing(what: "reading the documents"))
        var heldOut = HeldOut(for: model)
        for data in order.data {
            let reader = try DocumentArchive.Reader(data.directory, key: try Worker.key(data.key))
            guard reader.manifest.root == data.digest else { throw Fault(.environment, "dataset.other", "the stored data set is another one", why: "its digest is \(reader.manifest.root)") }
            try reader.forEach(.train) { (kind, text) throws(Fault) in try heldOut.fit(text, kind) }
            try reader.forEach(.heldout) { (kind, text) throws(Fault) in try heldOut.take(text, kind) }
        }
        guard !heldOut.isEmpty else {
            throw Fault(.request, "evaluation.no_documents", "there is nothing to score on", why: "the data set holds out no document", remedy: "add the documents again with a held-out share")
        }
        try channel.send(WorkerReport.preparing(what: "scoring the model"))
        let scorer = try Scorer(parameters, tokenizer: tokenizer, on: device)
        let score = try scorer.score(heldOut.texts) + scorer.score(heldOut.sequences), tasks = try heldOut.scoreTasks(parameters, on: device).map { EvaluationReport.Tasks(count: $0.count, right: $0.right, reward: $0.reward) }
        guard heldOut.count > 0 else { return try channel.send(WorkerReport.scored(documents: 0, bytes: 0, modelBits: 0, baselineBits: 0, tasks: tasks)) }
        try channel.send(WorkerReport.preparing(what: "fitting the baseline"))
        let baseline = KneserNey(order: 5, documents: heldOut.training)
        let bits = heldOut.plain.reduce(0) { $0 + baseline.bits($1) }
        try channel.send(WorkerReport.scored(documents: heldOut.count, bytes: score.bytes, modelBits: score.bits, baselineBits: bits, tasks: tasks))
    }
}
