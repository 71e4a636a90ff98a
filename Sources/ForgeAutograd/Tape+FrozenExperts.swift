import ForgeCore
package import ForgeTensor

/// A mixture's feed-forward that does not learn: every expert is W₂(silu(W₁x)·W₃x), in any format serving knows.
package struct FrozenExperts {
    package typealias Expert = (gateUp: PackedMatrix, down: PackedMatrix)

    /// `[experts, width]` in float32.
    package let router: PackedMatrix
    package let experts: [Expert]

    package init(router: PackedMatrix, experts: [Expert]) {
        precondition(router.outputs == experts.count, "a router has a row an expert")
        self.router = router
        self.experts = experts
    }
}

extension Tape {
    /// `Σ_j w_j · expert_j(x) + shared` over the experts each row chose, with nothing that learns but what made `x` and `shared`: gradients go through experts and router.
    /// - Parameters:
    ///   - shared: what the experts every row goes to say; used by this alone.
    ///   - layer: of `loads`, which `balance` must pool before anything goes back.
    package func experts(_ x: Buffer, frozen: FrozenExperts, shared: Buffer?, layer: Int, loads: ExpertLoads) -> Buffer {
        let k = loads.routing.choices, width = frozen.router.inputs, feedForward = frozen.experts[0].down.inputs
        // A rounded score can choose another expert, so the router multiplies in float32 both ways.
        let routed = route(linear(x, frozen: frozen.router, adapters: [], precision: .f32), bias: nil, layer: layer, loads: loads)
        let gathered = value(columns: k * width), gu = value(columns: k * 2 * feedForward), hidden = value(columns: k * feedForward), said = value(columns: k * width)
        let out = value(columns: width), format = frozen.experts[0].down.format
        let scratch = workspace(format.workspaceFloats(rows: capacity, k: max(width, feedForward)))
        /// Each expert with the places of the rows that chose it.
        func each(_ body: (FrozenExperts.Expert, Int, Int) throws(Fault) -> Void) throws(Fault) {
            let starts = loads.starts[layer].values(frozen.experts.count + 1).map(Int.init)
            for (number, expert) in frozen.experts.enumerated() where starts[number] < starts[number + 1] {
                try body(expert, starts[number], starts[number + 1] - starts[number])
            }
        }
        record("frozen experts", [x, routed.pair, routed.place, gathered, gu, hidden, scratch, said, routed.mix, out] + (shared.map { [$0] } ?? [])) { (tape) throws(Fault) in
            let dispatch = routed.dispatch(tape), gathered = tape[gathered].pairs(k), gu = tape[gu].pairs(k), hidden = tape[hidden].pairs(k), said = tape[said].pairs(k)
            try tape.device.gather(gathered, tape[x], dispatch, choices: k)
            try each { (expert, first, count) throws(Fault) in
                try tape.device.multiply(gu.rows(first, count), gathered.rows(first, count), by: expert.gateUp, workspace: tape[scratch])
                try tape.device.swiglu(hidden.rows(first, count), gu.rows(first, count))
                try tape.device.multiply(said.rows(first, count), hidden.rows(first, count), by: expert.down, workspace: tape[scratch])
            }
            try tape.device.combine(tape[out], add: shared.map { tape[$0] }, said, weights: tape[routed.mix], dispatch, choices: k)
        }
        rule { tape in
            let dout = tape.gradient(of: out)
            if let shared { tape.setGradient(of: shared, to: dout) }
            let spread = tape.value(columns: k * width), dhidden = tape.value(columns: k * feedForward), again = tape.value(columns: k * feedForward), dmix = tape.value(columns: k)
            let dgathered = tape.value(columns: k * width), unpacked = tape.workspace(Device.backWorkspace(inputs: max(width, feedForward)))
            let (dx, accumulate) = tape.claimGradient(of: x)
            tape.recordBackward(
                "frozen experts", [dout, routed.pair, routed.place, routed.mix, gu, spread, dhidden, again, dmix, dgathered, unpacked, dx]
            ) { (tape) throws(Fault) in
                let dispatch = routed.dispatch(tape), spread = tape[spread].pairs(k), dhidden = tape[dhidden].pairs(k), dgathered = tape[dgathered].pairs(k), gu = tape[gu].pairs(k)
                try tape.device.gather(spread, tape[dout], dispatch, choices: k)
                try each { (expert, first, count) throws(Fault) in
                    try tape.device.multiplyBack(
                        dhidden.rows(first, count), spread.rows(first, count), by: expert.down, accumulate: false, precision: tape.precision, workspace: tape[unpacked])
                }
                // From here on `gu` holds its own gradient.
                try tape.device.expertSwigluBackward(
                    dgu: gu, again: tape[again].pairs(k), dweights: tape[dmix], dh: dhidden, gu: gu, weights: tape[routed.mix], dispatch)
                try each { (expert, first, count) throws(Fault) in
                    try tape.device.multiplyBack(
                        dgathered.rows(first, count), gu.rows(first, count), by: expert.gateUp, accumulate: false, precision: tape.precision, workspace: tape[unpacked])
                }
                try tape.device.combine(tape[dx], add: accumulate ? tape[dx] : nil, dgathered, dispatch, choices: k)
            }
            tape.routeBack(routed, dmix: dmix)
        }
        return out
    }

    /// A frozen matrix with an adapter added to it, for operations that need it whole: W + scale·B·A, made anew in every pass.
    /// - Parameters:
    ///   - made: of W's shape; receives the sum. `gradient`: of the same shape; whoever uses the sum adds to it, and what came together goes to A and B.
    package func adapted(_ weight: Tensor, _ adapter: Adapter, made: Tensor, gradient: Tensor?) -> Weight {
        let (rows, columns, rank) = (weight.rows, weight.columns, adapter.rank), precision = precision
        let scaled = workspace(rows * rank), packed = workspace(Device.packedCount(k: rank, n: columns))
        record("adapted matrix", [scaled, packed]) { (tape) throws(Fault) in
            let up = tape[scaled].view(rows: rows, columns: rank)
            try tape.device.combine(up, adapter.scale, adapter.up.value)
            try tape.device.combine(made, 1, weight)
            try tape.device.pack(tape[packed], from: adapter.down.value, as: .plain, precision: precision)
            try tape.device.multiply(made, up, packed: tape[packed], accumulate: true, precision: precision)
            gradient?.fill(0)
        }
        if let gradient {
            rule { tape in
                let packedDown = tape.workspace(Device.packedCount(k: columns, n: rank)), packedSum = tape.workspace(Device.packedCount(k: rows, n: columns))
                let up = tape.workspace(rows * rank)
                tape.recordBackward("adapted matrix", [packedDown, packedSum, up]) { (tape) throws(Fault) in
                    // dB += scale·G·Aᵀ, dA += scale·Bᵀ·G: the scale rides on G.
                    try tape.device.combine(gradient, adapter.scale, gradient)
                    if let dup = adapter.up.gradient {
                        try tape.device.pack(tape[packedDown], from: adapter.down.value, as: .weight, precision: precision)
                        try tape.device.multiply(dup, gradient, packed: tape[packedDown], accumulate: true, precision: precision)
                    }
                    if let ddown = adapter.down.gradient {
                        try tape.device.pack(tape[packedSum], from: gradient, as: .plain, precision: precision)
                        try tape.device.multiply(ddown, adapter.up.value, packed: tape[packedSum], transposed: true, accumulate: true, precision: precision)
                    }
                }
            }
        }
        return Weight(made, gradient: gradient)
    }
}
