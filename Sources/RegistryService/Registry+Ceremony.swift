import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeOS
import ForgeVault
import RegistryAPI

extension Registry {
    static let entity = EntityID("Forge::Registry", "registry")

    var ceremonyRoutes: [Route] {
        [
            Route(.post, "/v1/init", body: .whole(.kib(64)), deadline: .seconds(120), summary: "Make the keys of a new store, once") { [self] in try await initialise($0) },
            Route(.post, "/v1/unseal", body: .whole(.kib(64)), deadline: .seconds(120), summary: "Open the store with a passphrase or the recovery key") { [self] in try await unseal($0) },
            Route(.post, "/v1/seal", deadline: .seconds(60), summary: "Wipe the keys and call the weights back") { [self] in try await seal($0) },
        ]
    }

    // MARK: init

    /// Nobody can have signed in yet: whoever may open the socket of an empty registry founds it.
    private func initialise(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let message: StoreInit = try request.decode()
        guard try await !ledger.isInitialised else {
            throw Fault(.request, "registry.exists", "cannot initialise the registry", why: "it has been initialised", remedy: "`forge status` shows how it is")
        }
        let origin = "\(message.organisation)/\(message.appliance)/audit"
        guard TreeHead.isOrigin(origin) else {
            throw Fault(
                .request, "registry.origin", "cannot name the log `\(origin)`", why: "organisation and appliance are written in small letters, digits, dots and hyphens")
        }
        guard let cost = Scrypt(n: UInt64(max(0, message.scryptN ?? 1 << 17)), r: 8, p: 1) else {
            throw Fault(.request, "registry.scrypt", "cannot use `scrypt_n` \(message.scryptN ?? 0)", why: "it is a power of two from 16 to 1048576")
        }
        let who = (try? await identify(request.caller)) ?? .nobody(uid: request.caller.uid)
        var passphrase = Array(message.passphrase.utf8)
        let secret = SecretBytes(taking: &passphrase)
        let made = try await strongroom.found(secret, cost: cost, at: Clock.now())
        do throws(Fault) {
            guard let logKey = NoteKey(origin, .ed25519, publicKey: made.log.publicKey.raw) else { throw Fault(.request, "registry.origin", "cannot name the log `\(origin)`") }
            try await ledger.initialise(
                store: vault.store, key: logKey, signer: NoteSigner(logKey) { made.log.sign($0) }, redactor: try redactor(), by: who, data: ["keyslots": .string(made.slots.description)]
            ) { database, record throws(Fault) in
                try database.setMeta("project", made.project.description)
                try database.setMeta("manifest_key", made.manifest.publicKey.pem)
                for key in made.wrapped { try database.insert(key, record: record, now: LogTime.now) }
            }
            keyring.open(.init(manifest: made.manifest, project: made.project, version: 1))
            return try .json(
                StoreInitReply(
                    store: vault.store, origin: origin, logKey: logKey.description, manifestKey: made.manifest.publicKey.pem, recovery: made.recovery), status: 201)
        } catch {
            vault.seal()
            throw error
        }
    }

    private func redactor() throws(Fault) -> Redactor {
        let key = try vault.redactionKey(epoch: 1).reveal()
        return .open(epoch: 1) { hmacSHA256(key: key, $0) }
    }

    // MARK: unseal

    private func unseal(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let message: UnsealRequest = try request.decode()
        let who = try await visitor(request)
        guard (message.passphrase == nil) != (message.recovery == nil) else {
            throw Fault(.request, "registry.secret", "cannot unseal", why: "exactly one of `passphrase` and `recovery` opens the store")
        }
        // Decided and recorded first, done second; a failed attempt has its record too.
        let permit = try await permit(.registryUnseal, on: Registry.entity, for: who)
        let id = permit.decision.request
        let object = AuditEntry.Object(Registry.entity)
        do throws(Fault) {
            if vault.isSealed {
                let slots = try await recordedSlots()
                if let text = message.recovery {
                    try await strongroom.unseal(recovery: text, slots: slots, with: permit)
                } else {
                    var bytes = Array((message.passphrase ?? "").utf8)
                    let secret = SecretBytes(taking: &bytes)
                    try await strongroom.unseal(secret, slots: slots, with: permit)
                }
                try await open()
            }
        } catch {
            if !isOpen { vault.seal() }
            await recordFailure(of: .registryUnseal, request: id, for: who, object: object, error)
            throw error
        }
        let method = message.recovery == nil ? "passphrase" : "recovery"
        _ = try await ledger.append([.outcome(.registryUnseal, .ok, request: id, who: who, object: object, data: ["method": .string(method)])])
        return try .json(try await status())
    }

    /// What the log says of `keyslots.json`: the record of its making, since nothing changes the slots of a store yet.
    private func recordedSlots() async throws(Fault) -> Digest? {
        let leaf = try await ledger.reader.read { database throws(Fault) in try database.leaf(0) }
        return try leaf.flatMap { bytes throws(Fault) in try AuditRecord(parsing: bytes).entry.data["keyslots"]?.string.flatMap { Digest(parsing: $0) } }
    }

    private var isOpen: Bool { (try? keyring.current(to: "look")) != nil }

    /// After the root key is there: the store's own keys, then the log's.
    private func open() async throws(Fault) {
        let (log, manifest, projects, origin) = try await ledger.reader.read { database throws(Fault) in
            guard let log = try database.keys(.log).last, let manifest = try database.keys(.manifest).last, let origin = try database.meta("origin") else {
                throw Database.corrupt("a signing key is missing")
            }
            return (log, manifest, try database.keys(.project), origin)
        }
        for key in projects { try vault.open(project: key) }
        guard let newest = projects.max(by: { $0.version < $1.version }) else { throw Database.corrupt("the project has no key") }
        let signing = try vault.logKey(log)
        guard let key = NoteKey(origin, .ed25519, publicKey: signing.publicKey.raw) else { throw Database.corrupt("the log has no name") }
        try await ledger.open(NoteSigner(key) { signing.sign($0) }, try redactor())
        keyring.open(.init(manifest: try vault.manifestKey(manifest), project: newest.project, version: newest.version))
    }

    // MARK: seal

    private func seal(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let who = try await visitor(request)
        let permit = try await permit(.registrySeal, on: Registry.entity, for: who)
        let id = permit.decision.request
        // Keys first: whatever goes wrong after this, nothing more is opened.
        keyring.close()
        vault.seal()
        let remaining = await leases.recall("sealed")
        let outcome = AuditEntry.outcome(.registrySeal, .ok, request: id, who: who, object: .init(Registry.entity), data: ["open": .int(Int64(remaining))])
        do throws(Fault) { _ = try await ledger.append([outcome]) } catch {
            // The store is sealed all the same; the log signs what it has and shows the open intent.
            try? await ledger.close()
            throw error
        }
        try await ledger.close()
        return try .json(try await status())
    }
}
