internal import ForgeCore
internal import ForgeOS

/// What goes to stderr: notes, progress, and refusals.
struct Talk: Sendable {
    let isQuiet: Bool

    func say(_ text: String) {
        if !isQuiet { Terminal.write(text + "\n", to: 2) }
    }

    /// A failure as everybody reads it: `forge: what: why`, then the hint.
    static func complain(_ fault: Fault) {
        var text = "forge: \(fault.message)"
        if let record = fault.record { text += " (audit record \(record))" }
        if !fault.remedy.isEmpty { text += "\nhint: \(fault.remedy)" }
        Terminal.write(text + "\n", to: 2)
    }
}

/// One line that redraws itself on a terminal; elsewhere a plain line every ten seconds, so that a log stays readable.
struct Progress {
    private let talk: Talk
    private let isTerminal: Bool
    private var lastLine: Timestamp?
    private var hasDrawn = false

    init(_ talk: Talk) {
        self.talk = talk
        isTerminal = Terminal.isTTY(2)
    }

    /// - Parameter fraction: 0 to 1, or nil when the end is not known.
    mutating func update(_ title: String, fraction: Double?, detail: String) {
        guard !talk.isQuiet else { return }
        if isTerminal {
            let columns = Terminal.width(2) ?? 80
            var line = title
            if let fraction { line += " \(Progress.bar(fraction, width: 24)) \(Progress.percent(fraction))" }
            line += "  \(detail)"
            Terminal.write("\r\u{1b}[K" + line.prefix(max(20, columns - 1)), to: 2)
            hasDrawn = true
        } else {
            let now = Clock.now()
            guard lastLine.map({ now.nanoseconds - $0.nanoseconds >= 10_000_000_000 }) ?? true else { return }
            lastLine = now
            Terminal.write("\(title)\(fraction.map { " \(Progress.percent($0))" } ?? "")  \(detail)\n", to: 2)
        }
    }

    /// Leaves the last state on its own line.
    mutating func finish(_ text: String) {
        guard !talk.isQuiet else { return }
        Terminal.write((isTerminal && hasDrawn ? "\r\u{1b}[K" : "") + text + "\n", to: 2)
        hasDrawn = false
    }

    static func bar(_ fraction: Double, width: Int) -> String {
        let eighths = Int((min(max(fraction, 0), 1) * Double(width * 8)).rounded(.down))
        let partial = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]
        let full = String(repeating: "█", count: eighths / 8)
        return full + partial + String(repeating: "░", count: width - full.count - partial.count)
    }

    static func percent(_ fraction: Double) -> String {
        let whole = Int((min(max(fraction, 0), 1) * 100).rounded(.down))
        return String(repeating: " ", count: 3 - String(whole).count) + "\(whole) %"
    }
}

/// A curve in one line of a terminal.
enum Sparkline {
    /// - Returns: `width` characters, each the mean of its share of the values, lowest ▁ and highest █; empty for no values.
    static func draw(_ values: [Double], width: Int) -> String {
        let finite = values.filter(\.isFinite)
        guard !finite.isEmpty, width > 0 else { return "" }
        let count = min(width, finite.count)
        let means = (0..<count).map { i in
            let share = finite[(i * finite.count / count)..<((i + 1) * finite.count / count)]
            return share.reduce(0, +) / Double(share.count)
        }
        let low = means.min() ?? 0, high = means.max() ?? 0
        let levels = Array("▁▂▃▄▅▆▇█")
        return String(means.map { levels[high > low ? Int((($0 - low) / (high - low) * 7).rounded()) : 0] })
    }
}
