// Root-mean-square normalisation over the last axis: Zhang & Sennrich 2019 (arXiv:1910.07467), eq. 4.
#ifdef FK_REFERENCE

static fk_status FK(rmsnorm_fwd)(float *out, float *sum, float *rstd, const float *x, const float *add, const float *w,
                                 int64_t n, int64_t d, float eps, fk_stream s) {
    (void)s;
    for (int64_t r = 0; r < n; r++) {
        double squares = 0;
        for (int64_t i = 0; i < d; i++) {
            const float value = add ? x[r * d + i] + add[r * d + i] : x[r * d + i];
            if (sum) sum[r * d + i] = value;
            squares += (double)value * value;
        }
        const double scale = 1.0 / __builtin_sqrt(squares / (double)d + eps);
        const float *row = sum ? sum + r * d : x + r * d;
        for (int64_t i = 0; i < d; i++) out[r * d + i] = (float)(row[i] * scale * w[i]);
        if (rstd) rstd[r] = (float)scale;
    }
    return FK_OK;
}

static fk_status FK(rmsnorm_bwd)(float *dx, float *dw, const float *dy, const float *x, const float *w, const float *rstd,
                                 int64_t n, int64_t d, int32_t add_dx, fk_stream s) {
    (void)s;
    if (dw)
        for (int64_t i = 0; i < d; i++) {
            double sum = dw[i];
            for (int64_t r = 0; r < n; r++) sum += (double)dy[r * d + i] * x[r * d + i] * rstd[r];
            dw[i] = (float)sum;
        }
    for (int64_t r = 0; r < n; r++) {
        double mean = 0;
        for (int64_t i = 0; i < d; i++) mean += (double)dy[r * d + i] * w[i] * x[r * d + i];
        mean /= (double)d;
        const double scale = rstd[r];
        for (int64_t i = 0; i < d; i++) {
            const double value = scale * ((double)dy[r * d + i] * w[i] - x[r * d + i] * scale * scale * mean);
            dx[r * d + i] = (float)(add_dx ? dx[r * d + i] + value : value);
        }
    }
    return FK_OK;
}

#else

enum { FK(rows_per_task) = 32 };
struct FK(rmsnorm_job) { float *out, *sum, *rstd; const float *x, *add, *w; int64_t n, d; float eps; };

static void FK(rmsnorm_rows)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(rmsnorm_job) *job = context;
    const int64_t d = job->d, end = fk_min(job->n, (task + 1) * FK(rows_per_task));
    for (int64_t r = task * FK(rows_per_task); r < end; r++) {
        const float *row = job->x + r * d;
        vf squares = vset(0.0f);
        for (int64_t i = 0; i < d; i += 16) {
            vf value = vload_n(row + i, d - i);
            if (job->add) value = value + vload_n(job->add + r * d + i, d - i);
            if (job->sum) vstore_n(job->sum + r * d + i, value, d - i);
            squares = vfma(value, value, squares);
        }
        const float scale = 1.0f / __builtin_sqrtf(vsum(squares) / (float)d + job->eps);
        const float *from = job->sum ? job->sum + r * d : row;
        for (int64_t i = 0; i < d; i += 16)
            vstore_n(job->out + r * d + i, vload_n(from + i, d - i) * vset(scale) * vload_n(job->w + i, d - i), d - i);
        if (job->rstd) job->rstd[r] = scale;
    }
}

static fk_status FK(rmsnorm_fwd)(float *out, float *sum, float *rstd, const float *x, const float *add, const float *w,
                                 int64_t n, int64_t d, float eps, fk_stream s) {
    if (n < 0 || d < 1 || (add && !sum)) return FK_BAD_SHAPE;
    struct FK(rmsnorm_job) job = {out, sum, rstd, x, add, w, n, d, eps};
    fk_run(s, fk_ceil(n, FK(rows_per_task)), FK(rmsnorm_rows), &job);
    return FK_OK;
}

struct FK(rmsnorm_bwd_job) { float *dx, *dw; const float *dy, *x, *w, *rstd; int64_t n, d; int32_t add_dx; };

static void FK(rmsnorm_bwd_rows)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(rmsnorm_bwd_job) *job = context;
    const int64_t d = job->d, end = fk_min(job->n, (task + 1) * FK(rows_per_task));
    for (int64_t r = task * FK(rows_per_task); r < end; r++) {
        const float *dy = job->dy + r * d, *x = job->x + r * d;
        float *dx = job->dx + r * d;
        vf dot = vset(0.0f);
        for (int64_t i = 0; i < d; i += 16)
            dot = vfma(vload_n(dy + i, d - i) * vload_n(job->w + i, d - i), vload_n(x + i, d - i), dot);
        const float scale = job->rstd[r], pull = vsum(dot) / (float)d * scale * scale;
        for (int64_t i = 0; i < d; i += 16) {
            const vf a = vload_n(dy + i, d - i) * vload_n(job->w + i, d - i);
            vf value = vset(scale) * (a - vload_n(x + i, d - i) * vset(pull));
            if (job->add_dx) value = vload_n(dx + i, d - i) + value;
            vstore_n(dx + i, value, d - i);
        }
    }
}

/// Sixty-four columns of dw, rows in order.
static void FK(rmsnorm_bwd_columns)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(rmsnorm_bwd_job) *job = context;
    const int64_t d = job->d, first = task * 64, width = fk_min(64, d - first);
    vf sum[4];
    for (int v = 0; v < 4; v++) sum[v] = vload_n(job->dw + first + 16 * v, fk_max(0, width - 16 * v));
    for (int64_t r = 0; r < job->n; r++) {
        const vf scale = vset(job->rstd[r]);
        FK_UNROLL for (int v = 0; v < 4; v++) {
            const int64_t lanes = fk_max(0, width - 16 * v), at = r * d + first + 16 * v;
            sum[v] = vfma(vload_n(job->dy + at, lanes), vload_n(job->x + at, lanes) * scale, sum[v]);
        }
    }
    for (int v = 0; v < 4; v++) vstore_n(job->dw + first + 16 * v, sum[v], fk_max(0, width - 16 * v));
}

static fk_status FK(rmsnorm_bwd)(float *dx, float *dw, const float *dy, const float *x, const float *w, const float *rstd,
                                 int64_t n, int64_t d, int32_t add_dx, fk_stream s) {
    if (n < 0 || d < 1 || (add_dx && dx == dy)) return FK_BAD_SHAPE;
    struct FK(rmsnorm_bwd_job) job = {dx, dw, dy, x, w, rstd, n, d, add_dx};
    if (dw) fk_run(s, fk_ceil(d, 64), FK(rmsnorm_bwd_columns), &job);  // first: dx may be written over dy
    fk_run(s, fk_ceil(n, FK(rows_per_task)), FK(rmsnorm_bwd_rows), &job);
    return FK_OK;
}

#endif
