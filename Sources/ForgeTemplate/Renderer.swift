import ForgeCore

/// Names and their values; a name that is not here is looked for outside.
final class Scope {
    var names: [String: Value] = [:]
    private let outer: Scope?

    init(in outer: Scope? = nil) { self.outer = outer }

    func value(_ name: String) -> Value? {
        var scope: Scope? = self
        while let here = scope {
            if let value = here.names[name] { return value }
            scope = here.outer
        }
        return nil
    }
}

/// One rendering: runs statements, and owns whatever has an identity. Used once, by one thread.
final class Renderer {
    enum Flow { case on, leave, next }

    struct Stream {
        var items: [Value]
        let isInput: Bool
    }

    struct LoopState {
        var items: [Value]
        let count: Int
        var place = 0
    }

    let source: Source
    let now: Timestamp
    var scope = Scope()
    var output = Text()
    var namespaces: [[String: Value]] = []
    var streams: [Stream] = []
    var loops: [LoopState] = []
    private var macros: [(macro: Macro, home: Scope)] = []
    private var captured: [Value] = []
    private var work: Int
    private var level = 0
    private var calls = 0
    /// Where evaluation is, for faults.
    var offset = 0

    init(source: Source, now: Timestamp, work: Int) {
        self.source = source
        self.now = now
        self.work = work
    }

    // Bounds and faults.

    func stop(_ why: String, _ code: String = "template.value", remedy: String = "correct the template, or send what it was made for") -> Fault {
        source.stop(code, why, at: offset, remedy: remedy)
    }

    func bound(_ why: String) -> Fault { stop(why, "template.bound", remedy: "send a shorter conversation, or use a template that does less") }

    func spend(_ units: Int) throws(Fault) {
        // INVARIANT: never below -1, so that no sum overflows.
        work -= min(units, work + 1)
        guard work >= 0 else { throw bound("it does more work than a chat template may") }
    }

    var remainingWork: Int { max(0, work) }

    /// Charges for a text of so many characters, before it is made.
    func afford(characters: Int?) throws(Fault) {
        guard let characters, characters <= Template.Limits.characters else { throw bound("a text grows beyond \(Template.Limits.characters) characters") }
        try spend(characters)
    }

    func list(_ items: [Value], _ kind: List.Kind = .list, isInput: Bool = false) throws(Fault) -> Value {
        guard items.count <= Template.Limits.elements else { throw bound("a list grows beyond \(Template.Limits.elements) elements") }
        try spend(8 * items.count)
        return try checked(.list(List(kind, items, isInput: isInput)))
    }

    func checked(_ value: Value) throws(Fault) -> Value {
        guard value.depth <= Value.depthMax else { throw bound("values are nested deeper than \(Value.depthMax)") }
        return value
    }

    func stream(_ items: [Value], isInput: Bool) throws(Fault) -> Value {
        try spend(64 + 8 * items.count)
        streams.append(Stream(items: items.reversed(), isInput: isInput))
        return .stream(streams.count - 1)
    }

    func deepen() throws(Fault) {
        guard level < Template.Limits.level else { throw bound("it is nested too deeply") }
        level += 1
        try spend(16)
    }

    func rise() { level -= 1 }

    // Statements.

    func run(_ body: [Statement]) throws(Fault) -> Flow {
        try deepen()
        defer { rise() }
        for statement in body {
            let flow = try run(statement)
            if flow != .on { return flow }
        }
        return .on
    }

    private func run(_ statement: Statement) throws(Fault) -> Flow {
        switch statement {
        case .data(let text): try write(text)
        case .output(let expression): try write(try string(try value(expression)))
        case .choice(let branches, let otherwise): return try choose(branches, otherwise)
        case .loop(let loop): return try run(loop)
        case .assign(let target, let expression): try assign(target, try value(expression))
        case .capture(let target, let filter, let body): return try capture(body, filter: filter) { (value) throws(Fault) in try self.assign(target, value) }
        case .macro(let macro): try define(macro)
        case .call(let call, let caller): try self.call(call, caller: caller)
        case .filtered(let filter, let body): return try capture(body, filter: filter) { (value) throws(Fault) in
            guard case .text(let text) = value else { throw self.stop("a filter block gives \(value.typeName) where text should stand") }
            try self.write(text)
        }
        case .generation(let body):
            let outer = scope
            scope = Scope(in: outer)
            defer { scope = outer }
            return try run(body)
        case .leave: return .leave
        case .next: return .next
        }
        return .on
    }

    func write(_ text: Text) throws(Fault) {
        try spend(1)
        try afford(characters: text.count)
        guard output.count + text.count <= Template.Limits.characters else { throw bound("the prompt grows beyond \(Template.Limits.characters) characters") }
        output.append(text)
    }

    private func choose(_ branches: [(test: Expression, body: [Statement])], _ otherwise: [Statement]) throws(Fault) -> Flow {
        for branch in branches where try value(branch.test).isTrue { return try run(branch.body) }
        return try run(otherwise)
    }

