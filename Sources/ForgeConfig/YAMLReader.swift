package import ForgeCore

/// Reads one mapping key by key and, at the end, refuses every key nobody asked for.
///
/// ```swift
/// var reader = try YAMLReader(node, source: "recipe.yaml", at: "optimizer")
/// let rate = try reader.double("learning_rate", in: 0...1)
/// try reader.finish()
/// ```
package struct YAMLReader {
    package let source: String
    /// Where the mapping stands, as a person would say it: `model.rope`. Empty for the document itself.
    package let path: String
    package let mark: YAMLNode.Mark
    private let entries: [YAMLNode.Entry]
    private var asked: [String] = []

    package init(_ node: YAMLNode, source: String, at path: String = "") throws(Fault) {
        guard case .mapping(let entries) = node.value else {
            throw Fault(
                .request, "config.type", "cannot read `\(source)`",
                why: "\(path.isEmpty ? "the document" : "`\(path)`") should be a mapping of keys to values and is \(node.kind) (\(node.mark))")
        }
        self.source = source
        self.path = path
        self.mark = node.mark
        self.entries = entries
    }

    // MARK: Values

    package mutating func node(_ key: String) -> YAMLNode? {
        asked.append(key)
        return entries.first { $0.key == key }?.value
    }

    package mutating func optionalString(_ key: String) throws(Fault) -> String? {
        guard let node = node(key), !node.isNull else { return nil }
        guard case .scalar(let text, _) = node.value else { throw wrong(key, node, "text") }
        return text
    }

    package mutating func string(_ key: String) throws(Fault) -> String { try required(key, try optionalString(key)) }

    package mutating func optionalInt(_ key: String, in range: ClosedRange<Int>) throws(Fault) -> Int? {
        guard let node = node(key), !node.isNull else { return nil }
        guard case .scalar(let text, isPlain: true) = node.value, let value = YAMLScalar.int(text) else { throw wrong(key, node, "a whole number") }
        guard let value = Int(exactly: value), range.contains(value) else {
            throw wrong(key, node, "between \(range.lowerBound) and \(range.upperBound)")
        }
        return value
    }

    package mutating func int(_ key: String, in range: ClosedRange<Int>) throws(Fault) -> Int { try required(key, try optionalInt(key, in: range)) }

    package mutating func optionalDouble(_ key: String, in range: ClosedRange<Double>) throws(Fault) -> Double? {
        guard let node = node(key), !node.isNull else { return nil }
        guard case .scalar(let text, isPlain: true) = node.value, let value = YAMLScalar.double(text) ?? YAMLScalar.int(text).map(Double.init) else {
            throw wrong(key, node, "a number")
        }
        guard range.contains(value) else { throw wrong(key, node, "between \(range.lowerBound) and \(range.upperBound)") }
        return value
    }

    package mutating func double(_ key: String, in range: ClosedRange<Double>) throws(Fault) -> Double {
        try required(key, try optionalDouble(key, in: range))
    }

    package mutating func optionalBool(_ key: String) throws(Fault) -> Bool? {
        guard let node = node(key), !node.isNull else { return nil }
        guard case .scalar(let text, isPlain: true) = node.value, let value = YAMLScalar.bool(text) else { throw wrong(key, node, "`true` or `false`") }
        return value
    }

    /// One of a fixed set of words.
    package mutating func optionalChoice<Choice: RawRepresentable & CaseIterable>(_ key: String, of type: Choice.Type = Choice.self) throws(Fault) -> Choice?
    where Choice.RawValue == String {
        guard let node = node(key), !node.isNull else { return nil }
        let words = Choice.allCases.map(\.rawValue)
        guard case .scalar(let text, _) = node.value else { throw wrong(key, node, "one of \(YAMLReader.list(words))") }
        guard let choice = Choice(rawValue: text) else {
            throw wrong(key, node, "one of \(YAMLReader.list(words))", meant: Spelling.nearest(to: text, among: words))
        }
        return choice
    }

    package mutating func optionalStrings(_ key: String) throws(Fault) -> [String]? {
        guard let node = node(key), !node.isNull else { return nil }
        guard case .sequence(let items) = node.value else { throw wrong(key, node, "a list") }
        var out: [String] = []
        for item in items {
            guard case .scalar(let text, _) = item.value else { throw wrong(key, item, "a list of text") }
            out.append(text)
        }
        return out
    }

    package mutating func strings(_ key: String) throws(Fault) -> [String] { try required(key, try optionalStrings(key)) }

    /// A mapping inside this one.
    package mutating func optionalReader(_ key: String) throws(Fault) -> YAMLReader? {
        guard let node = node(key), !node.isNull else { return nil }
        return try YAMLReader(node, source: source, at: name(key))
    }

    package mutating func reader(_ key: String) throws(Fault) -> YAMLReader { try required(key, try optionalReader(key)) }

    /// The mappings of a list inside this one.
    package mutating func optionalReaders(_ key: String) throws(Fault) -> [YAMLReader]? {
        guard let node = node(key), !node.isNull else { return nil }
        guard case .sequence(let items) = node.value else { throw wrong(key, node, "a list") }
        var out: [YAMLReader] = []
        for (i, item) in items.enumerated() { out.append(try YAMLReader(item, source: source, at: "\(name(key))[\(i)]")) }
        return out
    }

    // MARK: The end

    /// - Throws: `.request` naming the first key that nobody asked for, where it stands, and what was meant.
    package consuming func finish() throws(Fault) {
        for entry in entries where !asked.contains(entry.key) {
            let known = asked.filter { key in !entries.contains { $0.key == key } }
            let meant = Spelling.nearest(to: entry.key, among: known)
            throw Fault(
                .request, "config.unknown_key", "cannot read `\(source)`", why: "unknown key `\(name(entry.key))` (\(entry.keyMark))",
                remedy: meant.map { "did you mean `\(name($0))`?" } ?? "known keys\(path.isEmpty ? "" : " of `\(path)`"): \(YAMLReader.list(asked))")
        }
    }

    /// For rules that span several keys: the fault says where the mapping stands.
    package func fault(_ key: String, _ why: String, remedy: String = "") -> Fault {
        let mark = entries.first { $0.key == key }?.value.mark ?? mark
        return Fault(.request, "config.value", "cannot read `\(source)`", why: "`\(name(key))` \(why) (\(mark))", remedy: remedy)
    }

    // MARK: Helpers

    private func name(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    private func required<Value>(_ key: String, _ value: Value?) throws(Fault) -> Value {
        if let value { return value }
        // A misspelt required key is both missing and unknown; say the one sentence that helps.
        if let stranger = entries.first(where: { !asked.contains($0.key) && Spelling.nearest(to: $0.key, among: [key]) != nil }) {
            throw Fault(
                .request, "config.unknown_key", "cannot read `\(source)`", why: "unknown key `\(name(stranger.key))` (\(stranger.keyMark))",
                remedy: "did you mean `\(name(key))`?")
        }
        throw Fault(
            .request, "config.missing_key", "cannot read `\(source)`",
            why: "key `\(name(key))` is missing\(path.isEmpty ? "" : " from the mapping at \(mark)")", remedy: "add `\(key): …`")
    }

    private func wrong(_ key: String, _ node: YAMLNode, _ expected: String, meant: String? = nil) -> Fault {
        let shown: String
        switch node.value {
        case .scalar(let text, _): shown = "`\(text.prefix(60))`"
        default: shown = node.kind
        }
        return Fault(
            .request, "config.value", "cannot read `\(source)`", why: "`\(name(key))` should be \(expected) and is \(shown) (\(node.mark))",
            remedy: meant.map { "did you mean `\($0)`?" } ?? "")
    }

    private static func list(_ words: [String]) -> String { words.map { "`\($0)`" }.joined(separator: ", ") }
}
