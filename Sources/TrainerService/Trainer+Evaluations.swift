import ForgeArtifact
import ForgeAudit
import ForgeAuthority
import ForgeCore
import ForgeGate
import ForgeHTTP
import ForgeOS
import ForgeTraining
import RegistryAPI
import TrainerAPI

extension Trainer {
    var evaluationRoutes: [Route] {
        [Route(.post, "/v1/evaluations", deadline: nil, summary: "Score a model on held-out documents, against the Kneser–Ney baseline") { [self] in try await evaluate($0) }]
    }

    private static let otherReading = "the same checkpoint read as one whose stretched positions raise scores"
    private static let baseline = "byte-level 5-gram, interpolated modified Kneser-Ney (Chen & Goodman 1998), fitted on the same training documents"

    private func evaluate(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let order: EvaluationOrder = try request.decode()
        let who = try await visitor(request)
        guard let at = order.model.firstIndex(of: "@"), Trainer.isName(String(order.model[..<at])), order.model.utf8.count <= 160 else {
            throw Fault(.request, "evaluation.model", "which model is meant?", why: "`\(order.model.prefix(100))` is not of the form `name@version`", remedy: "`forge model ls` shows them")
        }
        let permit = try await permit(.modelEvaluate, on: EntityID("Forge::Model", String(order.model[..<at])), for: who)
        let report = try await carryOut(permit, for: who) { () async throws(Fault) in
            let report = try await measure(order)
            var data: JSON.Object = ["dataset": .string(report.dataset.description)]
            if let bits = report.microbitsPerByte { data["microbits_per_byte"] = .int(bits) }
            if let tasks = report.tasks { (data["count"], data["accepted"]) = (.int(Int64(tasks.count)), .int(Int64(tasks.right))) }
            if let baseline = report.baselineMicrobitsPerByte { data["baseline_microbits_per_byte"] = .int(baseline) }
            return (report, AuditEntry.Object("Forge::Model", String(order.model[..<at]), digest: report.modelDigest), data)
        }
        return try .json(report)
    }

    private func measure(_ order: EvaluationOrder) async throws(Fault) -> EvaluationReport {
        let loan = try await site.borrow(order.model, for: .evaluate)
        let importing = order.importing ?? false
        guard !importing || order.dataset == nil else {
            throw Fault(.request, "evaluation.both", "what shall be scored?", why: "both a data set and the fixed text for imported models are asked for", remedy: "ask for one")
        }
        let datasets = importing ? [] : try await documents(order, loan)
        let score = try await supervisor.score(datasets, files: loan.files.map { ($0.name, $0.bytes, $0.memory.memfd.descriptor) })
        guard score.bytes > 0 || score.tasks != nil, score.modelBits.isFinite, score.baselineBits.isFinite else {
            throw Fault(.environment, "evaluation.no_number", "the score is no number", why: "\(score.bytes) bytes were scored", remedy: "look at the model's loss curve")
        }
        guard score.bytes > 0 else {
            // The registry keeps scores in bits; what answers earned is kept by the log, and by whoever asked.
            return EvaluationReport(
                model: loan.reference, modelDigest: loan.digest, dataset: datasets.first?.view.digest ?? MeasuringText.digest, documents: 0, bytes: 0, microbitsPerByte: nil, tasks: score.tasks, record: nil)
        }
        func microbits(_ bits: Double) -> Int64 { Int64((bits / Double(score.bytes) * 1e6).rounded()) }
        let beside = importing ? score.baselineBits > 0 ? Trainer.otherReading : nil : Trainer.baseline
        // Two readings of one checkpoint differ by far more than a hundredth; less is chance, and the one that is usual stands.
        guard !importing || beside == nil || score.baselineBits > score.modelBits * 0.99 else {
            throw Fault(
                .request, "evaluation.other_reading", "the model was read wrongly", why: "its config.json does not say whether stretched positions raise scores, and \(microbits(score.baselineBits)) microbits a byte with them raised are fewer than \(microbits(score.modelBits)) without",
                remedy: "bring it in again with `--scores raised`, or in the native layout, whose params.json says it")
        }
        // A report names one data set; a model of several is scored on all their held-out documents under the first one's digest.
        let perByte = microbits(score.modelBits)
        var report = EvaluationReport(
            model: loan.reference, modelDigest: loan.digest, dataset: datasets.first?.view.digest ?? MeasuringText.digest, documents: score.documents, bytes: score.bytes,
            microbitsPerByte: perByte, baselineMicrobitsPerByte: beside == nil ? nil : microbits(score.baselineBits), tasks: score.tasks, baseline: beside, record: nil)
        let text = String(decoding: try Wire.encode(report), as: UTF8.self)
        let kept = try await registry.evaluate(
            loan.reference,
            EvaluationRequest(
                suite: importing ? EvaluationRequest.importing : EvaluationRequest.heldout, dataset: report.dataset, microbitsPerByte: perByte, baselineMicrobitsPerByte: report.baselineMicrobitsPerByte, report: text))
        report.record = kept.record
        return report
    }

    /// The data sets the model names, or the one asked for.
    private func documents(_ order: EvaluationOrder, _ loan: ModelLoan) async throws(Fault) -> [DatasetRecord] {
        var references = order.dataset.map { [$0] } ?? []
        if references.isEmpty { references = try DatasetsRecord(parsing: try loan.bytes(.datasets)).items.map(\.digest.description) }
        var out: [DatasetRecord] = []
        for reference in references { out.append(try await store.dataset(reference)) }
        guard out.contains(where: { $0.view.heldout.documents > 0 }) else {
            throw Fault(
                .request, "evaluation.no_documents", "there is nothing to score on", why: "no document of the data set is held out", remedy: "add the documents again with a held-out share")
        }
        return out
    }
}
