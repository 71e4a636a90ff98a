// Causal attention over packed sequences, forward and backward, without storing the score matrix (Dao et al. 2022, arXiv:2205.14135; Dao 2023,
// arXiv:2307.08691), in float32.
//
// A block takes 64 queries (or keys) of one sequence and head and goes through the others 64 at a time, counted from the start of the sequence.
// Sixteen by sixteen threads have four queries by four keys each. What two matrices share lies turned in shared memory, [element][row], so that
// a thread reads its four rows at once; three tiles of it take turns. The way back computes the scores twice, once for dq and once for dk and
// dv: no two blocks write one element, so sums have one order.

enum { fk_attn_rows = 64, fk_attn_pitch = 68 };

struct fk_attn_job {
    float *out, *lse, *dq, *dk, *dv, *delta;
    const float *dout, *q, *k, *v;
    const int32_t *cu;
    int32_t *trouble;
    fk_attn_shape a;
};

/// to[e][row] = scale · from[row][e] for 64 rows, zero from `count` rows and d elements on.
template <int D> FK_FN void fk_attn_turned(fk_shared<float> to, const float *from, int64_t stride, int64_t count, int64_t d, float scale) {
    for (int here = fk_thread(); here < fk_attn_rows * D; here += 256) {
        const int r = here / D, e = here % D;
        to[e * fk_attn_pitch + r] = r < count && e < d ? scale * from[r * stride + e] : 0.0f;
    }
}

/// to[row][e] = from[row][e].
template <int D> FK_FN void fk_attn_plain(fk_shared<float> to, const float *from, int64_t stride, int64_t count, int64_t d) {
    for (int here = fk_thread(); here < fk_attn_rows * D; here += 256) {
        const int r = here / D, e = here % D;
        to[here] = r < count && e < d ? from[r * stride + e] : 0.0f;
    }
}

/// s[i][j] = Σ_e x[e][ty + i] y[e][tx + j]
template <int D> FK_FN void fk_attn_scores(float (&s)[4][4], fk_shared<float> x, fk_shared<float> y, int ty, int tx) {
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) s[i][j] = 0.0f;
#pragma unroll 4
    for (int e = 0; e < D; e++) {
        const float4 a = fk_as<float4>(x + (e * fk_attn_pitch + ty))[0], b = fk_as<float4>(y + (e * fk_attn_pitch + tx))[0];
        const float av[4] = {a.x, a.y, a.z, a.w}, bv[4] = {b.x, b.y, b.z, b.w};
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) s[i][j] = fk_fma(av[i], bv[j], s[i][j]);
    }
}

/// sum[i][4 c + j] += Σ_r p[r][ty + i] y[r][64 c + tx + j] over 64 rows
template <int D> FK_FN void fk_attn_gather(float (&sum)[4][D / 16], fk_shared<float> p, fk_shared<float> y, int ty, int tx) {
#pragma unroll 2
    for (int r = 0; r < fk_attn_rows; r++) {
        const float4 a = fk_as<float4>(p + (r * fk_attn_pitch + ty))[0];
        const float av[4] = {a.x, a.y, a.z, a.w};
        for (int c = 0; c < D / 64; c++) {
            const float4 b = fk_as<float4>(y + (r * D + 64 * c + tx))[0];
            const float bv[4] = {b.x, b.y, b.z, b.w};
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) sum[i][4 * c + j] = fk_fma(av[i], bv[j], sum[i][4 * c + j]);
        }
    }
}

template <int D> FK_FN void fk_attn_store(float *to, int64_t stride, const float (&sum)[4][D / 16], int64_t count, int64_t d, int ty, int tx) {
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < D / 64; c++)
            for (int j = 0; j < 4; j++)
                if (ty + i < count && 64 * c + tx + j < d) to[(ty + i) * stride + 64 * c + tx + j] = sum[i][4 * c + j];
}

