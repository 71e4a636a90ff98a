internal import ArgumentParser

extension ForgeCommand {
    /// The verbs, in the order a person meets them.
    static let groups: [CommandGroup] = [
        CommandGroup(name: "The appliance", subcommands: [Up.self, Init.self, Status.self, Seal.self, Unseal.self, Doctor.self]),
        CommandGroup(name: "Who you are", subcommands: [Login.self, Logout.self, WhoAmICommand.self, CanICommand.self]),
        CommandGroup(name: "Making models", subcommands: [DataCommand.self, RecipeCommand.self, Train.self, RunCommand.self, Eval.self, ModelCommand.self]),
        CommandGroup(name: "Answers", subcommands: [ServeCommand.self, Complete.self, Chat.self]),
        CommandGroup(name: "Deciding together", subcommands: [ApprovalCommand.self, PolicyCommand.self, KeyCommand.self, UserCommand.self]),
        CommandGroup(name: "Proving", subcommands: [AuditCommand.self, ReceiptCommand.self]),
    ]
}
