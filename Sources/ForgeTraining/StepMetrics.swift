/// What one optimiser step did. Written by the worker as it goes; drawn by whoever watches.
package struct StepMetrics: Sendable, Hashable, Codable {
    /// Steps done, this one included, and in the whole run.
    package var step: Int
    package var steps: Int
    /// Mean negative log-likelihood of the step's targets, in nats.
    package var loss: Double
    package var gradientNorm: Double
    package var learningRate: Double
    /// Targets learnt from in the run so far.
    package var targets: Int
    package var epoch: Int
    package var seconds: Double
    package var tokensPerSecond: Double
    /// Of the multiply-add rate measured from registers alone when the run started: 0 to 1.
    package var shareOfPeak: Double
    package var secondsLeft: Double
    /// What the method measures beside the loss, by name.
    package var measures: [String: Double]
}
