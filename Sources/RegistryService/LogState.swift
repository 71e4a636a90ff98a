package import ForgeAudit
package import ForgeCatalog
package import ForgeCore
import ForgeCrypto
package import ForgeGate
import ForgeOS

/// The sequencer: gives records their index and time, hashes them into the tree, and signs its root. It moves with the database:
/// when a transaction fails, it is as it was before.
package struct LogState: Sendable {
    /// `organisation/appliance/audit`; nil before the store is initialised.
    package internal(set) var origin: String?
    package private(set) var edge: TreeEdge
    /// Signs while the store is open.
    private var signer: NoteSigner?
    private var redactor = Redactor.sealed
    /// What the last leaf says of time.
    private var last: LogClock.Reading?
    /// The size the latest signed tree head covers, and when it was signed, on the monotonic clock.
    package private(set) var signed: UInt64
    private var signedAt: Int64 = 0
    private let clock: LogClock
    private let registry: LeafStamp.Service

    init(origin: String?, edge: TreeEdge, signed: UInt64, last: LogClock.Reading?, clock: LogClock, registry: LeafStamp.Service) {
        self.origin = origin
        self.edge = edge
        self.signed = signed
        self.last = last
        self.clock = clock
        self.registry = registry
    }

    package var size: UInt64 { edge.size }
    package var isSigning: Bool { signer != nil }
    package var now: Int64 { clock.read().time }
    package var ownService: LeafStamp.Service { registry }

    /// Puts one entry on record, in the transaction of `database`.
    /// - Parameter service: whose statement it is; nil for the registry's own.
    /// - Throws: `.request` when the entry does not fit the log, and whatever the store throws.
    @discardableResult
    package mutating func record(_ entry: AuditEntry, by service: LeafStamp.Service? = nil, in database: Database) throws(Fault) -> AuditIndex {
        guard origin != nil else {
            throw Fault(.environment, "registry.uninitialised", "nothing can be put on record", why: "this registry has not been initialised", remedy: "run `forge init`", retryable: true)
        }
        let now = clock.read()
        try noticeStep(to: now, before: entry, by: service, in: database)
        try checkPhase(entry, in: database)
        return try write(entry, at: now, by: service ?? registry, in: database)
    }

    /// Puts rows and the record they stand under in together. Rows refer to their record and the record names its rows: the rows go first, with the
    /// index the record will have, and references are checked at the commit. All of it is undone if any of it fails.
    /// - Parameter change: writes the rows, told the index and the time; it returns what is to be recorded, and a value of the caller's.
    package mutating func record<T>(
        in database: Database, rows change: (AuditIndex, _ now: Int64) throws(Fault) -> (entry: AuditEntry, value: T)
    ) throws(Fault) -> (index: AuditIndex, value: T) {
        try settle(in: database)
        let index = size
        try database.deferReferences()
        var (entry, value) = try change(index, now)
        let rows = try database.rowBytes(under: index)
        if !rows.isEmpty { entry.data["rows"] = .string(Digest.sha256(rows).description) }
        guard try record(entry, in: database) == index else {
            // The clock was set within these microseconds, and that is on record in between.
            throw Fault(.environment, "audit.moved", "the log moved while a change was written", why: "the clock was set at this moment", remedy: "try again", retryable: true)
        }
        return (index, value)
    }

    /// Says what the clock did since the last record, if it was set; the next record then has index `size`.
    package mutating func settle(in database: Database) throws(Fault) {
        try noticeStep(to: clock.read(), before: nil, by: nil, in: database)
    }

    /// A wall clock that was set is itself a fact.
    private mutating func noticeStep(to now: LogClock.Reading, before entry: AuditEntry?, by service: LeafStamp.Service?, in database: Database) throws(Fault) {
        guard let last, service != nil || entry?.action != .daemonStart else { return }
        let (wall, run) = (now.time - last.time, now.boottime - last.boottime)
        guard wall < 0 || abs(wall - run) > 5_000_000 else { return }
        let who = AuditEntry.Subject.service(.registry, method: .peercred, uid: registry.uid)
        let step = AuditEntry(.clockStep, .event, request: ID(), who: who, data: ["from": .int(last.time), "to": .int(now.time)])
        _ = try write(step, at: now, by: registry, in: database)
    }

    /// An outcome answers one allowed intent that nothing answered yet; an intent is stated once.
    private func checkPhase(_ entry: AuditEntry, in database: Database) throws(Fault) {
        switch entry.phase {
        case .event: return
        case .intent:
            guard entry.decision == .allow, try database.intent(entry.request, action: entry.action.rawValue) != nil else { return }
            throw Fault(.request, "audit.exists", "request \(entry.request) has an intent of `\(entry.action.rawValue)` on record", remedy: "use a fresh request id")
        case .outcome:
            guard let intent = try database.intent(entry.request, action: entry.action.rawValue) else {
                throw Fault(.request, "audit.no_intent", "an outcome of `\(entry.action.rawValue)` cannot be recorded", why: "no allowed intent with request \(entry.request) is on record")
            }
            guard !intent.isAnswered else {
                throw Fault(.request, "audit.exists", "an outcome of `\(entry.action.rawValue)` cannot be recorded", why: "the intent in record \(intent.index) has its outcome", record: intent.index)
            }
        }
    }

    private mutating func write(_ entry: AuditEntry, at now: LogClock.Reading, by service: LeafStamp.Service, in database: Database) throws(Fault) -> AuditIndex {
        let salt = entry.detail == nil ? [] : Random.bytes(16)
        let stamp = LeafStamp(index: edge.size, time: now.time, boottime: now.boottime, boot: now.boot, clock: now.state, service: service)
        let record = try AuditRecord(entry, stamp: stamp, redactor: redactor, detail: entry.detail.map { Digest.sha256(salt + $0) })
        let hash = record.leafHash
        try database.insert(
            LeafRow(
                index: record.index, bytes: record.bytes, hash: hash, action: entry.action.rawValue, phase: entry.phase.rawValue, decision: entry.decision?.rawValue,
                who: entry.who.principal?.entity.id ?? "", objectType: entry.object?.type, objectID: entry.object?.id, request: entry.request, unit: service.unit.rawValue,
                time: now.time))
        if let detail = entry.detail { try database.insertDetail(record.index, salt: salt, detail) }
        for (node, hash) in edge.append(hash) { try database.insertNode(level: node.level, index: node.index, hash) }
        last = now
        if entry.action == .infer, entry.phase == .outcome, let receipt = entry.data["receipt"]?.string.flatMap({ ID(parsing: $0) }) {
            let model = entry.object.map { $0.version == nil ? $0.id : "\($0.id)@\($0.version ?? "")" } ?? ""
            try database.insert(ReceiptRow(id: receipt, model: model, app: entry.who.principal?.entity.id ?? "", created: now.time, record: record.index))
        }
        return record.index
    }

    /// Answers the intents that a daemon left open when it stopped: what became of them is not known.
    package mutating func closeIntents(of owner: DaemonName, in database: Database) throws(Fault) -> Int {
        let from = try database.meta("closed_below").flatMap { UInt64($0) } ?? 0
        let open = try database.openIntents(from: from)
        var closed = 0
        for intent in open {
            guard let action = AuditAction(rawValue: intent.action), action.owner == owner, let leaf = try database.leaf(intent.index) else { continue }
            let who = AuditEntry.Subject.service(.registry, method: .peercred, uid: registry.uid)
            let outcome = AuditEntry.outcome(
                action, .unknown(code: "daemon.restarted"), request: intent.request, who: who, object: try AuditRecord(parsing: leaf).entry.object)
            _ = try record(outcome, in: database)
            closed += 1
        }
        if closed == open.count { try database.setMeta("closed_below", String(edge.size)) } else if let first = open.first { try database.setMeta("closed_below", String(first.index)) }
        return closed
    }

    // MARK: opening and sealing

    /// From now on records are redacted with a key and roots are signed.
    mutating func open(_ signer: NoteSigner, _ redactor: Redactor) {
        self.signer = signer
        self.redactor = redactor
    }

    mutating func close() {
        signer = nil
        redactor = .sealed
    }

    package func lookup(_ value: JSON, path: String) -> String? { redactor.hash(value, path: path) }

    // MARK: tree heads

    /// Signs the root when records have come since the last time.
    /// - Parameter isDue: false while the last signature is younger than a second.
    mutating func sign(in database: Database, evenIfRecent: Bool) throws(Fault) {
        guard let signer, let origin, edge.size > signed else { return }
        let now = Clock.monotonic
        guard evenIfRecent || now - signedAt >= 1_000_000_000 else { return }
        let head = TreeHead(origin: origin, size: edge.size, root: edge.root)
        try database.insertTreeHead(size: head.size, root: head.root, note: head.signed(by: signer).description, time: clock.read().time)
        signed = edge.size
        signedAt = now
    }
}
