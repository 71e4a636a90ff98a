// forge-bench: times the parts that have no peer to call from outside, one JSON line a figure. `Benchmarks/run` calls it and compares.
//
// owns      what it writes into the scratch directory it is given; the caller removes that
// promises  figures of this very build on this very machine; nothing is warmed up that a daemon would not have warm
// never     part of the package: it is for those who build Forge

import ForgeCore
import ForgeOS
import Glibc

let arguments = Array(CommandLine.arguments.dropFirst())
let areas: [String: (Bench) async throws -> Void] = [
    "policy": policyRows, "log": logRows, "tokenizer": tokenizerRows, "store": storeRows, "http": httpRows, "gemm": gemmRows, "training": trainingRows, "serving": servingRows,
    "adapters": adapterRows, "neighbour": neighbourRows, "checkpoint": checkpointRows, "outside": outsideFolder,
]

do {
    guard let area = arguments.first.flatMap({ areas[$0] }) else {
        throw Fault(.request, "bench.usage", "cannot tell what to measure", remedy: "forge-bench \(areas.keys.sorted().joined(separator: "|")) SCRATCH [WORD…]")
    }
    guard arguments.count >= 2 else { throw Fault(.request, "bench.usage", "cannot measure without a scratch directory", remedy: "name one on the disk that is to be measured") }
    let bench = Bench(scratch: try Path.absolute(arguments[1]), words: Array(arguments.dropFirst(2)))
    try Durable.makeDirectory(bench.scratch)
    try await area(bench)
} catch {
    let fault = error as? Fault ?? Fault(.environment, "bench.failed", "the measurement failed", detail: "\(error)")
    Terminal.write("forge-bench: \(fault.message)\(fault.remedy.isEmpty ? "" : "\nhint: \(fault.remedy)")\n", to: 2)
    exit(1)
}
