// Causal attention with operands rounded to bfloat16, by tensor cores (Dao 2023, arXiv:2307.08691): what attention.cu does in float32.
//
// Queries, keys, values and gradients are rounded once; then a warp has sixteen rows of its block in registers and goes through the other side's
// rows 64 at a time, counted from the start of the sequence. Scores become the next product's first operand without leaving their registers. The
// way back computes them twice, once for dq and once for dk and dv, so that no two blocks write one element and sums have one order.

struct fk_attn_half_job {
    float *out, *lse, *dq, *dk, *dv;
    const float *delta;
    const uint16_t *q, *k, *v, *up;  // rounded: heads side by side, rows q_wide and kv_wide apart
    const int32_t *cu;
    int32_t *trouble;
    int64_t q_wide, kv_wide;
    fk_attn_shape a;
};

enum { fk_half_rows = 64 };

/// Where eighth c of row r of a tile lies: rows of D elements, neighbours in one bank for nobody.
template <int D> FK_FN fk_shared<uint16_t> fk_half_place(fk_shared<uint16_t> tile, int r, int c) { return tile + (r * D + ((c ^ (r & 7)) * 8)); }

/// Starts the copy of R rows; zero from `count` rows and d elements on.
template <int D, int R, int threads> FK_FN void fk_half_fetch(fk_shared<uint16_t> tile, const uint16_t *from, int64_t stride, int64_t count, int64_t d) {
    constexpr int across = D / 8;
#pragma unroll
    for (int here = 0; here < R * across; here += threads) {
        const int r = (here + fk_thread()) / across, c = (here + fk_thread()) % across;
        const bool there = r < count && 8 * c < d;
        fk_async16(fk_half_place<D>(tile, r, c), there ? from + r * stride + 8 * c : from, there ? 16 : 0);
    }
}

/// s[j] = x·yᵀ: sixteen rows of x from r0 on by the 64 rows of y.
template <int D> FK_FN void fk_half_scores(float (&s)[8][4], fk_shared<uint16_t> x, int r0, fk_shared<uint16_t> y) {
    const int lane = fk_lane();
#pragma unroll
    for (int j = 0; j < 8; j++)
        for (int e = 0; e < 4; e++) s[j][e] = 0.0f;
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        uint32_t a[4];
        fk_ldmatrix(a, fk_half_place<D>(x, r0 + lane % 16, 2 * k + lane / 16));
#pragma unroll
        for (int j = 0; j < 8; j += 2) {
            uint32_t four[4];
            fk_ldmatrix(four, fk_half_place<D>(y, 8 * j + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
            const uint32_t first[2] = {four[0], four[1]}, second[2] = {four[2], four[3]};
            fk_mma_bf16(s[j], a, first);
            fk_mma_bf16(s[j + 1], a, second);
        }
    }
}

/// sum += p·y: the scores' registers are the first operand's, 64 rows of y the second's.
template <int D> FK_FN void fk_half_gather(float (&sum)[D / 8][4], const float (&p)[8][4], fk_shared<uint16_t> y) {
    const int lane = fk_lane();
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const uint32_t a[4] = {fk_bf16_pair(p[2 * k][0], p[2 * k][1]), fk_bf16_pair(p[2 * k][2], p[2 * k][3]), fk_bf16_pair(p[2 * k + 1][0], p[2 * k + 1][1]),
                               fk_bf16_pair(p[2 * k + 1][2], p[2 * k + 1][3])};
#pragma unroll
        for (int j = 0; j < D / 8; j += 2) {
            uint32_t four[4];
            fk_ldmatrix_trans(four, fk_half_place<D>(y, 16 * k + lane % 16, j + lane / 16));
            const uint32_t first[2] = {four[0], four[1]}, second[2] = {four[2], four[3]};
            fk_mma_bf16(sum[j], a, first);
            fk_mma_bf16(sum[j + 1], a, second);
        }
    }
}

template <int D> FK_FN void fk_half_store(float *to, int64_t stride, const float (&sum)[D / 8][4], int r0, int64_t count, int64_t d) {
    const int lane = fk_lane();
    for (int j = 0; j < D / 8; j++)
        for (int e = 0; e < 4; e++) {
            const int r = r0 + lane / 4 + e / 2 * 8, c = 8 * j + lane % 4 * 2 + e % 2;
            if (r < count && c < d) to[r * stride + c] = sum[j][e];
        }
}

