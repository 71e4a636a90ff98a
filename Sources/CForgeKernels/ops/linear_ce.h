// The output projection with cross-entropy, by chunks of rows, and the log-probability of a target in given logits.
#ifdef FK_REFERENCE

static float FK(logp_row)(const float *logits, int64_t v, int32_t target, double *lse) {
    double largest = -1e300, total = 0;
    for (int64_t i = 0; i < v; i++) largest = logits[i] > largest ? logits[i] : largest;
    for (int64_t i = 0; i < v; i++) total += __builtin_exp(logits[i] - largest);
    *lse = largest + fk_log(total);
    return (float)(logits[target] - *lse);
}

static fk_status FK(logprob)(float *logp, const float *logits, const int32_t *targets, int64_t n, int64_t v, fk_stream s) {
    (void)s;
    double lse;
    for (int64_t r = 0; r < n; r++) {
        if (targets[r] >= v) return FK_BAD_SHAPE;
        logp[r] = targets[r] < 0 ? 0.0f : FK(logp_row)(logits + r * v, v, targets[r], &lse);
    }
    return FK_OK;
}

static fk_status FK(cross_entropy)(float *logp, float *logits, const int32_t *targets, int64_t n, int64_t v, const float *weights, fk_stream s) {
    (void)s;
    for (int64_t r = 0; r < n; r++) {
        if (targets[r] >= v) return FK_BAD_SHAPE;
        double lse = 0;
        float *row = logits + r * v;
        logp[r] = targets[r] < 0 ? 0.0f : FK(logp_row)(row, v, targets[r], &lse);
        for (int64_t i = 0; i < v; i++) row[i] = targets[r] < 0 ? 0.0f : (float)((__builtin_exp(row[i] - lse) - (i == targets[r])) * weights[r]);
    }
    return FK_OK;
}

static fk_status FK(linear_ce)(float *logp, float *dx, float *dw, const float *x, const float *nk, const float *kn,
                               const int32_t *targets, int64_t n, int64_t d, int64_t v, const float *weights, int32_t flags,
                               void *workspace, size_t workspace_bytes, fk_stream s) {
    if (workspace_bytes < fk_linear_ce_workspace(FK_CE_ROWS, d, v) || (dx && !weights)) return FK_BAD_SHAPE;
    float *logits = workspace;
    for (int64_t r = 0; r < n; r++) {
        FK(gemm)(logits, x + r * d, nk, 1, d, v, d, 1, v, flags, s);
        const fk_status status = dx ? FK(cross_entropy)(logp + r, logits, targets + r, 1, v, weights + r, s) : FK(logprob)(logp + r, logits, targets + r, 1, v, s);
        if (status != FK_OK) return status;
        if (!dx) continue;
        FK(gemm)(dx + r * d, logits, kn, 1, v, d, v, 1, d, flags, s);
        for (int64_t i = 0; i < v; i++)
            for (int64_t e = 0; e < d; e++)
                dw[i * d + e] += flags & FK_BF16 ? FK(rounded)(logits[i]) * FK(rounded)(x[r * d + e]) : logits[i] * x[r * d + e];
    }
    return FK_OK;
}

#else

/// `weights` is NULL where no gradient is wanted.
struct FK(ce_job) { float *logp, *logits; const int32_t *targets; const float *weights; int64_t n, v; };

/// Log-probabilities of eight rows; with weights the logits become weight (softmax - onehot).
static void FK(ce_rows)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(ce_job) *job = context;
    const int64_t v = job->v, end = fk_min(job->n, (task + 1) * 8);
    for (int64_t r = task * 8; r < end; r++) {
        float *row = job->logits + r * v;
        const int32_t target = job->targets[r];
        if (target < 0) {
            job->logp[r] = 0.0f;
            if (job->weights) memset(row, 0, (size_t)v * sizeof(float));
            continue;
        }
        const float minus = -__builtin_inff();
        vf top = vset(minus);
        int64_t i = 0;
        for (; i + 16 <= v; i += 16) top = vmax(vload(row + i), top);
        float largest = vhmax(top);
        for (; i < v; i++) largest = row[i] > largest ? row[i] : largest;
        const vf base = vset(largest);
        vf sum = vset(0.0f);
        const float at_target = row[target];
        for (i = 0; i < v; i += 16) {
            vf e = vexp(vload_n(row + i, v - i) - base);
            if (v - i < 16) {
                _Alignas(64) float lanes[16] = {0};
                vstore_n(lanes, e, v - i);
                e = vload(lanes);
            }
            sum = sum + e;
            if (job->weights) vstore_n(row + i, e, v - i);
        }
        const float total = vsum(sum);
        job->logp[r] = (float)((double)at_target - largest - fk_log((double)total));
        if (!job->weights) continue;
        const float weight = job->weights[r];
        const vf scale = vset(weight / total);
        for (i = 0; i < v; i += 16) vstore_n(row + i, vload_n(row + i, v - i) * scale, v - i);
        row[target] -= weight;
    }
}

static int FK(targets_fit)(const int32_t *targets, int64_t n, int64_t v) {
    for (int64_t r = 0; r < n; r++)
        if (targets[r] >= v) return 0;
    return 1;
}

static fk_status FK(logprob)(float *logp, const float *logits, const int32_t *targets, int64_t n, int64_t v, fk_stream s) {
    if (!FK(targets_fit)(targets, n, v)) return FK_BAD_SHAPE;
    struct FK(ce_job) job = {logp, (float *)logits, targets, NULL, n, v};
    fk_run(s, fk_ceil(n, 8), FK(ce_rows), &job);
    return FK_OK;
}

static fk_status FK(cross_entropy)(float *logp, float *logits, const int32_t *targets, int64_t n, int64_t v, const float *weights, fk_stream s) {
    if (!FK(targets_fit)(targets, n, v)) return FK_BAD_SHAPE;
    struct FK(ce_job) job = {logp, logits, targets, weights, n, v};
    fk_run(s, fk_ceil(n, 8), FK(ce_rows), &job);
    return FK_OK;
}

static fk_status FK(linear_ce)(float *logp, float *dx, float *dw, const float *x, const float *nk, const float *kn,
                               const int32_t *targets, int64_t n, int64_t d, int64_t v, const float *weights, int32_t flags,
                               void *workspace, size_t workspace_bytes, fk_stream s) {
    if (workspace_bytes < fk_linear_ce_workspace(FK_CE_ROWS, d, v) || (dx && !weights) || !FK(targets_fit)(targets, n, v)) return FK_BAD_SHAPE;
    const int64_t most = fk_linear_ce_rows(workspace_bytes, d, v);
    float *logits = workspace, *packed_x = logits + most * v;
    for (int64_t r = 0; r < n; r += most) {
        const int64_t rows = fk_min(most, n - r);
        FK(gemm)(logits, x + r * d, nk, rows, d, v, d, 1, v, flags, s);
        struct FK(ce_job) job = {logp + r, logits, targets + r, dx ? weights + r : NULL, rows, v};
        fk_run(s, fk_ceil(rows, 8), FK(ce_rows), &job);
        if (!dx) continue;
        FK(gemm_pack)(packed_x, x + r * d, rows, d, d, (fk_layout)(FK_KN | flags), s);
        FK(gemm)(dw, logits, packed_x, v, rows, d, 1, v, d, FK_ACCUMULATE | flags, s);
        FK(gemm)(dx + r * d, logits, kn, rows, v, d, v, 1, d, flags, s);
    }
    return FK_OK;
}

#endif
