package import ForgeCore
package import ForgeTokenizer

/// Prompts as tokens, each with what judges its answers (docs/formats/sample-shard.md).
package struct TaskShard: Sendable {
    private static let format = "forge-tasks/v1"

    /// The prompts; nothing of them is learnt.
    package private(set) var prompts: SampleShard
    package private(set) var rewards: [JSON.Object] = []

    package init(tokenizer: Digest) { prompts = SampleShard(tokenizer: tokenizer, form: .prompts) }

    package var count: Int { rewards.count }
    package var tokenizer: Digest { prompts.tokenizer }

    /// - Precondition: a prompt has a token before the one that is drawn first.
    package mutating func append(_ prompt: [Token], reward: JSON.Object) {
        prompts.append(LearntSequence(prompt, learnt: []))
        rewards.append(reward)
    }

    package func encoded() -> [UInt8] {
        var out = Array(JSON.object(["format": .string(TaskShard.format), "tokenizer": .string(tokenizer.description)]).text.utf8) + [0x0a]
        for (prompt, reward) in zip(prompts.sequences, rewards) {
            out += JSON.object(["prompt": .array(prompt.tokens.map { .int(Int64($0)) }), "reward": .object(reward)]).text.utf8
            out.append(0x0a)
        }
        return out
    }

    /// - Throws: `.environment`: shards are our own files, so a malformed one was damaged.
    package init(parsing bytes: [UInt8]) throws(Fault) {
        func damaged(_ why: String) -> Fault {
            Fault(.environment, "shard.damaged", "a task shard is damaged", why: why, remedy: "cancel the run and submit it again: shards are made from the data set")
        }
        let lines = bytes.split(separator: 0x0a)
        guard let head = lines.first, let header = try? JSON.parse(head), header["format"]?.string == TaskShard.format,
            let tokenizer = header["tokenizer"]?.string.flatMap({ Digest(parsing: $0) })
        else { throw damaged("it does not start as a shard does") }
        self.init(tokenizer: tokenizer)
        for (number, line) in lines.dropFirst().enumerated() {
            guard let json = try? JSON.parse(line), let ids = json["prompt"]?.array, !ids.isEmpty, let reward = json["reward"]?.object else { throw damaged("task \(number) does not read") }
            let tokens = ids.compactMap { $0.int.flatMap { Token(exactly: $0) } }
            guard tokens.count == ids.count, tokens.allSatisfy({ $0 >= 0 }) else { throw damaged("an id of task \(number) is none") }
            append(tokens, reward: reward)
        }
    }
}
