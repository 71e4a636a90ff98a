import ForgeAudit
import ForgeCore
import ForgeGate
import ForgeHTTP
import ForgeOS
import Glibc
import RegistryAPI
import RegistryService
import Testing

/// A file system of a few mebibytes, made of memory.
final class SmallDisk: Sendable {
    let path: String
    static var isPossible: Bool { geteuid() == 0 }

    init(mebibytes: Int) throws {
        path = Path.join(Environment["TMPDIR"] ?? "/tmp", "forge-small-\(String(describing: ID()).prefix(12))")
        try Durable.makeDirectory(path)
        guard unsafe mount("tmpfs", path, "tmpfs", 0, "size=\(mebibytes)m,mode=0700") == 0 else { throw Fault(.environment, "test.no_mount", "cannot mount a small disk") }
    }

    func grow(mebibytes: Int) { _ = unsafe mount("tmpfs", path, "tmpfs", UInt(MS_REMOUNT), "size=\(mebibytes)m,mode=0700") }

    deinit {
        _ = unsafe umount2(path, Int32(MNT_DETACH))
        _ = unsafe rmdir(path)
    }
}

@Suite(.enabled(if: SmallDisk.isPossible, "only root can mount a small disk")) struct FullDiskTests {
    @Test func `a full disk denies all but officers, loses nothing acknowledged, and heals`() async throws {
        let disk = try SmallDisk(mebibytes: 14)
        let scratch = try Scratch("full")
        let state = Path.join(disk.path, "state")
        // The watermarks would stop it before; here they look elsewhere.
        let bench = try await Bench(state: state, sockets: scratch.path, disk: DiskWatch { () throws(Fault) in DiskSpace(used: 0, free: .gib(100)) })
        try await bench.found()
        var acknowledged: [AuditIndex] = []
        var refusal: Fault?
        while refusal == nil {
            do throws(Fault) { acknowledged += try await bench.client("serve").append((0..<40).flatMap { _ in infer() }) } catch { refusal = error }
        }
        #expect(refusal?.code == "store.full" && refusal?.kind == .environment && refusal?.httpStatus == 503)
        #expect(try await bench.client(nil).status().health == .full)
        // An ordinary request cannot be recorded, so it is not decided; an officer's export, reading and verification are.
        await #expect(throws: Fault.self) { try await bench.client("trainer").datasets() }
        let before = try await bench.client(nil).status().records
        #expect(try await bench.client("olga").exportArchive(to: scratch.file("archive")) > 5)
        #expect(try await bench.client("olga").verify()["records"]?.int != nil)
        #expect(try await bench.client(nil).status().records >= before + 3)

        try copy(state, to: scratch.file("copy"))
        for path in [scratch.file("copy"), scratch.file("archive")] {
            let result = try await Built.verify(path)
            #expect(result.code == 0, "\(result.output)")
        }
        disk.grow(mebibytes: 64)
        let healed = try await bench.client("serve").append(infer())
        #expect(healed.count == 2)
        #expect(try await bench.client(nil).status().health == .well)
        let key = Bench.signer().key
        for index in acknowledged.suffix(3) { _ = try (try await bench.client("serve").proof(of: index)).verify(log: key) }
        try await bench.stop()
    }
}
