internal import ArgumentParser
internal import ForgeCore
internal import FoundationEssentials

/// What goes to stdout: the same items as a table for people, or as JSON, JSON Lines or names for programs.
struct Output: Sendable {
    enum Format: String, Sendable, CaseIterable, ExpressibleByArgument { case table, json, jsonl, name }

    let format: Format
    let hasHeaders: Bool

    /// A column of a table: its heading and how an item fills it.
    struct Column<Item> {
        let title: String
        let isNumber: Bool
        let text: (Item) -> String

        init(_ title: String, number: Bool = false, _ text: @escaping (Item) -> String) {
            self.title = title
            self.isNumber = number
            self.text = text
        }
    }

    /// A list, as `ls` prints it. JSON is `{"apiVersion":"forge/v1","kind":…,"items":[…]}`.
    func list<Item: Encodable>(_ kind: String, _ items: [Item], name: (Item) -> String, columns: [Column<Item>]) throws {
        switch format {
        case .table:
            var rows = items.map { item in columns.map { $0.text(item) } }
            if hasHeaders { rows.insert(columns.map(\.title), at: 0) }
            for line in Table.lines(rows, numbers: columns.map(\.isNumber)) { print(line) }
        case .json: print(try Output.encode(List(kind: kind, items: items), pretty: true))
        case .jsonl: for item in items { print(try Output.encode(item, pretty: false)) }
        case .name: for item in items { print(name(item)) }
        }
    }

    /// One thing, as `show` prints it. JSON is `{"apiVersion":"forge/v1","kind":…,"item":{…}}`.
    func show<Item: Encodable>(_ kind: String, _ item: Item, name: String, fields: [(String, String)]) throws {
        switch format {
        case .table:
            let width = fields.map { Table.width($0.0) }.max() ?? 0
            for (title, text) in fields {
                let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
                print(Table.pad(title, to: width) + "  " + (lines.first ?? ""))
                for line in lines.dropFirst() { print(String(repeating: " ", count: width + 2) + line) }
            }
        case .json: print(try Output.encode(Single(kind: kind, item: item), pretty: true))
        case .jsonl: print(try Output.encode(item, pretty: false))
        case .name: print(name)
        }
    }

    private struct List<Item: Encodable>: Encodable {
        let apiVersion = "forge/v1"
        let kind: String
        let items: [Item]
    }

    private struct Single<Item: Encodable>: Encodable {
        let apiVersion = "forge/v1"
        let kind: String
        let item: Item
    }

    private static func encode(_ value: some Encodable, pretty: Bool) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = pretty ? [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes] : [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}

/// Columns of text, aligned.
enum Table {
    /// - Parameter numbers: which columns align to the right.
    static func lines(_ rows: [[String]], numbers: [Bool]) -> [String] {
        let widths = numbers.indices.map { column in rows.map { width($0[column]) }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, text) in row.enumerated() {
                let isLast = column == row.count - 1
                let blank = String(repeating: " ", count: widths[column] - width(text))
                line += numbers[column] ? blank + text : (isLast ? text : text + blank)
                if !isLast { line += "  " }
            }
            return line
        }
    }

    static func pad(_ text: String, to width: Int) -> String { text + String(repeating: " ", count: max(0, width - Table.width(text))) }

    /// Columns a terminal gives the text: one a character. Wide scripts are rare in names and cost only alignment.
    static func width(_ text: String) -> Int { text.count }
}
