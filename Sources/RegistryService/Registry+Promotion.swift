import AdminAPI
import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import RegistryAPI

extension Registry {
    var promotionRoutes: [Route] {
        [
            Route(.post, "/v1/models/{name}/evaluations", body: .whole(.mib(16)), summary: "Register a score (forged)") { [self] in try await registerEvaluation($0) },
            Route(.post, "/v1/models/{name}/promote", summary: "Point an alias at a version; needs votes") { [self] in try await promote($0) },
            Route(.post, "/v1/models/{name}/rollback", summary: "Point an alias back at the version before") { [self] in try await rollBack($0) },
        ]
    }

    func find(_ text: String) async throws(Fault) -> ModelVersionRow {
        guard let pointer = ModelPointer(text) else { throw Fault.noModel(text) }
        guard let found = try await ledger.reader.read({ (database) throws(Fault) -> ModelVersionRow? in try database.find(pointer)?.row }) else { throw Fault.noModel(text) }
        return found
    }

    // MARK: evaluations

    /// Only the trainer measures: a score that a person could write would be worth nothing to the policy that reads it.
    private func registerEvaluation(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let message: EvaluationRequest = try request.decode()
        _ = try await requireService(request, .trainer)
        let who = try await visitor(request)
        guard Names.isName(message.suite), message.microbitsPerByte > 0, message.microbitsPerByte < 1 << 40, (message.baselineMicrobitsPerByte ?? 1) > 0 else {
            throw Fault(.request, "model.evaluation", "this score is not accepted", why: "a suite has a name, and bits per byte are positive")
        }
        let row = try await find(request.parameter("name"))
        let permit = try await permit(.modelEvaluate, on: Registry.model(row), digest: row.digest, for: who)
        let report = Array(message.report.utf8)
        let view = try await carryOut(permit, for: who, object: Registry.object(row)) { database, index, now throws(Fault) in
            let item = EvaluationRow(
                id: ID(), name: row.name, version: row.version, suite: message.suite, dataset: message.dataset, microbitsPerByte: message.microbitsPerByte,
                baselineMicrobitsPerByte: message.baselineMicrobitsPerByte, report: report, created: now, record: index)
            try database.insert(item)
            var facts: JSON.Object = [
                "evaluation": .string(item.id.description), "suite": .string(item.suite), "microbits_per_byte": .int(item.microbitsPerByte),
                "report": .string(Digest.sha256(report).description), "heldout": .string(item.dataset.description),
            ]
            if let baseline = item.baselineMicrobitsPerByte { facts["baseline_microbits_per_byte"] = .int(baseline) }
            return (EvaluationView(item), facts)
        }
        return try .json(view, status: 201)
    }

    // MARK: promotion

    /// What the policies are told of a version. The registry states it from its own rows; nobody can send it.
    private func attributes(_ row: ModelVersionRow, alias: String) async throws(Fault) -> JSON.Object {
        try await ledger.reader.snapshot { database throws(Fault) in
            let score = try database.heldout(row.name, row.version)
            var attributes: JSON.Object = [
                "name": .string(row.name), "version": .int(row.version), "digest": .string(row.digest.description),
                "trainedBy": ["__entity": ["type": "Forge::User", "id": .string(row.trainedBy)]], "hasHeldoutReport": .bool(score != nil),
            ]
            if let score { attributes["heldoutMicrobitsPerByte"] = .int(score.microbitsPerByte) }
            if let current = try database.alias(row.name, alias), current != row.version {
                // Compared on the same held-out documents where the former version was scored on them.
                if let rival = try database.heldout(row.name, current, on: score?.dataset) { attributes["productionMicrobitsPerByte"] = .int(rival.microbitsPerByte) }
            }
            return attributes
        }
    }

