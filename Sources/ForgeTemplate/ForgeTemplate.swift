// ForgeTemplate: chat templates of checkpoints from elsewhere, rendered.
//
// owns      the part of Jinja that such templates use: its lexer, parser, values and renderer (docs/formats/chat-template.md)
// promises  the text that `transformers` renders, or a fault with line and column; no character of a caller's value is ever marked as the template's own;
//           work, memory and stack are bounded whatever the template and the conversation are
// never     reads a file or a clock, matches a regular expression, or makes tokens
// flow      source → Lexer → Parser → [Statement] ┐
//           JSON → Value ─────────────────────────┴→ Renderer → [Template.Span]
package import ForgeCore

/// A chat template that was read and may be rendered any number of times.
package struct Template: Sendable {
    /// A piece of the prompt. Control tokens may be recognised where it is not input, and nowhere else.
    package struct Span: Hashable, Sendable {
        package var text: String
        package var isInput: Bool

        package init(_ text: String, isInput: Bool) {
            self.text = text
            self.isInput = isInput
        }
    }

    /// Bounds of one rendering (docs/formats/chat-template.md §5).
    package enum Limits {
        /// What evaluating costs, and each character or element that an operation makes or reads.
        package static let work = 64 << 20
        /// Code points of one text, and of all output.
        package static let characters = 8 << 20
        package static let elements = 100_000
        package static let calls = 32
        /// Statements and expressions under way, each inside the one before: what the stack holds.
        package static let level = 300
    }

    private let body: [Statement]
    private let source: Source

    /// - Throws: `.request` with line and column for what is not in the language, or exceeds its bounds.
    package init(parsing text: String) throws(Fault) {
        var parser = try Parser(text)
        body = try parser.template()
        source = parser.source
    }

    /// Renders a conversation: `messages`, `tools`, `add_generation_prompt` and whatever else the template reads.
    /// - Parameters:
    ///   - input: what a caller sent. Nothing of it ever becomes template text.
    ///   - constants: names of control tokens, such as `bos_token`, from the tokenizer's own files. They count as template text, and win over `input` of the same name.
    ///   - now: what `strftime_now` formats.
    ///   - work: what it may cost.
    /// - Returns: spans in order; neighbours differ in their origin, and none is empty.
    /// - Throws: `.request`: `template.refused` with the template's own words, `template.bound` if a bound is exceeded, other `template.*` for a mistake in the template or values it was not made for.
    package func render(_ input: JSON.Object, constants: JSON.Object = JSON.Object(), now: Timestamp, work: Int = Limits.work) throws(Fault) -> [Span] {
        let renderer = Renderer(source: source, now: now, work: work)
        var room = Limits.characters
        for name in ["namespace", "range", "raise_exception", "strftime_now"] { renderer.scope.names[name] = Value.Function(rawValue: name).map { .function($0) } }
        for (name, value) in input.members { renderer.scope.names[name] = try Value(value, isInput: true, room: &room) }
        for (name, value) in constants.members { renderer.scope.names[name] = try Value(value, isInput: false, room: &room) }
        renderer.scope = Scope(in: renderer.scope)
        _ = try renderer.run(body)
        return renderer.output.spans
    }
}

extension Text {
    fileprivate var spans: [Template.Span] {
        var out: [Template.Span] = [], start = 0
        while start < count {
            let mark = units[start] & Text.mark
            var end = start
            while end < count, units[end] & Text.mark == mark { end += 1 }
            out.append(Template.Span(self[start..<end].string, isInput: mark != 0))
            start = end
        }
        return out
    }
}
