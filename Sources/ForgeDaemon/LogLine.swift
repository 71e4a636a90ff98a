import ForgeCore
import ForgeOS
package import Logging

/// Lines for stderr: `time level label: message key=value`. Under systemd the journal adds time and level itself, from `<N>`.
package struct LogLine: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    private let label: String
    private let forJournal: Bool
    private let sink: @Sendable (String) -> Void

    package init(label: String, level: Logger.Level, forJournal: Bool, sink: @escaping @Sendable (String) -> Void = { Terminal.write($0, to: 2) }) {
        self.label = label
        self.logLevel = level
        self.forJournal = forJournal
        self.sink = sink
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { _, new in new }.sorted { $0.key < $1.key }
        var line = forJournal ? "<\(LogLine.priority(event.level))>" : "\(Clock.now()) \(event.level.rawValue) \(label): "
        line += LogLine.oneLine("\(event.message)")
        for (key, value) in fields {
            let text = LogLine.oneLine("\(value)")
            line += text.isEmpty || text.contains(where: { $0 == " " || $0 == "=" || $0 == "\"" }) ? " \(key)=\(JSON.string(text).text)" : " \(key)=\(text)"
        }
        sink(LogLine.redacted(line) + "\n")
    }

    /// syslog(3) priorities.
    private static func priority(_ level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }

    /// Nobody writes a second line into the log by way of a message.
    static func oneLine(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) else { return text }
        var out = ""
        for scalar in text.unicodeScalars {
            if scalar.value < 0x20 || scalar.value == 0x7f { out += "\\u{\(String(scalar.value, radix: 16))}" } else { out.unicodeScalars.append(scalar) }
        }
        return out
    }

    /// The last line of defence: what looks like one of our credentials loses its secret part.
    static func redacted(_ line: String) -> String {
        guard line.contains("forge_") else { return line }
        var out = ""
        var rest = line[...]
        while let start = rest.range(of: "forge_") {
            out += rest[..<start.lowerBound]
            rest = rest[start.lowerBound...]
            let word = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == "-") }
            rest = rest[word.endIndex...]
            let isSecret = ["forge_peer_", "forge_ses_", "forge_app_"].contains { word.hasPrefix($0) && word.count > $0.count }
            out += isSecret ? word.prefix(while: { $0 != "_" }) + "_" + word.dropFirst(6).prefix { $0 != "_" } + "_…" : word
        }
        return out + rest
    }
}

extension Substring {
    fileprivate func range(of needle: String) -> Range<Index>? {
        var at = startIndex
        while at < endIndex {
            if self[at...].hasPrefix(needle) { return at..<index(at, offsetBy: needle.count) }
            at = index(after: at)
        }
        return nil
    }
}
