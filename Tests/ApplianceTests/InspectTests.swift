import ForgeCore
import ForgeOS
import Testing

/// `forge model inspect`, which asks no daemon.
@Suite(.enabled(if: Appliance.isBuilt)) struct InspectTests {
    private static let fixtures = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Fixtures/"

    @Test func `a Mistral Large 4 is audited, planned and asked without any daemon, and is not brought in`() async throws {
        try await Appliance.empty { site in
            let folder = InspectTests.fixtures + "checkpoint/large4"
            let said = try await site.forge("model", "inspect", folder, "--tokens", "7,12,27", "-o", "json")
            let item = try #require(said.json?["item"], "\(said)")
            #expect(said.code == 0 && item["family"]?.string == "mistral_large4" && item["is_whole"]?.bool == true && item["parameters"]?.int == 88_116, "\(said)")
            // As transformers has it of the same folder.
            let next = try #require(item["next"]?.array), wanted = [(0, -1.9657), (17, -1.9917), (34, -2.0662), (22, -2.1143), (28, -2.9125)]
            #expect(next.map { $0["token"]?.int } == wanted.map { Int64($0.0) })
            for (one, other) in zip(next, wanted) { #expect(abs((one["log_probability"]?.number ?? 0) - other.1) < 1e-4) }
            #expect(item["parts"]?.array?.count == 12 && item["cache"]?["bytes_per_token"]?.int == 344)
            let table = try await site.forge("model", "inspect", folder)
            #expect(table.out.contains("draft head") && table.out.contains("whole, 1 file"), "\(table)")

            // One tensor less, under a name of its own.
            let copy = site.path("copy")
            try Durable.makeDirectory(copy)
            var weights = try File(Path.join(folder, "model.safetensors"), .read).readAll(limit: .mib(8))
            let name = Array("\"layers.3.gate.weight\"".utf8)
            let at = try #require((0..<weights.count - name.count).first { weights[$0] == name[0] && weights[$0..<$0 + name.count].elementsEqual(name) })
            weights[at + 1] = UInt8(ascii: "p")
            try Durable.replace(Path.join(copy, "model.safetensors"), with: weights)
            try Durable.replace(Path.join(copy, "config.json"), with: try File(Path.join(folder, "config.json"), .read).readAll(limit: .mib(1)))
            let faulty = try await site.forge("model", "inspect", copy, "--tokens", "1")
            #expect(faulty.code == 3 && faulty.out.contains("layers.3.gate.weight") && faulty.out.contains("payers.3.gate.weight") && faulty.err.contains("is not whole"), "\(faulty)")

            let brought = try await site.forge("model", "import", folder, "--name", "large")
            #expect(brought.code == 1 && brought.err.contains("cannot be brought in yet") && brought.err.contains("forge model inspect"), "\(brought)")
            for tokens in ["", "1,", "1,x", "99"] {
                let wrong = try await site.forge("model", "inspect", folder, "--tokens", tokens)
                #expect(wrong.code == 1 && wrong.err.contains("token"), "\(wrong)")
            }
        }
    }

    @Test func `other families are told apart and planned as they would be served`() async throws {
        try await Appliance.empty { site in
            let folder = site.path("mistral4")
            try Durable.makeDirectory(folder)
            for name in ["params.json", "consolidated.safetensors"] {
                try Durable.replace(Path.join(folder, name), with: try File(InspectTests.fixtures + "checkpoint/mistral4/" + name, .read).readAll(limit: .mib(8)))
            }
            let bare = try await site.forge("model", "inspect", folder)
            #expect(bare.code == 1 && bare.err.contains("tekken.json"), "\(bare)")
            try Durable.replace(Path.join(folder, "tokenizer.json"), with: Array("{}".utf8))
            let said = try await site.forge("model", "inspect", folder, "-o", "json"), item = try #require(said.json?["item"], "\(said)")
            #expect(said.code == 0 && item["family"]?.string == "mistral4" && item["layout"]?.string == "native")
            let parts = item["parts"]?.array ?? []
            #expect(parts.reduce(0) { $0 + ($1["parameters"]?.int ?? 0) } == item["parameters"]?.int)
            #expect(Set(parts.compactMap { $0["name"]?.string }) == ["embedding", "attention", "router", "experts", "shared experts", "norms", "head"])
            #expect((item["weights"]?["q4"]?.int ?? 0) < (item["weights"]?["bf16"]?.int ?? 0) && (item["cache"]?["bytes_per_token"]?.int ?? 0) > 0)
            let asked = try await site.forge("model", "inspect", folder, "--tokens", "1")
            #expect(asked.code == 1 && asked.err.contains("`--tokens` does not belong here"), "\(asked)")
        }
    }
}
