import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeOS
import ForgeVault
import Testing

@Suite struct VaultTests {
    let vault = Vault(store: ID())
    let project = ID()

    @Test func `sealed, it does nothing and says what to do`() async throws {
        #expect(vault.isSealed)
        let fault = #expect(throws: Fault.self) { _ = try vault.makeProjectKey(project, version: 1) }
        #expect(fault?.code == "registry.sealed" && fault?.remedy.contains("forge unseal") == true && fault?.retryable == true)
        vault.unseal(RootKey(), with: try await Willing.permit("registry.unseal", "Forge::Registry", "registry"))
        #expect(!vault.isSealed)
        _ = try vault.makeProjectKey(project, version: 1)
        vault.seal()
        #expect(throws: Fault.self) { _ = try vault.makeKey(.run, subject: ID(), project: project, version: 1) }
    }

    @Test func `a released key is the same after a restart, and only under its own root`() async throws {
        let root = RootKey()
        let derived = root.derive(.wrap).reveal()
        vault.initialise(root)
        let projectKey = try vault.makeProjectKey(project, version: 1)
        let run = ID()
        let key = try vault.makeKey(.run, subject: run, project: project, version: 1)
        #expect(key.bytes.count == 104)
        let permit = try await Willing.permit("key.release", "Forge::Key", run.description)
        let first = try vault.release(key, with: permit).reveal()
        #expect(first.count == 32 && first != derived)

        vault.seal()
        vault.initialise(RootKey())
        #expect(throws: Fault.self) { try vault.open(project: projectKey) }
        let again = try await Willing.permit("key.release", "Forge::Key", run.description)
        #expect(throws: Fault.self) { _ = try vault.makeKey(.run, subject: run, project: project, version: 1) }
        do {
            _ = try vault.release(key, with: again)
            Issue.record("a key opened under another root")
        } catch { #expect(error.code == "vault.no_project_key") }
    }

    @Test func `a wrapped key opens in its own place only`() async throws {
        vault.initialise(RootKey())
        _ = try vault.makeProjectKey(project, version: 1)
        let other = ID()
        _ = try vault.makeProjectKey(other, version: 1)
        _ = try vault.makeProjectKey(project, version: 2)
        let subject = ID()
        let key = try vault.makeKey(.dataset, subject: subject, project: project, version: 1)
        let moved = [
            WrappedKey(id: key.id, purpose: .run, subject: subject, project: project, version: 1, bytes: key.bytes),
            WrappedKey(id: key.id, purpose: .dataset, subject: ID(), project: project, version: 1, bytes: key.bytes),
            WrappedKey(id: key.id, purpose: .dataset, subject: subject, project: other, version: 1, bytes: key.bytes),
            WrappedKey(id: key.id, purpose: .dataset, subject: subject, project: project, version: 2, bytes: key.bytes),
        ]
        for key in moved {
            let permit = try await Willing.permit("key.release", "Forge::Key", key.subject.description)
            do {
                _ = try vault.release(key, with: permit)
                Issue.record("a key opened in another place")
            } catch { #expect(error.code == "seal.commitment") }
        }
        for place in key.bytes.indices {
            var bytes = key.bytes
            bytes[place] ^= 0x80
            let changed = WrappedKey(id: key.id, purpose: .dataset, subject: subject, project: project, version: 1, bytes: bytes)
            let permit = try await Willing.permit("key.release", "Forge::Key", subject.description)
            do {
                _ = try vault.release(changed, with: permit)
                Issue.record("a changed key opened")
            } catch { #expect(error.kind == .environment) }
        }
    }

    @Test func `rotation wraps the same key anew`() async throws {
        vault.initialise(RootKey())
        _ = try vault.makeProjectKey(project, version: 1)
        let subject = ID()
        let old = try vault.makeKey(.run, subject: subject, project: project, version: 1)
        let before = try vault.release(old, with: try await Willing.permit("key.release", "Forge::Key", subject.description)).reveal()
        _ = try vault.makeProjectKey(project, version: 2)
        let new = try vault.rewrap(old, to: 2)
        #expect(new.version == 2 && new.id == old.id && new.bytes != old.bytes)
        let after = try vault.release(new, with: try await Willing.permit("key.release", "Forge::Key", subject.description)).reveal()
        #expect(before == after)
    }

    @Test func `signing keys keep their identity across a seal`() throws {
        let root = RootKey()
        let slots = try {
            var slots = KeySlots(store: vault.store, created: KeySlotsTests.now, root: root)
            try slots.addPassphrase(secret("correct horse battery"), name: "operator", at: KeySlotsTests.now, cost: KeySlotsTests.cheap, root: root)
            return slots
        }()
        vault.initialise(root)
        let log = Ed25519.PrivateKey(), manifest = P256.PrivateKey()
        let wrappedLog = try vault.wrap(log), wrappedManifest = try vault.wrap(manifest)
        vault.seal()
        #expect(throws: Fault.self) { _ = try vault.logKey(wrappedLog) }
        vault.initialise(try slots.open(passphrase: secret("correct horse battery")))
        #expect(try vault.logKey(wrappedLog).publicKey == log.publicKey)
        #expect(try vault.manifestKey(wrappedManifest).publicKey == manifest.publicKey)
    }
}
