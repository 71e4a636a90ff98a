import CYAML
package import ForgeCore

/// Reads one YAML document with the system's libyaml and refuses what a configuration file has no use for.
package enum YAML {
    package struct Limits: Sendable {
        package var bytes: Int
        package var depth: Int
        package var nodes: Int
        package init(bytes: Int = 1 << 20, depth: Int = 32, nodes: Int = 100_000) {
            self.bytes = bytes
            self.depth = depth
            self.nodes = nodes
        }
    }

    /// - Parameter source: what the text is called in errors, such as a file's name.
    /// - Throws: `.request` with line and column for anything but exactly one plain document; `yaml.empty` for none.
    package static func parse(_ bytes: [UInt8], source: String, limits: Limits = .init()) throws(Fault) -> YAMLNode {
        guard bytes.count <= limits.bytes else {
            throw Fault(.request, "yaml.size", "cannot read `\(source)`", why: "it is longer than \(ByteCount(limits.bytes))")
        }
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw Fault(.request, "yaml.encoding", "cannot read `\(source)`", why: "it is not UTF-8 text", remedy: "save the file as UTF-8")
        }
        var parser = unsafe yaml_parser_t()
        guard unsafe yaml_parser_initialize(&parser) == 1 else {
            throw Fault(.environment, "yaml.memory", "cannot read `\(source)`", why: "no memory for the parser")
        }
        defer { unsafe yaml_parser_delete(&parser) }
        // libyaml keeps the pointer, not a copy: all parsing stays inside the buffer's scope.
        let result: Result<YAMLNode, Fault> = unsafe bytes.withUnsafeBufferPointer { buffer in
            unsafe yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING)
            unsafe yaml_parser_set_input_string(&parser, buffer.baseAddress, buffer.count)
            do throws(Fault) {
                var composer = Composer(source: source, limits: limits)
                return .success(try unsafe composer.document(&parser))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    package static func parse(_ text: String, source: String, limits: Limits = .init()) throws(Fault) -> YAMLNode {
        try parse(Array(text.utf8), source: source, limits: limits)
    }
}

/// Builds nodes from libyaml's events. The stack is explicit: the input's depth never becomes ours.
private struct Composer {
    let source: String
    let limits: YAML.Limits
    var nodes = 0

    init(source: String, limits: YAML.Limits) {
        self.source = source
        self.limits = limits
    }

    private struct Open {
        var mark: YAMLNode.Mark
        var items: [YAMLNode] = []
        var entries: [YAMLNode.Entry] = []
        var keys: Set<String> = []
        var pendingKey: (text: String, mark: YAMLNode.Mark)?
        var isMapping: Bool
    }

    mutating func document(_ parser: inout yaml_parser_t) throws(Fault) -> YAMLNode {
        var stack: [Open] = []
        var root: YAMLNode?
        var documents = 0
        while true {
            var event = unsafe yaml_event_t()
            guard unsafe yaml_parser_parse(&parser, &event) == 1 else { throw unsafe syntax(parser) }
            defer { unsafe yaml_event_delete(&event) }
            let mark = unsafe YAMLNode.Mark(line: Int(event.start_mark.line) + 1, column: Int(event.start_mark.column) + 1)
            switch unsafe event.type {
            case YAML_STREAM_END_EVENT:
                guard let root else { throw fault("the file is empty", at: mark, code: "yaml.empty") }
                return root
            case YAML_DOCUMENT_START_EVENT:
                documents += 1
                guard documents == 1 else { throw fault("a second document starts; one file holds one document", at: mark) }
            case YAML_ALIAS_EVENT:
                throw fault("aliases (`*name`) are not allowed; write the value out", at: mark)
            case YAML_SCALAR_EVENT:
                let scalar = unsafe event.data.scalar
                guard unsafe scalar.anchor == nil else { throw fault("anchors (`&name`) are not allowed", at: mark) }
                guard unsafe scalar.tag == nil else { throw fault("tags (`!name`) are not allowed", at: mark) }
                let text = unsafe String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
                let isPlain = unsafe scalar.style == YAML_PLAIN_SCALAR_STYLE
                if let last = stack.indices.last, stack[last].isMapping, stack[last].pendingKey == nil {
                    guard text.utf8.count <= 256 else { throw fault("a key longer than 256 bytes", at: mark) }
                    guard stack[last].keys.insert(text).inserted else { throw fault("key `\(text)` is written twice", at: mark) }
                    stack[last].pendingKey = (text, mark)
                } else {
                    try place(YAMLNode(value: .scalar(text, isPlain: isPlain), mark: mark), in: &stack, root: &root)
                }
            case YAML_SEQUENCE_START_EVENT:
                let start = unsafe event.data.sequence_start
                guard unsafe start.anchor == nil, unsafe start.tag == nil else { throw fault("anchors and tags are not allowed", at: mark) }
                try open(Open(mark: mark, isMapping: false), in: &stack)
            case YAML_MAPPING_START_EVENT:
                let start = unsafe event.data.mapping_start
                guard unsafe start.anchor == nil, unsafe start.tag == nil else { throw fault("anchors and tags are not allowed", at: mark) }
                try open(Open(mark: mark, isMapping: true), in: &stack)
            case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
                let closed = stack.removeLast()
                let value: YAMLNode.Value = closed.isMapping ? .mapping(closed.entries) : .sequence(closed.items)
                try place(YAMLNode(value: value, mark: closed.mark), in: &stack, root: &root)
            default: continue
            }
        }
    }

    private func open(_ frame: Open, in stack: inout [Open]) throws(Fault) {
        guard stack.count < limits.depth else { throw fault("nested deeper than \(limits.depth)", at: frame.mark) }
        if let last = stack.last, last.isMapping, last.pendingKey == nil { throw fault("a key must be a single value", at: frame.mark) }
        stack.append(frame)
    }

    private mutating func place(_ node: YAMLNode, in stack: inout [Open], root: inout YAMLNode?) throws(Fault) {
        nodes += 1
        guard nodes <= limits.nodes else { throw fault("more than \(limits.nodes) values", at: node.mark) }
        guard let last = stack.indices.last else {
            root = node
            return
        }
        if stack[last].isMapping, let key = stack[last].pendingKey {
            stack[last].entries.append(.init(key: key.text, keyMark: key.mark, value: node))
            stack[last].pendingKey = nil
        } else {
            stack[last].items.append(node)
        }
    }

    private func fault(_ why: String, at mark: YAMLNode.Mark, code: String = "yaml.syntax") -> Fault {
        Fault(.request, code, "cannot read `\(source)`", why: "\(why) (\(mark))")
    }

    private func syntax(_ parser: yaml_parser_t) -> Fault {
        let mark = unsafe YAMLNode.Mark(line: Int(parser.problem_mark.line) + 1, column: Int(parser.problem_mark.column) + 1)
        let problem = unsafe parser.problem.map { unsafe String(cString: $0) } ?? "not YAML"
        return fault(problem, at: mark)
    }
}
