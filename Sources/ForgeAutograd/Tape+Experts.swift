import ForgeCore
package import ForgeTensor

/// Matrices of the same shape, one an expert, and where their gradients are added.
package struct WeightGroup {
    package let value: TensorGroup
    package let gradient: TensorGroup

    package init(_ value: TensorGroup, gradient: TensorGroup) {
        precondition(value.first.layout == gradient.first.layout && value.count == gradient.count, "a gradient has its weight's shape")
        self.value = value
        self.gradient = gradient
    }
}

/// A mixture's feed-forward: every expert is W₂(silu(W₁x)·W₃x).
package struct ExpertWeights {
    /// `[experts, width]`
    package let router: Weight
    /// `[1, experts]`, added to the scores when experts are chosen, and only then. No gradient.
    package let bias: Tensor?
    /// W₁ over W₃: `[2 feedForward, width]` an expert.
    package let gateUp: WeightGroup
    /// W₂: `[width, feedForward]` an expert.
    package let down: WeightGroup
    /// An expert every token goes to, added unweighted.
    package let shared: (gateUp: Weight, down: Weight)?

    package init(router: Weight, bias: Tensor? = nil, gateUp: WeightGroup, down: WeightGroup, shared: (gateUp: Weight, down: Weight)? = nil) {
        precondition(gateUp.value.count == router.value.rows && down.value.count == router.value.rows, "a router has a row an expert")
        precondition(gateUp.value.rows == 2 * down.value.columns && gateUp.value.columns == down.value.rows, "an expert's matrices fit together")
        self.router = router
        self.bias = bias
        self.gateUp = gateUp
        self.down = down
        self.shared = shared
    }
}

extension Tape {
    /// `Σ_j w_j · expert_j(x) + shared(x)` over the experts each row chose. No row is dropped. The router multiplies in float32 whatever the tape's precision,
    /// because a rounded score can choose another expert.
    ///
    /// Rows are sorted by expert and each product of all experts is one call. Rows gathered for the experts, and what the experts say, are made again going
    /// back or are not needed there: only gate and up are kept.
    /// - Parameters:
    ///   - layer: of `loads`, which `balance` must pool before anything goes back.
    package func experts(_ x: Buffer, _ weights: ExpertWeights, layer: Int, loads: ExpertLoads) -> Buffer {
        let routing = loads.routing, k = routing.choices, count = routing.experts
        precondition(weights.router.value.rows == count, "a router has a row an expert")
        let width = weights.down.value.rows, feedForward = weights.down.value.columns
        let shared = weights.shared.map { gatedLinear(linear(x, $0.gateUp), $0.down) }
        let scores = linear(x, weights.router, precision: .f32)

        let routed = route(scores, bias: weights.bias, layer: layer, loads: loads), mix = routed.mix, place = routed.place, pair = routed.pair
        func dispatch(_ tape: Tape) -> Dispatch { routed.dispatch(tape) }
        func pairs(_ tensor: Tensor) -> Tensor { tensor.pairs(k) }

        let gathered = value(columns: k * width), gu = value(columns: k * 2 * feedForward)
        let packedGateUp = workspace(count * Device.packedCount(k: width, n: 2 * feedForward))
        record("experts' gate and up", [x, pair, place, gathered, packedGateUp, gu]) { (tape) throws(Fault) in
            let dispatch = dispatch(tape)
            try tape.device.gather(pairs(tape[gathered]), tape[x], dispatch, choices: k)
            try tape.device.pack(tape[packedGateUp], from: weights.gateUp.value, as: .weight, precision: tape.precision)
            try tape.device.multiply(
                pairs(tape[gu]), pairs(tape[gathered]), packed: tape[packedGateUp], starts: dispatch.starts, groups: count, precision: tape.precision)
        }

        let hidden = value(columns: k * feedForward), said = value(columns: k * width), out = value(columns: width)
        let packedDown = workspace(count * Device.packedCount(k: feedForward, n: width))
        record("experts' down", [gu, hidden, packedDown, said, pair, place, mix, out] + (shared.map { [$0] } ?? [])) { (tape) throws(Fault) in
            let dispatch = dispatch(tape)
            try tape.device.swiglu(pairs(tape[hidden]), pairs(tape[gu]))
            try tape.device.pack(tape[packedDown], from: weights.down.value, as: .weight, precision: tape.precision)
            try tape.device.multiply(
                pairs(tape[said]), pairs(tape[hidden]), packed: tape[packedDown], starts: dispatch.starts, groups: count, precision: tape.precision)
            try tape.device.combine(tape[out], add: shared.map { tape[$0] }, pairs(tape[said]), weights: tape[mix], dispatch, choices: k)
        }

        rule { tape in
            let dout = tape.gradient(of: out)
            if let shared { tape.setGradient(of: shared, to: dout) }
            let spread = tape.value(columns: k * width), dhidden = tape.value(columns: k * feedForward), again = tape.value(columns: k * feedForward)
            let dmix = tape.value(columns: k), packedDown = tape.workspace(count * Device.packedCount(k: width, n: feedForward))
            tape.recordBackward("experts' down input", [dout, pair, place, spread, packedDown, dhidden, again, gu, mix, dmix]) { (tape) throws(Fault) in
                let dispatch = dispatch(tape)
                try tape.device.gather(pairs(tape[spread]), tape[dout], dispatch, choices: k)
                try tape.device.pack(tape[packedDown], from: weights.down.value, as: .plain, precision: tape.precision)
                try tape.device.multiply(
                    pairs(tape[dhidden]), pairs(tape[spread]), packed: tape[packedDown], starts: dispatch.starts, groups: count, precision: tape.precision)
                try tape.device.expertSwigluBackward(
                    dgu: pairs(tape[gu]), again: pairs(tape[again]), dweights: tape[dmix], dh: pairs(tape[dhidden]), gu: pairs(tape[gu]), weights: tape[mix], dispatch)
            }
            let packedHidden = tape.workspace(Device.packedCount(k: tape.capacity * k, n: feedForward))
            tape.recordBackward("experts' down weight", [spread, again, packedHidden]) { (tape) throws(Fault) in
                try tape.device.accumulate(
                    weights.down.gradient, dy: pairs(tape[spread]), x: pairs(tape[again]), starts: loads.starts[layer], workspace: tape[packedHidden],
                    precision: tape.precision)
            }
            // From here on `gu` holds its own gradient.
            let gathered = tape.value(columns: k * width), packedX = tape.workspace(Device.packedCount(k: tape.capacity * k, n: width))
            tape.recordBackward("experts' gate and up weight", [x, pair, place, gathered, packedX, gu]) { (tape) throws(Fault) in
                try tape.device.gather(pairs(tape[gathered]), tape[x], dispatch(tape), choices: k)
                try tape.device.accumulate(
                    weights.gateUp.gradient, dy: pairs(tape[gu]), x: pairs(tape[gathered]), starts: loads.starts[layer], workspace: tape[packedX],
                    precision: tape.precision)
            }
            let (dx, accumulate) = tape.claimGradient(of: x)
            let dgathered = tape.value(columns: k * width), packedGateUp = tape.workspace(count * Device.packedCount(k: 2 * feedForward, n: width))
            tape.recordBackward("experts' gate and up input", [gu, packedGateUp, dgathered, pair, place, dx]) { (tape) throws(Fault) in
                let dispatch = dispatch(tape)
                try tape.device.pack(tape[packedGateUp], from: weights.gateUp.value, as: .plain, precision: tape.precision)
                try tape.device.multiply(
                    pairs(tape[dgathered]), pairs(tape[gu]), packed: tape[packedGateUp], starts: dispatch.starts, groups: count, precision: tape.precision)
                try tape.device.combine(tape[dx], add: accumulate ? tape[dx] : nil, pairs(tape[dgathered]), dispatch, choices: k)
            }
            tape.routeBack(routed, dmix: dmix)
        }
        return out
    }

