import ForgeCore
import ForgeHTTP
import ForgeOS
import Glibc
import Testing

/// A run whose worker and daemon are killed again and again, on the real daemons.
@Suite(.serialized, .enabled(if: Appliance.isBuilt)) struct KillTests {
    private static let moments = 24
    private static let steps = 2000

    /// What happens at a moment, by its number: half of them wait for a checkpoint's temporary file to be there, every sixth takes the daemon too.
    private struct Moment {
        let number: Int
        var isInsideWrite: Bool { number % 2 == 0 }
        var takesDaemon: Bool { number % 6 == 3 }
        private func random(_ salt: UInt64, _ count: UInt64) -> UInt64 {
            (((UInt64(number) &+ 1) &* 0x9e37_79b9_7f4a_7c15) ^ (salt &* 0xbf58_476d_1ce4_e5b9)) >> 17 % count
        }
        /// After a worker is there, at most.
        var delay: Duration { .milliseconds(10 + Int64(random(1, 390))) }
        /// How many checkpoint writes may begin.
        var writes: Int { 1 + Int(random(2, 3)) }
        /// Into the write.
        var offset: Duration { .microseconds(Int64(random(3, 1200))) }
    }

    @Test func `a run killed at 24 seeded moments, also inside checkpoint writes, ends in the model of a run left alone`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            try await site.addPapers()
            let recipe = Appliance.recipe(steps: KillTests.steps, every: 5)
            let alone = try await site.train(recipe)
            let run = try await site.submit(recipe)
            let folder = Path.join(site.root, "state/trainer/runs/\(run)/checkpoints")
            var cut = 0
            for number in 0..<KillTests.moments {
                let moment = Moment(number: number)
                let worker = try await worker(of: run, site)
                if moment.isInsideWrite { try waitForWrite(in: folder, moment) } else { await waitAWhile(in: folder, moment) }
                kill(moment.takesDaemon ? try site.pid("trainer") : worker, SIGKILL)
                while Processes.isAlive(worker) {}
                // What a cut write leaves stays until the next worker tidies up.
                if moment.isInsideWrite, temporaries(folder).count > 0 { cut += 1 }
                if moment.takesDaemon { try #require(await eventually { await site.answers("trainer") }, "\(site.lastWords())") }
            }
            #expect(cut >= 5, "only \(cut) kills met a checkpoint in the middle of its write")
            let done = try await site.wait(for: "finished", of: run, within: .seconds(120))
            #expect(done["result"]?["digest"]?.string == alone)
            // What was done twice counts once; numbers on their way to a killed daemon are lost with it, and only those.
            let page = try await site.client("trainer", bearer: try site.bearer(of: "dana")).raw(.get, "/v1/runs/\(run)/metrics")
            let steps = try JSON.parse(page.body)["metrics"]?.array?.compactMap { $0["step"]?.int } ?? []
            #expect(zip(steps, steps.dropFirst()).allSatisfy { $0 < $1 } && steps.last == Int64(KillTests.steps) && steps.count > KillTests.steps * 9 / 10, "\(steps.count)")
            let starts = try await site.judge().count { $0["act"]?.string == "run.start" && $0["phase"]?.string == "intent" && $0["obj"]?["id"]?.string == run }
            #expect(starts > KillTests.moments)
        }
    }

    /// The next worker's process. A run that died three times without a checkpoint in between is given up until a person says go on.
    private func worker(of run: String, _ site: Appliance) async throws -> Int32 {
        var found: Int32?
        var checks = 0
        _ = await eventually(within: .seconds(30), every: .milliseconds(2)) {
            found = (try? site.pid("trainer")).flatMap { Processes.children(of: $0).first { Processes.isAlive($0) } }
            checks += 1
            if found == nil, checks % 100 == 0, (try? await site.run(run)["state"]?.string) == "failed" { _ = try? await site.forge("run", "resume", run, as: "dana") }
            return found != nil
        }
        if found == nil { try #require(try await site.run(run)["state"]?.string != "finished", "the run was over before all moments had come") }
        return try #require(found, "no worker was started\n\(site.lastWords())")
    }

    /// A moment's delay, or on a fast machine until the run has moved on by so much that all moments still have their share of it.
    private func waitAWhile(in folder: String, _ moment: Moment) async {
        let reached = newestStep(folder) + KillTests.steps / KillTests.moments / 2
        _ = await eventually(within: moment.delay, every: .milliseconds(1)) { newestStep(folder) >= reached }
    }

    private func newestStep(_ folder: String) -> Int {
        ((try? Path.list(folder)) ?? []).compactMap { Int($0.dropFirst("checkpoint-".count).prefix(10)) }.max() ?? 0
    }

    /// Looks without rest, for a write takes a millisecond or two; at most ten seconds.
    private func waitForWrite(in folder: String, _ moment: Moment) throws {
        var seen: Set<String> = []
        let end = ContinuousClock.now + .seconds(10)
        while seen.count < moment.writes {
            seen.formUnion(temporaries(folder))
            try #require(ContinuousClock.now < end, "no checkpoint was written")
        }
        let now = ContinuousClock.now
        while ContinuousClock.now - now < moment.offset {}
    }

    private func temporaries(_ folder: String) -> [String] { ((try? Path.list(folder)) ?? []).filter { Durable.isTemporary($0) && $0.contains("checkpoint") } }
}