    /// Runs a body into a text of its own, in a scope of its own.
    private func captured(_ body: [Statement]) throws(Fault) -> (text: Text, flow: Flow) {
        let outer = scope, before = output
        scope = Scope(in: outer)
        output = Text()
        defer {
            scope = outer
            output = before
        }
        let flow = try run(body)
        return (output, flow)
    }

    private func capture(_ body: [Statement], filter: Expression, _ take: (Value) throws(Fault) -> Void) throws(Fault) -> Flow {
        let (text, flow) = try captured(body)
        guard flow == .on else { return flow }
        captured.append(.text(text))
        defer { captured.removeLast() }
        try take(try value(filter))
        return .on
    }

    var capturedValue: Value { captured.last ?? .none }

    private func run(_ loop: Loop) throws(Fault) -> Flow {
        let outer = scope
        defer { scope = outer }
        var items = try elements(of: try value(loop.iterable))
        if let test = loop.test {
            var kept: [Value] = []
            for item in items {
                scope = Scope(in: outer)
                try assign(loop.target, item)
                // The reference packs what it unpacked for the test: as a tuple.
                if try value(test).isTrue { kept.append(try packed(loop.target, item)) }
            }
            items = kept
        }
        try spend(64)
        // As in the reference, `else` runs unless some pass came to the body's end.
        var isPassed = false
        let number = loops.count
        loops.append(LoopState(items: items, count: items.count))
        // What may outlive its loop, in a namespace, holds no elements.
        defer { loops[number].items = [] }
        for (i, item) in items.enumerated() {
            loops[number].place = i
            scope = Scope(in: outer)
            scope.names["loop"] = .loop(number)
            try assign(loop.target, item)
            let flow = try run(loop.body)
            if flow == .leave { break }
            isPassed = isPassed || flow == .on
        }
        guard !isPassed else { return .on }
        scope = Scope(in: outer)
        return try run(loop.otherwise)
    }

    private func packed(_ target: Target, _ value: Value) throws(Fault) -> Value {
        guard case .tuple(let parts, _) = target else { return value }
        var items: [Value] = []
        for (part, item) in zip(parts, try elements(of: value)) { items.append(try packed(part, item)) }
        return try list(items, .tuple, isInput: isInput(value))
    }

    private func assign(_ target: Target, _ value: Value) throws(Fault) {
        switch target {
        case .name(let name): scope.names[name] = value
        case .attribute(let owner, let name, let place):
            offset = place
            guard case .namespace(let number)? = scope.value(owner) else { throw stop("only a namespace has attributes that can be set, and `\(owner.prefix(64))` is none") }
            guard !name.hasPrefix("_") else { throw stop("an attribute of a namespace cannot begin with an underscore") }
            namespaces[number][name] = value
        case .tuple(let parts, let place):
            offset = place
            let items = try elements(of: value)
            guard items.count == parts.count else { throw stop("\(items.count) values cannot be assigned to \(parts.count) names") }
            for (part, item) in zip(parts, items) { try assign(part, item) }
        }
    }

    // Macros.

    private func define(_ macro: Macro) throws(Fault) {
        scope.names[macro.name ?? ""] = try closure(macro)
    }

    private func closure(_ macro: Macro) throws(Fault) -> Value {
        try spend(256)
        macros.append((macro, scope))
        return .macro(macros.count - 1)
    }

    private func call(_ call: Expression, caller: Macro) throws(Fault) {
        guard case .call(let callee, let arguments) = call.kind else { return }
        let function = try value(callee)
        var inputs = try self.inputs(arguments)
        inputs.named.append(("caller", try closure(caller)))
        offset = call.offset
        try write(try string(try self.call(function, inputs)))
    }

    /// - Returns: what the macro wrote.
    func invoke(_ number: Int, _ inputs: Inputs) throws(Fault) -> Value {
        let (macro, home) = macros[number]
        let title = macro.name.map { "the macro `\($0.prefix(64))`" } ?? "the caller"
        guard inputs.positional.count <= macro.parameters.count else { throw stop("\(title) takes \(macro.parameters.count) arguments and is given \(inputs.positional.count)") }
        guard calls < Template.Limits.calls else { throw bound("macros call each other more than \(Template.Limits.calls) deep") }
        calls += 1
        let outer = scope, before = output
        defer {
            calls -= 1
            scope = outer
            output = before
        }
        var named = inputs.named
        scope = Scope(in: home)
        output = Text()
        for (i, parameter) in macro.parameters.enumerated() {
            if i < inputs.positional.count {
                scope.names[parameter.name] = inputs.positional[i]
            } else if let place = named.firstIndex(where: { $0.name == parameter.name }) {
                scope.names[parameter.name] = named.remove(at: place).value
            } else {
                scope.names[parameter.name] = try parameter.standard.map { (standard) throws(Fault) in try value(standard) } ?? .undefined("the parameter `\(parameter.name.prefix(64))` was not given")
            }
        }
        if macro.usesCaller {
            let place = named.firstIndex { $0.name == "caller" }
            scope.names["caller"] = place.map { named.remove(at: $0).value } ?? .undefined("no `call` block passes a caller")
        }
        if let extra = named.first { throw stop("\(title) takes no argument `\(extra.name.prefix(64))`") }
        _ = try run(macro.body)
        return .text(output)
    }
}
