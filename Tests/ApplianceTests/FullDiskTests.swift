import ForgeCore
import ForgeHTTP
import ForgeOS
import Glibc
import Testing

/// A file system of a few mebibytes, made of memory, where the site's root is to be.
private final class SmallDisk: Sendable {
    static var isPossible: Bool { geteuid() == 0 }
    private let path: String
    private var ballast: String { Path.join(path, "ballast") }

    init(_ path: String, mebibytes: Int, owner: UInt32) throws {
        self.path = path
        try Durable.makeDirectory(path)
        guard unsafe mount("tmpfs", path, "tmpfs", 0, "size=\(mebibytes)m,mode=0700,uid=\(owner),gid=\(owner)") == 0 else {
            throw Fault(.environment, "test.no_mount", "cannot mount a small disk: errno \(errno)")
        }
    }

    /// Leaves not a page.
    func fill() throws {
        let file = try File(ballast, .replace)
        while (try? file.write([UInt8](repeating: 0, count: 65_536))) != nil {}
        while (try? file.write([UInt8](repeating: 0, count: 4096))) != nil {}
    }

    func empty() throws { try Durable.remove(ballast) }

    deinit { _ = unsafe umount2(path, Int32(MNT_DETACH)) }
}

@Suite(.serialized, .enabled(if: Appliance.isBuilt && SmallDisk.isPossible, "only root can mount a small disk")) struct FullDiskTests {
    /// As `forge up` chooses for a directory that nobody owns.
    private static let owner: UInt32 = 64_747

    @Test func `a full disk stops training and answers, not officers; with room again everything goes on, and nothing acknowledged is lost`() async throws {
        try await Appliance.empty { site in
            let disk = try SmallDisk(site.root, mebibytes: 96, owner: FullDiskTests.owner)
            try Durable.replace(Path.join(site.root, "forge.yaml"), with: Array("registry:\n  reserve_mebibytes: 4\n".utf8), mode: 0o644)
            try await site.start()
            let key = try await site.serve()
            let recipe = Appliance.recipe(steps: 900, every: 5)
            let alone = try await site.train(recipe)
            let run = try await site.submit(recipe)
            #expect(await eventually { (try? await site.run(run)["progress"]?["step"]?.int ?? 0) ?? 0 > 20 })
            try disk.fill()

            // An answer begins with a record; those that were given before the last page was gone are on record.
            var refused: HTTPClient.Reply?
            #expect(await eventually {
                guard let reply = try? await site.ask(key) else { return false }
                if reply.status != 200 { refused = reply }
                return refused != nil
            })
            #expect(refused?.status == 503 && refused?.headers["retry-after"] != nil, "\(refused.map { text($0.body) } ?? "")")
            let said = try await site.forge("run", "ls", as: "dana")
            #expect(said.code == 75 && said.err.contains("no space is left"), "\(said)")
            let status = try await site.forge("status", "-o", "json", as: "otto").json?["item"]?["registry"]
            #expect(status?["health"]?.string == "full", "\(String(describing: status))")
            let trainer = try site.pid("trainer")
            #expect(await eventually { !Processes.children(of: trainer).contains { Processes.isAlive($0) } }, "the worker meets the full disk at its next checkpoint")
            // The reserve is for this: the record can be taken away and checked while there is no room for anything else.
            try await site.judge()

            try disk.empty()
            #expect(await eventually { (try? await site.ask(key).status) == 200 }, "\(site.lastWords())")
            let done = try await site.wait(for: "finished", of: run)
            #expect(done["result"]?["digest"]?.string == alone)
            try await site.judge()
            #expect(await site.stop() == .code(0), "\(site.lastWords())")
            withExtendedLifetime(disk) {}
        }
    }
}
