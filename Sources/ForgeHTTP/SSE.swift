package import ForgeCore

/// One server-sent event (WHATWG HTML, section 9.2).
package struct SSEEvent: Sendable, Hashable {
    package var event: String?
    package var data: String
    package var id: String?

    package init(data: String, event: String? = nil, id: String? = nil) {
        self.data = data
        self.event = event
        self.id = id
    }

    /// The bytes on the wire. Each line of `data` gets its own field.
    package var wire: String {
        var out = ""
        if let event { out += "event: \(event)\n" }
        if let id { out += "id: \(id)\n" }
        for line in data.split(separator: "\n", omittingEmptySubsequences: false) { out += "data: \(line)\n" }
        return out + "\n"
    }
}

package final class SSEWriter {
    private let writer: BodyWriter
    init(_ writer: BodyWriter) { self.writer = writer }

    package func send(_ event: SSEEvent) async throws { try await writer.write(event.wire) }
    package func send(data: String) async throws { try await writer.write("data: \(data)\n\n") }
    /// A line clients ignore, to show that somebody is alive.
    package func comment(_ text: String) async throws { try await writer.write(": \(text)\n\n") }
}

/// Takes bytes as they come and gives whole events. Bounded: an event may not exceed `limit` bytes.
package struct SSEParser {
    private var line: [UInt8] = []
    private var event: String?
    private var data: [String] = []
    private var id: String?
    private var count = 0
    private var afterReturn = false
    private let limit: Int

    package init(limit: Int = 4 << 20) { self.limit = limit }

    package mutating func feed(_ bytes: [UInt8]) throws(Fault) -> [SSEEvent] {
        var events: [SSEEvent] = []
        for byte in bytes {
            // A line ends with CR, LF or CR LF.
            if byte == 0x0a, afterReturn {
                afterReturn = false
                continue
            }
            afterReturn = byte == 0x0d
            if byte == 0x0a || byte == 0x0d {
                if let event = endLine() { events.append(event) }
                continue
            }
            line.append(byte)
            count += 1
            guard count <= limit else { throw Fault(.environment, "http.event_too_large", "cannot read an event", why: "it is longer than \(limit) bytes") }
        }
        return events
    }

    private mutating func endLine() -> SSEEvent? {
        defer { line.removeAll(keepingCapacity: true) }
        if line.isEmpty {
            defer { (event, data, count) = (nil, [], 0) }
            return data.isEmpty ? nil : SSEEvent(data: data.joined(separator: "\n"), event: event, id: id)
        }
        let text = String(decoding: line, as: UTF8.self)
        guard let colon = text.firstIndex(of: ":") else { return nil }
        var value = text[text.index(after: colon)...]
        if value.first == " " { value.removeFirst() }
        switch text[..<colon] {
        case "data": data.append(String(value))
        case "event": event = String(value)
        case "id": id = String(value)
        default: break
        }
        return nil
    }
}