FK_FN bool fk_attn_sees(int64_t query, int64_t key, int64_t window) { return key <= query && (window == 0 || query < key + window); }
/// The first block of keys that a query of the block from q0 on sees, and one past the last block of queries that sees a key of the block from j0 on.
FK_FN int64_t fk_attn_first(int64_t q0, int64_t window) { return window ? fk_max(0, q0 - window + 1) / fk_attn_rows * fk_attn_rows : 0; }
FK_FN int64_t fk_attn_last(int64_t j0, int64_t keys, int64_t length, int64_t window) { return window ? fk_min(length, j0 + keys + window - 1) : length; }

template <int D> FK_FN void fk_attn_fwd_block(const fk_attn_job &job) {
    const fk_attn_shape &a = job.a;
    fk_arena arena;
    const auto qt = arena.take<float>(D * fk_attn_pitch), other = arena.take<float>(D * fk_attn_pitch), pt = arena.take<float>(fk_attn_rows * fk_attn_pitch);
    const int64_t h = fk_block() % a.q_heads, d = a.head_dim, g = h / (a.q_heads / a.kv_heads) * d;
    fk_group sequence;
    if (!fk_find_group(sequence, job.cu, a.sequences, a.tokens, fk_block() / a.q_heads, fk_attn_rows, job.trouble)) return;
    const int64_t start = sequence.first, q0 = sequence.tile * fk_attn_rows, count = fk_min(fk_attn_rows, sequence.rows - q0);
    const int ty = fk_thread() / 16 * 4, tx = fk_thread() % 16 * 4;
    const float log2e = 1.44269504f;
    fk_attn_turned<D>(qt, job.q + (start + q0) * a.q_stride + h * d, a.q_stride, count, d, a.scale);
    float sum[4][D / 16] = {}, largest[4], total[4];
    for (int i = 0; i < 4; i++) largest[i] = -INFINITY, total[i] = 0.0f;
    for (int64_t j0 = fk_attn_first(q0, a.window); j0 < q0 + count; j0 += fk_attn_rows) {
        const int64_t keys = fk_min(fk_attn_rows, q0 + count - j0);
        fk_sync();
        fk_attn_turned<D>(other, job.k + (start + j0) * a.kv_stride + g, a.kv_stride, keys, d, 1.0f);
        fk_sync();
        float s[4][4];
        fk_attn_scores<D>(s, qt, other, ty, tx);
        for (int i = 0; i < 4; i++) {
            float top = -INFINITY;
            for (int j = 0; j < 4; j++) {
                if (!fk_attn_sees(q0 + ty + i, j0 + tx + j, a.window) || tx + j >= keys) s[i][j] = -INFINITY;
                top = fmaxf(top, s[i][j]);
            }
            // The sixteen threads of a row are half a warp.
            for (int mask = 8; mask; mask >>= 1) top = fmaxf(top, fk_shuffle_xor(top, mask));
            top = fmaxf(top, largest[i]);
            // A row that has seen no key yet keeps -inf; 0 stands in so that -inf - (-inf) never happens.
            const float base = top == -INFINITY ? 0.0f : top, fade = fk_exp2_fast((largest[i] - base) * log2e);
            float some = 0.0f;
            for (int j = 0; j < 4; j++) {
                s[i][j] = fk_exp2_fast((s[i][j] - base) * log2e);
                some = some + s[i][j];
            }
            for (int mask = 8; mask; mask >>= 1) some = some + fk_shuffle_xor(some, mask);
            total[i] = fk_fma(total[i], fade, some);
            largest[i] = top;
            for (int c = 0; c < D / 16; c++) sum[i][c] = sum[i][c] * fade;
            for (int j = 0; j < 4; j++) pt[(tx + j) * fk_attn_pitch + ty + i] = s[i][j];
        }
        fk_sync();
        fk_attn_plain<D>(other, job.v + (start + j0) * a.kv_stride + g, a.kv_stride, keys, d);
        fk_sync();
        fk_attn_gather<D>(sum, pt, other, ty, tx);
    }
    for (int i = 0; i < 4; i++) {
        const float inverse = 1.0f / total[i];
        for (int c = 0; c < D / 16; c++) sum[i][c] = sum[i][c] * inverse;
        if (job.lse && tx == 0 && ty + i < count) job.lse[(start + q0 + ty + i) * a.q_heads + h] = (float)((double)largest[i] + fk_log((double)total[i]));
    }
    fk_attn_store<D>(job.out + (start + q0) * a.o_stride + h * d, a.o_stride, sum, count, d, ty, tx);
}

