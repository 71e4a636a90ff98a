import ForgeCore

/// How a drawn task is written, one a line (docs/formats/quant-language.md §4).
package enum TaskForm: String, Sendable, CaseIterable {
    /// With the reference answer, to be taught.
    case sft
    /// To be tried: the conversation so far, and what judges its end.
    case prompts
    /// To be judged.
    case tasks
}

extension DrawnTask {
    /// One line of JSON, without its end.
    package func line(_ form: TaskForm) -> String {
        let question = TaskForm.message("user", task.prompt)
        let json: JSON =
            switch form {
            case .sft: ["messages": [question, TaskForm.message("assistant", reference.text)]]
            case .prompts: ["prompt": [question], "reward": ["kind": "quant", "task": task.json]]
            case .tasks: task.json
            }
        return json.text
    }
}

extension TaskForm {
    static func message(_ role: String, _ content: String) -> JSON { ["role": .string(role), "content": .string(content)] }
}

/// JSON texts, one a line; lines without anything do not count.
enum JSONLines {
    /// - Parameter name: what the file is, for the fault that names the line.
    static func parse(_ bytes: [UInt8], _ name: String) throws(Fault) -> [(line: Int, json: JSON)] {
        var out: [(line: Int, json: JSON)] = []
        for (number, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            guard line.contains(where: { $0 != 0x20 && $0 != 0x0d && $0 != 0x09 }) else { continue }
            do throws(JSONError) {
                out.append((number + 1, try JSON.parse(line)))
            } catch {
                throw refuse(name, line: number + 1, error.description)
            }
        }
        return out
    }

    static func refuse(_ name: String, line: Int, _ why: String) -> Fault {
        Fault(.request, "quant.line", "cannot read line \(line) of the \(name)", why: why, remedy: "docs/formats/quant-language.md describes a line")
    }
}
