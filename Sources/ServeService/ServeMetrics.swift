package import ForgeInference
import Synchronization

/// What `/metrics` shows beside the engine's own counters: times and sizes of requests, under vLLM's names with our prefix, so that its boards and scalers work
/// after one replacement.
package final class ServeMetrics: Sendable {
    private struct Histogram {
        let bounds: [Double]
        var counts: [UInt64]
        var sum = 0.0

        init(_ bounds: [Double]) {
            self.bounds = bounds
            counts = Array(repeating: 0, count: bounds.count + 1)
        }

        mutating func add(_ value: Double) {
            counts[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1
            sum += value
        }
    }

    package enum Series: String, CaseIterable, Sendable {
        case firstToken = "time_to_first_token_seconds"
        case betweenTokens = "inter_token_latency_seconds"
        case perToken = "request_time_per_output_token_seconds"
        case whole = "e2e_request_latency_seconds"
        case queue = "request_queue_time_seconds"
        case prefill = "request_prefill_time_seconds"
        case decode = "request_decode_time_seconds"
        case inference = "request_inference_time_seconds"
        case promptTokens = "request_prompt_tokens"
        case answerTokens = "request_generation_tokens"
        case tokensMax = "request_params_max_tokens"
        case choices = "request_params_n"

        fileprivate var bounds: [Double] {
            switch self {
            case .promptTokens, .answerTokens, .tokensMax: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000]
            case .choices: [1, 2, 5, 10, 20]
            case .firstToken: [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560]
            case .betweenTokens, .perToken: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80]
            default: [0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680]
            }
        }
    }

    private struct State {
        var series: [Series: Histogram] = Dictionary(uniqueKeysWithValues: Series.allCases.map { ($0, Histogram($0.bounds)) })
        var refused: [String: UInt64] = [:]
    }
    private let state = Mutex(State())

    package init() {}

    func add(_ series: Series, _ value: Double) { state.withLock { $0.series[series]!.add(value) } }
    func refused(_ code: String) { state.withLock { $0.refused[code, default: 0] += 1 } }

    /// The text exposition format, version 0.0.4.
    package func text(model: String, engine: EngineCounters.Values?, blockSize: Int, blocks: Int) -> String {
        var out = ""
        let label = #"model_name="\#(model.filter { $0 != "\"" && $0 != "\\" && $0 != "\n" })""#
        func line(_ name: String, _ kind: String, _ help: String, _ values: [(labels: String, value: String)]) {
            out += "# HELP forge:\(name) \(help)\n# TYPE forge:\(name) \(kind)\n"
            for (labels, value) in values { out += "forge:\(name){\(label)\(labels.isEmpty ? "" : ",")\(labels)} \(value)\n" }
        }
        if let engine {
            line("num_requests_running", "gauge", "Sequences that hold blocks.", [("", "\(engine.running)")])
            line("num_requests_waiting", "gauge", "Sequences that wait.", [("", "\(engine.waiting)")])
            line("kv_cache_usage_perc", "gauge", "Share of blocks in use, 1 is all.", [("", "\(engine.cacheUsage)")])
            line("num_preemptions_total", "counter", "Sequences sent back for want of blocks.", [("", "\(engine.preemptions)")])
            line("prompt_tokens_total", "counter", "Prompt tokens taken.", [("", "\(engine.promptTokens)")])
            line("generation_tokens_total", "counter", "Tokens drawn.", [("", "\(engine.drawnTokens)")])
            line(
                "request_success_total", "counter", "Sequences ended, by how.",
                engine.finished.sorted { $0.key.rawValue < $1.key.rawValue }.map { (#"finished_reason="\#($0.key.rawValue)""#, "\($0.value)") })
            line("iteration_tokens_total_sum", "counter", "Rows computed, over all steps.", [("", "\(engine.rows)")])
            line("iteration_tokens_total_count", "counter", "Steps.", [("", "\(engine.steps)")])
            line("sequences_per_step_max", "gauge", "Most sequences that shared a step.", [("", "\(engine.sequencesInStepMax)")])
            line("cache_config_info", "gauge", "How the cache is laid out.", [(#"block_size="\#(blockSize)",num_gpu_blocks="\#(blocks)""#, "1")])
        }
        let (series, refused) = state.withLock { ($0.series, $0.refused) }
        line("admission_rejections_total", "counter", "Requests refused before they began, by code.", refused.sorted { $0.key < $1.key }.map { (#"code="\#($0.key)""#, "\($0.value)") })
        for name in Series.allCases {
            let histogram = series[name]!
            out += "# HELP forge:\(name.rawValue) See the manual, metrics.\n# TYPE forge:\(name.rawValue) histogram\n"
            var total: UInt64 = 0
            for (bound, count) in zip(histogram.bounds.map { "\($0)" } + ["+Inf"], histogram.counts) {
                total += count
                out += "forge:\(name.rawValue)_bucket{\(label),le=\"\(bound)\"} \(total)\n"
            }
            out += "forge:\(name.rawValue)_sum{\(label)} \(histogram.sum)\nforge:\(name.rawValue)_count{\(label)} \(total)\n"
        }
        return out
    }
}

/// Times one request's events and adds them up when it ends.
struct RequestTimer {
    private let metrics: ServeMetrics
    private let begun = ContinuousClock.now
    private var started: ContinuousClock.Instant?
    private var first: ContinuousClock.Instant?
    private var last: ContinuousClock.Instant?
    private var tokens = 0

    init(_ metrics: ServeMetrics) { self.metrics = metrics }

    mutating func saw(_ event: TokenEvent) {
        let now = ContinuousClock.now
        switch event {
        case .started: if started == nil { started = now }
        case .token:
            tokens += 1
            if let last { metrics.add(.betweenTokens, seconds(last, now)) } else {
                first = now
                metrics.add(.firstToken, seconds(begun, now))
            }
            last = now
        case .finished, .failed: break
        }
    }

    func ended(_ usage: Int, prompt: Int) {
        let now = ContinuousClock.now
        metrics.add(.whole, seconds(begun, now))
        metrics.add(.promptTokens, Double(prompt))
        metrics.add(.answerTokens, Double(usage))
        guard let started else { return }
        metrics.add(.queue, seconds(begun, started))
        metrics.add(.inference, seconds(started, now))
        guard let first else { return }
        metrics.add(.prefill, seconds(started, first))
        metrics.add(.decode, seconds(first, now))
        if tokens > 1, let last { metrics.add(.perToken, seconds(first, last) / Double(tokens - 1)) }
    }

    private func seconds(_ from: ContinuousClock.Instant, _ to: ContinuousClock.Instant) -> Double {
        let (seconds, attoseconds) = from.duration(to: to).components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }
}