/// A warp a token and head: delta = Σ dout out.
FK_KERNEL(fk_attn_delta, fk_attn_job, 256) {
    const int64_t here = fk_block() * 8 + fk_warp(), t = here / job.a.q_heads, h = here % job.a.q_heads;
    if (t >= job.a.tokens) return;
    const float *up = job.dout + t * job.a.o_stride + h * job.a.head_dim, *out = job.out + t * job.a.o_stride + h * job.a.head_dim;
    float sum = 0.0f;
    for (int64_t e = fk_lane(); e < job.a.head_dim; e += 32) sum = fk_fma(up[e], out[e], sum);
    sum = fk_warp_sum(sum);
    if (fk_lane() == 0) job.delta[here] = sum;
}

/// p and ds of four queries by four keys from their scores and from dout·v.
FK_FN void fk_attn_slopes(float (&p)[4][4], float (&ds)[4][4], const fk_attn_job &job, int64_t start, int64_t h, int64_t query, int64_t key, int64_t queries, int64_t keys) {
    for (int i = 0; i < 4; i++) {
        const bool here = query + i < queries;
        const int64_t at = (start + query + i) * job.a.q_heads + h;
        const float lse = here ? job.lse[at] : 0.0f, delta = here ? job.delta[at] : 0.0f;
        for (int j = 0; j < 4; j++) {
            const bool seen = here && key + j < keys && fk_attn_sees(query + i, key + j, job.a.window);
            p[i][j] = seen ? fk_exp(p[i][j] - lse) : 0.0f;
            ds[i][j] = p[i][j] * (ds[i][j] - delta) * job.a.scale;
        }
    }
}

template <int D> FK_FN void fk_attn_dq_block(const fk_attn_job &job) {
    const fk_attn_shape &a = job.a;
    fk_arena arena;
    const auto qt = arena.take<float>(D * fk_attn_pitch), ut = arena.take<float>(D * fk_attn_pitch), other = arena.take<float>(D * fk_attn_pitch);
    const auto st = arena.take<float>(fk_attn_rows * fk_attn_pitch);
    const int64_t h = fk_block() % a.q_heads, d = a.head_dim, g = h / (a.q_heads / a.kv_heads) * d;
    fk_group sequence;
    if (!fk_find_group(sequence, job.cu, a.sequences, a.tokens, fk_block() / a.q_heads, fk_attn_rows, job.trouble)) return;
    const int64_t start = sequence.first, q0 = sequence.tile * fk_attn_rows, count = fk_min(fk_attn_rows, sequence.rows - q0);
    const int ty = fk_thread() / 16 * 4, tx = fk_thread() % 16 * 4;
    fk_attn_turned<D>(qt, job.q + (start + q0) * a.q_stride + h * d, a.q_stride, count, d, a.scale);
    fk_attn_turned<D>(ut, job.dout + (start + q0) * a.o_stride + h * d, a.o_stride, count, d, 1.0f);
    float sum[4][D / 16] = {};
    for (int64_t j0 = fk_attn_first(q0, a.window); j0 < q0 + count; j0 += fk_attn_rows) {
        const int64_t keys = fk_min(fk_attn_rows, q0 + count - j0);
        const float *k = job.k + (start + j0) * a.kv_stride + g, *v = job.v + (start + j0) * a.kv_stride + g;
        float p[4][4], ds[4][4];
        fk_sync();
        fk_attn_turned<D>(other, k, a.kv_stride, keys, d, 1.0f);
        fk_sync();
        fk_attn_scores<D>(p, qt, other, ty, tx);
        fk_sync();
        fk_attn_turned<D>(other, v, a.kv_stride, keys, d, 1.0f);
        fk_sync();
        fk_attn_scores<D>(ds, ut, other, ty, tx);
        fk_attn_slopes(p, ds, job, start, h, q0 + ty, j0 + tx, sequence.rows, j0 + keys);
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) st[(tx + j) * fk_attn_pitch + ty + i] = ds[i][j];
        fk_sync();
        fk_attn_plain<D>(other, k, a.kv_stride, keys, d);
        fk_sync();
        fk_attn_gather<D>(sum, st, other, ty, tx);
    }
    fk_attn_store<D>(job.dq + (start + q0) * a.q_stride + h * d, a.q_stride, sum, count, d, ty, tx);
}

