// Causal attention over packed sequences, forward and backward, without storing the score matrix
// (Dao et al. 2022, arXiv:2205.14135; Dao 2023, arXiv:2307.08691).
//
// The vector form keeps queries in lanes: scores are computed transposed, Sᵀ[key, query] = K·Qᵀ, so that the running
// maximum and denominator of each query live in one lane and nothing is ever summed across lanes. A query's result
// depends on its own sequence alone; keys come in blocks of 64 counted from the start of the sequence.
enum { FK(key_block) = 64 };

static int FK(attn_bad)(const int32_t *cu, const fk_attn_shape *a) {
    if (a->tokens < 0 || a->sequences < 0 || a->kv_heads < 1 || a->q_heads < 1 || a->q_heads % a->kv_heads) return 1;
    if (a->head_dim < 1 || a->head_dim > FK_HEAD_MAX || a->window < 0) return 1;
    if (a->q_stride < a->q_heads * a->head_dim || a->kv_stride < a->kv_heads * a->head_dim || a->o_stride < a->q_heads * a->head_dim) return 1;
    if (cu[0] != 0 || cu[a->sequences] != a->tokens) return 1;
    for (int64_t i = 0; i < a->sequences; i++)
        if (cu[i + 1] < cu[i]) return 1;
    return 0;
}

#ifdef FK_REFERENCE

/// The score of query i against key j of one sequence and head, in double.
static double FK(score)(const float *q, const float *k, int64_t d, double scale) {
    double sum = 0;
    for (int64_t i = 0; i < d; i++) sum += (double)q[i] * k[i];
    return sum * scale;
}

static fk_status FK(attn_fwd)(float *out, float *lse, const float *q, const float *k, const float *v, const int32_t *cu,
                              const fk_attn_shape *a, fk_stream s) {
    (void)s;
    if (FK(attn_bad)(cu, a)) return FK_BAD_SHAPE;
    const int64_t d = a->head_dim, group = a->q_heads / a->kv_heads;
    for (int64_t n = 0; n < a->sequences; n++)
        for (int64_t h = 0; h < a->q_heads; h++)
            for (int64_t i = cu[n]; i < cu[n + 1]; i++) {
                const int64_t first = a->window ? fk_max(cu[n], i - a->window + 1) : cu[n];
                const float *query = q + i * a->q_stride + h * d;
                const float *keys = k + h / group * d, *values = v + h / group * d;
                double largest = -1e300, total = 0, sum[FK_HEAD_MAX] = {0};
                for (int64_t j = first; j <= i; j++) {
                    const double score = FK(score)(query, keys + j * a->kv_stride, d, a->scale);
                    if (score > largest) largest = score;
                }
                for (int64_t j = first; j <= i; j++) {
                    const double p = __builtin_exp(FK(score)(query, keys + j * a->kv_stride, d, a->scale) - largest);
                    total += p;
                    for (int64_t e = 0; e < d; e++) sum[e] += p * values[j * a->kv_stride + e];
                }
                for (int64_t e = 0; e < d; e++) out[i * a->o_stride + h * d + e] = (float)(sum[e] / total);
                if (lse) lse[i * a->q_heads + h] = (float)(largest + fk_log(total));
            }
    return FK_OK;
}

