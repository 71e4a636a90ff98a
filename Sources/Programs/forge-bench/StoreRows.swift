import ForgeCore
import ForgeCrypto
import ForgeOS
import ForgeVault

/// Sealing and opening: the cipher's form in memory, and blobs on disk as models are kept (64 MiB segments, durable before they count).
func storeRows(_ bench: Bench) throws {
    let vault = Vault(store: ID()), project = ID()
    vault.initialise(RootKey())
    _ = try vault.makeProjectKey(project, version: 1)
    let store = BlobStore(bench.path("store"), vault: vault)
    var random: UInt64 = 1
    let segment = (0..<store.segmentCount).map { _ -> UInt8 in
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: random >> 56)
    }
    let megabytes = Double(segment.count) / 1e6

    let key = SecretBytes.random(Cobblestone.keyCount)
    var sealing: [Double] = [], opening: [Double] = []
    for _ in 0..<9 {
        var sealed: [UInt8] = []
        sealing.append(megabytes / Bench.seconds { sealed = Cobblestone.seal(segment, key: key, context: [1]) })
        opening.append(megabytes / (try Bench.seconds { _ = try Cobblestone.open(sealed, key: key, context: [1]) }))
    }
    bench.say("store.seal.memory", "MB/s", samples: sealing)
    bench.say("store.open.memory", "MB/s", samples: opening)

    let hashing = (0..<9).map { _ in megabytes / Bench.seconds { _ = Digest.sha256(segment) } }
    bench.say("store.sha256", "MB/s", samples: hashing)

    let segments = 4
    var putting: [Double] = [], finishing: [Double] = [], reading: [Double] = []
    for _ in 0..<5 {
        let blob = try vault.makeKey(.blob, subject: ID(), project: project, version: 1)
        var stored: [SealedSegment] = []
        for index in 0..<segments { putting.append(megabytes / (try Bench.seconds { stored.append(try store.put(segment, segment: index, of: blob)) })) }
        finishing.append(megabytes * Double(segments) / (try Bench.seconds { _ = try store.finish(blob, stored) }))
        reading.append(megabytes * Double(segments) / (try Bench.seconds { _ = try store.read(blob, limit: .gib(1)) }))
        try store.remove(blob.subject)
    }
    bench.say("store.put.disk", "MB/s", samples: putting)
    bench.say("store.finish.disk", "MB/s", samples: finishing)
    bench.say("store.read.disk", "MB/s", samples: reading)
}
