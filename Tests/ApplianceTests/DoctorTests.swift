import ForgeCore
import ForgeOS
import Testing

@Suite(.serialized, .enabled(if: Appliance.isBuilt)) struct DoctorTests {
    static var hasStrace: Bool { Path.isExecutable("/usr/bin/strace") }

    @Test func `doctor names what is down, and has nothing to say of what is well`() async throws {
        try await Appliance.empty { site in
            let down = try await site.forge("doctor", "-o", "json")
            #expect(down.code == 3)
            #expect(down.err.contains("nobody listens on") || down.out.contains("nobody listens on"))
            try await site.start()
            let well = try await site.forge("doctor", "-o", "json")
            let checks = well.json?["items"]?.array ?? []
            #expect(checks.count >= 8)
            for name in ["forged", "forge-registry", "forge-serve", "forge-admin"] {
                #expect(checks.contains { $0["subject"]?.string == name && $0["verdict"]?.string == "well" }, "\(name): \(well.out)")
            }
        }
    }

    @Test(.enabled(if: DoctorTests.hasStrace)) func `a whole session opens no socket but Unix ones`() async throws {
        try await Appliance.empty { site in
            let proof = try await site.forge("doctor", "--prove-offline", "-o", "json")
            #expect(proof.code == 0, "\(proof.err)")
            let rows = proof.json?["items"]?.array ?? []
            #expect(rows.contains { $0["call"]?.string == "socket" })
            // The whole run: what is done shows in who called whom. Weights change hands only to score a model and to serve it.
            for door in ["registry", "admin", "trainer", "serve", "serve-operator", "weights"] {
                for call in ["bind", "connect"] { #expect(rows.contains { $0["call"]?.string == call && $0["what"]?.string?.hasSuffix("run/\(door).sock") == true }, "\(call) \(door)") }
            }
            for step in ["init", "data add", "train", "eval", "model promote", "approval approve", "serve load", "complete", "receipt verify", "receipt replay", "unseal", "audit export"] {
                #expect(proof.err.contains("\n  forge \(step)"), "\(step)")
            }
            #expect(proof.err.contains("\n  forge-verify "))
            #expect(rows.allSatisfy { $0["family"]?.string == "AF_UNIX" }, "\(proof.out)")
            #expect(proof.err.contains("no socket but Unix ones"))
        }
    }

    @Test(.enabled(if: DoctorTests.hasStrace && Path.isExecutable("/usr/bin/perl"))) func `a program that reaches out is caught, whether or not it gets through`() async throws {
        try await Appliance.empty { site in
            // 192.0.2.1 is reserved for documentation and leads nowhere (RFC 5737); an unconnected UDP socket sends nothing at all.
            let script = "use Socket; socket(my $s, AF_INET, SOCK_DGRAM, 0); connect($s, sockaddr_in(9, inet_aton('192.0.2.1')));"
            let caught = try await site.forge("doctor", "--prove-offline", "--", "/usr/bin/perl", "-e", script)
            #expect(caught.code == 3, "\(caught.err)")
            #expect(caught.out.contains("AF_INET"))
            #expect(caught.out.contains("192.0.2.1"))
            #expect(try await site.forge("doctor", "--prove-offline", "--", "/bin/true").code == 0)
        }
    }
}