static fk_status FK(attn_bwd)(float *dq, float *dk, float *dv, float *delta, const float *dout, const float *q, const float *k,
                              const float *v, const float *out, const float *lse, const int32_t *cu, const fk_attn_shape *a, fk_stream s) {
    (void)s;
    if (FK(attn_bad)(cu, a)) return FK_BAD_SHAPE;
    const int64_t d = a->head_dim, group = a->q_heads / a->kv_heads;
    for (int64_t t = 0; t < a->tokens; t++) {
        memset(dq + t * a->q_stride, 0, (size_t)(a->q_heads * d) * 4);
        memset(dk + t * a->kv_stride, 0, (size_t)(a->kv_heads * d) * 4);
        memset(dv + t * a->kv_stride, 0, (size_t)(a->kv_heads * d) * 4);
    }
    for (int64_t n = 0; n < a->sequences; n++)
        for (int64_t h = 0; h < a->q_heads; h++)
            for (int64_t i = cu[n]; i < cu[n + 1]; i++) {
                const int64_t first = a->window ? fk_max(cu[n], i - a->window + 1) : cu[n], g = h / group * d;
                const float *up = dout + i * a->o_stride + h * d;
                double dot = 0;
                for (int64_t e = 0; e < d; e++) dot += (double)up[e] * out[i * a->o_stride + h * d + e];
                delta[i * a->q_heads + h] = (float)dot;
                for (int64_t j = first; j <= i; j++) {
                    const float *key = k + j * a->kv_stride + g, *value = v + j * a->kv_stride + g, *query = q + i * a->q_stride + h * d;
                    const double p = __builtin_exp(FK(score)(query, key, d, a->scale) - lse[i * a->q_heads + h]);
                    const double ds = p * (FK(score)(up, value, d, 1.0) - dot) * a->scale;
                    for (int64_t e = 0; e < d; e++) {
                        dv[j * a->kv_stride + g + e] += (float)(p * up[e]);
                        dk[j * a->kv_stride + g + e] += (float)(ds * query[e]);
                        dq[i * a->q_stride + h * d + e] += (float)(ds * key[e]);
                    }
                }
            }
    return FK_OK;
}

#else

enum { FK(lanes) = 16 * NV };  // queries of one block

struct FK(attn_job) {
    float *out, *lse, *dq, *dk, *dv, *delta;
    const float *dout, *q, *k, *v;
    const int32_t *cu;
    const fk_attn_shape *a;
    int64_t blocks_per_sequence;  // of the longest
};

/// to[e][lane] = from[lane][e] for `count` rows, zero in the other lanes.
static void FK(lanes_of)(float *to, const float *from, int64_t stride, int64_t count, int64_t d, float scale) {
    for (int64_t part = 0; part < NV; part++)
        for (int64_t e = 0; e < d; e += 16) {
            const int64_t deep = fk_min(16, d - e);
            vf block[16];
            FK_UNROLL for (int64_t i = 0; i < 16; i++)
                block[i] = 16 * part + i < count ? vload_n(from + (16 * part + i) * stride + e, deep) * vset(scale) : vset(0.0f);
            vtranspose(block);
            for (int64_t i = 0; i < deep; i++) vstore(to + (e + i) * FK(lanes) + 16 * part, block[i]);
        }
}

/// to[row][padded] = from[row][d], zeros after d and after `count` rows.
static void FK(rows_of)(float *to, const float *from, int64_t stride, int64_t count, int64_t rows, int64_t d, int64_t padded) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t e = 0; e < padded; e += 16) vstore(to + r * padded + e, r < count && e < d ? vload_n(from + r * stride + e, d - e) : vset(0.0f));
}