/// Eight warps, 128 queries.
template <int D> FK_FN void fk_half_fwd_block(const fk_attn_half_job &job) {
    const fk_attn_shape &a = job.a;
    fk_arena arena;
    const auto qt = arena.take<uint16_t>(128 * D), kt = arena.take<uint16_t>(2 * fk_half_rows * D), vt = arena.take<uint16_t>(2 * fk_half_rows * D);
    const int64_t h = fk_block() % a.q_heads, d = a.head_dim, g = h / (a.q_heads / a.kv_heads) * d;
    fk_group sequence;
    if (!fk_find_group(sequence, job.cu, a.sequences, a.tokens, fk_block() / a.q_heads, 128, job.trouble)) return;
    const int64_t start = sequence.first, q0 = sequence.tile * 128, count = fk_min(128, sequence.rows - q0), end = q0 + count;
    const int lane = fk_lane(), r0 = 16 * fk_warp();
    const float slope = a.scale * 1.44269504f;
    const auto fetch = [&](int64_t j0, int stage) {
        const int64_t at = (start + j0) * job.kv_wide + g;
        fk_half_fetch<D, fk_half_rows, 256>(kt + stage * fk_half_rows * D, job.k + at, job.kv_wide, end - j0, d);
        fk_half_fetch<D, fk_half_rows, 256>(vt + stage * fk_half_rows * D, job.v + at, job.kv_wide, end - j0, d);
    };
    const int64_t first = a.window ? fk_max(0, q0 - a.window + 1) / fk_half_rows * fk_half_rows : 0;
    fk_half_fetch<D, 128, 256>(qt, job.q + (start + q0) * job.q_wide + h * d, job.q_wide, count, d);
    fetch(first, 0);
    fk_async_commit();
    float sum[D / 8][4] = {}, largest[2] = {-INFINITY, -INFINITY}, total[2] = {};
    for (int64_t j0 = first; j0 < end; j0 += fk_half_rows) {
        const int stage = (int)((j0 - first) / fk_half_rows % 2);
        fk_async_wait<0>();
        fk_sync();  // this tile is there for all, and the other one is read no more
        if (j0 + fk_half_rows < end) fetch(j0 + fk_half_rows, 1 - stage);
        fk_async_commit();
        float s[8][4];
        fk_half_scores<D>(s, qt, r0, kt + stage * fk_half_rows * D);
        const bool masked = j0 + fk_half_rows > q0 + r0 + 1 || a.window;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int64_t query = q0 + r0 + lane / 4 + 8 * half;
            float top = -INFINITY;
#pragma unroll
            for (int j = 0; j < 8; j++)
                for (int e = 2 * half; e < 2 * half + 2; e++) {
                    if (masked && !fk_attn_sees(query, j0 + 8 * j + lane % 4 * 2 + e % 2, a.window)) s[j][e] = -INFINITY;
                    top = fmaxf(top, s[j][e]);
                }
            top = fmaxf(top, fk_shuffle_xor(top, 1));
            top = fmaxf(top, fk_shuffle_xor(top, 2));
            top = fmaxf(top, largest[half]);
            // A row that has seen no key yet keeps -inf; 0 stands in so that -inf - (-inf) never happens.
            const float base = top == -INFINITY ? 0.0f : top * slope, fade = fk_exp2_fast(largest[half] * slope - base);
            float some = 0.0f;
#pragma unroll
            for (int j = 0; j < 8; j++)
                for (int e = 2 * half; e < 2 * half + 2; e++) {
                    s[j][e] = fk_exp2_fast(fk_fma(s[j][e], slope, -base));
                    some = some + s[j][e];
                }
            total[half] = fk_fma(total[half], fade, some);
            largest[half] = top;
#pragma unroll
            for (int j = 0; j < D / 8; j++)
                for (int e = 2 * half; e < 2 * half + 2; e++) sum[j][e] = sum[j][e] * fade;
        }
        fk_half_gather<D>(sum, s, vt + stage * fk_half_rows * D);
    }
    fk_async_wait<0>();
