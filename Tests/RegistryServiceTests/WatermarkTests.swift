import ForgeArtifact
import ForgeAudit
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeOS
import RegistryAPI
import RegistryService
import Synchronization
import Testing

/// A disk that is as full as the test says.
private final class SaidDisk: Sendable {
    private let space = Mutex(DiskSpace(used: .gib(10), free: .gib(90)))
    func isUsed(_ percent: Int64) { space.withLock { $0 = DiskSpace(used: ByteCount(percent << 20), free: ByteCount((100 - percent) << 20)) } }
    var watch: DiskWatch { DiskWatch(every: .zero) { () throws(Fault) in self.space.withLock { $0 } } }
}

@Suite struct WatermarkTests {
    private func infer() -> [AuditEntry] {
        let request = ID(), who = AuditEntry.Subject(.app("intranet"), method: .apikey, uid: 1000), object = AuditEntry.Object("Forge::Model", "policies")
        let verdict = Verdict(.allow, reasons: [PolicyReason(id: "app.ask", text: "applications ask")], policyDigest: .sha256("rules"), entityEpoch: 1)
        return [.decision(.infer, verdict, request: request, who: who, object: object), .outcome(.infer, .ok, request: request, who: who, object: object)]
    }

    @Test func `a disk that fills up warns, then takes nothing new, then records officers' actions alone, and heals`() async throws {
        let disk = SaidDisk()
        let store = try await StoreFixture.open(disk: disk.watch)
        try await store.initialise()
        let data = try await store.dataset(ReceiptTests.documents)
        let serve = store.client("serve")
        #expect(try await store.client(nil).status().disk?.level == "well")

        disk.isUsed(80)
        let warned = try await store.client(nil).status()
        #expect(warned.disk?.level == "warning" && warned.disk?.usedPercent == 80 && warned.reason.contains("make room soon") && warned.health == .well)
        let files = StoreFixture.model(seed: 1, dataset: data.digest)
        let announced = UploadRequest(name: "policies", files: files.map { .init(name: $0.key.rawValue, bytes: Int64($0.value.count), digest: .sha256($0.value)) })
        let upload = try await store.client("trainer").beginUpload(announced)

        disk.isUsed(90)
        #expect(try await store.client(nil).status().disk?.level == "alert")
        let refused = await #expect(throws: Fault.self) { _ = try await store.client("trainer").beginUpload(announced) }
        #expect(refused?.code == "disk.low" && refused?.httpStatus == 503 && refused?.retryable == true && refused?.why.contains("90 %") == true, "\(refused?.why ?? "")")
        let noData = await #expect(throws: Fault.self) { _ = try await store.dataset(["new.txt": "New."]) }
        #expect(noData?.code == "disk.low")
        // What was begun goes on, and answers are given.
        let file = try #require(upload.files.first)
        let bytes = files[ModelFile(rawValue: file.name)!]!
        try await store.client("trainer").send(file, of: upload) { count, offset in Array(bytes[Int(offset)..<Int(offset) + count]) }
        let begun = infer()
        _ = try await serve.append(begun[0])

        disk.isUsed(95)
        let status = try await store.client(nil).status()
        #expect(status.disk?.level == "critical" && status.reason.contains("officers") && status.health == .full)
        let records = status.records
        let denied = await #expect(throws: Fault.self) { _ = try await serve.append(infer()) }
        #expect(denied?.code == "store.full" && denied?.why.contains("95 %") == true)
        let second = try #require(upload.files.last), rest = files[ModelFile(rawValue: second.name)!]!
        let noRoom = await #expect(throws: Fault.self) {
            try await store.client("trainer").send(second, of: upload) { count, offset in Array(rest[Int(offset)..<Int(offset) + count]) }
        }
        #expect(noRoom?.code == "store.full")
        // How an answer ended that had begun, and an officer who signs in to make room, are on record.
        _ = try await serve.append(begun[1])
        _ = try await serve.append(AuditEntry(.login, .event, request: ID(), who: .init(.user("olga"), method: .sshsig, uid: 1)))
        _ = try await store.client("olga").seal()
        #expect(try await store.client(nil).status().records >= records + 4)

        disk.isUsed(50)
        #expect(try await serve.append(infer()).count == 2)
        await store.remove()
    }

    @Test func `the daemon's log says it when a level is passed, once each way`() async throws {
        let disk = SaidDisk()
        let store = try await StoreFixture.open(disk: disk.watch)
        let (lines, line) = AsyncStream.makeStream(of: DiskSpace.Level.self)
        disk.isUsed(85)
        let watching = Task { await store.registry.watchDisk(every: .milliseconds(1)) { level, _ in line.yield(level) } }
        var iterator = lines.makeAsyncIterator()
        #expect(await iterator.next() == .warning)
        disk.isUsed(97)
        #expect(await iterator.next() == .critical)
        disk.isUsed(10)
        #expect(await iterator.next() == .well)
        watching.cancel()
        await watching.value
        await store.remove()
    }
}