template <int D> FK_FN void fk_attn_dkv_block(const fk_attn_job &job) {
    const fk_attn_shape &a = job.a;
    fk_arena arena;
    const auto kt = arena.take<float>(D * fk_attn_pitch), vt = arena.take<float>(D * fk_attn_pitch), other = arena.take<float>(D * fk_attn_pitch);
    const auto st = arena.take<float>(fk_attn_rows * fk_attn_pitch);
    const int64_t kv = fk_block() % a.kv_heads, d = a.head_dim, group = a.q_heads / a.kv_heads;
    fk_group sequence;
    if (!fk_find_group(sequence, job.cu, a.sequences, a.tokens, fk_block() / a.kv_heads, fk_attn_rows, job.trouble)) return;
    const int64_t start = sequence.first, length = sequence.rows, j0 = sequence.tile * fk_attn_rows, keys = fk_min(fk_attn_rows, length - j0);
    const int ty = fk_thread() / 16 * 4, tx = fk_thread() % 16 * 4;
    fk_attn_turned<D>(kt, job.k + (start + j0) * a.kv_stride + kv * d, a.kv_stride, keys, d, 1.0f);
    fk_attn_turned<D>(vt, job.v + (start + j0) * a.kv_stride + kv * d, a.kv_stride, keys, d, 1.0f);
    float dk[4][D / 16] = {}, dv[4][D / 16] = {};
    for (int64_t h = kv * group; h < (kv + 1) * group; h++)
        for (int64_t q0 = j0; q0 < fk_attn_last(j0, keys, length, a.window); q0 += fk_attn_rows) {
            const int64_t count = fk_min(fk_attn_rows, length - q0);
            const float *q = job.q + (start + q0) * a.q_stride + h * d, *up = job.dout + (start + q0) * a.o_stride + h * d;
            float p[4][4], ds[4][4];
            fk_sync();
            fk_attn_turned<D>(other, q, a.q_stride, count, d, a.scale);
            fk_sync();
            fk_attn_scores<D>(p, other, kt, ty, tx);
            fk_sync();
            fk_attn_turned<D>(other, up, a.o_stride, count, d, 1.0f);
            fk_sync();
            fk_attn_scores<D>(ds, other, vt, ty, tx);
            fk_attn_slopes(p, ds, job, start, h, q0 + ty, j0 + tx, length, j0 + keys);
            for (int i = 0; i < 4; i++) fk_as<float4>(st + ((ty + i) * fk_attn_pitch + tx))[0] = make_float4(p[i][0], p[i][1], p[i][2], p[i][3]);
            fk_sync();
            fk_attn_plain<D>(other, up, a.o_stride, count, d);
            fk_sync();
            fk_attn_gather<D>(dv, st, other, ty, tx);
            fk_sync();
            for (int i = 0; i < 4; i++) fk_as<float4>(st + ((ty + i) * fk_attn_pitch + tx))[0] = make_float4(ds[i][0], ds[i][1], ds[i][2], ds[i][3]);
            fk_attn_plain<D>(other, q, a.q_stride, count, d);
            fk_sync();
            fk_attn_gather<D>(dk, st, other, ty, tx);
        }
    fk_attn_store<D>(job.dk + (start + j0) * a.kv_stride + kv * d, a.kv_stride, dk, keys, d, ty, tx);
    fk_attn_store<D>(job.dv + (start + j0) * a.kv_stride + kv * d, a.kv_stride, dv, keys, d, ty, tx);
}