#pragma unroll
    for (int half = 0; half < 2; half++) {
        // The four lanes of a row have summed their own keys.
        total[half] = total[half] + fk_shuffle_xor(total[half], 1);
        total[half] = total[half] + fk_shuffle_xor(total[half], 2);
        const float inverse = 1.0f / total[half];
        for (int j = 0; j < D / 8; j++)
            for (int e = 2 * half; e < 2 * half + 2; e++) sum[j][e] = sum[j][e] * inverse;
        const int r = r0 + lane / 4 + 8 * half;
        if (job.lse && lane % 4 == 0 && r < count) job.lse[(start + q0 + r) * a.q_heads + h] = (float)((double)(largest[half] * a.scale) + fk_log((double)total[half]));
    }
    fk_half_store<D>(job.out + (start + q0) * a.o_stride + h * d, a.o_stride, sum, r0, count, d);
}

/// Four warps, 64 queries.
template <int D> FK_FN void fk_half_dq_block(const fk_attn_half_job &job) {
    const fk_attn_shape &a = job.a;
    fk_arena arena;
    const auto qt = arena.take<uint16_t>(fk_half_rows * D), ut = arena.take<uint16_t>(fk_half_rows * D);
    const auto kt = arena.take<uint16_t>(2 * fk_half_rows * D), vt = arena.take<uint16_t>(2 * fk_half_rows * D);
    const int64_t h = fk_block() % a.q_heads, d = a.head_dim, g = h / (a.q_heads / a.kv_heads) * d;
    fk_group sequence;
    if (!fk_find_group(sequence, job.cu, a.sequences, a.tokens, fk_block() / a.q_heads, fk_half_rows, job.trouble)) return;
    const int64_t start = sequence.first, q0 = sequence.tile * fk_half_rows, count = fk_min(fk_half_rows, sequence.rows - q0), end = q0 + count;
    const int lane = fk_lane(), r0 = 16 * fk_warp();
    const auto fetch = [&](int64_t j0, int stage) {
        const int64_t at = (start + j0) * job.kv_wide + g;
        fk_half_fetch<D, fk_half_rows, 128>(kt + stage * fk_half_rows * D, job.k + at, job.kv_wide, end - j0, d);
        fk_half_fetch<D, fk_half_rows, 128>(vt + stage * fk_half_rows * D, job.v + at, job.kv_wide, end - j0, d);
    };
    const int64_t first = fk_attn_first(q0, a.window), row = (start + q0) * job.q_wide + h * d;
    fk_half_fetch<D, fk_half_rows, 128>(qt, job.q + row, job.q_wide, count, d);
    fk_half_fetch<D, fk_half_rows, 128>(ut, job.up + row, job.q_wide, count, d);
    fetch(first, 0);
    fk_async_commit();
    float lse[2], delta[2];
    for (int half = 0; half < 2; half++) {
        const int r = r0 + lane / 4 + 8 * half;
        const int64_t at = (start + q0 + r) * a.q_heads + h;
        lse[half] = r < count ? job.lse[at] : 0.0f, delta[half] = r < count ? job.delta[at] : 0.0f;
    }
    float sum[D / 8][4] = {};
    for (int64_t j0 = first; j0 < end; j0 += fk_half_rows) {
        const int stage = (int)((j0 - first) / fk_half_rows % 2);
        fk_async_wait<0>();
        fk_sync();
        if (j0 + fk_half_rows < end) fetch(j0 + fk_half_rows, 1 - stage);
        fk_async_commit();
        float p[8][4], ds[8][4];
        fk_half_scores<D>(p, qt, r0, kt + stage * fk_half_rows * D);
        fk_half_scores<D>(ds, ut, r0, vt + stage * fk_half_rows * D);
#pragma unroll
        for (int j = 0; j < 8; j++)
            for (int e = 0; e < 4; e++) {
                const int64_t query = q0 + r0 + lane / 4 + e / 2 * 8, key = j0 + 8 * j + lane % 4 * 2 + e % 2;
                const bool seen = query < end && fk_attn_sees(query, key, a.window);
                const float each = seen ? fk_exp2_fast((p[j][e] * a.scale - lse[e / 2]) * 1.44269504f) : 0.0f;
                p[j][e] = each * (ds[j][e] - delta[e / 2]) * a.scale;
            }
        fk_half_gather<D>(sum, p, kt + stage * fk_half_rows * D);
    }
    fk_async_wait<0>();
    fk_half_store<D>(job.dq + (start + q0) * a.q_stride + h * d, a.q_stride, sum, r0, count, d);
}

