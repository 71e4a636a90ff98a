package import ForgeCore

/// A question with the means to judge an answer, and without the answer (docs/formats/quant-language.md §4).
package struct QuantTask: Hashable, Sendable {
    /// A market and the values that a right answer has on it.
    package struct Check: Hashable, Sendable {
        package let market: Market
        package let expected: Column
    }

    package let id: String
    package let level: Int
    package let prompt: String
    package let checks: [Check]

    /// More checks than this are refused: they would only take time.
    package static let checksMax = 16
}

extension QuantTask {
    package var json: JSON {
        ["id": .string(id), "level": .int(Int64(level)), "prompt": .string(prompt), "checks": .array(checks.map(\.json))]
    }

    /// Strict: an unknown member, a column too short or a value out of range is refused.
    package init(json: JSON) throws(Fault) {
        try QuantTask.keys(of: json, ["id", "level", "prompt", "checks"], "the task")
        guard let id = json["id"]?.string, !id.isEmpty, let level = json["level"]?.int, let prompt = json["prompt"]?.string, let checks = json["checks"]?.array else {
            throw QuantTask.refuse("`id` and `prompt` are text, `level` is a number, `checks` is a list")
        }
        guard (1...QuantTask.checksMax).contains(checks.count) else { throw QuantTask.refuse("it has \(checks.count) checks, not 1 to \(QuantTask.checksMax)") }
        guard (1...Int64(TaskDraw.levelMax)).contains(level) else { throw QuantTask.refuse("its level is \(level), not 1 to \(TaskDraw.levelMax)") }
        self.id = id
        self.level = Int(level)
        self.prompt = prompt
        var read: [Check] = []
        for check in checks { read.append(try Check(json: check)) }
        self.checks = read
    }

    fileprivate static func refuse(_ why: String) -> Fault {
        Fault(.request, "quant.task", "the task cannot be read", why: why, remedy: "docs/formats/quant-language.md describes a task")
    }

    fileprivate static func keys(of json: JSON, _ names: Set<String>, _ what: String) throws(Fault) {
        guard let object = json.object else { throw refuse("\(what) is not an object") }
        guard Set(object.keys) == names else { throw refuse("\(what) has the members \(object.keys.sorted()), not \(names.sorted())") }
    }
}

extension QuantTask.Check {
    fileprivate var json: JSON {
        var columns = JSON.Object()
        for field in Formula.Field.allCases { columns[field.rawValue] = .array(market[field].map { .int($0) }) }
        return ["market": .object(columns), "expected": .array(expected.map { $0.map { .int($0) } ?? .null })]
    }

    fileprivate init(json: JSON) throws(Fault) {
        try QuantTask.keys(of: json, ["market", "expected"], "a check")
        let columns = json["market"] ?? .null
        try QuantTask.keys(of: columns, Set(Formula.Field.allCases.map(\.rawValue)), "a market")
        market = try Market { field throws(Fault) in
            guard let items = columns[field.rawValue]?.array else { throw QuantTask.refuse("`\(field.rawValue)` is not a list") }
            let values = items.compactMap(\.int)
            guard values.count == items.count else { throw QuantTask.refuse("`\(field.rawValue)` holds something that is no whole number") }
            return values
        }
        guard let items = json["expected"]?.array, items.count == market.days else { throw QuantTask.refuse("`expected` is not a list of \(market.days) values") }
        expected = items.map(\.int)
        guard zip(items, expected).allSatisfy({ $0 == .null || $1 != nil }) else { throw QuantTask.refuse("`expected` holds something that is neither a whole number nor null") }
    }
}
