import CForgeKernels
package import ForgeCore

/// How tokens choose experts (`fk_route` in the kernel table).
package struct Routing: Hashable, Sendable {
    package enum Score: Sendable {
        /// Over all experts: Mixtral, Mistral Small 4.
        case softmax
        /// Each expert by itself: DeepSeek-V3.
        case sigmoid
    }

    package var experts: Int
    /// Experts a token goes to.
    package var choices: Int
    package var score: Score
    /// A token's weights are divided by their sum.
    package var renormalised: Bool
    /// Multiplies the weights last.
    package var scale: Float

    package init(experts: Int, choices: Int, score: Score = .softmax, renormalised: Bool = true, scale: Float = 1) {
        precondition((1...Routing.expertsMax).contains(experts) && (1...experts).contains(choices), "a token goes to one to all of the experts")
        self.experts = experts
        self.choices = choices
        self.score = score
        self.renormalised = renormalised
        self.scale = scale
    }

    package static let expertsMax = Int(FK_EXPERTS_MAX)

    var c: fk_route {
        fk_route(
            experts: Int64(experts), choices: Int64(choices), score: score == .softmax ? FK_SOFTMAX : FK_SIGMOID, renormalise: renormalised ? 1 : 0, scale: scale, unused: 0)
    }
}

/// The pairs of (token, choice) in the order of their experts: `fk_ops.route_sort`.
package struct Dispatch {
    /// `[experts + 1]`: the places of expert e are `starts[e]..<starts[e + 1]`.
    package let starts: Indices
    /// `[rows · choices]`: where pair `t · choices + j` went.
    package let place: Indices
    /// `[rows · choices]`: the pair at a place.
    package let pair: Indices

    package init(starts: Indices, place: Indices, pair: Indices) {
        (self.starts, self.place, self.pair) = (starts, place, pair)
    }
}

extension Device {
    /// Scores, the best choices and their weights, a row a token.
    /// - Parameters:
    ///   - weights, choice: `[rows, choices]`. `probs`: `[rows, experts]`, may be `logits`.
    ///   - bias: `[1, experts]`, moves the choice and nothing else.
    package func route(weights: Tensor, choice: Indices, probs: Tensor, logits: Tensor, bias: Tensor? = nil, _ routing: Routing) throws(Fault) {
        precondition(same(probs, logits) && logits.columns == routing.experts && (bias.map { $0.count == routing.experts } ?? true), "route: a score an expert")
        precondition(
            weights.rows == logits.rows && weights.columns == routing.choices && weights.layout.isContiguous && choice.capacity >= weights.count, "route: a weight a choice")
        var c = routing.c
        try check(
            unsafe ops.route_fwd(weights.pointer, choice.pointer, probs.pointer, logits.pointer, bias?.pointer, Int64(logits.rows), &c, stream), "choose experts")
    }

    /// `dlogits` (may be `probs`) from the gradient of the weights; `balance` `[1, experts]` is added to that of every row's scores.
    package func routeBackward(dlogits: Tensor, dweights: Tensor, choice: Indices, probs: Tensor, balance: Tensor? = nil, _ routing: Routing) throws(Fault) {
        precondition(same(dlogits, probs) && probs.columns == routing.experts && (balance.map { $0.count == routing.experts } ?? true), "route: a score an expert")
        precondition(
            dweights.rows == probs.rows && dweights.columns == routing.choices && dweights.layout.isContiguous && choice.capacity >= dweights.count,
            "route: a weight a choice")
        var c = routing.c
        try check(
            unsafe ops.route_bwd(dlogits.pointer, dweights.pointer, choice.pointer, probs.pointer, balance?.pointer, Int64(probs.rows), &c, stream),
            "choose experts backward")
    }

    /// Fills `dispatch` with the pairs of `rows` tokens.
    package func sort(_ dispatch: Dispatch, choice: Indices, rows: Int, _ routing: Routing) throws(Fault) {
        let pairs = rows * routing.choices
        precondition(
            dispatch.starts.capacity > routing.experts && dispatch.place.capacity >= pairs && dispatch.pair.capacity >= pairs && choice.capacity >= pairs,
            "sort: a place a pair")
        var c = routing.c
        try check(
            unsafe ops.route_sort(dispatch.starts.pointer, dispatch.place.pointer, dispatch.pair.pointer, choice.pointer, Int64(rows), &c, stream),
            "sort tokens by expert")
    }

    /// `out[p] = x[token of place p]`.
    package func gather(_ out: Tensor, _ x: Tensor, _ dispatch: Dispatch, choices: Int) throws(Fault) {
        precondition(out.rows == x.rows * choices && out.columns == x.columns && out.layout.isContiguous && x.layout.isContiguous, "gather: a row a pair")
        precondition(dispatch.pair.capacity >= out.rows, "gather: a place a pair")
        try check(
            unsafe ops.expert_gather(out.pointer, x.pointer, dispatch.pair.pointer, Int64(x.rows), Int64(choices), Int64(x.columns), stream), "gather rows by expert")
    }