/// Four warps, 64 keys: scores lie turned, a row a key.
template <int D> FK_FN void fk_half_dkv_block(const fk_attn_half_job &job) {
    const fk_attn_shape &a = job.a;
    fk_arena arena;
    const auto kt = arena.take<uint16_t>(fk_half_rows * D), vt = arena.take<uint16_t>(fk_half_rows * D);
    const auto qt = arena.take<uint16_t>(2 * fk_half_rows * D), ut = arena.take<uint16_t>(2 * fk_half_rows * D);
    const int64_t kv = fk_block() % a.kv_heads, d = a.head_dim, group = a.q_heads / a.kv_heads;
    fk_group sequence;
    if (!fk_find_group(sequence, job.cu, a.sequences, a.tokens, fk_block() / a.kv_heads, fk_half_rows, job.trouble)) return;
    const int64_t start = sequence.first, length = sequence.rows, j0 = sequence.tile * fk_half_rows, keys = fk_min(fk_half_rows, length - j0);
    const int64_t last = fk_attn_last(j0, keys, length, a.window), tiles = fk_ceil(last - j0, fk_half_rows);
    const int lane = fk_lane(), r0 = 16 * fk_warp();
    // All heads of the group one after another, tile by tile.
    const auto fetch = [&](int64_t step, int stage) {
        const int64_t q0 = j0 + step % tiles * fk_half_rows, at = (start + q0) * job.q_wide + (kv * group + step / tiles) * d;
        fk_half_fetch<D, fk_half_rows, 128>(qt + stage * fk_half_rows * D, job.q + at, job.q_wide, length - q0, d);
        fk_half_fetch<D, fk_half_rows, 128>(ut + stage * fk_half_rows * D, job.up + at, job.q_wide, length - q0, d);
    };
    const int64_t at = (start + j0) * job.kv_wide + kv * d;
    fk_half_fetch<D, fk_half_rows, 128>(kt, job.k + at, job.kv_wide, keys, d);
    fk_half_fetch<D, fk_half_rows, 128>(vt, job.v + at, job.kv_wide, keys, d);
    fetch(0, 0);
    fk_async_commit();
    float dk[D / 8][4] = {}, dv[D / 8][4] = {};
    for (int64_t step = 0; step < tiles * group; step++) {
        const int stage = (int)(step % 2);
        fk_async_wait<0>();
        fk_sync();
        if (step + 1 < tiles * group) fetch(step + 1, 1 - stage);
        fk_async_commit();
        const int64_t q0 = j0 + step % tiles * fk_half_rows, h = kv * group + step / tiles;
        float p[8][4], ds[8][4];
        fk_half_scores<D>(p, kt, r0, qt + stage * fk_half_rows * D);
        fk_half_scores<D>(ds, vt, r0, ut + stage * fk_half_rows * D);
#pragma unroll
        for (int j = 0; j < 8; j++)
            for (int e = 0; e < 2; e++) {
                const int64_t query = q0 + 8 * j + lane % 4 * 2 + e, token = (start + query) * a.q_heads + h;
                const bool here = query < last;
                const float lse = here ? job.lse[token] : 0.0f, delta = here ? job.delta[token] : 0.0f;
                for (int half = 0; half < 2; half++) {
                    const int64_t key = j0 + r0 + lane / 4 + 8 * half;
                    const bool seen = here && key < j0 + keys && fk_attn_sees(query, key, a.window);
                    float &each = p[j][2 * half + e], &slope = ds[j][2 * half + e];
                    each = seen ? fk_exp2_fast((each * a.scale - lse) * 1.44269504f) : 0.0f;
                    slope = each * (slope - delta) * a.scale;
                }
            }
        fk_half_gather<D>(dv, p, ut + stage * fk_half_rows * D);
        fk_half_gather<D>(dk, ds, qt + stage * fk_half_rows * D);
    }
    fk_async_wait<0>();
    fk_half_store<D>(job.dk + (start + j0) * a.kv_stride + kv * d, a.kv_stride, dk, r0, keys, d);
    fk_half_store<D>(job.dv + (start + j0) * a.kv_stride + kv * d, a.kv_stride, dv, r0, keys, d);
}

