// Attention of new tokens over keys and values kept in blocks (Kwon et al. 2023, arXiv:2309.06180).
//
// A task is one kv head and one row, or the rows of one sequence that follow one another, a lane each. Either way a row's products, maxima and sums are the
// ones attn_fwd makes for that query, in the same order, from its own sequence alone: serving and training give the same bits, whatever the company. Keys
// come in splits of 64 counted from position 0, never by blocks, so the bits cannot depend on the block size either.

static int FK(paged_bad)(const fk_paged_shape *a) {
    if (a->tokens < 0 || a->kv_heads < 1 || a->q_heads < 1 || a->q_heads % a->kv_heads) return 1;
    if (a->head_dim < 1 || a->head_dim > FK_HEAD_MAX || a->block_size < 1 || a->window < 0) return 1;
    return a->blocks < 0 || a->sequences < 0 || a->places < 0;
}

/// Every row has a sequence and a position, and the block that holds the position exists; with `whole` those of all that it sees.
static int FK(paged_places_fit)(const fk_paged_shape *a, const int32_t *block_table, const int32_t *row_of, const int32_t *position, int whole) {
    for (int64_t t = 0; t < a->tokens; t++) {
        const int64_t row = row_of[t], last = position[t];
        if (row < 0 || row >= a->sequences || last < 0 || last / a->block_size >= a->places) return 0;
        const int64_t first = !whole ? last : a->window ? fk_max(0, last - a->window + 1) : 0;
        for (int64_t place = first / a->block_size; place <= last / a->block_size; place++)
            if (block_table[row * a->places + place] < 0 || block_table[row * a->places + place] >= a->blocks) return 0;
    }
    return 1;
}

/// Elements from the start of a pool to the row of one position and kv head.
FK_INLINE int64_t FK(paged_at)(const fk_paged_shape *a, const int32_t *table, int64_t position, int64_t g) {
    const int64_t block = table[position / a->block_size];
    return ((block * a->block_size + position % a->block_size) * a->kv_heads + g) * a->head_dim;
}

struct FK(paged_store_job) {
    float *kpool, *vpool;
    const float *k, *v;
    const int32_t *block_table, *row_of, *position;
    const fk_paged_shape *a;
};

enum { FK(paged_store_rows) = 16 };

static void FK(paged_store_task)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(paged_store_job) *job = context;
    const fk_paged_shape *a = job->a;
    const size_t bytes = (size_t)(a->kv_heads * a->head_dim) * sizeof(float);
    const int64_t end = fk_min(a->tokens, (task + 1) * FK(paged_store_rows));
    for (int64_t t = task * FK(paged_store_rows); t < end; t++) {
        const int64_t at = FK(paged_at)(a, job->block_table + job->row_of[t] * a->places, job->position[t], 0);
        memcpy(job->kpool + at, job->k + t * a->kv_stride, bytes);
        memcpy(job->vpool + at, job->v + t * a->kv_stride, bytes);
    }
}

static fk_status FK(paged_store)(float *kpool, float *vpool, const float *k, const float *v, const int32_t *block_table, const int32_t *row_of,
                                 const int32_t *position, const fk_paged_shape *a, fk_stream s) {
    if (FK(paged_bad)(a) || a->kv_stride < a->kv_heads * a->head_dim || !FK(paged_places_fit)(a, block_table, row_of, position, 0)) return FK_BAD_SHAPE;
    struct FK(paged_store_job) job = {kpool, vpool, k, v, block_table, row_of, position, a};
    fk_run(s, fk_ceil(a->tokens, FK(paged_store_rows)), FK(paged_store_task), &job);
    return FK_OK;
}

/// What paged_attn cannot take.
static int FK(paged_attn_bad)(const fk_paged_shape *a, const int32_t *block_table, const int32_t *row_of, const int32_t *position) {
    return FK(paged_bad)(a) || a->q_stride < a->q_heads * a->head_dim || a->o_stride < a->q_heads * a->head_dim ||
           !FK(paged_places_fit)(a, block_table, row_of, position, 1);
}

#ifdef FK_REFERENCE

