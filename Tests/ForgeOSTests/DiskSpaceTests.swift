import ForgeCore
import ForgeOS
import Synchronization
import Testing

@Suite struct DiskSpaceTests {
    @Test(arguments: [
        (79, 21, DiskSpace.Level.well), (80, 20, .warning), (89, 11, .warning), (90, 10, .alert), (94, 6, .alert), (95, 5, .alert), (96, 3, .critical), (100, 0, .critical),
        // A share alone says little of a large disk.
        (800, 200, .well), (930, 70, .well), (1500, 60, .warning), (1900, 20, .warning), (1000, 3, .critical), (0, 0, .well),
    ])
    func `a disk's level is its share and what is left`(used: Int64, free: Int64, level: DiskSpace.Level) {
        #expect(DiskSpace(used: .gib(used), free: .gib(free)).level == level)
    }

    @Test func `the share is rounded up, as df does`() throws {
        #expect(DiskSpace(used: 1, free: 999).usedPercent == 1)
        #expect(DiskSpace(used: 801, free: 199).usedPercent == 81)
        // The disk is in use by others meanwhile, so two looks are compared with those around them only where they can be: /proc never fills.
        #expect(try DiskSpace(of: "/proc").usedPercent == 0)
        let space = try DiskSpace(of: "/tmp")
        #expect(space.free > 0 && space.usedPercent > 0)
        #expect(throws: Fault.self) { _ = try DiskSpace(of: "/no/such/place") }
    }

    @Test func `a watch looks no more often than it should, and a disk that does not tell is not full`() {
        let looks = Mutex(0)
        let watch = DiskWatch(every: .seconds(3600)) { () throws(Fault) in
            looks.withLock { $0 += 1 }
            return DiskSpace(used: 99, free: 1)
        }
        for _ in 0..<10 { #expect(watch.level == .critical) }
        #expect(looks.withLock { $0 } == 1)
        let silent = DiskWatch(every: .zero) { () throws(Fault) in throw Fault(.environment, "os.eio", "cannot tell") }
        #expect(silent.space == nil && silent.level == .well)
    }
}
