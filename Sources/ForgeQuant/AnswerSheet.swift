package import ForgeCore

/// Tasks and what a model answered to each, ready to be judged. An answer to no task, or a task twice, is refused: a rate is worth what its count is worth.
package struct AnswerSheet: Sendable {
    package let tasks: [QuantTask]
    /// By a task's id, in the order they were read.
    private let answers: [String: [String]]

    /// - Parameters:
    ///   - tasks: lines of the form `tasks` or `prompts`.
    ///   - answers: lines `{"id":…,"answer":…}`.
    package init(tasks: [UInt8], answers: [UInt8]) throws(Fault) {
        var read: [QuantTask] = []
        var ids: Set<String> = []
        for (line, json) in try JSONLines.parse(tasks, "tasks") {
            let task = try QuantTask(json: json["reward"]?["task"] ?? json)
            guard ids.insert(task.id).inserted else { throw JSONLines.refuse("tasks", line: line, "the task `\(task.id)` stands there for the second time") }
            read.append(task)
        }
        var byID: [String: [String]] = [:]
        for (line, json) in try JSONLines.parse(answers, "answers") {
            guard let id = json["id"]?.string, let answer = json["answer"]?.string, json.object?.count == 2 else {
                throw JSONLines.refuse("answers", line: line, "it is not `{\"id\":…,\"answer\":…}` with two texts")
            }
            guard ids.contains(id) else { throw JSONLines.refuse("answers", line: line, "there is no task `\(id)`") }
            byID[id, default: []].append(answer)
        }
        self.tasks = read
        self.answers = byID
    }

    /// One verdict a task; a task that was not answered counts as answered with nothing.
    /// - Throws: `.request` if a task was answered more than once: the rate of several tries is another figure.
    package func verdicts() throws(Fault) -> [(task: QuantTask, verdict: Verdict)] {
        var out: [(task: QuantTask, verdict: Verdict)] = []
        for task in tasks {
            let given = answers[task.id] ?? [""]
            guard given.count == 1 else {
                throw Fault(.request, "quant.answers", "cannot check the answers", why: "the task `\(task.id)` has \(given.count)", remedy: "give one answer a task; `forge-quant pairs` takes several")
            }
            out.append((task, Verdict(on: given[0], to: task)))
        }
        return out
    }

    /// What preferences can be learnt from: each failure of a task, once, beside a right answer to it. A task without either gives none.
    package func pairs() -> [JSON] {
        tasks.flatMap { task in
            var seen: Set<String> = []
            let given = (answers[task.id] ?? []).filter { seen.insert($0).inserted }.map { (text: $0, isRight: Verdict(on: $0, to: task) == .right) }
            let right = given.filter(\.isRight)
            guard !right.isEmpty else { return [] as [JSON] }
            return given.filter { !$0.isRight }.enumerated().map { number, failure in
                [
                    "prompt": [TaskForm.message("user", task.prompt)],
                    "chosen": [TaskForm.message("assistant", right[number % right.count].text)],
                    "rejected": [TaskForm.message("assistant", failure.text)],
                ]
            }
        }
    }
}