FK_INLINE vi FK(visible)(int64_t j, vi query, int64_t window) {
    vi seen = query >= (int32_t)j;
    if (window) seen &= query < (int32_t)(j + window);
    return seen;
}
static const int32_t FK(iota)[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/// Up to L queries of one head, a lane each, on their way over the keys: q and what they have summed are transposed, [d][L].
struct FK(attn_lanes) {
    float *qt, *st, *ot;
    vf largest[NV], total[NV];
    vi query[NV];  // positions
};

/// Floats of scratch that attn_begin takes.
enum { FK(attn_lanes_floats) = (FK_HEAD_MAX + FK(key_block) + FK_HEAD_MAX) * FK(lanes) };

/// `count` queries from q on, the first at `position`.
static void FK(attn_begin)(struct FK(attn_lanes) *x, float *scratch, const float *q, const fk_attn_shape *a, int64_t count, int64_t position) {
    enum { L = FK(lanes), KB = FK(key_block) };
    x->qt = scratch;
    x->st = x->qt + a->head_dim * L;
    x->ot = x->st + KB * L;
    FK(lanes_of)(x->qt, q, a->q_stride, count, a->head_dim, a->scale);
    memset(x->ot, 0, (size_t)(a->head_dim * L) * sizeof(float));
    for (int p = 0; p < NV; p++) {
        x->largest[p] = vset(-__builtin_inff());
        x->total[p] = vset(0.0f);
        vi lane;
        memcpy(&lane, FK(iota), sizeof lane);
        x->query[p] = lane + (int32_t)(position + 16 * p);
    }
}

/// Where the keys of the first block stand that any query from `position` on sees.
FK_INLINE int64_t FK(attn_first)(int64_t position, int64_t window) {
    return window ? fk_max(0, position - window + 1) / FK(key_block) * FK(key_block) : 0;
}

/// The next `deep` keys, the first at position j0; `masked` where some query does not see some of them.
static void FK(attn_keys)(struct FK(attn_lanes) *x, const float *keys, const float *values, int64_t stride, int64_t j0, int64_t deep, int masked, int64_t window,
                          int64_t d) {
    enum { L = FK(lanes) };
    const float minus = -__builtin_inff();
    tile_block(x->st, L, deep, L, keys, stride, 1, x->qt, L, d, 0);
    for (int p = 0; p < NV; p++) {
        vf top = x->largest[p];
        for (int64_t j = 0; j < deep; j++) {
            vf s = vload(x->st + j * L + 16 * p);
            if (masked) {
                s = vselect(FK(visible)(j0 + j, x->query[p], window), s, vset(minus));
                vstore(x->st + j * L + 16 * p, s);
            }
            top = vmax(s, top);
        }
        // A lane that has seen no key yet keeps -inf; 0 stands in so that -inf - (-inf) never happens.
        const vf base = vselect(top == minus, vset(0.0f), top);
        const vf fade = vexp(x->largest[p] - base);
        vf sum = x->total[p] * fade;
        for (int64_t j = 0; j < deep; j++) {
            const vf e = vexp(vload(x->st + j * L + 16 * p) - base);
            vstore(x->st + j * L + 16 * p, e);
            sum = sum + e;
        }
        x->total[p] = sum;
        x->largest[p] = top;
        for (int64_t e = 0; e < d; e++) vstore(x->ot + e * L + 16 * p, vload(x->ot + e * L + 16 * p) * fade);
    }
    tile_block(x->ot, L, d, L, values, 1, stride, x->st, L, deep, 1);
}

/// out[query] = what it summed over its denominator.
static void FK(attn_end)(const struct FK(attn_lanes) *x, float *out, int64_t stride, int64_t count, int64_t d) {
    for (int p = 0; p < NV; p++) {
        const vf inverse = vset(1.0f) / x->total[p];
        const int64_t here = fk_max(0, fk_min(16, count - 16 * p));
        for (int64_t e = 0; e < d; e += 16) {
            const int64_t deep = fk_min(16, d - e);
            vf rows[16];
            FK_UNROLL for (int64_t i = 0; i < 16; i++) rows[i] = i < deep ? vload(x->ot + (e + i) * FK(lanes) + 16 * p) * inverse : vset(0.0f);
            vtranspose(rows);
            for (int64_t i = 0; i < here; i++) vstore_n(out + (16 * p + i) * stride + e, rows[i], deep);
        }
    }
}

static void FK(attn_fwd_task)(void *context, int64_t task, void *scratch) {
    const struct FK(attn_job) *job = context;
    const fk_attn_shape *a = job->a;
    enum { L = FK(lanes), KB = FK(key_block) };
    const int64_t d = a->head_dim, block = task % job->blocks_per_sequence;
    const int64_t h = task / job->blocks_per_sequence % a->q_heads, n = task / job->blocks_per_sequence / a->q_heads;
    const int64_t start = job->cu[n], length = job->cu[n + 1] - start, q0 = block * L, row = start + q0;
    if (q0 >= length) return;
    const int64_t count = fk_min(L, length - q0), g = h / (a->q_heads / a->kv_heads) * d;
    const float *keys = job->k + start * a->kv_stride + g, *values = job->v + start * a->kv_stride + g;
    struct FK(attn_lanes) x;
    FK(attn_begin)(&x, scratch, job->q + row * a->q_stride + h * d, a, count, q0);
    for (int64_t j0 = FK(attn_first)(q0, a->window); j0 < q0 + count; j0 += KB) {
        const int64_t deep = fk_min(KB, q0 + count - j0);
        FK(attn_keys)(&x, keys + j0 * a->kv_stride, values + j0 * a->kv_stride, a->kv_stride, j0, deep, j0 + deep > q0 + 1 || a->window, a->window, d);
    }
    FK(attn_end)(&x, job->out + row * a->o_stride + h * d, a->o_stride, count, d);
    if (job->lse)
        for (int64_t i = 0; i < count; i++)
            job->lse[(row + i) * a->q_heads + h] = (float)((double)x.largest[i / 16][i % 16] + fk_log((double)x.total[i / 16][i % 16]));
}

static int64_t FK(longest)(const int32_t *cu, int64_t sequences) {
    int64_t most = 0;
    for (int64_t i = 0; i < sequences; i++) most = fk_max(most, cu[i + 1] - cu[i]);
    return most;
}

static fk_status FK(attn_fwd)(float *out, float *lse, const float *q, const float *k, const float *v, const int32_t *cu,
                              const fk_attn_shape *a, fk_stream s) {
    if (FK(attn_bad)(cu, a)) return FK_BAD_SHAPE;
    struct FK(attn_job) job = {.out = out, .lse = lse, .q = q, .k = k, .v = v, .cu = cu, .a = a};
    job.blocks_per_sequence = fk_ceil(FK(longest)(cu, a->sequences), FK(lanes));
    fk_run(s, a->sequences * a->q_heads * job.blocks_per_sequence, FK(attn_fwd_task), &job);
    return FK_OK;
}

static void FK(attn_delta)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(attn_job) *job = context;
    const fk_attn_shape *a = job->a;
    const int64_t d = a->head_dim, end = fk_min(a->tokens, (task + 1) * 64);
    for (int64_t t = task * 64; t < end; t++) {
        memset(job->dq + t * a->q_stride, 0, (size_t)(a->q_heads * d) * sizeof(float));
        for (int64_t h = 0; h < a->q_heads; h++) {
            vf sum = vset(0.0f);
            const int64_t at = t * a->o_stride + h * d;
            for (int64_t e = 0; e < d; e += 16) sum = vfma(vload_n(job->dout + at + e, d - e), vload_n(job->out + at + e, d - e), sum);
            job->delta[t * a->q_heads + h] = vsum(sum);
        }
    }
}