static fk_status FK(paged_attn)(float *out, const float *q, const float *kpool, const float *vpool, const int32_t *block_table,
                                const int32_t *row_of, const int32_t *position, const fk_paged_shape *a, fk_stream s) {
    (void)s;
    if (FK(paged_attn_bad)(a, block_table, row_of, position)) return FK_BAD_SHAPE;
    const int64_t d = a->head_dim, group = a->q_heads / a->kv_heads;
    for (int64_t t = 0; t < a->tokens; t++)
        for (int64_t h = 0; h < a->q_heads; h++) {
            const int32_t *table = block_table + row_of[t] * a->places;
            const int64_t last = position[t], first = a->window ? fk_max(0, last - a->window + 1) : 0;
            const float *query = q + t * a->q_stride + h * d;
            double largest = -1e300, total = 0, sum[FK_HEAD_MAX] = {0};
            for (int64_t j = first; j <= last; j++) {
                const double score = FK(score)(query, kpool + FK(paged_at)(a, table, j, h / group), d, a->scale);
                if (score > largest) largest = score;
            }
            for (int64_t j = first; j <= last; j++) {
                const int64_t at = FK(paged_at)(a, table, j, h / group);
                const double p = __builtin_exp(FK(score)(query, kpool + at, d, a->scale) - largest);
                total += p;
                for (int64_t e = 0; e < d; e++) sum[e] += p * vpool[at + e];
            }
            for (int64_t e = 0; e < d; e++) out[t * a->o_stride + h * d + e] = (float)(sum[e] / total);
        }
    return FK_OK;
}

#else

struct FK(paged_job) {
    float *out;
    const float *q, *kpool, *vpool;
    const int32_t *block_table, *row_of, *position;
    const fk_paged_shape *a;
};

// Keys of a split; heads whose scores are computed at once; heads of a group that share a split's keys once they are transposed.
enum { FK(split) = FK(key_block), FK(pair) = 2, FK(turn) = 8 };

/// scores[h][j] = Σ_e query[h][e] kt[e][j] in the order of e, for one or two heads and the 64 keys of a split.
FK_INLINE void FK(paged_scores)(const int heads, float *scores, const float *query, const float *kt, int64_t d) {
    vf s[FK(pair)][4];
    FK_UNROLL for (int h = 0; h < heads; h++)
        FK_UNROLL for (int v = 0; v < 4; v++) s[h][v] = vset(0.0f);
    for (int64_t e = 0; e < d; e++)
        FK_UNROLL for (int v = 0; v < 4; v++) {
            const vf k = vload(kt + e * FK(split) + 16 * v);
            FK_UNROLL for (int h = 0; h < heads; h++) s[h][v] = vfma(k, vset(query[h * FK_HEAD_MAX + e]), s[h][v]);
        }
    FK_UNROLL for (int h = 0; h < heads; h++)
        FK_UNROLL for (int v = 0; v < 4; v++) vstore(scores + h * FK(split) + 16 * v, s[h][v]);
}

/// o[h][e] = o[h][e] fade[h] + Σ_j p[h][j] v_j[e] in the order of j, for `lanes` elements (at most 16 nv) from v + e.
FK_INLINE void FK(paged_values)(const int heads, const int nv, float *o, const float *p, const float *fade, const float *v,
                                const int64_t *at, int64_t from, int64_t to, int64_t lanes) {
    vf s[FK(pair)][4];
    FK_UNROLL for (int h = 0; h < heads; h++)
        FK_UNROLL for (int i = 0; i < nv; i++) s[h][i] = vload(o + h * FK_HEAD_MAX + 16 * i) * vset(fade[h]);
    for (int64_t j = from; j < to; j++)
        FK_UNROLL for (int i = 0; i < nv; i++) {
            const vf x = lanes == 16 * nv ? vload(v + at[j] + 16 * i) : vload_n(v + at[j] + 16 * i, lanes - 16 * i);
            FK_UNROLL for (int h = 0; h < heads; h++) s[h][i] = vfma(x, vset(p[h * FK(split) + j]), s[h][i]);
        }
    FK_UNROLL for (int h = 0; h < heads; h++)
        FK_UNROLL for (int i = 0; i < nv; i++) vstore(o + h * FK_HEAD_MAX + 16 * i, s[h][i]);
}

