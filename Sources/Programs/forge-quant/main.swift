// forge-quant: draws tasks of the quant language and judges answers to them (docs/formats/quant-language.md); the examples' own program.
//
// owns      nothing: it reads the files it is given and writes to standard output
// promises  the same words give the same bytes everywhere; exit 0 if the work was done, whatever the verdicts
// never     part of the package: it is for those who train and measure

import ForgeCore
import ForgeOS
import ForgeQuant
import Glibc

let usage = """
    usage: forge-quant generate --seed N --count M --level L[-L] --form sft|prompts|tasks [--split train|heldout]
           forge-quant check --tasks FILE --answers FILE
           forge-quant pairs --tasks FILE --answers FILE

    generate  writes tasks, one a line; levels are taken in turn. What is held out has no meaning in common with what is trained on,
              whatever the seeds.
    check     writes a verdict a task, and last the pass rate with its 95 % interval.
    pairs     writes {"prompt":…,"chosen":…,"rejected":…} for each failure beside a right answer to the same task; a task may have
              several answers.

    """

let refusal = Fault(.request, "quant.usage", "cannot tell what to do", remedy: usage)

/// `--name value` pairs, each name once and among `names`.
func options(_ words: some Sequence<String>, _ names: Set<String>) throws(Fault) -> [String: String] {
    var out: [String: String] = [:]
    var words = Array(words)[...]
    while let word = words.popFirst() {
        guard word.hasPrefix("--"), names.contains(String(word.dropFirst(2))), let value = words.popFirst(), out.updateValue(value, forKey: String(word.dropFirst(2))) == nil else {
            throw refusal
        }
    }
    return out
}

func levels(_ text: String) throws(Fault) -> [Int] {
    let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
    guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2, (1...TaskDraw.levelMax).contains(first), (first...TaskDraw.levelMax).contains(last) else {
        throw Fault(.request, "quant.level", "`\(text)` is no level", remedy: "write a level from 1 to \(TaskDraw.levelMax), or two with a hyphen between")
    }
    return Array(first...last)
}

func generate(_ words: some Sequence<String>) throws(Fault) {
    let given = try options(words, ["seed", "count", "level", "form", "split"])
    guard let seed = given["seed"].flatMap({ UInt64($0) }), let count = given["count"].flatMap({ UInt32($0) }), let form = given["form"].flatMap(TaskForm.init),
        let split = QuantSplit(rawValue: given["split"] ?? "train"), let level = given["level"]
    else { throw refusal }
    var draw = try TaskDraw(seed: seed, split: split, levels: try levels(level))
    let out = File(adopting: dup(1), path: "standard output")
    for _ in 0..<count { try out.write((try draw.next().line(form) + "\n").utf8) }
    try out.close()
}

func sheet(_ words: some Sequence<String>) throws(Fault) -> AnswerSheet {
    let given = try options(words, ["tasks", "answers"])
    guard let tasks = given["tasks"], let answers = given["answers"] else { throw refusal }
    let limit = ByteCount(1 << 30)
    return try AnswerSheet(tasks: try File(tasks, .read).readAll(limit: limit), answers: try File(answers, .read).readAll(limit: limit))
}

func check(_ words: some Sequence<String>) throws(Fault) {
    let out = File(adopting: dup(1), path: "standard output")
    var whole = PassRate()
    var byLevel: [Int: PassRate] = [:]
    for (task, verdict) in try sheet(words).verdicts() {
        whole.add(verdict)
        byLevel[task.level, default: PassRate()].add(verdict)
        let line: JSON = ["id": .string(task.id), "level": .int(Int64(task.level)), "verdict": .string(verdict.name), "why": .string(verdict.description)]
        try out.write((line.text + "\n").utf8)
    }
    func figures(_ rate: PassRate) -> JSON {
        ["right": .int(Int64(rate.right)), "count": .int(Int64(rate.count)), "share": .double(rate.share), "from": .double(rate.interval.lowerBound), "to": .double(rate.interval.upperBound)]
    }
    var levels = JSON.Object()
    for (level, rate) in byLevel.sorted(by: { $0.key < $1.key }) { levels[String(level)] = figures(rate) }
    let last: JSON = ["all": figures(whole), "levels": .object(levels)]
    try out.write((last.text + "\n").utf8)
    try out.close()
}

func pairs(_ words: some Sequence<String>) throws(Fault) {
    let out = File(adopting: dup(1), path: "standard output")
    for pair in try sheet(words).pairs() { try out.write((pair.text + "\n").utf8) }
    try out.close()
}

do throws(Fault) {
    let words = CommandLine.arguments.dropFirst()
    switch words.first {
    case "generate": try generate(words.dropFirst())
    case "check": try check(words.dropFirst())
    case "pairs": try pairs(words.dropFirst())
    default: throw refusal
    }
} catch {
    Terminal.write("forge-quant: \(error.message)\(error.remedy.isEmpty ? "" : "\nhint: \(error.remedy)")\n", to: 2)
    exit(error.kind.exitCode)
}
