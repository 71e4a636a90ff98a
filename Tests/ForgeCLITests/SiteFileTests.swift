import AdminAPI
import ForgeCore
import ForgeCrypto
import Testing

@testable import ForgeCLI

@Suite struct SiteFileTests {
    private func read(_ text: String) throws(Fault) -> SiteFile { try SiteFile(Array(text.utf8), source: "site.yaml", directory: "/etc/forge") }

    @Test func `a site file names the appliance, its store and its people`() throws {
        let site = try read(
            """
            organisation: example-bank
            appliance: forge-1
            store:
              passphrase_file: secrets/passphrase
              recovery_file: /media/usb/recovery
            persons:
              - name: dana
                person: Dana Smith
                roles: [data_scientist]
                keys: ["ssh-ed25519 AAAA dana"]
              - name: omar
                roles: [security_officer, auditor]
                keys: ["ssh-ed25519 BBBB omar"]
                uid: 1500
            """)
        #expect(site.description.organisation == "example-bank")
        #expect(site.passphrasePath == "/etc/forge/secrets/passphrase")
        #expect(site.recoveryPath == "/media/usb/recovery")
        #expect(site.description.persons.map(\.name) == ["dana", "omar"])
        #expect(site.description.persons[1].uid == 1500)
    }

    @Test(arguments: [
        ("organisation: a\nappliance: b\npersons:\n  - name: d\n    rols: [x]\n    keys: [k]\n", "line 5"),
        ("organisation: a\nappliance: b\npersons: []\n", "persons"),
        ("organisation: a\nappliance: b\npersons:\n  - name: d\n    roles: [auditor]\n", "keys"),
        ("organisation: a\npersons:\n  - name: d\n", "appliance"),
        ("organisation: a\nappliance: b\npersons:\n  - name: d\n    roles: [auditor]\n    keys: [k]\npasphrase: x\n", "pasphrase"),
    ])
    func `what is missing or misspelt is named`(text: String, expected: String) {
        let fault = #expect(throws: Fault.self) { try read(text) }
        let said = [fault?.message, fault?.remedy].compactMap { $0 }.joined(separator: " ")
        #expect(said.contains(expected))
    }
}

@Suite struct ApprovalDocumentTests {
    private func view(_ document: String, id: ID) -> ApprovalView {
        ApprovalView(id: id, state: "pending", document: document, votes: [], vetoes: [], missingPersons: 2, missingRoles: [], note: "")
    }

    @Test func `what is shown is what is signed`() throws {
        let id = ID()
        let json: JSON = [
            "id": .string(id.description), "action": "model.promote", "resource": ["type": "Forge::Model", "id": "policies@2"], "requester": "rosa", "reason": "better",
            "content": "sha256:00",
        ]
        let text = String(decoding: json.canonical, as: UTF8.self)
        let document = try ApprovalDocument(view(text, id: id))
        #expect(document.digest == .sha256(text))
        #expect(document.resource == "policies@2")
        #expect(throws: Fault.self, "another id") { try ApprovalDocument(view(text, id: ID())) }
        #expect(throws: Fault.self, "not canonical") { try ApprovalDocument(view(text + " ", id: id)) }
    }
}
