package import ForgeCore

/// A value of a YAML document and the place where it stands.
///
/// Scalars stay text until somebody asks for a type, so `version: 1.10` is not 1.1 and `no` is not false (YAML 1.2 core
/// schema, read on demand).
package struct YAMLNode: Sendable, Hashable {
    package enum Value: Sendable, Hashable {
        /// `isPlain` is false for quoted and block scalars, which are always text.
        case scalar(String, isPlain: Bool)
        case sequence([YAMLNode])
        case mapping([Entry])
    }

    package struct Entry: Sendable, Hashable {
        package let key: String
        package let keyMark: Mark
        package let value: YAMLNode
    }

    /// Line and column, both from one, as editors count.
    package struct Mark: Sendable, Hashable, CustomStringConvertible {
        package let line: Int
        package let column: Int
        package var description: String { "line \(line), column \(column)" }
    }

    package let value: Value
    package let mark: Mark

    /// What a person would call this kind of value.
    package var kind: String {
        switch value {
        case .scalar: "a single value"
        case .sequence: "a list"
        case .mapping: "a mapping"
        }
    }

    /// YAML's null: an empty plain scalar, `~` or `null`.
    package var isNull: Bool {
        if case .scalar(let text, isPlain: true) = value { text.isEmpty || text == "~" || text == "null" } else { false }
    }

    /// The same data as JSON, plain scalars read by the YAML 1.2 core schema.
    package var json: JSON {
        switch value {
        case .sequence(let items): return .array(items.map(\.json))
        case .mapping(let entries):
            var object = JSON.Object()
            for entry in entries { object[entry.key] = entry.value.json }
            return .object(object)
        case .scalar(let text, isPlain: false): return .string(text)
        case .scalar(let text, isPlain: true):
            if isNull { return .null }
            if let flag = YAMLScalar.bool(text) { return .bool(flag) }
            if let number = YAMLScalar.int(text) { return .int(number) }
            if let number = YAMLScalar.double(text) { return .double(number) }
            return .string(text)
        }
    }
}

/// How plain scalars read as types: the YAML 1.2 core schema, with `_` allowed between digits of integers.
enum YAMLScalar {
    static func bool(_ text: String) -> Bool? {
        switch text {
        case "true", "True", "TRUE": true
        case "false", "False", "FALSE": false
        default: nil
        }
    }

    static func int(_ text: String) -> Int64? {
        let unsigned = text.hasPrefix("-") || text.hasPrefix("+") ? text.dropFirst() : text[...]
        guard let first = unsigned.utf8.first, let last = unsigned.utf8.last, isDigit(first), isDigit(last),
            unsigned.utf8.allSatisfy({ isDigit($0) || $0 == UInt8(ascii: "_") })
        else { return nil }
        return Int64(text.filter { $0 != "_" && $0 != "+" })
    }

    static func double(_ text: String) -> Double? {
        guard let first = text.utf8.first, isDigit(first) || "+-.".utf8.contains(first), text.utf8.contains(where: isDigit),
            text.utf8.allSatisfy({ isDigit($0) || "+-.eE".utf8.contains($0) }), let value = Double(text), value.isFinite
        else { return nil }
        return value
    }

    private static func isDigit(_ c: UInt8) -> Bool { 0x30...0x39 ~= c }
}