    /// `out[t] = add[t] + Σ_j weights[t, j] · y[place of (t, j)]`; without `weights` each is one. `out` may be `add`.
    package func combine(_ out: Tensor, add: Tensor? = nil, _ y: Tensor, weights: Tensor? = nil, _ dispatch: Dispatch, choices: Int) throws(Fault) {
        precondition(y.rows == out.rows * choices && y.columns == out.columns && y.layout.isContiguous && out.layout.isContiguous, "combine: a row a pair")
        precondition((add.map { same($0, out) } ?? true) && (weights.map { $0.count == y.rows && $0.layout.isContiguous } ?? true), "combine: a weight a pair")
        precondition(dispatch.place.capacity >= y.rows, "combine: a place a pair")
        try check(
            unsafe ops.expert_combine(
                out.pointer, add?.pointer, y.pointer, weights?.pointer, dispatch.place.pointer, Int64(out.rows), Int64(choices), Int64(out.columns), stream),
            "combine experts")
    }

    /// Back through `combine` and `swiglu` at once: see `expert_swiglu_bwd` in the kernel table. `dgu` may be `gu`.
    package func expertSwigluBackward(dgu: Tensor, again: Tensor, dweights: Tensor, dh: Tensor, gu: Tensor, weights: Tensor, _ dispatch: Dispatch) throws(Fault) {
        precondition(same(dgu, gu) && same(again, dh) && gu.rows == dh.rows && gu.columns == 2 * dh.columns, "expert swiglu: shapes")
        precondition(same(dweights, weights) && weights.count == dh.rows && dispatch.pair.capacity >= dh.rows, "expert swiglu: a weight a pair")
        try check(
            unsafe ops.expert_swiglu_bwd(
                dgu.pointer, again.pointer, dweights.pointer, dh.pointer, gu.pointer, weights.pointer, dispatch.pair.pointer, Int64(dh.rows), Int64(dh.columns), stream),
            "apply swiglu backward by expert")
    }

    /// Every matrix of a group, `[n, k]` (`.weight`) or `[k, n]` (`.plain`); `packed` holds `count` times `packedCount`.
    package func pack(_ packed: Tensor, from group: TensorGroup, as kind: PackSource, precision: Precision = .f32) throws(Fault) {
        let (k, n) = kind == .weight ? (group.columns, group.rows) : (group.rows, group.columns)
        precondition(packed.layout.isContiguous && packed.count >= group.count * Device.packedCount(k: k, n: n), "packed matrices need `packedCount` floats each")
        let layout = fk_layout(rawValue: (kind == .weight ? FK_NK : FK_KN).rawValue | precision.flag)
        try check(
            unsafe ops.group_pack(
                packed.pointer, group.first.pointer, Int64(group.count), Int64(group.spacing), Int64(k), Int64(n), Int64(group.first.layout.stride), layout, stream),
            "pack matrices")
    }

    /// `out[r] = a[r] · B_e` for the rows r of each expert e. `a` and `out` have a row a place; `packed` is the group `B`.
    package func multiply(_ out: Tensor, _ a: Tensor, packed: Tensor, starts: Indices, groups: Int, precision: Precision = .f32) throws(Fault) {
        precondition(out.rows == a.rows && starts.capacity > groups && packed.count >= groups * Device.packedCount(k: a.columns, n: out.columns), "a product's extents fit together")
        try check(
            unsafe ops.group_gemm(
                out.pointer, a.pointer, packed.pointer, starts.pointer, Int64(groups), Int64(a.rows), Int64(a.columns), Int64(out.columns), Int64(a.layout.stride),
                Int64(out.layout.stride), Int32(precision.flag), stream), "multiply matrices by expert")
    }

    /// `dw_e += dyᵀ · x` over the rows of each expert e. `workspace`: `packedCount(k: x.rows, n: x.columns)` floats.
    package func accumulate(_ dw: TensorGroup, dy: Tensor, x: Tensor, starts: Indices, workspace: Tensor, precision: Precision = .f32) throws(Fault) {
        precondition(dw.rows == dy.columns && dw.columns == x.columns && dy.rows == x.rows && starts.capacity > dw.count, "a product's extents fit together")
        precondition(workspace.layout.isContiguous && workspace.count >= Device.packedCount(k: x.rows, n: x.columns), "packed rows need `packedCount` floats")
        let (groups, rows, flag) = (Int64(dw.count), Int64(x.rows), Int32(precision.flag))
        try check(
            unsafe ops.group_pack_rows(workspace.pointer, x.pointer, starts.pointer, groups, rows, Int64(x.columns), Int64(x.layout.stride), flag, stream),
            "pack rows by expert")
        try check(
            unsafe ops.group_gemm_dw(
                dw.first.pointer, dy.pointer, workspace.pointer, starts.pointer, groups, Int64(dw.spacing), rows, Int64(dw.rows), Int64(dw.columns),
                Int64(dy.layout.stride), Int64(dw.first.layout.stride), FK_ACCUMULATE | flag, stream), "multiply matrices by expert")
    }

    /// Replaces the first `x.columns` doubles of `out` by the sums of the columns, rows in order.
    package func columnSums(_ out: Storage, _ x: Tensor) throws(Fault) {
        precondition(x.layout.isContiguous && out.bytes >= 8 * x.columns, "column sums: a double a column")
        try check(unsafe ops.column_sums(out.base.assumingMemoryBound(to: Double.self), x.pointer, Int64(x.rows), Int64(x.columns), stream), "sum columns")
    }
}