/// The softmax of one head moves on by one split: scores become weights. Returns by how much what was summed before fades.
FK_INLINE float FK(paged_weights)(float *scores, float *largest, float *total, int64_t from, int64_t to) {
    for (int64_t j = 0; j < FK(split); j++)
        if (j < from || j >= to) scores[j] = -__builtin_inff();
    float top = *largest;
    for (int64_t j = from; j < to; j++) top = scores[j] > top ? scores[j] : top;
    _Alignas(64) float fade[16];
    vstore(fade, vexp(vset(*largest) - vset(top)));
    for (int64_t j = 0; j < FK(split); j += 16) vstore(scores + j, vexp(vload(scores + j) - vset(top)));
    float sum = *total * fade[0];
    for (int64_t j = from; j < to; j++) sum = sum + scores[j];
    *total = sum;
    *largest = top;
    return fade[0];
}

FK_INLINE void FK(paged_heads)(const int heads, const struct FK(paged_job) *job, float *scores, float *fade, float *o, const float *query,
                               const float *kt, float *largest, float *total, const int64_t *at, int64_t from, int64_t to, int64_t d) {
    FK(paged_scores)(heads, scores, query, kt, d);
    FK_UNROLL for (int h = 0; h < heads; h++) fade[h] = FK(paged_weights)(scores + h * FK(split), largest + h, total + h, from, to);
    int64_t e = 0;
    for (; e + 64 <= d; e += 64) FK(paged_values)(heads, 4, o + e, scores, fade, job->vpool + e, at, from, to, 64);
    for (; e < d; e += 16) FK(paged_values)(heads, 1, o + e, scores, fade, job->vpool + e, at, from, to, fk_min(16, d - e));
}

/// Row t is one further in the sequence of the row before it.
FK_INLINE int FK(paged_follows)(const struct FK(paged_job) *job, int64_t t) {
    return job->row_of[t] == job->row_of[t - 1] && job->position[t] == job->position[t - 1] + 1;
}

/// Row t alone, for the heads of group g.
static void FK(paged_row)(const struct FK(paged_job) *job, int64_t t, int64_t g, float *scratch) {
    const fk_paged_shape *a = job->a;
    enum { S = FK(split), P = FK(pair), T = FK(turn) };
    const int64_t d = a->head_dim, group = a->q_heads / a->kv_heads;
    const int64_t last = job->position[t], start = a->window ? fk_max(0, last - a->window + 1) : 0;
    const int32_t *table = job->block_table + job->row_of[t] * a->places;
    float *kt = scratch, *query = kt + d * S, *o = query + T * FK_HEAD_MAX, *scores = o + T * FK_HEAD_MAX;
    // In turns, so that a group of any size fits the scratch.
    for (int64_t h0 = 0; h0 < group; h0 += T) {
        const int64_t heads = fk_min(T, group - h0);
        float largest[T], total[T] = {0}, fade[P];
        memset(o, 0, T * FK_HEAD_MAX * sizeof(float));
        for (int64_t h = 0; h < heads; h++) {
            largest[h] = -__builtin_inff();
            const float *from = job->q + t * a->q_stride + (g * group + h0 + h) * d;
            for (int64_t e = 0; e < d; e++) query[h * FK_HEAD_MAX + e] = from[e] * a->scale;
        }
        for (int64_t j0 = start / S * S; j0 <= last; j0 += S) {
            const int64_t from = fk_max(0, start - j0), to = fk_min(S, last + 1 - j0);
            int64_t at[S];
            for (int64_t j = from; j < to; j++) at[j] = FK(paged_at)(a, table, j0 + j, g);
            for (int64_t e = 0; e < d; e += 16) {
                const int64_t deep = fk_min(16, d - e);
                for (int64_t part = 0; part < S; part += 16) {
                    vf block[16];
                    FK_UNROLL for (int64_t i = 0; i < 16; i++)
                        block[i] = part + i >= from && part + i < to ? vload_n(job->kpool + at[part + i] + e, deep) : vset(0.0f);
                    vtranspose(block);
                    for (int64_t i = 0; i < deep; i++) vstore(kt + (e + i) * S + part, block[i]);
                }
            }
            int64_t h = 0;
            for (; h + P <= heads; h += P) FK(paged_heads)(P, job, scores, fade, o + h * FK_HEAD_MAX, query + h * FK_HEAD_MAX, kt, largest + h, total + h, at, from, to, d);
            if (h < heads) FK(paged_heads)(1, job, scores, fade, o + h * FK_HEAD_MAX, query + h * FK_HEAD_MAX, kt, largest + h, total + h, at, from, to, d);
        }
        for (int64_t h = 0; h < heads; h++) {
            const vf inverse = vset(1.0f) / vset(total[h]);
            float *out = job->out + t * a->o_stride + (g * group + h0 + h) * d;
            for (int64_t e = 0; e < d; e += 16) vstore_n(out + e, vload(o + h * FK_HEAD_MAX + e) * inverse, d - e);
        }
    }
}