/// One sequence and one kv head: for every block of keys the queries that see it, in order.
static void FK(attn_bwd_task)(void *context, int64_t task, void *scratch) {
    const struct FK(attn_job) *job = context;
    const fk_attn_shape *a = job->a;
    enum { L = FK(lanes), KB = FK(key_block) };
    const int64_t d = a->head_dim, padded = fk_ceil(d, 16 * NV) * 16 * NV, group = a->q_heads / a->kv_heads;
    const int64_t n = task / a->kv_heads, kv = task % a->kv_heads, start = job->cu[n], length = job->cu[n + 1] - start;
    float *qt = scratch, *ot = qt + d * L, *q = ot + d * L, *up = q + padded * L;
    float *st = up + padded * L, *pt = st + KB * L, *k = pt + KB * L, *v = k + KB * padded, *dk = v + KB * padded, *dv = dk + KB * padded;
    vi lane;
    memcpy(&lane, FK(iota), sizeof lane);
    for (int64_t j0 = 0; j0 < length; j0 += KB) {
        const int64_t keys = fk_min(KB, length - j0), at = (start + j0) * a->kv_stride + kv * d;
        FK(rows_of)(k, job->k + at, a->kv_stride, keys, KB, d, padded);
        FK(rows_of)(v, job->v + at, a->kv_stride, keys, KB, d, padded);
        memset(dk, 0, (size_t)(KB * padded) * sizeof(float));
        memset(dv, 0, (size_t)(KB * padded) * sizeof(float));
        const int64_t last = a->window ? fk_min(length, j0 + keys + a->window - 1) : length;
        for (int64_t h = kv * group; h < (kv + 1) * group; h++)
            for (int64_t q0 = j0 / L * L; q0 < last; q0 += L) {
                const int64_t count = fk_min(L, length - q0), row = start + q0;
                const float *from = job->q + row * a->q_stride + h * d, *gradient = job->dout + row * a->o_stride + h * d;
                FK(lanes_of)(qt, from, a->q_stride, count, d, a->scale);
                FK(lanes_of)(ot, gradient, a->o_stride, count, d, 1.0f);
                FK(rows_of)(q, from, a->q_stride, count, L, d, padded);
                FK(rows_of)(up, gradient, a->o_stride, count, L, d, padded);
                tile_block(pt, L, keys, L, k, padded, 1, qt, L, d, 0);
                tile_block(st, L, keys, L, v, padded, 1, ot, L, d, 0);
                const int masked = j0 + keys > q0 + 1 || a->window;
                for (int p = 0; p < NV; p++) {
                    _Alignas(64) float lse[16], delta[16];
                    for (int64_t i = 0; i < 16; i++) {
                        const int64_t t = (row + 16 * p + i) * a->q_heads + h;
                        // A lane without a query gets +inf: its probabilities are zero.
                        lse[i] = 16 * p + i < count ? job->lse[t] : __builtin_inff();
                        delta[i] = 16 * p + i < count ? job->delta[t] : 0.0f;
                    }
                    const vf top = vload(lse), less = vload(delta);
                    const vi query = lane + (int32_t)(q0 + 16 * p);
                    for (int64_t j = 0; j < keys; j++) {
                        vf e = vexp(vload(pt + j * L + 16 * p) - top);
                        if (masked) e = vselect(FK(visible)(j0 + j, query, a->window), e, vset(0.0f));
                        vstore(pt + j * L + 16 * p, e);
                        vstore(st + j * L + 16 * p, e * (vload(st + j * L + 16 * p) - less) * vset(a->scale));
                    }
                }
                tile_block(dv, padded, keys, padded, pt, L, 1, up, padded, L, 1);
                tile_block(dk, padded, keys, padded, st, L, 1, q, padded, L, 1);
                tile_block(job->dq + row * a->q_stride + h * d, a->q_stride, count, d, st, 1, L, k, padded, keys, 1);
            }
        for (int64_t j = 0; j < keys; j++)
            for (int64_t e = 0; e < d; e += 16) {
                vstore_n(job->dk + at + j * a->kv_stride + e, vload(dk + j * padded + e), d - e);
                vstore_n(job->dv + at + j * a->kv_stride + e, vload(dv + j * padded + e), d - e);
            }
    }
}

static fk_status FK(attn_bwd)(float *dq, float *dk, float *dv, float *delta, const float *dout, const float *q, const float *k,
                              const float *v, const float *out, const float *lse, const int32_t *cu, const fk_attn_shape *a, fk_stream s) {
    if (FK(attn_bad)(cu, a)) return FK_BAD_SHAPE;
    struct FK(attn_job) job = {(float *)out, (float *)lse, dq, dk, dv, delta, dout, q, k, v, cu, a, 0};
    fk_run(s, fk_ceil(a->tokens, 64), FK(attn_delta), &job);
    fk_run(s, a->sequences * a->kv_heads, FK(attn_bwd_task), &job);
    return FK_OK;
}

#endif
