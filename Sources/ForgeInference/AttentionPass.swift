import ForgeCore
import ForgeModel
import ForgeTensor

/// A layer's attention in serving, over a paged cache, with the training pass's operations in the training pass's order.
///
/// Legend: R rows of the step, E width, Q and K query and key widths, L the latent's rank, J what is kept of a position (latent and turned key), H heads.
struct AttentionPass {
    private let config: MistralConfig
    private let device: Device
    private let workspace: Tensor
    private let rotation: Rotation
    /// By layer.
    private let shapes: [AttentionShape]
    private let rooms: Rooms

    private enum Rooms {
        /// By layer, `[positions of the cache, K]`.
        case grouped(keys: [Tensor], values: [Tensor], qkv_RQKK: Tensor)
        case latent(Latent)
    }

    private struct Latent {
        let shape: LatentShape
        /// By layer, `[positions of the cache, J]`: one latent is every head's key and its value.
        let kept: [Tensor]
        let squeezed: (raw: Tensor, normed: Tensor)?
        let queries_RQ, latents_RJ, raw_RL, normed_RL, asked_RHJ, read_RHJ: Tensor
    }

    /// - Parameters:
    ///   - positions: one sequence may have.
    ///   - cache: positions of all sequences.
    ///   - workspace: what products of `rows` rows need; shared with the rest of the pass.
    init(_ config: MistralConfig, rows: Int, positions: Int, cache: Int, workspace: Tensor, on device: Device) throws(Fault) {
        self.config = config
        self.device = device
        self.workspace = workspace
        rotation = try Rotation(config, positions: positions, on: device)
        shapes = (0..<config.layers).map { config.attention(of: $0) }
        func pools(_ width: Int) throws(Fault) -> [Tensor] {
            var pools: [Tensor] = []
            for _ in 0..<config.layers { pools.append(try device.tensor(rows: cache, columns: width)) }
            return pools
        }
        guard let latent = config.latent else {
            rooms = .grouped(keys: try pools(config.kvWidth), values: try pools(config.kvWidth), qkv_RQKK: try device.tensor(rows: rows, columns: config.attentionWidth))
            return
        }
        var squeezed: (raw: Tensor, normed: Tensor)?
        if let rank = latent.queryRank { squeezed = (try device.tensor(rows: rows, columns: rank), try device.tensor(rows: rows, columns: rank)) }
        rooms = .latent(
            Latent(
                shape: LatentShape(config, latent), kept: try pools(latent.width), squeezed: squeezed, queries_RQ: try device.tensor(rows: rows, columns: config.queryWidth),
                latents_RJ: try device.tensor(rows: rows, columns: latent.width), raw_RL: try device.tensor(rows: rows, columns: latent.rank),
                normed_RL: try device.tensor(rows: rows, columns: latent.rank), asked_RHJ: try device.tensor(rows: rows, columns: config.queryHeads * latent.width),
                read_RHJ: try device.tensor(rows: rows, columns: config.queryHeads * latent.width)))
    }

    /// Keeps what the rows of `x` say of their positions, and gives what their heads read.
    func run(_ x: Tensor, _ weights: PackedWeights.Attention, _ layer: Int, _ paged: PagedRows, into heads: Tensor) throws(Fault) {
        switch (weights, rooms) {
        case (.grouped(let qkv), .grouped(let keys, let values, let room)):
            try attend(x, qkv, keys[layer], values[layer], room.prefix(x.rows), paged, shapes[layer], into: heads)
        case (.latent(let weights), .latent(let rooms)): try attend(x, weights, rooms, layer, paged, into: heads)
        default: preconditionFailure("the weights are those of the configuration")
        }
    }

    private func attend(
        _ x: Tensor, _ weight: PackedMatrix, _ keys: Tensor, _ values: Tensor, _ qkv: Tensor, _ paged: PagedRows, _ shape: AttentionShape, into heads: Tensor
    ) throws(Fault) {
        let rows = x.rows, wide = config.queryWidth, narrow = config.kvWidth, stride = config.attentionWidth
        try device.multiply(qkv, x, by: weight, workspace: workspace)
        try device.rotate(qkv, by: rotation, shape: shape, positions: paged.positions)
        try device.store(
            keys: qkv.view(from: wide, rows: rows, columns: narrow, stride: stride), values: qkv.view(from: wide + narrow, rows: rows, columns: narrow, stride: stride),
            in: keys, values, at: paged, shape: shape)
        try device.pagedAttention(heads, q: qkv.view(rows: rows, columns: wide, stride: stride), keys: keys, values: values, at: paged, shape: shape)
    }

    /// As `Tape.attend` of latents.
    private func attend(_ x: Tensor, _ weights: PackedWeights.Latent, _ rooms: Latent, _ layer: Int, _ paged: PagedRows, into heads: Tensor) throws(Fault) {
        let rows = x.rows, shape = rooms.shape, joined = shape.joined, kept = rooms.kept[layer], eps = LatentAttention.normEps
        var inputs = x
        if let (norm, matrix) = weights.queryDown, let squeezed = rooms.squeezed {
            let raw = squeezed.raw.prefix(rows)
            inputs = squeezed.normed.prefix(rows)
            try device.multiply(raw, x, by: matrix, workspace: workspace)
            try device.rmsnorm(inputs, x: raw, weight: norm, eps: eps)
        }
        let queries = rooms.queries_RQ.prefix(rows), latents = rooms.latents_RJ.prefix(rows), asked = rooms.asked_RHJ.prefix(rows), read = rooms.read_RHJ.prefix(rows)
        try device.multiply(queries, inputs, by: weights.query, workspace: workspace)
        try device.multiply(latents, x, by: weights.down, workspace: workspace)
        try device.settleLatents(
            latents, raw: rooms.raw_RL.prefix(rows), normed: rooms.normed_RL.prefix(rows), norm: weights.norm, eps: eps, shape: shape, rotation: rotation,
            positions: paged.positions)
        try device.store(keys: latents, values: latents, in: kept, kept, at: paged, shape: shapes[layer])
        try device.turnQueries(queries, shape: shape, rotation: rotation, positions: paged.positions)
        for (head, matrix) in weights.absorb.enumerated() {
            try device.multiply(
                shape.part(asked, head: head, wide: joined, take: shape.rank), shape.part(queries, head: head, wide: shape.query, take: shape.plain), by: matrix, workspace: workspace)
        }
        try device.copyColumns(
            shape.byHead(asked, wide: joined, from: shape.rank, take: shape.turned), from: shape.byHead(queries, wide: shape.query, from: shape.plain, take: shape.turned))
        try device.pagedAttention(read, q: asked, keys: kept, values: kept, at: paged, shape: shapes[layer])
        for (head, matrix) in weights.value.enumerated() {
            try device.multiply(
                shape.part(heads, head: head, wide: shape.value, take: shape.value), shape.part(read, head: head, wide: joined, take: shape.rank), by: matrix, workspace: workspace)
        }
    }
}
