package import ForgeCore

/// All that a prompt is made of: what was said, which tools there are, and how hard to think.
package struct Conversation: Sendable, Hashable, Codable {
    package var messages: [ChatMessage]
    package var tools: [ChatTool]
    /// For formats with model settings only.
    package var effort: ReasoningEffort?
    /// The JSON schema that the answer must follow, as JSON; formats with model settings show it to the model, and others leave it to the grammar.
    package var schema: String?

    package init(_ messages: [ChatMessage], tools: [ChatTool] = [], effort: ReasoningEffort? = nil, schema: String? = nil) {
        self.messages = messages
        self.tools = tools
        self.effort = effort
        self.schema = schema
    }
}

/// A function the assistant may call.
package struct ChatTool: Sendable, Hashable, Codable {
    package var name: String
    package var description: String
    /// A JSON schema, kept as written: the model sees its members in their order.
    package var parameters: String

    package init(_ name: String, description: String = "", parameters: String) {
        self.name = name
        self.description = description
        self.parameters = parameters
    }
}

/// How long to think before an answer.
package enum ReasoningEffort: String, Sendable, Hashable, Codable, CaseIterable { case none, minimal, low, medium, high, xhigh, max }

/// Which settings a model takes: the `model_settings_builder` of its `tekken.json`.
package struct ModelSettingsRule: Sendable, Hashable, Codable {
    /// Empty for a model without efforts.
    package var efforts: [ReasoningEffort]
    /// What holds if a request names none.
    package var standard: ReasoningEffort?
    /// Whether the model is shown the schema its answer must follow.
    package var takesSchema: Bool

    package init(efforts: [ReasoningEffort], standard: ReasoningEffort?, takesSchema: Bool = false) {
        self.efforts = efforts
        self.standard = standard
        self.takesSchema = takesSchema
    }

    /// Reads the rule out of a parsed `tekken.json`; nil if the file has none.
    /// - Throws: `.request` for one that cannot be honoured.
    package init?(tekken document: JSON) throws(Fault) {
        guard let builder = document["model_settings_builder"], builder != .null else { return nil }
        func refuse(_ why: String) -> Fault {
            Fault(.request, "tokenizer.malformed", "tekken.json cannot be used", why: why, remedy: "use the tekken.json of the model's release, unchanged")
        }
        guard let members = builder.object, members.keys.allSatisfy({ ["reasoning_effort", "json_schema"].contains($0) }) else {
            throw refuse("`model_settings_builder` has settings other than `reasoning_effort` and `json_schema`")
        }
        self.init(efforts: [], standard: nil)
        if let effort = builder["reasoning_effort"], effort != .null {
            var efforts: [ReasoningEffort] = []
            for value in effort["values"]?.array ?? [] {
                guard let known = value.string.flatMap(ReasoningEffort.init), !efforts.contains(known) else {
                    throw refuse("a reasoning effort is unknown or written twice")
                }
                efforts.append(known)
            }
            guard let standard = effort["default"]?.string.flatMap(ReasoningEffort.init), efforts.contains(standard) else {
                throw refuse("the default reasoning effort is not one of its values")
            }
            (self.efforts, self.standard) = (efforts, standard)
        }
        if let schema = builder["json_schema"], schema != .null { takesSchema = true }
    }
}
