import ForgeCore

/// Finds the calls in `[{"name": …, "arguments": {…}, "id": …}, …]` as it is written, each as soon as its brace closes. The order of formats up to version 7 has a
/// call's id last, so none can be told before it is whole.
struct CallList: Sendable {
    enum Found: Hashable {
        /// Arguments are the bytes as written.
        case call(name: String, id: String, arguments: String)
        /// Not a call.
        case text(String)
    }

    private enum Place { case start, item, call, between, closed, broken }

    private var place = Place.start
    /// What has come since the last call.
    private var raw: [UInt8] = []
    private var callStart = 0
    private var depth = 0
    private var isInString = false
    private var isEscaped = false

    mutating func take(_ bytes: some Sequence<UInt8>) -> [Found] {
        var found: [Found] = []
        for byte in bytes {
            raw.append(byte)
            let isSpace = byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09
            switch place {
            case .call:
                guard closes(byte) else { continue }
                place = .between
                found.append(CallList.call(Array(raw[callStart...])) ?? .text(String(decoding: raw, as: UTF8.self)))
                raw = []
            case .start, .item, .between, .closed:
                guard !isSpace else { continue }
                switch (place, byte) {
                case (.start, UInt8(ascii: "[")): place = .item
                case (.item, UInt8(ascii: "{")):
                    place = .call
                    (callStart, depth, isInString, isEscaped) = (raw.count - 1, 1, false, false)
                case (.between, UInt8(ascii: ",")): place = .item
                case (.between, UInt8(ascii: "]")):
                    place = .closed
                    raw = []
                default: place = .broken
                }
            case .broken: break
            }
        }
        if case .broken = place, !raw.isEmpty {
            found.append(.text(String(decoding: raw, as: UTF8.self)))
            raw = []
        }
        return found
    }

    /// What is left when nothing follows: a call that was cut off, or a list that was never one.
    mutating func finish() -> [Found] {
        defer { raw = [] }
        if case .start = place, raw.isEmpty { return [.text("")] }
        let hasMore = raw.contains { $0 != 0x20 && $0 != 0x0a && $0 != 0x0d && $0 != 0x09 }
        return hasMore ? [.text(String(decoding: raw, as: UTF8.self))] : []
    }

    /// Whether the call's own brace closes here.
    private mutating func closes(_ byte: UInt8) -> Bool {
        if isInString {
            if isEscaped { isEscaped = false } else if byte == UInt8(ascii: "\\") { isEscaped = true } else if byte == UInt8(ascii: "\"") { isInString = false }
            return false
        }
        switch byte {
        case UInt8(ascii: "\""): isInString = true
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
        default: break
        }
        return depth == 0
    }

    private static func call(_ bytes: [UInt8]) -> Found? {
        guard let members = PythonJSON.members(of: bytes) else { return nil }
        func string(_ key: String) -> String? { members[key].flatMap { try? JSON.parse(bytes[$0]) }?.string }
        guard let name = string("name"), ToolCall.isName(name) else { return nil }
        let arguments = members["arguments"].map { String(decoding: bytes[$0], as: UTF8.self) } ?? "{}"
        return .call(name: name, id: string("id") ?? "", arguments: arguments)
    }
}
