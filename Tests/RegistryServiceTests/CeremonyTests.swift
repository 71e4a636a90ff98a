import ForgeAudit
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeOS
import ForgeVault
import RegistryAPI
import RegistryService
import Testing

@Suite struct CeremonyTests {
    @Test func `a store is founded once, and opens again with passphrase or paper`() async throws {
        var store = try await StoreFixture.open()
        let before = try await store.client(nil).status()
        #expect(before.health == .uninitialised && before.isSealed)
        let made = try await store.initialise()
        #expect(made.origin == "example/one/audit")
        #expect(P256.PublicKey(pem: made.manifestKey) != nil)
        let open = try await store.client(nil).status()
        #expect(open.health == .well && !open.isSealed && open.logKey == made.logKey)
        await #expect(throws: Fault.self) { try await store.initialise() }

        for secret in [UnsealRequest(passphrase: StoreFixture.passphrase), UnsealRequest(recovery: made.recovery)] {
            await store.stop()
            store = try await StoreFixture.open(store.directory)
            let sealed = try await store.client(nil).status()
            #expect(sealed.isSealed && sealed.health == .well)
            let after = try await store.client("olga").unseal(secret)
            #expect(!after.isSealed)
        }
        await store.remove()
    }

    @Test func `a wrong secret and a refused person leave it sealed, and both stand on record`() async throws {
        var store = try await StoreFixture.open()
        try await store.initialise()
        await store.stop()
        store = try await StoreFixture.open(store.directory)
        let client = store.client("olga")
        let wrong = await #expect(throws: Fault.self) { _ = try await client.unseal(.init(passphrase: "not this one at all")) }
        #expect(wrong?.code == "vault.wrong_secret")
        #expect(store.registry.vault.isSealed)
        await #expect(throws: Fault.self) { _ = try await store.client(nil).unseal(.init(passphrase: StoreFixture.passphrase)) }
        store.rules.deny("registry.unseal")
        let denied = await #expect(throws: Fault.self) { _ = try await client.unseal(.init(passphrase: StoreFixture.passphrase)) }
        #expect(denied?.kind == .denied && denied?.record != nil)
        #expect(store.registry.vault.isSealed)
        let records = try await store.client("olga").records(.init(action: "registry.unseal")).records.map(\.entry)
        #expect(records.map(\.phase) == [.intent, .outcome, .intent])
        #expect(records[1].outcome == .failed(code: "vault.wrong_secret") && records[2].decision == .deny)
        await store.remove()
    }

    @Test func `changed key slots are named before any secret is tried`() async throws {
        var store = try await StoreFixture.open()
        try await store.initialise()
        await store.stop()
        // Flips go before the secret, so that none of them can pass for a mistyped one.
        let path = Path.join(store.directory, "keyslots.json")
        let bytes = try File(path, .read).readAll(limit: .kib(64))
        for at in [0, bytes.count / 2, bytes.count - 1] {
            var changed = bytes
            changed[at] ^= 1
            try Durable.replace(path, with: changed)
            store = try await StoreFixture.open(store.directory)
            let fault = await #expect(throws: Fault.self) { _ = try await store.client("olga").unseal(.init(passphrase: StoreFixture.passphrase)) }
            #expect(fault?.code == "vault.keyslots_changed" && fault?.message.contains("keyslots.json") == true, "byte \(at)")
            #expect(store.registry.vault.isSealed)
            await store.stop()
        }
        try Durable.replace(path, with: bytes)
        store = try await StoreFixture.open(store.directory)
        #expect(try await !store.client("olga").unseal(.init(passphrase: StoreFixture.passphrase)).isSealed)
        await store.remove()
    }

    @Test func `sealed, the store gives nothing, the log still grows, and unsealing signs the tail`() async throws {
        let store = try await StoreFixture.open()
        try await store.initialise()
        let data = try await store.dataset(["a": "alpha"])
        _ = try await store.put("policies", seed: 1, dataset: data.digest)
        let run = ID()
        let released = try await store.client("trainer").releaseKey(.run, run)
        let first = released.key.reveal()
        let sealed = try await store.client("olga").seal()
        #expect(sealed.isSealed)
        for attempt in 0..<3 {
            let fault = await #expect(throws: Fault.self) {
                switch attempt {
                case 0: _ = try await store.client("trainer").releaseKey(.run, run)
                case 1: _ = try await store.put("policies", seed: 2, dataset: data.digest)
                default: _ = try await store.client("trainer").releaseKey(.dataset, ID())
                }
            }
            #expect(fault?.code == "registry.sealed", "attempt \(attempt)")
        }
        #expect(try await store.client("olga").models().count == 1, "what is not secret can still be read")
        let grown = try await store.client(nil).status()
        #expect(grown.signed < grown.records)
        let open = try await store.client("olga").unseal(.init(passphrase: StoreFixture.passphrase))
        #expect(!open.isSealed)
        let again = try await store.client("trainer").releaseKey(.run, run)
        let second = again.key.reveal()
        #expect(first == second, "the same run has the same key")
        let other = try await store.client("trainer").releaseKey(.run, ID())
        let third = other.key.reveal()
        #expect(third != first)
        let status = try await store.client(nil).status()
        _ = try await store.client("olga").checkpoint()
        #expect(status.records > grown.records)
        await store.remove()
    }

    @Test func `keys are for the trainer alone`() async throws {
        let store = try await StoreFixture.open()
        try await store.initialise()
        for name in ["olga", "serve", nil] as [String?] {
            let fault = await #expect(throws: Fault.self) { _ = try await store.client(name).releaseKey(.run, ID()) }
            #expect(fault?.kind == (name == nil ? .unauthenticated : .denied))
        }
        store.rules.deny("key.release")
        let fault = await #expect(throws: Fault.self) { _ = try await store.client("trainer").releaseKey(.run, ID()) }
        #expect(fault?.kind == .denied)
        #expect(store.rules.asked("key.release")?.attributes["purpose"]?.string == "run")
        await store.remove()
    }
}
