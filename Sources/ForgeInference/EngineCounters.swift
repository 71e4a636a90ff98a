import Synchronization

/// What the engine did so far and does now. Every field is a plain number, so a reader never waits for a step.
package final class EngineCounters: Sendable {
    package struct Values: Hashable, Sendable {
        package var running = 0
        package var waiting = 0
        package var cacheUsage = 0.0
        package var preemptions = 0
        package var promptTokens: UInt64 = 0
        package var drawnTokens: UInt64 = 0
        package var refused: UInt64 = 0
        package var steps: UInt64 = 0
        /// Rows computed, over all steps.
        package var rows: UInt64 = 0
        package var sequencesInStepMax = 0
        /// Steps by the number of sequences in them.
        package var stepsBySequences: [Int: UInt64] = [:]
        package var finished: [Finish.Reason: UInt64] = [:]
    }

    private let values = Mutex(Values())

    package init() {}

    package var now: Values { values.withLock { $0 } }

    func update(_ change: (inout Values) -> Void) { values.withLock { change(&$0) } }

    func step(rows: Int, sequences: Int) {
        update {
            $0.steps += 1
            $0.rows += UInt64(rows)
            $0.sequencesInStepMax = max($0.sequencesInStepMax, sequences)
            $0.stepsBySequences[sequences, default: 0] += 1
        }
    }

    func finished(_ reason: Finish.Reason) { update { $0.finished[reason, default: 0] += 1 } }
}
