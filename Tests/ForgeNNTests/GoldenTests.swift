import ForgeArtifact
import ForgeCore
import ForgeModel
import ForgeNN
import ForgeTensor
import Glibc
import Testing

/// A file of Tests/Fixtures/compute, made by make.py there.
struct Golden {
    let table: TensorTable
    let bytes: [UInt8]

    init(_ name: String) throws {
        let path = #filePath.split(separator: "/").dropLast(2).map(String.init).joined(separator: "/")
        let file = "/" + path + "/Fixtures/compute/" + name + ".safetensors"
        guard let handle = unsafe fopen(file, "rb") else { throw Fault(.environment, "test.fixture", "cannot open `\(file)`") }
        defer { unsafe fclose(handle) }
        var bytes: [UInt8] = [], chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let got = unsafe fread(&chunk, 1, chunk.count, handle)
            if got == 0 { break }
            bytes += chunk[..<got]
        }
        self.bytes = bytes
        table = try TensorTable(parsing: bytes, fileBytes: bytes.count, source: name)
    }

    func words(_ name: String) throws -> [UInt32] {
        let range = try #require(table[name]).range
        return stride(from: range.lowerBound, to: range.upperBound, by: 4).map { at in (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << (8 * $1) } }
    }
    func floats(_ name: String) throws -> [Float] { try words(name).map(Float.init(bitPattern:)) }
    func integers(_ name: String) throws -> [Int32] { try words(name).map(Int32.init(bitPattern:)) }

    var config: MistralConfig {
        get throws { try MistralConfig(json: JSON.parse(Array(try #require(table.metadata["config"]).utf8))) }
    }
    var batch: TokenBatch {
        get throws {
            TokenBatch(ids: try integers("ids"), targets: try integers("targets"), cumulativeLengths: try integers("lengths").reduce(into: [0]) { $0.append($0.last! + $1) })
        }
    }
    func parameters(on device: Device) throws -> Parameters {
        let made = try Parameters(ParameterTable(try config), on: device)
        for entry in made.table.entries { made.tensor(entry).write(try part(entry, of: "param")) }
        return made
    }
    /// What the file has of an entry, which may lie in a tensor of several.
    func part(_ entry: ParameterTable.Entry, of kind: String) throws -> [Float] {
        Array(try floats("\(kind).\(entry.home.name)")[entry.home.first..<(entry.home.first + entry.count)])
    }
}

/// |a - b| against the largest |b|.
func relative(_ a: [Float], _ b: [Float]) -> Double {
    guard a.count == b.count, let largest = b.map({ abs(Double($0)) }).max(), largest > 0 else { return .infinity }
    return zip(a, b).map { abs(Double($0) - Double($1)) }.max()! / largest
}

struct GoldenTests {
    static let names = [
        "decoder-plain", "decoder-packed", "decoder-tied", "decoder-window", "decoder-ministral", "decoder-yarn", "decoder-ministral3", "mistral4-plain", "mistral4-packed", "mistral4-raised",
    ]

    @Test(arguments: Backend.present, names)
    func `logits, loss and the gradient of every tensor equal torch's`(backend: Backend, name: String) throws {
        let golden = try Golden(name), device = try Device(backend, threads: 2), batch = try golden.batch
        let parameters = try golden.parameters(on: device)
        let evaluator = try Decoder(parameters, rows: batch.rows, on: device)
        #expect(relative(try evaluator.logits(batch), try golden.floats("logits")) <= 1e-5)
        let loss = Double(try golden.floats("loss")[0])
        #expect(abs(-(try evaluator.logProbabilities(batch).reduce(0) { $0 + Double($1) }) - loss) <= 1e-5 * loss)

        let gradients = try Parameters(parameters.table, on: device)
        let trainer = try Decoder(parameters, gradients: gradients, rows: batch.rows + 3, on: device)
        trainer.beginStep()
        #expect(abs(-(try trainer.forwardBackward(batch, weight: 1)) - loss) <= 1e-5 * loss)
        try trainer.endStep()
        for entry in parameters.table.entries {
            let off = relative(gradients.tensor(entry).values(), try golden.part(entry, of: "grad"))
            #expect(off <= 1e-5, "\(entry.name) is off by \(off)")
        }
    }

    @Test func `a wrong decoder is caught by the same numbers`() throws {
        let golden = try Golden("decoder-packed"), device = try Device(threads: 2), batch = try golden.batch, truth = try golden.floats("logits")
        let parameters = try golden.parameters(on: device)
        func off(_ batch: TokenBatch, _ parameters: Parameters) throws -> Double {
            relative(try Decoder(parameters, rows: batch.rows, on: device).logits(batch), truth)
        }
        #expect(try off(batch, parameters) <= 1e-5)
        // Packing that leaks: one sequence instead of four.
        let golden2 = try Golden("decoder-packed")
        var longer = try golden2.config
        longer.contextMax = 200
        let leaky = try Parameters(ParameterTable(longer), on: device)
        leaky.flat.write(parameters.flat.values())
        #expect(try off(TokenBatch(ids: batch.ids, targets: batch.targets, cumulativeLengths: [0, Int32(batch.rows)]), leaky) > 1e-3)
        // Interleaved rotary rows under the half layout.
        let q = parameters.tensor("model.layers.0.self_attn.q_proj.weight"), before = q.values(), width = q.columns, d = longer.headDim
        var flipped = before
        for head in 0..<longer.queryHeads {
            for i in 0..<(d / 2) {
                for (to, from) in [(2 * i, i), (2 * i + 1, i + d / 2)] {
                    for column in 0..<width { flipped[(head * d + to) * width + column] = before[(head * d + from) * width + column] }
                }
            }
        }
        q.write(flipped)
        #expect(try off(batch, parameters) > 1e-3)
        q.write(before)
        // A query head reading its neighbour's keys.
        let k = parameters.tensor("model.layers.1.self_attn.k_proj.weight"), keys = k.values()
        k.write(Array(keys[(keys.count / 2)...]) + Array(keys[..<(keys.count / 2)]))
        #expect(try off(batch, parameters) > 1e-3)
        k.write(keys)
        #expect(try off(batch, parameters) <= 1e-5)
    }

    @Test func `a wrong latent decoder is caught by the same numbers`() throws {
        let golden = try Golden("mistral4-packed"), device = try Device(threads: 2), batch = try golden.batch, truth = try golden.floats("logits")
        let parameters = try golden.parameters(on: device), config = try golden.config, latent = try #require(config.latent)
        func off(_ name: String, _ change: ([[Float]]) -> [[Float]]) throws -> Double {
            let tensor = parameters.tensor("model.layers.1." + name), before = tensor.values(), width = tensor.columns
            tensor.write(change((0..<tensor.rows).map { Array(before[($0 * width)..<(($0 + 1) * width)]) }).flatMap { $0 })
            defer { tensor.write(before) }
            return relative(try Decoder(parameters, rows: batch.rows, on: device).logits(batch), truth)
        }
        #expect(try off("self_attn.kv_b_proj.weight") { $0 } <= 1e-5)
        // The shared key's rows in halves, as other families have theirs.
        let wrong = try off("self_attn.kv_a_proj_with_mqa.weight") { rows in
            let turned = Array(rows[latent.rank...]), half = latent.turnedDim / 2
            return rows[..<latent.rank] + (0..<latent.turnedDim).map { turned[$0 < half ? 2 * $0 : 2 * ($0 - half) + 1] }
        }
        #expect(wrong > 1e-3)
        // Values of a head before its keys; keys of all heads before all values.
        let both = latent.plainDim + latent.valueDim
        #expect(try off("self_attn.kv_b_proj.weight") { rows in
            stride(from: 0, to: rows.count, by: both).flatMap { Array(rows[($0 + latent.plainDim)..<($0 + both)]) + Array(rows[$0..<($0 + latent.plainDim)]) }
        } > 1e-3)
        #expect(try off("self_attn.kv_b_proj.weight") { rows in
            rows.indices.filter { $0 % both < latent.plainDim }.map { rows[$0] } + rows.indices.filter { $0 % both >= latent.plainDim }.map { rows[$0] }
        } > 1e-3)
        // Gate and up exchanged in one expert, and in the shared one.
        for place in ["mlp.experts.2.", "mlp.shared_experts."] {
            let (gate, up) = (parameters.tensor("model.layers.0." + place + "gate_proj.weight"), parameters.tensor("model.layers.0." + place + "up_proj.weight"))
            let (g, u) = (gate.values(), up.values())
            gate.write(u)
            up.write(g)
            #expect(try off("self_attn.kv_b_proj.weight") { $0 } > 1e-3)
            gate.write(g)
            up.write(u)
        }
    }

    /// A change that a reader of a config.json makes by mistake.
    struct Misreading: Sendable, CustomStringConvertible {
        let name: String
        let description: String
        let change: @Sendable (inout MistralConfig) -> Void

        init(_ name: String, _ description: String, _ change: @escaping @Sendable (inout MistralConfig) -> Void) {
            self.name = name
            self.description = description
            self.change = change
        }
    }

    /// Sequences cross the original context twice.
    static let misreadings = [
        Misreading("decoder-window", "a mask that sees one key more") { $0.window! += 1 },
        Misreading("decoder-window", "a mask that sees one key less") { $0.window! -= 1 },
        Misreading("decoder-window", "no window") { $0.window = nil },
        Misreading("decoder-yarn", "positions not stretched") { $0.yarn = nil },
        Misreading("decoder-yarn", "the magnitude of scores left out") { $0.yarn!.attentionFactor = 1 },
        Misreading("decoder-yarn", "another original context") { $0.yarn!.originalContext = 64 },
        Misreading("decoder-yarn", "no pair between kept and stretched") { $0.yarn!.betaFast = $0.yarn!.betaSlow },
        Misreading("decoder-ministral3", "queries that do not grow") { $0.queryScale = nil },
        Misreading("decoder-ministral3", "a magnitude of its own") { $0.yarn!.attentionFactor = Yarn.magnitude(4) },
        Misreading("mistral4-packed", "scores raised by the stretch, as transformers does without asking") { $0.latent!.raisesScores = true },
        Misreading("mistral4-raised", "scores not raised") { $0.latent!.raisesScores = false },
        Misreading("mistral4-packed", "queries that do not grow") { $0.queryScale = nil },
        Misreading("mistral4-packed", "a magnitude of its own") { $0.yarn!.attentionFactor = Yarn.magnitude(4) },
        Misreading("mistral4-packed", "weights of experts not scaled") { $0.experts!.scale = 1 },
        Misreading("decoder-ministral3", "queries that grow one position early") { $0.queryScale!.originalContext = 31; $0.yarn!.originalContext = 31 },
    ]

    @Test(arguments: misreadings)
    func `a config read wrongly is caught by the same numbers`(wrong: Misreading) throws {
        let golden = try Golden(wrong.name), device = try Device(threads: 2), batch = try golden.batch, truth = try golden.floats("logits")
        func off(_ config: MistralConfig) throws -> Double {
            let parameters = try Parameters(ParameterTable(config), on: device)
            parameters.flat.write(try golden.parameters(on: device).flat.values())
            return relative(try Decoder(parameters, rows: batch.rows, on: device).logits(batch), truth)
        }
        var config = try golden.config
        #expect(try off(config) <= 1e-5)
        wrong.change(&config)
        #expect(try off(config) > 1e-3)
    }

    @Test(arguments: Backend.present)
    func `a hundred AdamW steps equal torch's`(backend: Backend) throws {
        let golden = try Golden("adamw"), device = try Device(backend, threads: 1)
        let start = try golden.floats("start"), curve = try golden.floats("curve"), pull = try golden.floats("pull"), count = start.count
        let p = try device.tensor(start, rows: 1, columns: count), m = try device.tensor(rows: 1, columns: count), v = try device.tensor(rows: 1, columns: count)
        let g = try device.tensor(rows: 1, columns: count)
        for step in 0..<100 {
            let now = p.values()
            g.write((0..<count).map { curve[$0] * now[$0] + pull[step * count + $0] })
            try device.adamw(p, m: m, v: v, gradient: g, step: AdamWStep(rate: 3e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, decay: 0.1, number: step + 1))
        }
        #expect(relative(p.values(), try golden.floats("end")) <= 2e-6)
    }
}
