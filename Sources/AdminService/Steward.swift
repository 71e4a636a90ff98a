package import AdminAPI
import ForgeAudit
package import ForgeCore
import ForgeCrypto
package import ForgeGate
import ForgeAuthority
import ForgeOS
import ForgePolicy
package import RegistryAPI

/// Owns everything forge-admin knows, on one thread of its own: journals are synced here, so nothing else waits for a disk.
///
/// After an `await` (a record being written) another request may have been served: whoever continues looks at the state again.
package actor Steward {
    private let thread = ThreadExecutor("admin-steward")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }

    let files: StateFiles
    let audit: any AuditPort
    /// UTC microseconds.
    let clock: @Sendable () -> Int64
    let engine = PolicyEngine(.shipped)
    let snapshotKey: Ed25519.PrivateKey
    nonisolated let witnessKey: Ed25519.PrivateKey
    /// This daemon, as records name it.
    let subject: AuditEntry.Subject
    /// Whether a uid is a person: in the installed system only. Under `forge up` all share one.
    package nonisolated let trustsUIDs: Bool

    var directory: Directory?
    var policy: BundleMessage?
    var sessions = SessionTable()
    var appKeys: AppKeyBook
    var appKeyJournal: Journal
    var approvals: ApprovalBook
    var approvalJournal: Journal
    var entities = EntityStore()
    package private(set) var epoch: UInt64
    private var epochsReserved: UInt64
    private var published: SignedSnapshot?
    private var watchers: [ID: CheckedContinuation<Void, Never>] = [:]
    private var isBusy = false
    private var queue: [CheckedContinuation<Void, Never>] = []

    static let epochBlock: UInt64 = 1024

    package init(
        state folder: String, audit: any AuditPort, method: AuthMethod, uid: UInt32, trustsUIDs: Bool, clock: @escaping @Sendable () -> Int64 = { Clock.now().nanoseconds / 1000 }
    ) throws(Fault) {
        files = try StateFiles(folder)
        self.audit = audit
        self.clock = clock
        self.trustsUIDs = trustsUIDs
        subject = .service(.admin, method: method, uid: uid)
        snapshotKey = try files.key("snapshot.key")
        witnessKey = try files.key("witness.key")
        var keys = AppKeyBook()
        appKeyJournal = try Journal(files.appKeys) { event throws(Fault) in try keys.apply(event) }
        appKeys = keys
        var book = ApprovalBook()
        approvalJournal = try Journal(files.approvals) { event throws(Fault) in try book.apply(event) }
        approvals = book
        epoch = try files.reserveEpochs(Steward.epochBlock)
        epochsReserved = epoch + Steward.epochBlock
        policy = try files.policy()
        if let site = try files.site() { directory = try Directory(site) }
        entities = try Steward.store(directory, appKeys)
    }

    // MARK: state

    package var isInitialised: Bool { directory != nil && policy != nil }

    package func status(witnessed: UInt64) -> AdminStatus {
        AdminStatus(initialised: isInitialised, epoch: epoch, policy: policy?.digest, users: directory?.accounts.count ?? 0, witnessed: witnessed)
    }

    /// Who is enrolled and which rules hold, or the refusal everybody gets before that.
    func site() throws(Fault) -> (directory: Directory, policy: BundleMessage) {
        guard let directory, let policy else {
            throw Fault(.environment, "admin.uninitialised", "nobody is enrolled yet", remedy: "run `forge init --file site.yaml`")
        }
        guard policy.digest == engine.bundle.digest else {
            throw Fault(
                .environment, "policy.unknown", "no decision can be made", why: "the active policy bundle \(policy.digest.short)… is not the one this version ships",
                remedy: "an officer activates the shipped bundle: `forge policy activate`")
        }
        return (directory, policy)
    }

    /// People, roles, daemons, applications and actions: what decisions are made over.
    static func store(_ directory: Directory?, _ keys: AppKeyBook) throws(Fault) -> EntityStore {
        let services = DaemonName.allCases.map { Entity(EntityUID("Forge::Service", ExactText($0.rawValue))) }
        let apps = keys.apps.map { app, owner in
            Entity(EntityUID("Forge::App", ExactText(app)), attributes: ["owner": .string(ExactText(owner)), "disabled": .bool(false)])
        }
        do throws(EntityError) {
            return try EntityStore(PolicyBundle.shipped.schema.actionEntities + services + apps + (directory?.entities ?? []))
        } catch {
            throw Fault(.environment, "admin.entities", "cannot build the entities", why: error.reason)
        }
    }

    /// Something that decisions depend on has changed: a new epoch, and everybody who waits for one is told.
    func changed() throws(Fault) {
        entities = try Steward.store(directory, appKeys)
        if epoch + 1 >= epochsReserved {
            epochsReserved = try files.reserveEpochs(Steward.epochBlock) + Steward.epochBlock
        }
        epoch += 1
        published = nil
        let waiting = watchers.values
        watchers = [:]
        for watcher in waiting { watcher.resume() }
    }

    /// One change at a time, across the waits inside it.
    func exclusively<Result: Sendable>(_ body: () async throws(Fault) -> Result) async throws(Fault) -> Result {
        if isBusy { await withCheckedContinuation { queue.append($0) } } else { isBusy = true }
        defer { if queue.isEmpty { isBusy = false } else { queue.removeFirst().resume() } }
        return try await body()
    }

    // MARK: the snapshot

    /// The signed snapshot if it is newer than `after`; otherwise the next one, or nil when none came in time. Before the people are
    /// enrolled there is none to wait for but the first.
    package func snapshot(after known: UInt64?, wait: Duration) async throws(Fault) -> SignedSnapshot? {
        if sessions.sweep(now: clock()) { try changed() }
        if known == epoch || !isInitialised, wait > .zero {
            let id = ID()
            // Ends by itself: either it wakes the watcher or it is cancelled a few lines below.
            let timer = Task {
                try? await Task.sleep(for: wait)
                self.wake(id)
            }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    if Task.isCancelled { continuation.resume() } else { watchers[id] = continuation }
                }
            } onCancel: {
                Task { await self.wake(id) }
            }
            timer.cancel()
            if sessions.sweep(now: clock()) { try changed() }
        }
        if known == epoch || (!isInitialised && wait > .zero) { return nil }
        return try signedSnapshot()
    }

    private func wake(_ id: ID) { watchers.removeValue(forKey: id)?.resume() }

    private func signedSnapshot() throws(Fault) -> SignedSnapshot {
        if let published { return published }
        let (directory, policy) = try site()
        let now = clock()
        let snapshot = EntitySnapshot(
            epoch: epoch, issued: now, policy: policy.digest,
            users: directory.sorted.map { .init(name: $0.name, person: $0.person, roles: $0.roles, disabled: $0.disabled, uid: trustsUIDs ? $0.uid : nil) },
            apps: appKeys.apps.sorted { $0.key < $1.key }.map { .init(name: $0.key, owner: $0.value) },
            appKeys: appKeys.sorted.filter { $0.isGood(at: now) }.map { .init(id: $0.id, app: $0.app, digest: $0.digest, expires: $0.expires) },
            sessions: sessions.all.map { .init(id: $0.id, user: $0.user, uid: $0.uid, digest: $0.digest, started: $0.started, expires: $0.expires) })
        let signed = try SnapshotDocument.sign(snapshot, with: snapshotKey)
        published = signed
        return signed
    }
}
