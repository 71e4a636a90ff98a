import ForgeCore

/// Reads the members of one JSON object, each once, and in the end refuses what nobody asked for.
final class Fields {
    private let object: JSON.Object
    private let what: String
    private var read: Set<String> = []

    init(_ value: JSON?, _ what: String) throws(Fault) {
        guard let object = value?.object else { throw .malformed("\(what) does not read", "it is not an object") }
        self.object = object
        self.what = what
    }

    func fault(_ key: String, _ why: String) -> Fault { .malformed("\(what) does not read", "`\(key)` \(why)") }

    func value(_ key: String) throws(Fault) -> JSON? {
        read.insert(key)
        let value = object[key]
        if case .null = value { throw fault(key, "is null") }
        return value
    }

    /// A string without control characters; may be empty.
    func text(_ key: String, bytesMax: Int = 512) throws(Fault) -> String? {
        guard let value = try value(key) else { return nil }
        guard let text = value.string, Fields.isText(text, bytesMax: bytesMax) else { throw fault(key, "is not a text of at most \(bytesMax) bytes") }
        return text
    }

    func required(_ key: String) throws(Fault) -> String {
        guard let text = try text(key), !text.isEmpty else { throw fault(key, "is missing or empty") }
        return text
    }

    /// A whole number from 0 up to 2^53 − 1.
    func integer(_ key: String) throws(Fault) -> Int64 {
        guard let value = try value(key)?.int, value >= 0, value < 1 << 53 else { throw fault(key, "is not a whole number from 0 up to 2^53") }
        return value
    }

    func bool(_ key: String) throws(Fault) -> Bool {
        guard let value = try value(key)?.bool else { throw fault(key, "is not true or false") }
        return value
    }

    func digest(_ key: String) throws(Fault) -> Digest? {
        guard let text = try text(key) else { return nil }
        guard let digest = Fields.digest(text) else { throw fault(key, "is not a digest") }
        return digest
    }

    func texts(_ key: String, max: Int) throws(Fault) -> [String]? {
        guard let value = try value(key) else { return nil }
        guard let items = value.array, items.count <= max else { throw fault(key, "is not a list of at most \(max) names") }
        var texts: [String] = []
        for item in items {
            guard let text = item.string, !text.isEmpty, Fields.isText(text, bytesMax: 512) else { throw fault(key, "holds something that is not a name") }
            texts.append(text)
        }
        return texts
    }

    func object(_ key: String) throws(Fault) -> Fields { try Fields(value(key), "`\(key)` of \(what)") }

    func objectIfPresent(_ key: String) throws(Fault) -> Fields? {
        guard let value = try value(key) else { return nil }
        return try Fields(value, "`\(key)` of \(what)")
    }

    func finish() throws(Fault) {
        if let key = object.keys.first(where: { !read.contains($0) }) { throw fault(String(key.prefix(64)), "is not known") }
    }

    static func isText(_ text: String, bytesMax: Int) -> Bool { text.utf8.count <= bytesMax && text.utf8.allSatisfy { $0 >= 0x20 } }

    static func digest(_ text: String) -> Digest? { text.hasPrefix("sha256:") ? Digest(parsing: text) : nil }

    /// `[a-z][a-z0-9_.-]{0,63}`
    static func isWord(_ text: String) -> Bool {
        guard (1...64).contains(text.utf8.count), let first = text.utf8.first, 0x61...0x7a ~= first else { return false }
        return text.utf8.allSatisfy { 0x61...0x7a ~= $0 || 0x30...0x39 ~= $0 || $0 == 0x5f || $0 == 0x2e || $0 == 0x2d }
    }
}