    /// Where each row goes, and with what weight.
    struct Routed {
        let scores, mix, choice, place, pair: Buffer
        let layer: Int
        let loads: ExpertLoads

        func dispatch(_ tape: Tape) -> Dispatch { Dispatch(starts: loads.starts[layer], place: Indices(in: tape[place]), pair: Indices(in: tape[pair])) }
    }

    /// - Parameter scores: become probabilities.
    func route(_ scores: Buffer, bias: Tensor?, layer: Int, loads: ExpertLoads) -> Routed {
        let k = loads.routing.choices
        let routed = Routed(
            scores: scores, mix: value(columns: k), choice: value(columns: k), place: value(columns: k), pair: value(columns: k), layer: layer, loads: loads)
        record("route", [scores, routed.mix, routed.choice, routed.place, routed.pair]) { (tape) throws(Fault) in
            let choice = Indices(in: tape[routed.choice])
            try tape.device.route(weights: tape[routed.mix], choice: choice, probs: tape[scores], logits: tape[scores], bias: bias, loads.routing)
            try tape.device.sort(routed.dispatch(tape), choice: choice, rows: tape.inputs.rows, loads.routing)
            try loads.add(tape[scores], layer: layer)
        }
        return routed
    }

    func routeBack(_ routed: Routed, dmix: Buffer) {
        let (dscores, used) = claimGradient(of: routed.scores), loads = routed.loads
        precondition(!used, "scores are read by their mixture alone")
        recordBackward("route", [dmix, routed.choice, routed.scores, dscores]) { (tape) throws(Fault) in
            try tape.device.routeBackward(
                dlogits: tape[dscores], dweights: tape[dmix], choice: Indices(in: tape[routed.choice]), probs: tape[routed.scores], balance: loads.balance, loads.routing)
        }
    }

    /// Recorded once, after the last mixture: pools the loads of the layers, and gives the balancing loss, with the batch's weight, its place in the gradient.
    package func balance(_ loads: ExpertLoads) {
        record("balance", []) { (tape) throws(Fault) in loads.pool(rows: tape.inputs.rows, weight: tape.inputs.balanceWeight) }
    }
}

extension Tensor {
    /// A row a token holds its pairs side by side; a row a pair is the same memory.
    func pairs(_ choices: Int) -> Tensor { view(rows: rows * choices, columns: columns / choices) }
}