/// `count` rows from t on, which follow one another in one sequence, for the heads of group g.
static void FK(paged_run)(const struct FK(paged_job) *job, int64_t t, int64_t count, int64_t g, float *scratch) {
    const fk_paged_shape *a = job->a;
    enum { S = FK(split) };
    const int64_t d = a->head_dim, group = a->q_heads / a->kv_heads, position = job->position[t], end = position + count;
    const int32_t *table = job->block_table + job->row_of[t] * a->places;
    const fk_attn_shape shape = {.head_dim = d, .q_stride = a->q_stride, .scale = a->scale};
    float *keys = scratch + FK(attn_lanes_floats), *values = keys + S * d;
    for (int64_t h = g * group; h < (g + 1) * group; h++) {
        struct FK(attn_lanes) x;
        FK(attn_begin)(&x, scratch, job->q + t * a->q_stride + h * d, &shape, count, position);
        for (int64_t j0 = FK(attn_first)(position, a->window); j0 < end; j0 += S) {
            const int64_t deep = fk_min(S, end - j0), from = a->window ? fk_max(0, position - a->window + 1 - j0) : 0;
            // What no row sees may be nowhere by now.
            memset(keys, 0, (size_t)(from * d) * sizeof(float));
            memset(values, 0, (size_t)(from * d) * sizeof(float));
            for (int64_t j = from; j < deep; j++) {
                const int64_t at = FK(paged_at)(a, table, j0 + j, g);
                memcpy(keys + j * d, job->kpool + at, (size_t)d * sizeof(float));
                memcpy(values + j * d, job->vpool + at, (size_t)d * sizeof(float));
            }
            FK(attn_keys)(&x, keys, values, d, j0, deep, j0 + deep > position + 1 || a->window, a->window, d);
        }
        FK(attn_end)(&x, job->out + t * a->o_stride + h * d, a->o_stride, count, d);
    }
}

/// Row t and one kv head; or nothing, if an earlier row brings t along.
static void FK(paged_task)(void *context, int64_t task, void *scratch) {
    const struct FK(paged_job) *job = context;
    enum { L = FK(lanes) };
    const int64_t t = task / job->a->kv_heads, g = task % job->a->kv_heads, end = fk_min(job->a->tokens, t / L * L + L);
    int64_t first = t, after = t + 1;
    while (first % L && FK(paged_follows)(job, first)) first--;
    while (after < end && FK(paged_follows)(job, after)) after++;
    // Half the lanes filled pay for the others.
    if (after - first < L / 2) FK(paged_row)(job, t, g, scratch);
    else if (t == first) FK(paged_run)(job, t, after - first, g, scratch);
}

static fk_status FK(paged_attn)(float *out, const float *q, const float *kpool, const float *vpool, const int32_t *block_table,
                                const int32_t *row_of, const int32_t *position, const fk_paged_shape *a, fk_stream s) {
    if (FK(paged_attn_bad)(a, block_table, row_of, position)) return FK_BAD_SHAPE;
    struct FK(paged_job) job = {out, q, kpool, vpool, block_table, row_of, position, a};
    fk_run(s, a->tokens * a->kv_heads, FK(paged_task), &job);
    return FK_OK;
}

#endif
