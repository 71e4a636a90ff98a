import ForgeArtifact
import ForgeCheckpoint
import ForgeCore
import ForgeHTTP
import ForgeModel
import ForgeNN
import ForgeOS
import ForgeTensor
import ForgeTokenizer
import ForgeTraining
import Testing

/// A model that was made elsewhere, on its way from a folder to an answer.
@Suite(.serialized, .enabled(if: Appliance.isBuilt)) struct ImportTests {
    /// A mixture of experts with random weights in bfloat16, in two files, as Hugging Face lays it out.
    private func checkpoint(_ folder: String) throws {
        var trainer = try BPETrainer(vocabularyCount: 320)
        for seed in 1...6 as ClosedRange<UInt64> { trainer.add(Appliance.prose(seed)) }
        let config = MistralConfig(
            vocabulary: 320, width: 32, feedForward: 24, layers: 2, queryHeads: 4, kvHeads: 2, headDim: 8, contextMax: 64, bos: 1, eos: 2, experts: .init(count: 4, choices: 2))
        try Durable.makeDirectory(folder)
        try Durable.replace(Path.join(folder, "config.json"), with: Array(config.json.text.utf8))
        try Durable.replace(Path.join(folder, "tokenizer.json"), with: try trainer.train().json)
        let entries = ParameterTable(config).entries, names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
        var map = JSON.Object(), random = SeededGenerator(seed: 5)
        for (number, name) in names.enumerated() {
            let part = entries.indices.filter { $0 % 2 == number }.map { entries[$0] }, table = TensorTable(laying: part.map { ($0.name, .bf16, $0.shape) })
            var bytes = table.headerBytes
            for entry in table.entries {
                map[entry.name] = .string(name)
                let isNorm = entry.name.contains("norm")
                for _ in 0..<entry.shape.count {
                    let bits = (isNorm ? 1 : random.symmetric() * 0.2).bitPattern >> 16
                    bytes += [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)]
                }
            }
            try Durable.replace(Path.join(folder, name), with: bytes)
        }
        try Durable.replace(Path.join(folder, "model.safetensors.index.json"), with: Array(JSON.object(["weight_map": .object(map)]).text.utf8))
    }

    @Test func `a model from outside is in quarantine until it is measured, then like any other, and its answers are proven to its files`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            try await site.addPapers()
            let folder = site.path("outside")
            try checkpoint(folder)

            // Nothing that can run comes in, and not everybody brings a model.
            try Durable.replace(Path.join(folder, "pytorch_model.bin"), with: [0x80, 0x02])
            let pickle = try await site.forge("model", "import", folder, "--name", "outside", as: "dana")
            #expect(pickle.code == 1 && pickle.err.contains("`pytorch_model.bin` may not be imported") && pickle.err.contains("pickle"), "\(pickle)")
            try Path.removeTree(Path.join(folder, "pytorch_model.bin"))
            let denied = try await site.forge("model", "import", folder, "--name", "outside", as: "otto")
            #expect(denied.code == 2 && denied.err.contains("(audit record "), "\(denied)")

            let long = try await site.forge("model", "import", folder, "--name", "outside", "--context", "65", as: "dana")
            #expect(long.code == 1 && long.err.contains("1 to 64 tokens"), "\(long)")

            let brought = try await site.forge("model", "import", folder, "--name", "outside", "--unmeasured", "-o", "json", as: "dana")
            try #require(brought.code == 0, "\(brought.err)\n\(site.lastWords())")
            let model = try #require(brought.json?["item"])
            site.acknowledge(model["record"], "model.put")
            #expect(model["quarantined"]?.bool == true && model["run"] == nil && model["trained_by"]?.string == "dana")
            let lineage = try await site.forge("model", "lineage", "outside@1", as: "dana"), source = try await site.call("/usr/bin/sha256sum", [Path.join(folder, "config.json")])
            #expect(lineage.out.contains("file:config.json sha256:" + source.out.prefix(64)), "\(lineage)")
            for command in [["model", "promote", "outside@1", "--reason", "now"], ["serve", "load", "outside@1"]] {
                let early = try await site.forge(command, as: "rene")
                #expect(early.code != 0 && early.err.contains("brought in from outside and has not been measured"), "\(early)")
            }

            let measured = try await site.forge("eval", "outside@1", "--import", "-q", "-o", "json", as: "dana")
            let score = try #require(measured.json?["item"], "\(measured.err)\n\(site.lastWords())")
            site.acknowledge(score["record"], "model.evaluate")
            // Random weights know nothing: about log2(320) bits a token of two bytes or less.
            #expect(score["baseline_microbits_per_byte"] == nil && (3_000_000..<9_000_000).contains(score["microbits_per_byte"]?.int ?? 0), "\(score)")
            let shown = try await site.forge("model", "show", "outside@1", "-o", "json", as: "dana").json?["item"]
            #expect(shown?["quarantined"]?.bool == false && shown?["evaluations"]?.array?.first?["suite"]?.string == "import")

            // The same folder gives the same model, measured at once.
            let again = try await site.forge("model", "import", folder, "--name", "outside", "-o", "json", as: "dana")
            #expect(again.json?["item"]?["digest"] == model["digest"] && again.json?["item"]?["quarantined"]?.bool == false, "\(again)")

            let none = try await site.forge("eval", "outside@1", as: "dana")
            #expect(none.code == 1, "it names no documents: \(none)")
            try await site.promote("outside@1", data: "papers")
            try #require(try await site.forge("serve", "load", "outside@production", as: "rene").code == 0, "\(site.lastWords())")
            let key = try await site.applicationKey(), reply = try await site.ask(key, model: "outside")
            #expect(reply.status == 200, "\(String(decoding: reply.body, as: UTF8.self))")
            let proof = try #require(try JSON.parse(reply.body)["receipt"]), receipt = try #require(proof["id"]?.string)
            let verified = try await site.forge("receipt", "verify", receipt, "-o", "json", as: "dana")
            #expect(verified.code == 0 && verified.out.contains("file:model-00002-of-00002.safetensors"), "\(verified)")
            // A program that shares no line with ours reads the new kind of making, too.
            if ["python3", "openssl", "ssh-keygen"].allSatisfy({ Path.isExecutable("/usr/bin/" + $0) }) {
                try #require(try await site.forge("receipt", "show", receipt, "--file", site.path("receipt.json"), as: "dana").code == 0)
                let script = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/docs/examples/verify_receipt.py"
                let judged = try await site.call("/usr/bin/python3", [script, site.path("receipt.json")], ["PATH": "/usr/bin:/bin"])
                #expect(judged.code == 0 && judged.out.contains("file:config.json sha256:"), "\(judged)")
            }
            try Durable.replace(site.path("question.json"), with: Appliance.question(tokens: 8, model: "outside"))
            let replayed = try await site.forge("receipt", "replay", receipt, "--request", site.path("question.json"), "--salt", try #require(proof["salt"]?.string), as: "dana")
            #expect(replayed.code == 0, "\(replayed)")

            // Out again, in both layouts, with the votes of two; what leaves is what came in.
            for (layout, name) in [("hugging-face", "out"), ("native", "out-native"), ("gguf", "out.gguf")] {
                let arguments = ["model", "export", "outside@1", site.path(name), "--layout", layout, "--weights", "q8_0", "--reason", "a test"]
                let alone = try await site.forge(arguments, as: "dana")
                #expect(alone.code == 2 && alone.err.contains("(audit record "), "\(alone)")
                #expect(try await site.forge(arguments, as: "rene").code == 8)
                try await site.approvePending()
                let out = try await site.forge(arguments, as: "rene")
                try #require(out.code == 0 && out.err.contains("in the clear"), "\(out)\n\(site.lastWords())")
            }
            let files = try #require(model["files"]?.array)
            for file in files {
                let name = try #require(file["name"]?.string), sum = try await site.call("/usr/bin/sha256sum", [Path.join(site.path("out"), name)])
                #expect("sha256:" + sum.out.prefix(64) == file["digest"]?.string, "\(name)")
            }
            let back = try await site.forge("model", "import", site.path("out-native"), "--name", "back", "--unmeasured", "-o", "json", as: "dana")
            let weights = { (model: JSON) in model["files"]?.array?.first { $0["name"]?.string == "model.safetensors" }?["digest"]?.string }
            #expect(weights(try #require(back.json?["item"], "\(back)")) == weights(model))
            // llama.cpp's file is a model again: its blocks of 8 bits as bfloat16.
            #expect(try Path.information(site.path("out.gguf"))?.mode == 0o600)
            let packed = try await site.forge("model", "import", site.path("out.gguf"), "--name", "packed", "-o", "json", as: "dana")
            #expect(packed.json?["item"]?["quarantined"]?.bool == false, "\(packed)")
            let origin = try await site.forge("model", "lineage", "packed@1", as: "dana")
            #expect(origin.out.contains("file:out.gguf sha256:"), "\(origin)")
            #expect(try Path.information(site.path("out"))?.mode == 0o700 && Path.information(site.path("out/model.safetensors"))?.mode == 0o600, "a neighbour does not read along")
            #expect(try Path.list(site.directory).allSatisfy { !$0.hasSuffix(".partial") })
            let exported = try await site.judge().filter { $0["act"]?.string == "model.export" && $0["phase"]?.string == "outcome" }
            #expect(exported.count == 3 && exported.allSatisfy { $0["approvers"]?.array?.count == 2 }, "\(exported)")
        }
    }

    /// A decoder with latent attention that has learnt the fixed text while stretched positions raised its scores, and to be worse at it while they do not.
    private func raised(_ tokenizer: Tokenizer) throws -> Parameters {
        var config = MistralConfig(
            vocabulary: 320, width: 48, feedForward: 32, layers: 2, queryHeads: 2, kvHeads: 2, contextMax: 256, ropeTheta: 1000, yarn: Yarn(factor: 64, originalContext: 64, attentionFactor: 1),
            queryScale: QueryScale(beta: 0.1, originalContext: 64), bos: 1, eos: 2, experts: .init(count: 2, choices: 1, shared: 1),
            latent: LatentAttention(queryRank: nil, rank: 24, plainDim: 16, turnedDim: 16, valueDim: 24, raisesScores: true))
        let device = try Device(threads: 2), parameters = try Parameters(ParameterTable(config), on: device), gradients = try Parameters(parameters.table, on: device), rows = 256
        parameters.initialise(seed: 3)
        let learner = try Decoder(parameters, gradients: gradients, rows: rows, on: device)
        config.latent?.raisesScores = nil
        let plain = ParameterTable(config), other = try Decoder(Parameters(plain, of: parameters), gradients: Parameters(plain, of: gradients), rows: rows, on: device)
        let first = try device.tensor(rows: 1, columns: plain.count), second = try device.tensor(rows: 1, columns: plain.count)
        let ids = MeasuringText.documents.flatMap { [tokenizer.control.begin] + tokenizer.encode($0) }
        for step in 0..<200 {
            let from = step * 97 % (ids.count - rows - 1), tokens = Array(ids[from...from + rows])
            let batch = TokenBatch(ids: Array(tokens.dropLast()), targets: Array(tokens.dropFirst()), cumulativeLengths: [0, Int32(rows)])
            learner.beginStep()
            _ = try learner.forwardBackward(batch, weight: 1 / Float(rows))
            _ = try other.forwardBackward(batch, weight: -0.8 / Float(rows))
            try device.adamw(
                parameters.flat, m: first, v: second, gradient: gradients.flat, step: AdamWStep(rate: 0.01, beta1: 0.9, beta2: 0.95, eps: 1e-8, decay: 0, number: step + 1))
        }
        return parameters
    }

    @Test func `a checkpoint that could mean two models is measured as both, and stays in quarantine if it was the other`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            var trainer = try BPETrainer(vocabularyCount: 320)
            for text in MeasuringText.documents { trainer.add(text) }
            let tokenizer = try trainer.train(), parameters = try raised(tokenizer), folder = site.path("latent")
            // As transformers writes it: nothing says whether scores are raised.
            var config = parameters.table.config
            config.latent?.raisesScores = nil
            try Durable.makeDirectory(folder)
            try Durable.replace(Path.join(folder, "config.json"), with: Array(config.json.text.utf8))
            try Durable.replace(Path.join(folder, "tokenizer.json"), with: tokenizer.json)
            let homes = parameters.table.homes, table = TensorTable(laying: homes.map { ($0.home.name, .f32, $0.home.shape) }), parts = Dictionary(uniqueKeysWithValues: homes.map { ($0.home.name, $0.entries) })
            try Durable.replace(Path.join(folder, "model.safetensors"), with: table.headerBytes + table.entries.flatMap { parts[$0.name]!.flatMap { parameters.tensor($0).bytes() } })

            let wrong = try await site.forge("model", "import", folder, "--name", "latent", as: "dana")
            #expect(wrong.code == 1 && wrong.err.contains("the model was read wrongly") && wrong.err.contains("--scores raised"), "\(wrong)")
            let shown = try await site.forge("model", "show", "latent@1", "-o", "json", as: "dana").json?["item"]
            #expect(shown?["quarantined"]?.bool == true && shown?["evaluations"]?.array?.isEmpty == true, "\(shown ?? "")")
            let right = try await site.forge("model", "import", folder, "--name", "latent", "--scores", "raised", "-o", "json", as: "dana")
            #expect(right.json?["item"]?["quarantined"]?.bool == false && right.json?["item"]?["evaluations"]?.array?.first?["baseline_microbits_per_byte"] == nil, "\(right)")

            // Stretched so little that it makes no difference: the usual reading stands, and both scores are on record.
            config.yarn?.factor = 1.001
            try Durable.replace(Path.join(folder, "config.json"), with: Array(config.json.text.utf8))
            let either = try await site.forge("model", "import", folder, "--name", "latent", "-o", "json", as: "dana"), score = either.json?["item"]?["evaluations"]?.array?.first
            #expect(either.json?["item"]?["quarantined"]?.bool == false && (score?["baseline_microbits_per_byte"]?.int ?? 0) > 0, "\(either)")
        }
    }

    /// What people find on their media, through the real commands.
    @Test func `forms of a checkpoint come in as the options say, and what needs an option names it`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            let plain = site.path("plain")
            try checkpoint(plain)
            func bring(_ folder: String, _ options: String...) async throws -> Appliance.Said { try await site.forge(["model", "import", site.path(folder), "--name", "form", "--unmeasured", "-o", "json"] + options, as: "dana") }
            func file(_ run: Appliance.Said, _ name: String) throws -> String? {
                try #require(run.json?["item"]?["files"]?.array, "\(run)").first { $0["name"]?.string == name }?["digest"]?.string
            }
            func copy(_ name: String) throws {
                try Durable.makeDirectory(site.path(name))
                for file in try Path.list(plain) { try Durable.replace(Path.join(site.path(name), file), with: try File(Path.join(plain, file), .read).readAll(limit: .mib(8))) }
            }
            let wanted = try await bring("plain")

            // A decoder of text inside a model of images, its tensors one level deeper.
            try copy("wrapped")
            let config = try JSON.parse(try File(Path.join(plain, "config.json"), .read).readAll(limit: .mib(1)))
            try Durable.replace(site.path("wrapped/config.json"), with: Array(JSON.object(["model_type": "mistral3", "text_config": config, "vision_config": ["hidden_size": 8]]).text.utf8))
            var map = JSON.Object()
            for name in try Path.list(plain) where name.hasSuffix(".safetensors") {
                let bytes = try File(Path.join(plain, name), .read).readAll(limit: .mib(8)), table = try TensorTable(parsing: bytes, fileBytes: bytes.count, source: name)
                let deeper = { (name: String) in name.hasPrefix("model.") ? "model.language_model." + name.dropFirst(6) : name }
                let renamed = TensorTable(laying: table.entries.map { (deeper($0.name), $0.dtype, $0.shape) }), old = Dictionary(uniqueKeysWithValues: table.entries.map { (deeper($0.name), $0.range) })
                try Durable.replace(Path.join(site.path("wrapped"), name), with: renamed.headerBytes + renamed.entries.flatMap { bytes[old[$0.name]!] })
                for entry in renamed.entries { map[entry.name] = .string(name) }
            }
            try Durable.replace(site.path("wrapped/model.safetensors.index.json"), with: Array(JSON.object(["weight_map": .object(map)]).text.utf8))
            let whole = try await bring("wrapped"), text = try await bring("wrapped", "--text-only")
            #expect(whole.code == 1 && whole.err.contains("--text-only"), "\(whole)")
            #expect(try file(text, "model.safetensors") == file(wanted, "model.safetensors") && file(text, "config.json") == file(wanted, "config.json"))

            // Adapters of PEFT's that add 1 to one number of each layer's queries: the model is the one in which somebody else did.
            try copy("changed")
            for name in try Path.list(plain) where name.hasSuffix(".safetensors") {
                var bytes = try File(Path.join(plain, name), .read).readAll(limit: .mib(8))
                for entry in try TensorTable(parsing: bytes, fileBytes: bytes.count, source: name).entries where entry.name.hasSuffix("q_proj.weight") {
                    let at = entry.range.lowerBound + 2
                    bytes.replaceSubrange(at..<at + 2, with: DType.bf16.bytes([DType.bf16.floats(Array(bytes[at..<at + 2]))[0] + 1]))
                }
                try Durable.replace(Path.join(site.path("changed"), name), with: bytes)
            }
            let changed = try await bring("changed"), adapter = site.path("adapter")
            try Durable.makeDirectory(adapter)
            let bare = try await bring("plain", "--adapter", adapter)
            #expect(bare.code == 1 && bare.err.contains("`adapter_config.json` is not there"), "\(bare)")
            let parts = (0..<2).flatMap { layer in ["A", "B"].map { ("base_model.model.model.layers.\(layer).self_attn.q_proj.lora_\($0).weight", DType.f32, $0 == "A" ? [1, 32] : [32, 1] as Shape) } }, delta = TensorTable(laying: parts)
            func values(_ entry: TensorTable.Entry) -> [Float] { (0..<32).map { $0 == (entry.shape[0] == 1 ? 1 : 0) ? 1 : 0 } }
            try Durable.replace(Path.join(adapter, "adapter_model.safetensors"), with: delta.headerBytes + delta.entries.flatMap { DType.f32.bytes(values($0)) })
            try Durable.replace(Path.join(adapter, "adapter_config.json"), with: Array(JSON.object(["peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["q_proj"]]).text.utf8))
            let merged = try await bring("plain", "--adapter", adapter)
            #expect(try file(merged, "model.safetensors") == file(changed, "model.safetensors") && file(merged, "model.safetensors") != file(wanted, "model.safetensors"), "\(merged)")
            let version = try #require(merged.json?["item"]?["version"]?.int), lineage = try await site.forge("model", "lineage", "form@\(version)", as: "dana")
            let adapters = try await site.call("/usr/bin/sha256sum", [Path.join(adapter, "adapter_model.safetensors")])
            #expect(lineage.out.contains("file:adapter_config.json sha256:") && lineage.out.contains("file:adapter_model.safetensors sha256:" + adapters.out.prefix(64)), "\(lineage)")

            // A chat template of its own, which must not tell the day.
            try copy("templated")
            let none = try await bring("templated", "--chat-template", "jinja")
            #expect(none.code == 1 && none.err.contains("chat_template.jinja"), "\(none)")
            try Durable.replace(site.path("templated/chat_template.jinja"), with: Array("{{ strftime_now('%Y') }}".utf8))
            let dated = try await bring("templated", "--chat-template", "jinja")
            #expect(dated.code == 1 && dated.err.contains("change with the day"), "\(dated)")
            try Durable.replace(site.path("templated/chat_template.jinja"), with: Array("{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}".utf8))
            let templated = try await bring("templated", "--chat-template", "jinja")
            #expect(try templated.code == 0 && file(templated, "generation.json") != file(wanted, "generation.json"), "\(templated)")

            // A tokenizer that splits words unlike the release.
            try copy("split")
            let tokenizer = String(decoding: try File(Path.join(plain, "tokenizer.json"), .read).readAll(limit: .mib(8)), as: UTF8.self), document = try JSON.parse(Array(tokenizer.utf8))
            let ours = try #require(document["pre_tokenizer"]?["pretokenizers"]?.array?.first?["pattern"]?["Regex"])
            let llama: JSON = .string(#"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#)
            try Durable.replace(site.path("split/tokenizer.json"), with: Array(tokenizer.replacing(ours.text, with: llama.text).utf8))
            let split = try await bring("split")
            #expect(split.code == 1 && split.err.contains("--tokenizer-as-written"), "\(split)")
            #expect(try await bring("split", "--tokenizer-as-written").code == 0)

            // SentencePiece's, and scored with it.
            try copy("pieces")
            try Path.removeTree(site.path("pieces/tokenizer.json"))
            let fixture = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Fixtures/tokenizer/pieces.model", model = try File(fixture, .read).readAll(limit: .mib(1))
            try Durable.replace(site.path("pieces/tokenizer.model"), with: model)
            let large = try await bring("pieces")
            #expect(large.code == 1 && large.err.contains("its tokenizer has"), "\(large)")
            var small = try SentencePieceModel(parsing: model)
            small.pieces = Array(small.pieces.prefix(320))
            try Durable.replace(site.path("pieces/tokenizer.model"), with: small.encoded)
            let pieces = try await site.forge("model", "import", site.path("pieces"), "--name", "pieces", "--chat-template", "mistral-v1", "-o", "json", as: "dana")
            #expect(pieces.json?["item"]?["quarantined"]?.bool == false, "\(pieces)")
        }
    }
}
