/// `.cedarschema` → declarations as written; `resolve()` then gives every name its meaning.
struct SchemaParser {
    indirect enum TypeText {
        case name(ExactText, Token)
        case set(TypeText)
        case record([(name: ExactText, type: TypeText, isRequired: Bool)])
    }

    struct EntityText {
        let namespace: String
        let groups: [(name: ExactText, place: Token)]
        let shape: TypeText?
        let tags: TypeText?
        let ids: [ExactText]?
    }

    struct ActionText {
        let namespace: String
        let groups: [(type: ExactText?, id: ExactText)]
        let principals: [(name: ExactText, place: Token)]
        let resources: [(name: ExactText, place: Token)]
        let context: TypeText?
    }

    var parser: Parser
    var types: [ExactText: (namespace: String, type: TypeText)] = [:]
    var entities: [ExactText: EntityText] = [:]
    var actions: [EntityUID: ActionText] = [:]

    init(_ parser: Parser) { self.parser = parser }

    mutating func schema() throws(SyntaxError) -> Schema {
        while parser.token.kind != .end {
            try skipAnnotations()
            if parser.take(word: "namespace") {
                let name = try parser.path("a namespace").text
                try parser.expect(.openBrace)
                while !parser.take(.closeBrace) { try declaration(in: name) }
            } else {
                try declaration(in: "")
            }
        }
        return try resolve()
    }

    static func qualified(_ namespace: String, _ name: String) -> ExactText { ExactText(namespace.isEmpty ? name : namespace + "::" + name) }

    private mutating func skipAnnotations() throws(SyntaxError) {
        while parser.take(.at) {
            _ = try parser.word("an annotation's name")
            if parser.take(.open) {
                _ = try parser.stringLiteral("the annotation's text")
                try parser.expect(.close)
            }
        }
    }

    private mutating func declaration(in namespace: String) throws(SyntaxError) {
        try skipAnnotations()
        if parser.take(word: "entity") { return try entity(in: namespace) }
        if parser.take(word: "action") { return try action(in: namespace) }
        guard parser.take(word: "type") else { throw parser.unexpected("`entity`, `action` or `type`") }
        let place = parser.token
        let name = Self.qualified(namespace, try parser.identifier("a type's name"))
        try parser.expect(.assign)
        let type = try type()
        try parser.expect(.semicolon)
        guard types.updateValue((namespace, type), forKey: name) == nil else { throw parser.fail("type `\(name)` is declared twice", at: place) }
    }

    private mutating func entity(in namespace: String) throws(SyntaxError) {
        let place = parser.token
        var names: [String] = []
        repeat { names.append(try parser.identifier("an entity type's name")) } while parser.take(.comma)
        var groups: [(name: ExactText, place: Token)] = []
        var shape: TypeText?
        var tags: TypeText?
        var ids: [ExactText]?
        if parser.take(word: "enum") {
            try parser.expect(.openBracket)
            ids = try parser.list(until: .closeBracket) { parser throws(SyntaxError) in try parser.stringLiteral("an id") }
        } else {
            if parser.take(word: "in") { groups = try namesOrName("an entity type") }
            let assigned = parser.take(.assign)
            if assigned || parser.sees(.openBrace) { shape = try type() }
            if parser.take(word: "tags") { tags = try type() }
        }
        try parser.expect(.semicolon)
        for name in names {
            let declared = EntityText(namespace: namespace, groups: groups, shape: shape, tags: tags, ids: ids)
            guard entities.updateValue(declared, forKey: Self.qualified(namespace, name)) == nil else {
                throw parser.fail("entity type `\(name)` is declared twice", at: place)
            }
        }
    }