    private func promote(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let message: AliasRequest = try request.decode()
        let alias = try Registry.alias(message)
        let who = try await visitor(request)
        let row = try await find(request.parameter("name"))
        // Said before anybody votes on it.
        guard try await !ledger.reader.read({ database throws(Fault) in try database.isQuarantined(row) }) else { throw Fault.quarantined(row, "promote") }
        var context: JSON.Object = ["alias": .string(alias)]
        if let reason = message.reason { context["reason"] = .string(reason) }
        let permit = try await permit(
            .modelPromote, on: Registry.model(row), digest: row.digest, attributes: try await attributes(row, alias: alias), context: context, for: who)
        let (id, approval) = (permit.decision.request, permit.decision.approval)
        let evidence: ApprovalView?
        do throws(Fault) { evidence = try await self.evidence(approval) } catch {
            await recordFailure(of: .modelPromote, request: id, for: who, object: Registry.object(row), error)
            await report(.init(ok: false, note: error.code), of: approval)
            throw error
        }
        do throws(Fault) {
            let reply = try await carryOut(
                permit, for: who, object: Registry.object(row), approvers: evidence?.votes.map(\.user) ?? [], detail: evidence.map { ApprovalEvidence($0).bytes }
            ) { database, index, _ throws(Fault) in
                let from = try database.alias(row.name, alias)
                guard from != row.version else {
                    throw Fault(.request, "model.promoted", "`\(row.name)@\(row.version)` is `\(alias)` already")
                }
                try database.move(AliasMoveRow(record: index, name: row.name, alias: alias, from: from, to: row.version, approval: approval))
                var facts: JSON.Object = ["alias": .string(alias), "to": .int(row.version)]
                if let from { facts["from"] = .int(from) }
                if let approval { facts["approval"] = .string(approval.description) }
                return (AliasReply(name: row.name, alias: alias, from: from, to: row.version, digest: row.digest, record: index), facts)
            }
            await report(.init(ok: true, record: reply.record), of: approval)
            return try .json(reply)
        } catch {
            await report(.init(ok: false, note: error.code), of: approval)
            throw error
        }
    }

    /// The signed votes, which the record of what they allowed binds. No votes at hand, no effect: they are what a receipt will show.
    func evidence(_ approval: ID?) async throws(Fault) -> ApprovalView? {
        guard let approval, let approvals else { return nil }
        return try await approvals.read(approval)
    }

    /// The effect is on record here whether or not forge-admin hears of it; it asks the log when it has not.
    func report(_ report: ExecutionReport, of approval: ID?) async {
        guard let approval else { return }
        try? await approvals?.report(report, approval)
    }

    // MARK: rollback

    private func rollBack(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let message: AliasRequest = try request.decode()
        let alias = try Registry.alias(message)
        let who = try await visitor(request)
        let name = request.parameter("name")
        let target = try await ledger.reader.snapshot { (database) throws(Fault) -> ModelVersionRow? in
            guard let version = try database.versionBefore(name, alias) else { return nil }
            return try database.modelVersion(name, version)
        }
        let permit = try await permit(
            .modelRollback, on: target.map(Registry.model) ?? EntityID("Forge::Model", name), digest: target?.digest, context: ["alias": .string(alias)], for: who)
        let object = target.map(Registry.object) ?? AuditEntry.Object("Forge::Model", name)
        let reply = try await carryOut(permit, for: who, object: object) { database, index, _ throws(Fault) in
            guard let target, let from = try database.alias(name, alias), try database.versionBefore(name, alias) == target.version else {
                throw Fault(.request, "model.nothing_before", "`\(name)` cannot go back", why: "no version was `\(alias)` before this one", remedy: "`forge model lineage \(name)@\(alias)` shows what was")
            }
            try database.move(AliasMoveRow(record: index, name: name, alias: alias, from: from, to: target.version, approval: nil))
            return (
                AliasReply(name: name, alias: alias, from: from, to: target.version, digest: target.digest, record: index), ["alias": .string(alias), "from": .int(from), "to": .int(target.version)]
            )
        }
        return try .json(reply)
    }

    private static func alias(_ message: AliasRequest) throws(Fault) -> String {
        let alias = message.alias ?? AliasRequest.production
        guard Names.isName(alias), Int64(alias) == nil else { throw Fault(.request, "model.alias", "`\(alias.prefix(80))` cannot be an alias", why: "an alias is a name and not a number") }
        return alias
    }
}

extension Database {
    /// The version that a rollback goes to: the one that was promoted before the one in force. A promotion adds to the pile, a rollback takes
    /// from it, so two rollbacks go back two steps and never forward.
    func versionBefore(_ name: String, _ alias: String) throws(Fault) -> Int64? {
        var pile: [Int64] = []
        for move in try aliasMoves(name, alias) {
            guard let leaf = try leaf(move.record) else { throw Database.corrupt("an alias moved without a record") }
            if try AuditRecord(parsing: leaf).entry.action == .modelRollback {
                while let last = pile.last, last != move.to { pile.removeLast() }
            } else {
                pile.append(move.to)
            }
        }
        return pile.count > 1 ? pile[pile.count - 2] : nil
    }
}
