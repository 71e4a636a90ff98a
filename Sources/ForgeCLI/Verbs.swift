internal import ArgumentParser

extension ForgeCommand {
    /// The verbs, in the order a person meets them.
    static let groups: [CommandGroup] = []
}