#define FK_ATTN_KERNELS(D)                                                          \
    FK_KERNEL(fk_attn_fwd_##D, fk_attn_job, 256) { fk_attn_fwd_block<D>(job); }     \
    FK_KERNEL(fk_attn_dq_##D, fk_attn_job, 256) { fk_attn_dq_block<D>(job); }       \
    FK_KERNEL(fk_attn_dkv_##D, fk_attn_job, 256) { fk_attn_dkv_block<D>(job); }
FK_ATTN_KERNELS(64)
FK_ATTN_KERNELS(128)
FK_ATTN_KERNELS(256)

#include "attention_bf16.cu"

#if !FK_DEVICE_PASS
static bool fk_attn_bad(const fk_attn_shape *a) {
    if (a->tokens < 0 || a->sequences < 0 || a->kv_heads < 1 || a->q_heads < 1 || a->q_heads % a->kv_heads) return true;
    if (a->head_dim < 1 || a->head_dim > FK_HEAD_MAX || a->window < 0) return true;
    return (a->tokens > 0 && a->sequences == 0) || a->q_stride < a->q_heads * a->head_dim || a->kv_stride < a->kv_heads * a->head_dim || a->o_stride < a->q_heads * a->head_dim;
}
struct fk_attn_kernels { fk_kernel *fwd, *dq, *dkv; int64_t d; };
static fk_attn_kernels fk_attn_for(int64_t d) {
    if (d <= 64) return {&fk_attn_fwd_64, &fk_attn_dq_64, &fk_attn_dkv_64, 64};
    if (d <= 128) return {&fk_attn_fwd_128, &fk_attn_dq_128, &fk_attn_dkv_128, 128};
    return {&fk_attn_fwd_256, &fk_attn_dq_256, &fk_attn_dkv_256, 256};
}
/// Blocks of 64 rows, each sequence's last perhaps not full.
static int64_t fk_attn_blocks(const fk_attn_shape *a) { return a->tokens == 0 ? 0 : a->tokens / fk_attn_rows + a->sequences; }

static fk_status fk_attn_fwd_cuda(float *out, float *lse, const float *q, const float *k, const float *v, const int32_t *cu, const fk_attn_shape *a, fk_stream s) {
    if (fk_attn_bad(a)) return FK_BAD_SHAPE;
    if (a->head_dim > 256) return FK_UNSUPPORTED;
    if (fk_half_takes(a)) return fk_half_fwd(out, lse, q, k, v, cu, a, s);
    const fk_attn_kernels kernels = fk_attn_for(a->head_dim);
    fk_attn_job job = {};
    job.out = out, job.lse = lse, job.q = q, job.k = k, job.v = v, job.cu = cu, job.trouble = fk_trouble(s), job.a = *a;
    return fk_launch(s, *kernels.fwd, fk_attn_blocks(a) * a->q_heads, 1, (size_t)(2 * kernels.d + fk_attn_rows) * fk_attn_pitch * 4, job);
}

static fk_status fk_attn_bwd_cuda(float *dq, float *dk, float *dv, float *delta, const float *dout, const float *q, const float *k, const float *v, const float *out, const float *lse,
                                  const int32_t *cu, const fk_attn_shape *a, fk_stream s) {
    if (fk_attn_bad(a)) return FK_BAD_SHAPE;
    if (a->head_dim > 256) return FK_UNSUPPORTED;
    const fk_attn_kernels kernels = fk_attn_for(a->head_dim);
    fk_attn_job job = {};
    job.dq = dq, job.dk = dk, job.dv = dv, job.delta = delta, job.dout = dout, job.q = q, job.k = k, job.v = v, job.out = (float *)out, job.lse = (float *)lse, job.cu = cu;
    job.trouble = fk_trouble(s), job.a = *a;
    const size_t shared = (size_t)(3 * kernels.d + fk_attn_rows) * fk_attn_pitch * 4;
    fk_status status = fk_launch(s, fk_attn_delta, fk_ceil(a->tokens * a->q_heads, 8), 1, 0, job);
    if (status == FK_OK && fk_half_takes(a)) return fk_half_bwd(dq, dk, dv, delta, dout, q, k, v, lse, cu, a, s);
    if (status == FK_OK) status = fk_launch(s, *kernels.dq, fk_attn_blocks(a) * a->q_heads, 1, shared, job);
    return status == FK_OK ? fk_launch(s, *kernels.dkv, fk_attn_blocks(a) * a->kv_heads, 1, shared, job) : status;
}
#endif
