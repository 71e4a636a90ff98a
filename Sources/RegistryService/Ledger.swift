package import ForgeAudit
package import ForgeCatalog
package import ForgeCore
package import ForgeGate
package import ForgeOS
import Glibc
import RegistryAPI

/// The log and the catalog, behind the one writer. What it acknowledged is durable.
package final class Ledger: Sendable {
    package let directory: String
    private let writer: Writer<LogState>
    package let reader: Reader
    /// Why nothing is written, when the log did not verify at start. Set once, before anybody asks.
    package let damage: Fault?
    private let registry: LeafStamp.Service
    /// How full the file system is that all of it stands on.
    package let disk: DiskWatch

    package static let fileName = "registry.sqlite"

    /// Opens the state directory, verifies the log against its own tree and its last signed head, and puts the start on record.
    /// A log that does not verify is opened for reading alone: a person has to look, and can.
    /// - Parameters:
    ///   - reserve: room kept back for officers' records on a full disk.
    ///   - disk: how full it is; the file system of `directory` itself when left out.
    ///   - onBroken: told once when a write failed for good; the daemon exits.
    package static func open(
        _ directory: String, clock: LogClock, reserve: ByteCount = .mib(64), disk: DiskWatch? = nil, onBroken: @escaping @Sendable (Fault) -> Void = { _ in }
    ) async throws(Fault) -> Ledger {
        try Durable.makeDirectory(directory)
        let ledger = try Ledger(directory, clock: clock, reserve: reserve, disk: disk ?? DiskWatch(directory), onBroken: onBroken)
        try await ledger.start()
        return ledger
    }

    private init(_ directory: String, clock: LogClock, reserve: ByteCount, disk: DiskWatch, onBroken: @escaping @Sendable (Fault) -> Void) throws(Fault) {
        self.directory = directory
        self.disk = disk
        let path = Path.join(directory, Ledger.fileName)
        registry = LeafStamp.Service(.registry, pid: Int64(getpid()), uid: getuid())
        let database = try Database(path, .writer)
        var found: Fault?
        var edge = TreeEdge()
        do throws(Fault) {
            try database.check()
            edge = try LogAudit.recent(database)
        } catch {
            guard error.kind == .request || error.isStoreBroken || error.code.hasPrefix("audit.") else { throw error }
            found = error
        }
        damage = found.map { fault in
            Fault(
                .environment, "audit.damaged", "nothing is recorded: the log does not verify", why: fault.message,
                remedy: "run `forge-verify` on a copy of `\(directory)`; a security officer decides what to restore", detail: fault.detail)
        }
        let latest = try database.latestTreeHead()
        let state = LogState(
            origin: try database.meta("origin"), edge: edge, signed: latest?.size ?? 0, last: try Ledger.lastReading(database, size: edge.size), clock: clock, registry: registry)
        let room = try Reserve(Path.join(directory, "reserve"), size: reserve)
        reader = try Reader(path)
        writer = Writer(
            database, state: state, reserve: room,
            beforeCommit: { database, log throws(Fault) in try log.sign(in: database, evenIfRecent: false) }, onBroken: onBroken)
    }

    private static func lastReading(_ database: Database, size: UInt64) throws(Fault) -> LogClock.Reading? {
        guard size > 0, let bytes = try database.leaf(size - 1), let record = try? AuditRecord(parsing: bytes) else { return nil }
        return .init(time: record.stamp.time, boottime: record.stamp.boottime, boot: record.stamp.boot, state: record.stamp.clock)
    }

    private func start() async throws(Fault) {
        guard damage == nil, try await isInitialised else { return }
        try await write(as: .officer) { database, log throws(Fault) in
            let who = AuditEntry.Subject.service(.registry, method: .peercred, uid: log.ownService.uid)
            try log.record(AuditEntry(.daemonStart, .event, request: ID(), who: who, data: ["version": .string(ForgeVersion.current)]), in: database)
            _ = try log.closeIntents(of: .registry, in: database)
        }
    }

    // MARK: writing

    /// Runs a change and its records in one transaction. Throw to undo both.
    package func write<T: Sendable>(as importance: Writer<LogState>.Importance = .ordinary, _ body: @escaping Writer<LogState>.Body<T>) async throws(Fault) -> T {
        if let damage { throw damage }
        return try await writer.write(as: importance, body)
    }

    /// Puts entries on record, all or none.
    package func append(_ entries: [AuditEntry], by service: LeafStamp.Service? = nil) async throws(Fault) -> [AuditIndex] {
        let importance: Writer<LogState>.Importance = entries.allSatisfy { $0.action.isOfficers } ? .officer : .ordinary
        // What has happened is still told; nothing more may begin.
        if importance == .ordinary, !entries.allSatisfy({ $0.phase == .outcome }) { try requireSpace() }
        return try await write(as: importance) { database, log throws(Fault) in
            var indexes: [AuditIndex] = []
            for entry in entries {
                indexes.append(try log.record(entry, by: service, in: database))
                // A daemon that starts no longer carries out what it had begun.
                if entry.action == .daemonStart, let service { _ = try log.closeIntents(of: service.unit, in: database) }
            }
            return indexes
        }
    }

    /// For what nobody has begun yet.
    /// - Throws: `disk.low` when the disk is nearly full.
    func requireRoom(to action: String) throws(Fault) { try disk.requireRoom(below: .alert, to: action, on: "registry") }

    /// For everything but officers' actions.
    /// - Throws: `store.full` while there is still a little room, so that officers find it when they make more; without any the writer
    ///   itself says so.
    func requireSpace() throws(Fault) {
        guard let space = disk.space, space.level == .critical else { return }
        throw Fault(
            .environment, "store.full", "nothing can be put on record",
            why: "no space is left but for officers' actions: \(space.usedPercent) % of the registry's file system are used, \(space.free) are free",
            remedy: "free space there; nothing is deleted by itself", retryable: true)
    }

    // MARK: opening and sealing

    package var isInitialised: Bool { get async throws(Fault) { try await writer.read { _, log throws(Fault) in log.origin != nil } } }

    /// The first transaction of a log's life: who it is, its key, its first record, and whatever rows belong to that moment.
    /// - Parameters:
    ///   - store: id of the store.
    ///   - key: the log's verifier key, named for its origin.
    ///   - data: further facts of the first record.
    ///   - rows: writes what refers to record 0, such as the wrapped keys.
    package func initialise(
        store: ID, key: NoteKey, signer: NoteSigner, redactor: Redactor, by who: AuditEntry.Subject, data: JSON.Object = .init(),
        rows: @escaping @Sendable (Database, AuditIndex) throws(Fault) -> Void
    ) async throws(Fault) {
        guard TreeHead.isOrigin(key.name) else {
            throw Fault(.request, "registry.origin", "cannot initialise the log `\(key.name)`", why: "its name is not `organisation/appliance/audit` in small letters, digits, dots and hyphens")
        }
        try await write { database, log throws(Fault) in
            guard log.origin == nil else { throw Fault(.request, "registry.exists", "cannot initialise the registry", why: "it has been initialised") }
            try database.setMeta("origin", key.name)
            try database.setMeta("store", store.description)
            try database.setMeta("log_vkey", key.description)
            try database.setMeta("created", String(log.now))
            log.origin = key.name
            log.open(signer, redactor)
            var data = data
            data["origin"] = .string(key.name)
            let entry = AuditEntry(.logInit, .event, request: ID(), who: who, object: .init("Forge::Log", key.name), data: data)
            _ = try log.record(in: database) { index, _ throws(Fault) in
                try rows(database, index)
                return (entry, ())
            }
            try log.sign(in: database, evenIfRecent: true)
        }
    }

    /// After an unseal: redaction has its key again, and what grew while sealed is signed.
    package func open(_ signer: NoteSigner, _ redactor: Redactor) async throws(Fault) {
        try await write(as: .officer) { database, log throws(Fault) in
            guard try database.meta("log_vkey") == signer.key.description else {
                throw Fault(.environment, "audit.wrong_key", "the log cannot be signed", why: "the key in the store is not the log's key", remedy: "restore catalog and keyslots from one backup")
            }
            log.open(signer, redactor)
            try log.sign(in: database, evenIfRecent: true)
        }
    }

    /// Signs what there is, then forgets the keys.
    package func close() async throws(Fault) {
        try await write(as: .officer) { database, log throws(Fault) in
            try log.sign(in: database, evenIfRecent: true)
            log.close()
        }
    }

    /// What the log holds instead of `value`, for an officer who looks it up; nil while sealed.
    package func lookup(_ value: JSON, path: String) async throws(Fault) -> String? { try await writer.read { _, log throws(Fault) in log.lookup(value, path: path) } }

    // MARK: heads and health

    /// The latest signed head with its cosignatures. While the store is open it covers every record.
    package func checkpoint() async throws(Fault) -> (note: SignedNote, size: UInt64) {
        if damage == nil, try await writer.read({ _, log throws(Fault) in log.isSigning && log.size > log.signed }) {
            try await write(as: .officer) { database, log throws(Fault) in try log.sign(in: database, evenIfRecent: true) }
        }
        return try await reader.read { database throws(Fault) in
            guard let head = try database.latestTreeHead() else {
                throw Fault(.environment, "audit.no_checkpoint", "there is no signed checkpoint yet", why: "the registry has not been initialised", retryable: true)
            }
            return (try Ledger.note(head, in: database), head.size)
        }
    }

    static func note(_ head: Database.TreeHeadRow, in database: Database) throws(Fault) -> SignedNote {
        var note = try SignedNote(parsing: head.note.utf8)
        for line in try database.cosignatures(size: head.size) { note.add(try NoteSignature(parsing: line)) }
        return note
    }

    /// Signs the tail of a quiet log, once a second. Ends when the task is cancelled.
    package func signTail() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: .seconds(1))
            // Sealed, damaged or full: the tail then stays unsigned, which the status shows.
            guard damage == nil, (try? await writer.read({ _, log throws(Fault) in log.isSigning && log.size > log.signed })) == true else { continue }
            try? await write(as: .officer) { database, log throws(Fault) in try log.sign(in: database, evenIfRecent: true) }
        }
    }

    package var health: Writer<LogState>.Health { get async { await writer.health } }
    package var size: UInt64 { get async throws(Fault) { try await writer.read { _, log throws(Fault) in log.size } } }
    package var isSigning: Bool { get async throws(Fault) { try await writer.read { _, log throws(Fault) in log.isSigning } } }
}

/// The registry's own way onto the record: the same port as everybody's, without a socket.
package struct LedgerPort: AuditPort {
    private let ledger: Ledger
    package init(_ ledger: Ledger) { self.ledger = ledger }
    package func append(_ entries: [AuditEntry]) async throws(Fault) -> [AuditIndex] { try await ledger.append(entries) }
}
