package import AdminAPI
package import ForgeCore
package import ForgeCrypto
package import ForgePolicy

/// Who is enrolled: a pure value made from the site's description, checked whole.
package struct Directory: Sendable {
    package struct Account: Sendable, Hashable {
        package let name: String
        package let person: String
        package let roles: [String]
        package let keys: [SSHPublicKey]
        package let uid: UInt32?
        package var disabled = false
    }

    package static let roles = ["auditor", "data_scientist", "ml_lead", "operator", "release_manager", "security_officer"]
    /// With fewer, somebody would have to approve their own work.
    package static let personsMin = 4
    /// What the record of an enrolment can list (docs/formats/audit-leaf.md §5).
    package static let keysMax = 64

    package let site: SiteDescription
    package let accounts: [String: Account]
    private let byKey: [SSHPublicKey: String]
    private let byUID: [UInt32: String]

    /// - Throws: `.request` naming the person and what is wrong.
    package init(_ site: SiteDescription) throws(Fault) {
        var accounts: [String: Account] = [:]
        var byKey: [SSHPublicKey: String] = [:]
        var byUID: [UInt32: String] = [:]
        for entry in site.persons {
            let name = entry.name
            guard Directory.isName(name) else {
                throw Directory.fault("`\(name)` cannot be an account", "a name has 1 to 32 of `a-z 0-9 - _` and starts with a letter")
            }
            let person = entry.person ?? name
            guard Directory.isName(person) else { throw Directory.fault("`\(person)` cannot be a person of `\(name)`", "it is spelt like an account") }
            let roles = Set(entry.roles).sorted()
            for role in roles where !Directory.roles.contains(role) {
                throw Directory.fault("`\(name)` cannot be `\(role)`", "the roles are " + Directory.roles.map { "`\($0)`" }.joined(separator: ", "))
            }
            guard !roles.isEmpty else { throw Directory.fault("`\(name)` has no role", "every account has at least one") }
            var keys: [SSHPublicKey] = []
            for line in entry.keys {
                let key: SSHPublicKey
                do { key = try SSHPublicKey(parsing: line) } catch { throw Directory.fault("a key of `\(name)` does not read", error.message) }
                guard byKey.updateValue(name, forKey: key) == nil else {
                    throw Directory.fault("the key \(key.fingerprint) is there twice", "a key belongs to one account: it says who signed")
                }
                keys.append(key)
            }
            guard !keys.isEmpty else { throw Directory.fault("`\(name)` has no key", "a person signs in and votes with an SSH key") }
            guard keys.count <= Directory.keysMax else { throw Directory.fault("`\(name)` has \(keys.count) keys", "an account has at most \(Directory.keysMax)") }
            if let uid = entry.uid {
                guard uid != 0 else { throw Directory.fault("`\(name)` cannot be uid 0", "root is nobody's account") }
                guard byUID.updateValue(name, forKey: uid) == nil else { throw Directory.fault("uid \(uid) is there twice", "a uid is one person") }
            }
            guard accounts.updateValue(Account(name: name, person: person, roles: roles, keys: keys, uid: entry.uid), forKey: name) == nil else {
                throw Directory.fault("`\(name)` is there twice", "an account has one name")
            }
        }
        self.site = site
        self.accounts = accounts
        self.byKey = byKey
        self.byUID = byUID
        try checkDuties()
    }

    package func account(ofKey key: SSHPublicKey) -> Account? { byKey[key].flatMap { accounts[$0] } }
    package func account(ofUID uid: UInt32) -> Account? { byUID[uid].flatMap { accounts[$0] } }

    package var sorted: [Account] { accounts.values.sorted { $0.name < $1.name } }

    /// Duties that one person must not join, and the persons without whom nothing could ever be approved.
    private func checkDuties() throws(Fault) {
        var rolesOf: [String: Set<String>] = [:]
        for account in accounts.values { rolesOf[account.person, default: []].formUnion(account.roles) }
        guard rolesOf.count >= Directory.personsMin else {
            throw Directory.fault("the site has \(rolesOf.count) persons", "with fewer than \(Directory.personsMin) somebody would approve their own work")
        }
        for (person, roles) in rolesOf.sorted(by: { $0.key < $1.key }) where roles.contains("security_officer") {
            if let clash = ["data_scientist", "release_manager"].first(where: roles.contains) {
                throw Directory.fault("`\(person)` cannot be a security officer and `\(clash)`", "who controls a step does not take it")
            }
        }
        for role in ["release_manager", "ml_lead", "security_officer"] where !rolesOf.values.contains(where: { $0.contains(role) }) {
            throw Directory.fault("nobody is `\(role)`", "no model could ever be promoted")
        }
    }

    /// Users, roles and daemons as the policies know them.
    package var entities: [Entity] {
        let roles = (Directory.roles + ["everyone"]).map { Entity(EntityUID("Forge::Role", ExactText($0))) }
        let users = accounts.values.map { account in
            Entity(
                EntityUID("Forge::User", ExactText(account.name)),
                attributes: ["person": .string(ExactText(account.person)), "disabled": .bool(account.disabled)],
                parents: Set((account.roles + ["everyone"]).map { EntityUID("Forge::Role", ExactText($0)) }))
        }
        return roles + users
    }

    static func isName(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        return (1...32).contains(bytes.count) && 0x61...0x7a ~= bytes[0]
            && bytes.allSatisfy { 0x61...0x7a ~= $0 || 0x30...0x39 ~= $0 || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
    }

    private static func fault(_ what: String, _ why: String) -> Fault { Fault(.request, "admin.site", what, why: why, remedy: "correct the site file and run `forge init` again") }
}
