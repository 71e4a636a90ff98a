package import ForgeCore
import ForgeQuant

/// What judges the answers to a task (docs/formats/sample.md §4). Any bytes get a verdict.
package struct Reward {
    private enum Kind {
        /// Equal but for blanks around it.
        case exact([UInt8])
        case quant(QuantTask, forForm: Double)
    }

    private let kind: Kind

    /// - Throws: `.request` for a kind that is not known or lacks what it needs.
    package init(_ json: JSON.Object) throws(Fault) {
        func fault(_ why: String) -> Fault { Fault(.request, "samples.reward", "a task cannot be judged", why: why, remedy: "docs/formats/sample.md lists the kinds of reward") }
        func only(_ known: Set<String>) throws(Fault) {
            if let other = json.keys.first(where: { !known.contains($0) }) { throw fault("`reward.\(other.prefix(40))` is not known") }
        }
        switch json["kind"]?.string {
        case "exact":
            try only(["kind", "answer"])
            guard let answer = json["answer"]?.string else { throw fault("`reward.answer` is not a string") }
            kind = .exact(Reward.trimmed(Array(answer.utf8)))
        case "quant":
            try only(["kind", "task", "form"])
            guard let task = json["task"] else { throw fault("`reward.task` is missing") }
            let form = json["form"] == nil ? 0 : json["form"]?.number
            guard let form, form >= 0, form < 1 else { throw fault("`reward.form` is not a number from 0 to below 1") }
            kind = .quant(try QuantTask(json: task), forForm: form)
        case let other: throw fault("`reward.kind` is `\(other?.prefix(40) ?? "missing")`, and none of `exact`, `quant`")
        }
    }

    package func judge(_ answer: [UInt8]) -> Double {
        switch kind {
        case .exact(let wanted): Reward.trimmed(answer) == wanted ? 1 : 0
        case .quant(let task, let form): Verdict(on: answer, to: task).reward(forForm: form)
        }
    }

    private static func trimmed(_ bytes: [UInt8]) -> [UInt8] {
        guard let first = bytes.firstIndex(where: { $0 > 0x20 }), let last = bytes.lastIndex(where: { $0 > 0x20 }) else { return [] }
        return Array(bytes[first...last])
    }
}
