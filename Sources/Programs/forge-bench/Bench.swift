import ForgeCore
import ForgeOS

/// Where a measurement works, and how it says what it found.
struct Bench: Sendable {
    let scratch: String
    /// What else was said on the command line.
    let words: [String]
    /// Documents with a zero byte between them.
    var corpus: String? { words.first }

    func path(_ name: String) -> String { Path.join(scratch, name) }

    /// One line: the value is the median of `samples` unless one is given.
    /// - Parameters:
    ///   - samples: sorted or not; in `unit`.
    ///   - more: other facts of the row.
    func say(_ name: String, _ unit: String, samples: [Double] = [], value: Double? = nil, _ more: JSON.Object = .init()) {
        var row = JSON.Object()
        let sorted = samples.sorted()
        row["name"] = .string(name)
        row["value"] = .double(value ?? Bench.quantile(sorted, 0.5))
        row["unit"] = .string(unit)
        if !sorted.isEmpty {
            row["median"] = .double(Bench.quantile(sorted, 0.5))
            row["p99"] = .double(Bench.quantile(sorted, 0.99))
            row["samples"] = .int(Int64(sorted.count))
        }
        for member in more.members { row[member.key] = member.value }
        print(JSON.object(row).text)
    }

    /// Nearest rank: an observed value, never one between two.
    static func quantile(_ sorted: [Double], _ share: Double) -> Double {
        guard !sorted.isEmpty else { return 0 }
        return sorted[min(sorted.count - 1, max(0, Int((share * Double(sorted.count)).rounded(.up)) - 1))]
    }

    /// Seconds that `body` takes.
    static func seconds(_ body: () throws -> Void) rethrows -> Double {
        let begun = Clock.monotonic
        try body()
        return Double(Clock.monotonic - begun) / 1e9
    }
}
