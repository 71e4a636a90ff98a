internal import ArgumentParser
internal import ForgeCheckpoint
internal import ForgeCore
internal import ForgeModel
internal import ForgeOS

extension ModelCommand {
    struct Inspect: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say what a model on this disk is: its configuration, whether it is whole, what is in it, and what it would take. No daemon is asked.",
            discussion: """
                forge model inspect /media/usb/Mistral-Large-4
                Reads a folder in Hugging Face's or Mistral's own layout, or a GGUF file. Of Mistral Large 4, which cannot be brought in yet, every tensor is held against the configuration; what is missing, surplus or of the wrong shape is named, and the exit code is then 3.
                """)
        @OptionGroup var global: Global
        @Argument(help: "The folder with config.json or params.json, or the .gguf file.") var path: String
        @Option(name: .long, help: "Where the folder has both: hugging-face or native.") var layout: String?
        @Flag(name: .long, help: "Of a model of images and text, its decoder of text.") var textOnly = false
        @Option(name: .long, help: "Of a small Mistral Large 4: tokens by their numbers, as 1,5,9; the plain pass then says which five most likely follow.") var tokens: String?

        func run() async throws {
            let path = try Path.absolute(path)
            let isFolder = try Path.information(path)?.kind == .directory
            guard isFolder, try LargeCheckpoint.isDescribed(in: try CheckpointFolder(path)) else {
                guard tokens == nil else {
                    throw Fault(.request, "cli.tokens", "`--tokens` does not belong here", why: "the plain pass is one of Mistral Large 4", remedy: "bring the model in and ask it: `forge model import`, `forge complete`")
                }
                let layout: Checkpoint.Layout? = try ModelCommand.chosen(layout, "--layout")
                return try Inspection(try ImportSource(path, layout: layout, textOnly: textOnly, adapters: nil)).show(path, global)
            }
            guard layout == nil, !textOnly else {
                throw Fault(.request, "cli.layout", "`--layout` and `--text-only` do not belong here", why: "of Mistral Large 4 there is one layout, and all of it is looked at", remedy: "leave them out")
            }
            let wanted = try tokens.map { (text) throws(Fault) in try Inspect.numbers(text) }
            let checkpoint = try LargeCheckpoint(try CheckpointFolder(path))
            var inspection = try Inspection(checkpoint)
            if let wanted {
                if inspection.isWhole { inspection.next = try Inspect.next(wanted, checkpoint) } else { global.talk.say("the plain pass is left out: the model is not whole") }
            }
            try inspection.show(path, global)
            if !inspection.isWhole { throw ExitCodes.checkFailed }
        }

        private static func numbers(_ text: String) throws(Fault) -> [Int] {
            let numbers = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }, whole = numbers.compactMap { $0 }
            guard whole.count == numbers.count, (1...tokensMax).contains(whole.count) else {
                throw Fault(.request, "cli.tokens", "`--tokens \(text.prefix(60))` cannot be read", why: "it is 1 to \(tokensMax) whole numbers with commas between them", remedy: "write it as 1,5,9")
            }
            return whole
        }

        private static let weightsMax = ByteCount.gib(4), tokensMax = 512

        /// The five likeliest next tokens, as the plain pass has them.
        private static func next(_ tokens: [Int], _ checkpoint: LargeCheckpoint) throws(Fault) -> [Inspection.Next] {
            guard checkpoint.audit.bytes <= weightsMax else {
                throw Fault(
                    .request, "cli.tokens", "the plain pass is for small models", why: "these weights take \(checkpoint.audit.bytes), and it reads at most \(weightsMax)",
                    remedy: "leave `--tokens` out: everything else is said without it")
            }
            let twin = LargeTwin(checkpoint.table) { (entry, rows) throws(Fault) in try checkpoint.values(entry, rows: rows) }
            guard let logits = try twin.logits(tokens, last: true).first?.map(Double.init) else { return [] }
            return LargeTwin.best(logits, 5).map { Inspection.Next(token: $0, logProbability: logits[$0] - LargeTwin.logOfSum(logits)) }
        }
    }
}