    private mutating func action(in namespace: String) throws(SyntaxError) {
        let place = parser.token
        var names: [ExactText] = []
        repeat { names.append(try name("an action's name")) } while parser.take(.comma)
        var groups: [(type: ExactText?, id: ExactText)] = []
        if parser.take(word: "in") {
            if parser.take(.openBracket) {
                while !parser.take(.closeBracket) {
                    groups.append(try actionReference())
                    if parser.take(.comma) { continue }
                    try parser.expect(.closeBracket)
                    break
                }
            } else {
                groups = [try actionReference()]
            }
        }
        var principals: [(name: ExactText, place: Token)] = []
        var resources: [(name: ExactText, place: Token)] = []
        var context: TypeText?
        if parser.take(word: "appliesTo") {
            try parser.expect(.openBrace)
            while !parser.take(.closeBrace) {
                let key = try parser.word("`principal`, `resource` or `context`")
                try parser.expect(.colon)
                switch key {
                case "principal": principals = try namesOrName("an entity type")
                case "resource": resources = try namesOrName("an entity type")
                case "context": context = try type()
                default: throw parser.fail("`appliesTo` has `principal`, `resource` and `context`, not `\(key)`")
                }
                if parser.take(.comma) { continue }
                try parser.expect(.closeBrace)
                break
            }
        }
        if parser.take(word: "attributes") {
            try parser.expect(.openBrace)
            try parser.expect(.closeBrace)
        }
        try parser.expect(.semicolon)
        for name in names {
            let uid = EntityUID(Self.qualified(namespace, "Action"), name)
            let declared = ActionText(namespace: namespace, groups: groups, principals: principals, resources: resources, context: context)
            guard actions.updateValue(declared, forKey: uid) == nil else { throw parser.fail("action `\(name)` is declared twice", at: place) }
        }
    }

    private mutating func actionReference() throws(SyntaxError) -> (type: ExactText?, id: ExactText) {
        if case .string = parser.token.kind { return (nil, try name("an action")) }
        if parser.following.kind == .symbol(.path) {
            let type = try parser.path("an action")
            try parser.expect(.path)
            return (type, try parser.stringLiteral("an action's id"))
        }
        return (nil, try name("an action"))
    }

    private mutating func name(_ wanted: String) throws(SyntaxError) -> ExactText {
        if case .string = parser.token.kind { return try parser.stringLiteral(wanted) }
        return ExactText(try parser.word(wanted))
    }

    private mutating func namesOrName(_ wanted: String) throws(SyntaxError) -> [(name: ExactText, place: Token)] {
        func one(_ parser: inout Parser) throws(SyntaxError) -> (name: ExactText, place: Token) {
            let place = parser.token
            return (try parser.path(wanted), place)
        }
        guard parser.take(.openBracket) else { return [try one(&parser)] }
        return try parser.list(until: .closeBracket, one)
    }

    private mutating func type() throws(SyntaxError) -> TypeText {
        parser.depth += 1
        defer { parser.depth -= 1 }
        guard parser.depth <= parser.limits.depth else { throw parser.fail("nested deeper than \(parser.limits.depth)") }
        if parser.sees(word: "Set"), parser.following.kind == .symbol(.less) {
            parser.advance()
            parser.advance()
            let element = try type()
            try parser.expect(.greater)
            return .set(element)
        }
        guard parser.take(.openBrace) else {
            let place = parser.token
            // `__cedar` is reserved in policies and a namespace here.
            if parser.take(word: "__cedar") {
                try parser.expect(.path)
                return .name(ExactText("__cedar::" + (try parser.identifier("a type"))), place)
            }
            return .name(try parser.path("a type"), place)
        }
        var attributes: [(name: ExactText, type: TypeText, isRequired: Bool)] = []
        var seen: Set<ExactText> = []
        while !parser.take(.closeBrace) {
            try skipAnnotations()
            let place = parser.token
            let attribute = try name("an attribute")
            guard seen.insert(attribute).inserted else { throw parser.fail("attribute `\(attribute)` is declared twice", at: place) }
            let isOptional = parser.take(.question)
            try parser.expect(.colon)
            attributes.append((attribute, try type(), !isOptional))
            if parser.take(.comma) { continue }
            try parser.expect(.closeBrace)
            break
        }
        return .record(attributes)
    }
}
