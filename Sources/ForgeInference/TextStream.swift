/// Turns token bytes into pieces of text: a code point is never split, a stop string never leaks, and the pieces joined are the whole text.
///
/// Bytes that are no UTF-8 become U+FFFD exactly as they would in the whole answer, since only a tail that may still become valid is held back.
package struct TextStream: Sendable {
    private let stops: [[UInt8]]
    private var held: [UInt8] = []
    /// Set once a stop string was met; nothing follows.
    package private(set) var stopped = false

    /// - Precondition: no stop string is empty (the request's check refuses those).
    package init(stops: [String] = []) {
        self.stops = stops.map { Array($0.utf8) }
        precondition(self.stops.allSatisfy { !$0.isEmpty }, "an empty stop string would stop everything")
    }

    /// - Returns: the text that is certain now, perhaps empty.
    package mutating func append(_ bytes: some Collection<UInt8>) -> String {
        guard !stopped else { return "" }
        // Text already held cannot contain a whole stop string, only begin one, so searching the held bytes and the new ones is enough.
        held += bytes
        if let end = firstStop() {
            stopped = true
            let text = String(decoding: held[..<end], as: UTF8.self)
            held = []
            return text
        }
        let certain = min(held.count - tailThatMayStop(), held.count - tailThatMayBecomeText())
        let text = String(decoding: held[..<certain], as: UTF8.self)
        held.removeFirst(certain)
        return text
    }

    /// What was held back, once no token follows.
    package mutating func finish() -> String {
        defer { held = [] }
        return String(decoding: held, as: UTF8.self)
    }

    /// Where the earliest stop string begins.
    private func firstStop() -> Int? {
        for start in held.indices where stops.contains(where: { held[start...].starts(with: $0) }) { return start }
        return nil
    }

    /// The length of the longest tail that begins a stop string.
    private func tailThatMayStop() -> Int {
        let longest = stops.map { $0.count - 1 }.max() ?? 0
        for count in stride(from: min(longest, held.count), to: 0, by: -1) where stops.contains(where: { $0.starts(with: held.suffix(count)) }) {
            return count
        }
        return 0
    }

    /// The length of a tail that is the beginning of a valid code point (Unicode 16, table 3-7).
    private func tailThatMayBecomeText() -> Int {
        for back in 1...3 where back <= held.count {
            let lead = held[held.count - back]
            if lead & 0xC0 == 0x80 { continue }
            let length = lead >= 0xF0 && lead <= 0xF4 ? 4 : lead >= 0xE0 && lead < 0xF0 ? 3 : lead >= 0xC2 && lead < 0xE0 ? 2 : 1
            guard length > back else { return 0 }
            if back > 1 {
                let second = held[held.count - back + 1]
                let bounds: ClosedRange<UInt8> =
                    switch lead {
                    case 0xE0: 0xA0...0xBF
                    case 0xED: 0x80...0x9F
                    case 0xF0: 0x90...0xBF
                    case 0xF4: 0x80...0x8F
                    default: 0x80...0xBF
                    }
                guard bounds.contains(second) else { return 0 }
            }
            return back
        }
        return 0
    }
}
