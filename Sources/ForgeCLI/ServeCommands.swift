internal import ArgumentParser
internal import ForgeCore
internal import ForgeOS
internal import ServeAPI

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Which model forge-serve answers with.", subcommands: [Load.self, Unload.self, Show.self])

    struct Load: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Load a model; an alias is followed when it moves.", discussion: "forge serve load policies@production")
        @OptionGroup var global: Global
        @Argument(help: "name@alias or name@version.") var model: String

        func run() async throws { try ServeCommand.show(try await ServeClient(try global.http("serve-operator")).load(model), global) }
    }

    struct Unload: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Drop the loaded model and its memory.")
        @OptionGroup var global: Global

        func run() async throws { try ServeCommand.show(try await ServeClient(try global.http("serve-operator")).unload(), global) }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show what is loaded.")
        @OptionGroup var global: Global

        func run() async throws { try ServeCommand.show(try await ServeClient(try global.http("serve-operator")).loaded(), global) }
    }

    static func show(_ state: LoadedState, _ global: Global) throws {
        var fields: [(String, String)] = [("state", state.state.rawValue)]
        if let reference = state.reference { fields.append(("asked for", reference)) }
        if let name = state.name, let version = state.version { fields.append(("model", "\(name)@\(version)")) }
        if let digest = state.digest { fields.append(("digest", digest.description)) }
        if let backend = state.backend { fields.append(("kernels", backend)) }
        if let reason = state.reason { fields.append(("because", reason)) }
        try global.output.show("Loaded", state, name: state.name ?? "none", fields: fields)
    }
}

/// What both ways of asking share.
struct Asking: ParsableArguments {
    @Option(name: .long, help: "The model as /v1/models lists it; the loaded one when left out.") var model: String?
    @Option(name: .long, help: "At most this many tokens.") var maxTokens: Int = 128
    @Option(name: .long, help: "0 always takes the likeliest token.") var temperature: Double = 1
    @Option(name: .long, help: "Draw from the likeliest tokens that make up this share.") var topP: Double = 1
    @Option(name: .long, help: "The same seed gives the same answer.") var seed: Int64?
    @Option(name: .long, help: "Stop before this text; may be given several times.") var stop: [String] = []
    @Option(name: .long, help: "A file for the receipt and the request, for `forge receipt replay`.") var keep: String?

    /// Asks, streams the answer to stdout, and keeps the receipt.
    func ask(_ endpoint: InferenceRequest.Endpoint, _ input: InferenceRequest.Input, _ global: Global) async throws {
        let client = ServeClient(try global.http("serve", timeout: .seconds(600)))
        var name = model
        if name == nil { name = try await client.models().first?.id }
        guard let name else {
            throw Fault(.environment, "serve.empty", "there is no model to ask", why: "forge-serve has none loaded", remedy: "`forge serve load NAME@production`", retryable: true)
        }
        let request = InferenceRequest(endpoint, model: name, input: input, maxTokens: maxTokens, temperature: temperature, topP: topP, stop: stop, seed: seed)
        let answer = try await client.stream(request) { _, text in Terminal.write(text, to: 1) }
        Terminal.write("\n", to: 1)
        if let receipt = answer.receipt {
            if let keep { try Durable.create(try Path.absolute(keep), with: Array(KeptReceipt(receipt: receipt, request: request).json.text.utf8), mode: 0o600) }
            global.talk.say("receipt \(receipt.id)\(answer.usage.map { "  \($0.promptTokens) + \($0.completionTokens) tokens" } ?? "")")
        }
    }
}

struct Complete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Have the model continue a text.", discussion: "forge complete 'The mount command' --max-tokens 60 --seed 7")
    @OptionGroup var global: Global
    @OptionGroup var asking: Asking
    @Argument(help: "The text to continue.") var prompt: String

    func run() async throws { try await asking.ask(.completions, .text(prompt), global) }
}

struct Chat: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask a model that was trained to converse.", discussion: "forge chat 'What does mount do?'\nA model without a chat template only continues text; it says so.")
    @OptionGroup var global: Global
    @OptionGroup var asking: Asking
    @Argument(help: "What to say.") var message: String
    @Option(name: .long, help: "Instructions that stand before the conversation.") var system: String?

    func run() async throws {
        let turns = (system.map { [ChatTurn(role: "system", content: $0)] } ?? []) + [ChatTurn(role: "user", content: message)]
        try await asking.ask(.chat, .messages(turns), global)
    }
}

/// What a person keeps of an answer: the receipt with its salt, and the request as it was sent.
struct KeptReceipt: Sendable {
    let receipt: Receipt
    let request: JSON

    init(receipt: Receipt, request: InferenceRequest) {
        self.receipt = receipt
        self.request = request.json
    }

    var json: JSON { ["format": "forge.kept-receipt.v1", "receipt": receipt.json, "request": request] }

    /// Reads a kept receipt, or a bare request as an application sent it.
    static func read(_ path: String) throws(Fault) -> (receipt: Receipt?, request: JSON) {
        let bytes = try File(try Path.absolute(path), .read).readAll(limit: .mib(16))
        let json: JSON
        do { json = try JSON.parse(bytes) } catch { throw Fault(.request, "receipt.file", "cannot read `\(path)`", why: "it is not JSON: \(error)") }
        if json["format"]?.string == "forge.kept-receipt.v1" {
            guard let request = json["request"] else { throw Fault(.request, "receipt.file", "cannot read `\(path)`", why: "it holds no request") }
            return (Receipt(json["receipt"]), request)
        }
        return (nil, json)
    }
}
