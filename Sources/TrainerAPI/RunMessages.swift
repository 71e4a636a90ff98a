package import ForgeCore
package import ForgeGate

/// Where a run stands.
package enum RunState: String, Codable, Sendable, Hashable, CaseIterable {
    case queued
    /// Tokenizer and token shards are being made.
    case preparing
    case running
    /// Trained; the model is on its way to the registry.
    case storing
    /// Stopped by the daemon's own end; it goes on when the daemon is back.
    case paused
    /// Something outside the run has to change first: the registry is sealed or away, or the disk is full. It then goes on by itself.
    case waiting
    case finished
    case failed
    case cancelled

    /// Nothing happens any more unless somebody resumes it.
    package var isOver: Bool { self == .finished || self == .failed || self == .cancelled }
}

/// Asks for a model.
package struct RunSubmission: Codable, Sendable, Hashable {
    /// recipe.yaml, as written.
    package var recipe: String
    /// Names or digests of data sets; a name means the latest of that name.
    package var datasets: [String]
    /// What the model will be called in the registry; the recipe's name when left out.
    package var model: String?

    package init(recipe: String, datasets: [String], model: String? = nil) {
        self.recipe = recipe
        self.datasets = datasets
        self.model = model
    }
}

/// What a run will need. Told before it starts; a run that cannot fit is refused.
package struct RunEstimate: Codable, Sendable, Hashable {
    package var parameters: Int
    /// Tokens the run will see.
    package var tokens: Int
    package var flops: Double
    package var memory: ByteCount
    package var disk: ByteCount
    package var seconds: Double
    package var memoryFree: ByteCount
    package var diskFree: ByteCount
    /// Why it cannot fit, in sentences; empty if it fits.
    package var obstacles: [String]

    package init(
        parameters: Int, tokens: Int, flops: Double, memory: ByteCount, disk: ByteCount, seconds: Double, memoryFree: ByteCount, diskFree: ByteCount, obstacles: [String]
    ) {
        self.parameters = parameters
        self.tokens = tokens
        self.flops = flops
        self.memory = memory
        self.disk = disk
        self.seconds = seconds
        self.memoryFree = memoryFree
        self.diskFree = diskFree
        self.obstacles = obstacles
    }

    package enum CodingKeys: String, CodingKey {
        case parameters, tokens, flops, memory, disk, seconds, obstacles
        case memoryFree = "memory_free"
        case diskFree = "disk_free"
    }
}

package struct RunView: Codable, Sendable, Hashable {
    package struct Dataset: Codable, Sendable, Hashable {
        package var name: String
        package var digest: Digest
        package init(name: String, digest: Digest) {
            self.name = name
            self.digest = digest
        }
    }

    package struct Event: Codable, Sendable, Hashable {
        /// Microseconds since 1970.
        package var time: Int64
        package var state: RunState
        package var why: String
        package init(time: Int64, state: RunState, why: String) {
            self.time = time
            self.state = state
            self.why = why
        }
    }

    package struct Result: Codable, Sendable, Hashable {
        package var name: String
        package var version: Int64
        package var digest: Digest
        package init(name: String, version: Int64, digest: Digest) {
            self.name = name
            self.version = version
            self.digest = digest
        }
    }

    package var id: ID
    package var model: String
    package var state: RunState
    /// Why it is where it is; what was wrong, for a failed one.
    package var why: String
    package var submittedBy: String
    package var recipe: Digest
    package var seed: UInt64
    package var datasets: [Dataset]
    /// Microseconds since 1970; `started` and `finished` once they are.
    package var created: Int64
    package var started: Int64?
    package var finished: Int64?
    /// Times a worker was started.
    package var attempts: Int
    package var estimate: RunEstimate?
    /// What the worker said last.
    package var progress: RunMetric?
    package var steps: Int
    package var result: Result?
    package var events: [Event]
    package var record: AuditIndex

    package init(
        id: ID, model: String, state: RunState, why: String, submittedBy: String, recipe: Digest, seed: UInt64, datasets: [Dataset], created: Int64, started: Int64?, finished: Int64?,
        attempts: Int, estimate: RunEstimate?, progress: RunMetric?, steps: Int, result: Result?, events: [Event], record: AuditIndex
    ) {
        self.id = id
        self.model = model
        self.state = state
        self.why = why
        self.submittedBy = submittedBy
        self.recipe = recipe
        self.seed = seed
        self.datasets = datasets
        self.created = created
        self.started = started
        self.finished = finished
        self.attempts = attempts
        self.estimate = estimate
        self.progress = progress
        self.steps = steps
        self.result = result
        self.events = events
        self.record = record
    }

    package enum CodingKeys: String, CodingKey {
        case id, model, state, why, recipe, seed, datasets, created, started, finished, attempts, estimate, progress, steps, result, events, record
        case submittedBy = "submitted_by"
    }
}

package struct RunViews: Codable, Sendable, Hashable {
    package var runs: [RunView]
    package init(runs: [RunView]) { self.runs = runs }
}

