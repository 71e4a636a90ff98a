import ForgeCatalog
import ForgeCore
import ForgeOS
import Glibc
import Testing

@Suite(.serialized) struct CrashTests {
    /// The child writes, says on a pipe-like file what was acknowledged, and is killed at a moment the seed names.
    @Test(arguments: 0..<12 as Range<UInt64>) func `no acknowledged request is lost to SIGKILL`(seed: UInt64) async throws {
        let scratch = try Scratch()
        let path = scratch.path
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String, seed = seed as UInt64] in
            let database = try Database(Path.join(path, "registry.sqlite"), .writer)
            let writer = Writer(database, state: UInt64(0))
            OSThread.start("killer") {
                usleep(UInt32(20_000 + (seed * 7919) % 150_000))
                kill(getpid(), SIGKILL)
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for worker in 0..<8 {
                    group.addTask {
                        let acknowledged = try File(Path.join(path, "acknowledged-\(worker)"), .append)
                        while true {
                            let index = try await writer.write { database, next throws(Fault) in
                                try database.insert(leaf(next, padding: 700))
                                try database.setMeta("last", String(next))
                                next += 1
                                return next - 1
                            }
                            try acknowledged.write(Array("\(index)\n".utf8))
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        // The judge: what SQLite itself says, and everything that was acknowledged.
        let database = try Database(scratch.file, .writer)
        try database.check()
        let count = try database.leafCount()
        var seen: UInt64 = 0
        try database.forEachLeaf(from: 0, to: .max >> 1) { index, _, _ in
            #expect(index == seen)
            seen += 1
        }
        #expect(seen == count)
        for worker in 0..<8 {
            guard let bytes = try? File(Path.join(path, "acknowledged-\(worker)"), .read).readAll(limit: .mib(8)) else { continue }
            for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") { #expect(UInt64(line)! < count) }
        }
        if count > 0 { #expect(try database.meta("last") == String(count - 1)) }
    }
}

/// A file system with no room, made of memory.
struct SmallDisk: ~Copyable {
    let path: String

    static var isPossible: Bool { geteuid() == 0 && Path.exists("/usr/bin/mount") }

    init(mebibytes: Int) throws {
        path = Path.join(Environment["TMPDIR"] ?? "/tmp", "forge-small-\(ID())")
        try Durable.makeDirectory(path)
        let result = unsafe mount("tmpfs", path, "tmpfs", 0, "size=\(mebibytes)m,mode=0700")
        guard result == 0 else { throw Fault(.environment, "test.no_mount", "cannot mount a small disk") }
    }

    deinit {
        _ = unsafe umount2(path, Int32(MNT_DETACH))
        _ = unsafe rmdir(path)
    }
}

@Suite(.serialized, .enabled(if: SmallDisk.isPossible, "only root can mount a small disk")) struct FullDiskTests {
    @Test func `a full disk refuses ordinary work, records officers' work, and heals`() async throws {
        let disk = try SmallDisk(mebibytes: 12)
        let path = disk.path
        let database = try Database(Path.join(path, "registry.sqlite"), .writer)
        let reserve = try Reserve(Path.join(path, "reserve"), size: .mib(4))
        let writer = Writer(database, state: UInt64(0), reserve: reserve)
        @Sendable func append(_ database: Database, _ next: inout UInt64) throws(Fault) -> UInt64 {
            try database.insert(leaf(next, padding: 4000))
            next += 1
            return next - 1
        }
        var acknowledged: UInt64 = 0
        var refusal: Fault?
        while refusal == nil {
            do throws(Fault) { acknowledged = try await writer.write(append) } catch { refusal = error }
        }
        #expect(refusal?.code == "store.full" && refusal?.kind == .environment)
        #expect(await writer.health == .full)
        for _ in 0..<40 { acknowledged = try await writer.write(as: .officer, append) }
        await #expect(throws: Fault.self) { try await writer.write(append) }
        #expect(try await writer.read { database, next throws(Fault) in (try database.leafCount(), next) } == (acknowledged + 1, acknowledged + 1))

        // The administrator gives the file system more room.
        _ = unsafe mount("tmpfs", path, "tmpfs", UInt(MS_REMOUNT), "size=64m,mode=0700")
        #expect(try await writer.write(append) == acknowledged + 1)
        #expect(await writer.health == .well)
        #expect(try Path.information(Path.join(path, "reserve"))?.size == 4 << 20)
        try await writer.read { database, _ throws(Fault) in try database.check() }
    }
}
