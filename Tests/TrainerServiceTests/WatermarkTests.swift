import ForgeCore
import ForgeHTTP
import ForgeOS
import Synchronization
import Testing
import TrainerAPI
import TrainerService

@Suite struct WatermarkTests {
    @Test func `a disk that is nearly full takes no new data and no new runs, and says so`() async throws {
        let space = Mutex(DiskSpace(used: .gib(80), free: .gib(20)))
        let disk = DiskWatch(every: .zero) { () throws(Fault) in space.withLock { $0 } }
        try await Bench.with(disk: disk) { bench in
            #expect(await bench.trainer.facts()["disk"] == "warning")
            let data = try await bench.add("first", [("a.txt", Array("Some text of a first document.".utf8))])
            space.withLock { $0 = DiskSpace(used: .gib(90), free: .gib(10)) }
            #expect(await bench.trainer.facts()["disk"] == "alert")
            let noData = await #expect(throws: Fault.self) { _ = try await bench.add("second", [("b.txt", Array("Some text of a second document.".utf8))]) }
            #expect(noData?.code == "disk.low" && noData?.retryable == true && noData?.why.contains("90 %") == true)
            let noRun = await #expect(throws: Fault.self) { _ = try await bench.client.submit(RunSubmission(recipe: "name: x\n", datasets: [data.dataset.digest.description])) }
            #expect(noRun?.code == "disk.low" && noRun?.httpStatus == 503)
            #expect(try await bench.client.recipes().isEmpty, "looking is allowed")
        }
    }
}