/// One optimiser step as the worker measured it.
package struct RunMetric: Codable, Sendable, Hashable {
    package var step: Int
    /// Nats per target.
    package var loss: Double
    package var gradientNorm: Double
    package var learningRate: Double
    package var epoch: Int
    package var tokensPerSecond: Double
    /// Of the machine's measured peak, 0 to 1.
    package var shareOfPeak: Double
    package var secondsLeft: Double
    /// What the method measures beside the loss, by name: of policy learning `reward`, `answer_tokens`, `cut`, `flat_groups`, `ratio_gap`.
    package var measures: [String: Double]?
    /// Microseconds since 1970.
    package var time: Int64

    package init(
        step: Int, loss: Double, gradientNorm: Double, learningRate: Double, epoch: Int, tokensPerSecond: Double, shareOfPeak: Double, secondsLeft: Double,
        measures: [String: Double]? = nil, time: Int64
    ) {
        self.step = step
        self.loss = loss
        self.gradientNorm = gradientNorm
        self.learningRate = learningRate
        self.epoch = epoch
        self.tokensPerSecond = tokensPerSecond
        self.shareOfPeak = shareOfPeak
        self.secondsLeft = secondsLeft
        self.measures = measures
        self.time = time
    }

    package enum CodingKeys: String, CodingKey {
        case step, loss, epoch, measures, time
        case gradientNorm = "gradient_norm"
        case learningRate = "learning_rate"
        case tokensPerSecond = "tokens_per_second"
        case shareOfPeak = "share_of_peak"
        case secondsLeft = "seconds_left"
    }
}

/// Steps of a run, each once, in order.
package struct MetricsPage: Codable, Sendable, Hashable {
    package var run: ID
    package var state: RunState
    package var steps: Int
    package var metrics: [RunMetric]
    /// Losses of the whole run in at most 60 means, for a line on a terminal.
    package var sparkline: [Double]

    package init(run: ID, state: RunState, steps: Int, metrics: [RunMetric], sparkline: [Double]) {
        self.run = run
        self.state = state
        self.steps = steps
        self.metrics = metrics
        self.sparkline = sparkline
    }
}

/// A recipe that ships with Forge or that the site keeps.
package struct RecipeView: Codable, Sendable, Hashable {
    package var name: String
    /// What it is for, in one sentence; empty when it does not say.
    package var about: String
    package var digest: Digest
    package var yaml: String
    package init(name: String, about: String, digest: Digest, yaml: String) {
        self.name = name
        self.about = about
        self.digest = digest
        self.yaml = yaml
    }
}

package struct RecipeViews: Codable, Sendable, Hashable {
    package var recipes: [RecipeView]
    package init(recipes: [RecipeView]) { self.recipes = recipes }
}

/// Asks for a model's score on the held-out documents it never saw.
package struct EvaluationOrder: Codable, Sendable, Hashable {
    /// `name@version` or `name@alias`.
    package var model: String
    /// A data set of the trainer; the one the model was trained on when left out.
    package var dataset: String?
    /// Score the fixed text that every imported model is measured by, instead of documents.
    package var importing: Bool?

    package init(model: String, dataset: String? = nil, importing: Bool? = nil) {
        self.model = model
        self.dataset = dataset
        self.importing = importing
    }
}

/// A model against the Kneser–Ney baseline fitted on the same training documents, both on the same held-out ones; or on the fixed text, without a baseline; or by its answers to tasks.
package struct EvaluationReport: Codable, Sendable, Hashable {
    package var model: String
    package var modelDigest: Digest
    package var dataset: Digest
    package var documents: Int
    package var bytes: Int
    /// Nil where tasks alone are held out.
    package var microbitsPerByte: Int64?
    package var baselineMicrobitsPerByte: Int64?
    package var tasks: Tasks?
    /// How the baseline is made.
    package var baseline: String?
    /// The audit record of the score at the registry.
    package var record: AuditIndex?

    /// The likeliest answers to the tasks that are held out.
    package struct Tasks: Codable, Sendable, Hashable {
        package var count: Int
        /// Answers that earned everything there was to earn.
        package var right: Int
        /// The mean.
        package var reward: Double

        package init(count: Int, right: Int, reward: Double) {
            self.count = count
            self.right = right
            self.reward = reward
        }
    }

    package init(
        model: String, modelDigest: Digest, dataset: Digest, documents: Int, bytes: Int, microbitsPerByte: Int64?, baselineMicrobitsPerByte: Int64? = nil, tasks: Tasks? = nil,
        baseline: String? = nil, record: AuditIndex?
    ) {
        self.model = model
        self.modelDigest = modelDigest
        self.dataset = dataset
        self.documents = documents
        self.bytes = bytes
        self.microbitsPerByte = microbitsPerByte
        self.baselineMicrobitsPerByte = baselineMicrobitsPerByte
        self.tasks = tasks
        self.baseline = baseline
        self.record = record
    }

    package enum CodingKeys: String, CodingKey {
        case model, dataset, documents, bytes, tasks, baseline, record
        case modelDigest = "model_digest"
        case microbitsPerByte = "microbits_per_byte"
        case baselineMicrobitsPerByte = "baseline_microbits_per_byte"
    }
}

package struct TrainerStatus: Codable, Sendable, Hashable {
    package var version: String
    package var queued: Int
    package var running: Int
    /// Kernel family, such as `avx512`, and threads.
    package var kernels: String
    package var threads: Int

    package init(version: String, queued: Int, running: Int, kernels: String, threads: Int) {
        self.version = version
        self.queued = queued
        self.running = running
        self.kernels = kernels
        self.threads = threads
    }
}
