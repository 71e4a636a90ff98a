// ForgeInference: from token ids to token events.
//
// owns      the step scheduler, the pool of KV blocks, the forward pass over a paged cache, the sampler, the engine loop
// promises  a request's tokens depend on its own prompt, sampling and seed alone: not on what else runs, on preemption or on the block size;
//           a code point is never split between two pieces of text; a stop string never leaks
// never     opens a file or a socket, asks who is calling, or keeps a tape (ForgeAutograd)
// flow      Generation → Scheduler.step → [Slice] → ForwardPass.run → logits → Sampler.draw → TextStream → TokenEvent…

/// A token's number in the vocabulary.
package typealias TokenID = Int32

/// Names one sequence inside one engine, in order of arrival.
package struct SequenceID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let number: UInt64
    package init(_ number: UInt64) { self.number = number }
    package static func < (a: SequenceID, b: SequenceID) -> Bool { a.number < b.number }
    package var description: String { "sequence \(number)" }
}