#define FK_HALF_KERNELS(D)                                                               \
    FK_KERNEL(fk_half_fwd_##D, fk_attn_half_job, 256) { fk_half_fwd_block<D>(job); }     \
    FK_KERNEL(fk_half_dq_##D, fk_attn_half_job, 128) { fk_half_dq_block<D>(job); }       \
    FK_KERNEL(fk_half_dkv_##D, fk_attn_half_job, 128) { fk_half_dkv_block<D>(job); }
FK_HALF_KERNELS(64)
FK_HALF_KERNELS(128)

#if !FK_DEVICE_PASS
/// Heads whose rows can be fetched by sixteen bytes; others are attended to in float32, which is nearer still.
static bool fk_half_takes(const fk_attn_shape *a) { return a->flags & FK_BF16 && a->head_dim % 8 == 0 && a->head_dim <= 128; }

/// The job with its rounded operands in scratch memory; dout may be NULL.
static fk_status fk_half_prepare(fk_attn_half_job &job, const float *q, const float *k, const float *v, const float *dout, const int32_t *cu, const fk_attn_shape *a, fk_stream s) {
    job.cu = cu, job.trouble = fk_trouble(s), job.a = *a, job.q_wide = a->q_heads * a->head_dim, job.kv_wide = a->kv_heads * a->head_dim;
    void *memory;
    fk_status status = fk_scratch(&memory, s, (size_t)(a->tokens * (2 * job.q_wide + 2 * job.kv_wide)) * 2 + 16);
    if (status != FK_OK) return status;
    uint16_t *rounded = (uint16_t *)memory;
    job.q = rounded, job.up = rounded + a->tokens * job.q_wide, job.k = job.up + a->tokens * job.q_wide, job.v = job.k + a->tokens * job.kv_wide;
    status = fk_round_cuda((uint16_t *)job.q, q, a->tokens, job.q_wide, a->q_stride, 1, job.q_wide, s);
    if (status == FK_OK) status = fk_round_cuda((uint16_t *)job.k, k, a->tokens, job.kv_wide, a->kv_stride, 1, job.kv_wide, s);
    if (status == FK_OK) status = fk_round_cuda((uint16_t *)job.v, v, a->tokens, job.kv_wide, a->kv_stride, 1, job.kv_wide, s);
    return status == FK_OK && dout ? fk_round_cuda((uint16_t *)job.up, dout, a->tokens, job.q_wide, a->o_stride, 1, job.q_wide, s) : status;
}

static fk_status fk_half_fwd(float *out, float *lse, const float *q, const float *k, const float *v, const int32_t *cu, const fk_attn_shape *a, fk_stream s) {
    fk_attn_half_job job = {};
    const fk_status status = fk_half_prepare(job, q, k, v, nullptr, cu, a, s);
    job.out = out, job.lse = lse;
    const int64_t d = a->head_dim <= 64 ? 64 : 128, blocks = a->tokens == 0 ? 0 : a->tokens / 128 + a->sequences;
    return status == FK_OK ? fk_launch(s, d == 64 ? fk_half_fwd_64 : fk_half_fwd_128, blocks * a->q_heads, 1, (size_t)(128 + 4 * fk_half_rows) * (size_t)d * 2, job) : status;
}

/// `delta` holds Σ dout out already.
static fk_status fk_half_bwd(float *dq, float *dk, float *dv, const float *delta, const float *dout, const float *q, const float *k, const float *v, const float *lse, const int32_t *cu,
                             const fk_attn_shape *a, fk_stream s) {
    fk_attn_half_job job = {};
    fk_status status = fk_half_prepare(job, q, k, v, dout, cu, a, s);
    job.dq = dq, job.dk = dk, job.dv = dv, job.delta = delta, job.lse = (float *)lse;
    const int64_t d = a->head_dim <= 64 ? 64 : 128, blocks = a->tokens == 0 ? 0 : a->tokens / fk_half_rows + a->sequences;
    const size_t shared = 6 * fk_half_rows * (size_t)d * 2;
    if (status == FK_OK) status = fk_launch(s, d == 64 ? fk_half_dq_64 : fk_half_dq_128, blocks * a->q_heads, 1, shared, job);
    return status == FK_OK ? fk_launch(s, d == 64 ? fk_half_dkv_64 : fk_half_dkv_128, blocks * a->kv_heads, 1, shared, job) : status;
}
#endif
