internal import AdminAPI
internal import ForgeConfig
internal import ForgeCore
internal import ForgeOS

/// The site file of `forge init` (docs/formats/site.md).
struct SiteFile: Sendable {
    let description: SiteDescription
    /// Absolute.
    let passphrasePath: String?
    let recoveryPath: String?

    /// - Throws: `.request` naming the key, the line and what was meant.
    init(path: String) throws(Fault) {
        let path = try Path.absolute(path)
        let bytes = try File(path, .read).readAll(limit: .mib(1))
        try self.init(bytes, source: Path.name(path), directory: Path.parent(path))
    }

    init(_ bytes: [UInt8], source: String, directory: String) throws(Fault) {
        var reader = try YAMLReader(try YAML.parse(bytes, source: source), source: source)
        let organisation = try reader.string("organisation")
        let appliance = try reader.string("appliance")
        func resolve(_ path: String?) -> String? { path.map { $0.hasPrefix("/") ? $0 : Path.join(directory, $0) } }
        if var store = try reader.optionalReader("store") {
            passphrasePath = resolve(try store.optionalString("passphrase_file"))
            recoveryPath = resolve(try store.optionalString("recovery_file"))
            try store.finish()
        } else {
            passphrasePath = nil
            recoveryPath = nil
        }
        var persons: [SiteDescription.Person] = []
        for var person in try reader.optionalReaders("persons") ?? [] {
            let name = try person.string("name")
            let human = try person.optionalString("person")
            let roles = try person.strings("roles")
            guard !roles.isEmpty else { throw person.fault("roles", "of `\(name)` is empty", remedy: "give at least one role") }
            var keys = try person.optionalStrings("keys") ?? []
            for file in try person.optionalStrings("key_files") ?? [] {
                let bytes = try File(resolve(file) ?? file, .read).readAll(limit: .kib(64))
                keys += String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init).filter { !$0.isEmpty && !$0.hasPrefix("#") }
            }
            guard !keys.isEmpty else { throw person.fault("keys", "of `\(name)` is empty", remedy: "name a public key with `keys` or `key_files`") }
            let uid = try person.optionalInt("uid", in: 1...Int(Int32.max))
            try person.finish()
            persons.append(.init(name: name, person: human, roles: roles, keys: keys, uid: uid.map { UInt32($0) }))
        }
        guard !persons.isEmpty else { throw reader.fault("persons", "is empty", remedy: "enrol at least four people (docs/formats/site.md)") }
        try reader.finish()
        description = SiteDescription(organisation: organisation, appliance: appliance, persons: persons)
    }
}
