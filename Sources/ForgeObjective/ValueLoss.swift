package import ForgeCore

/// What PPO teaches its value model: ½ max((V − R)², (clip(V, V_old ± ε) − R)²), mean over tokens. Schulman et al. 2017, as in TRL 1.12 and verl.
package struct ValueLoss: Sendable, Hashable {
    package struct Sequence: Sendable, Hashable {
        package var values: [Double]
        /// At the time of sampling.
        package var old: [Double]
        package var returns: [Double]
        package var mask: [Bool]

        package init(values: [Double], old: [Double], returns: [Double], mask: [Bool]? = nil) {
            self.values = values
            self.old = old
            self.returns = returns
            self.mask = mask ?? Array(repeating: true, count: values.count)
        }
    }

    package struct Batch: Sendable, Hashable {
        package var loss: Double
        /// Derivative by each value; 0 where masked.
        package var gradients: [[Double]]
        package var tokens: Int
        /// Tokens whose clipped value had the larger error.
        package var clipped: Int
    }

    /// ε; nil does not clip.
    package let clip: Double?

    package init(clip: Double? = 0.2) throws(Fault) {
        if let clip, !(clip.isFinite && clip > 0) { throw .setting("value_clip", clip, needs: "a finite number above 0") }
        self.clip = clip
    }

    /// - Parameter tokens: that are learnt from in the whole step; nil if this pass is all of it.
    package func batch(_ sequences: [Sequence], of tokens: Int? = nil) throws(Fault) -> Batch {
        let own = sequences.reduce(0) { $0 + $1.mask.count { $0 } }, total = tokens ?? own
        guard total > 0, total >= own else { throw .shape("a pass of \(own) tokens cannot be part of a step of \(total)") }
        var batch = Batch(loss: 0, gradients: [], tokens: own, clipped: 0)
        for (i, one) in sequences.enumerated() {
            guard one.old.count == one.values.count, one.returns.count == one.values.count, one.mask.count == one.values.count else {
                throw .shape("sequence \(i) has \(one.values.count) values, \(one.old.count) old ones, \(one.returns.count) returns and a mask of \(one.mask.count)")
            }
            var gradients = Array(repeating: 0.0, count: one.values.count)
            for t in one.values.indices where one.mask[t] {
                guard one.values[t].isFinite, one.old[t].isFinite, one.returns[t].isFinite else { throw .notFinite("the value or the return at token \(t)", of: "sequence \(i)") }
                let reach = clip ?? .infinity, held = clamp(one.values[t], one.old[t] - reach, one.old[t] + reach)
                let off = one.values[t] - one.returns[t], heldOff = held - one.returns[t], isClipped = heldOff * heldOff > off * off
                batch.loss += 0.5 * max(off * off, heldOff * heldOff) / Double(total)
                if isClipped { batch.clipped += 1 }
                // A value beyond the clip has no slope there; at a tie of the two errors each has half a part, as in torch.
                let slope = held == one.values[t] ? off : isClipped ? 0 : heldOff * heldOff == off * off ? off / 2 : off
                gradients[t] = slope / Double(total)
            }
            guard batch.loss.isFinite else { throw .notFinite("the loss", of: "sequence \(i)") }
            batch.gradients.append(gradients)
        }
        return batch
    }
}
