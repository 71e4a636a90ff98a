internal import ArgumentParser
internal import ForgeCore
internal import ForgeOS

/// Options every verb takes.
struct Global: ParsableArguments {
    @Option(name: .long, help: "The directory of an appliance started by `forge up`. Without it: $FORGE_ROOT, else the installed one.")
    var root: String?

    @Option(name: [.customShort("o"), .customLong("output")], help: "How to print: table, json, jsonl or name.")
    var format: Output.Format = .table

    @Flag(name: .long, help: "Print a table without its heading.")
    var noHeaders = false

    @Flag(name: [.short, .long], help: "Say nothing but data and errors.")
    var quiet = false

    var output: Output { Output(format: format, hasHeaders: !noHeaders) }
    var talk: Talk { Talk(isQuiet: quiet) }
    var place: Place { Place(root: root) }
}

/// Where an appliance's sockets and this person's sign-in are.
struct Place: Sendable {
    /// nil is the installed appliance.
    let root: String?

    init(root: String?) {
        self.root = root ?? Environment["FORGE_ROOT"].flatMap { $0.isEmpty ? nil : $0 }
    }

    var runDirectory: String { root.map { "\($0)/run" } ?? "/run/forge" }

    func socket(_ name: String) -> String { "\(runDirectory)/\(name).sock" }

    /// $FORGE_SESSION, else a file of this uid beside the sockets of a root, else one in the user's run-time directory.
    var sessionPath: String {
        if let path = Environment["FORGE_SESSION"], !path.isEmpty { return path }
        if root != nil { return "\(runDirectory)/session-\(ThisProcess.uid)" }
        if let directory = Environment["XDG_RUNTIME_DIR"], !directory.isEmpty { return "\(directory)/forge-session" }
        return "/run/user/\(ThisProcess.uid)/forge-session"
    }
}
