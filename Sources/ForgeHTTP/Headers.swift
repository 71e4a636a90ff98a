/// Header fields in order. Names compare without regard to case and are kept in lower case.
package struct Headers: Sendable, Hashable, ExpressibleByDictionaryLiteral {
    package private(set) var fields: [Field]

    package struct Field: Sendable, Hashable {
        package let name: String
        package let value: String
    }

    package init() { fields = [] }

    package init(dictionaryLiteral elements: (String, String)...) {
        fields = []
        for (name, value) in elements { add(name, value) }
    }

    /// The first value of that name; setting replaces all of them.
    package subscript(name: String) -> String? {
        get {
            let name = name.lowercased()
            return fields.first { $0.name == name }?.value
        }
        set {
            let lower = name.lowercased()
            fields.removeAll { $0.name == lower }
            if let newValue { add(name, newValue) }
        }
    }

    /// Adds a field. Control characters cannot stand in a field, so they are replaced by spaces: no caller can split a response.
    package mutating func add(_ name: String, _ value: String) {
        let clean = String(decoding: value.utf8.map { $0 < 0x20 && $0 != 0x09 || $0 == 0x7f ? 0x20 : $0 }, as: UTF8.self)
        fields.append(Field(name: name.lowercased(), value: clean))
    }

    package func all(_ name: String) -> [String] {
        let name = name.lowercased()
        return fields.filter { $0.name == name }.map(\.value)
    }
}
