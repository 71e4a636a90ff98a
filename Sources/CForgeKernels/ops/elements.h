// Element by element: filling, copies of columns, scaled sums, sums of squares and of columns, AdamW, and bfloat16 there and back.
#ifdef FK_REFERENCE

static fk_status FK(axpby)(float *out, float alpha, const float *x, float beta, const float *y, int64_t n, fk_stream s) {
    (void)s;
    for (int64_t i = 0; i < n; i++) out[i] = (float)((double)alpha * x[i] + (y ? (double)beta * y[i] : 0.0));
    return FK_OK;
}

static fk_status FK(fill)(float *out, float value, int64_t n, fk_stream s) {
    (void)s;
    for (int64_t i = 0; i < n; i++) out[i] = value;
    return FK_OK;
}

static fk_status FK(copy_columns)(float *out, const float *x, int64_t n, int64_t d, int64_t ldo, int64_t ldx, fk_stream s) {
    (void)s;
    if (n < 0 || d < 0 || ldo < d || ldx < d) return FK_BAD_SHAPE;
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < d; i++) out[r * ldo + i] = x[r * ldx + i];
    return FK_OK;
}

static fk_status FK(sumsq)(double *out, double *partials, const float *x, int64_t n, fk_stream s) {
    (void)s;
    (void)partials;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    *out = sum;
    return FK_OK;
}

static fk_status FK(column_sums)(double *out, const float *x, int64_t n, int64_t d, fk_stream s) {
    (void)s;
    for (int64_t i = 0; i < d; i++) {
        out[i] = 0;
        for (int64_t r = 0; r < n; r++) out[i] += (double)x[r * d + i];
    }
    return FK_OK;
}

static fk_status FK(adamw)(float *p, float *m, float *v, const float *g, int64_t n, const fk_adamw *a, fk_stream s) {
    (void)s;
    for (int64_t i = 0; i < n; i++) {
        const double gradient = (double)g[i] * a->scale;
        m[i] = (float)((double)a->beta1 * m[i] + (1.0 - a->beta1) * gradient);
        v[i] = (float)((double)a->beta2 * v[i] + (1.0 - a->beta2) * gradient * gradient);
        const double decayed = p[i] * (1.0 - (double)a->lr * a->weight_decay);
        p[i] = (float)(decayed - a->lr * (m[i] / (double)a->bias1) / (__builtin_sqrt(v[i] / (double)a->bias2) + a->eps));
    }
    return FK_OK;
}

static fk_status FK(to_bf16)(uint16_t *out, const float *x, int64_t n, fk_stream s) {
    (void)s;
    for (int64_t i = 0; i < n; i++) out[i] = FK(bf16_of)(x[i]);
    return FK_OK;
}

static fk_status FK(from_bf16)(float *out, const uint16_t *x, int64_t n, fk_stream s) {
    (void)s;
    for (int64_t i = 0; i < n; i++) out[i] = FK(of_bf16)(x[i]);
    return FK_OK;
}

#else

enum { FK(chunk) = 65536 };
struct FK(element_job) {
    float *out, *m, *v;
    const float *x, *y;
    const uint16_t *halves;
    uint16_t *to;
    double *partials;
    int64_t n;
    float alpha, beta;
    const fk_adamw *adam;
};

static void FK(axpby_chunk)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(element_job) *job = context;
    const int64_t end = fk_min(job->n, (task + 1) * FK(chunk));
    const vf alpha = vset(job->alpha), beta = vset(job->beta);
    for (int64_t i = task * FK(chunk); i < end; i += 16) {
        vf value = alpha * vload_n(job->x + i, end - i);
        if (job->y) value = vfma(beta, vload_n(job->y + i, end - i), value);
        vstore_n(job->out + i, value, end - i);
    }
}

static fk_status FK(axpby)(float *out, float alpha, const float *x, float beta, const float *y, int64_t n, fk_stream s) {
    struct FK(element_job) job = {.out = out, .x = x, .y = y, .n = n, .alpha = alpha, .beta = beta};
    fk_run(s, fk_ceil(n, FK(chunk)), FK(axpby_chunk), &job);
    return FK_OK;
}

static void FK(fill_chunk)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(element_job) *job = context;
    const int64_t end = fk_min(job->n, (task + 1) * FK(chunk));
    for (int64_t i = task * FK(chunk); i < end; i += 16) vstore_n(job->out + i, vset(job->alpha), end - i);
}

static fk_status FK(fill)(float *out, float value, int64_t n, fk_stream s) {
    struct FK(element_job) job = {.out = out, .n = n, .alpha = value};
    fk_run(s, fk_ceil(n, FK(chunk)), FK(fill_chunk), &job);
    return FK_OK;
}

struct FK(columns_job) { float *out; const float *x; int64_t n, d, ldo, ldx, rows; };

static void FK(columns_rows)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(columns_job) *job = context;
    const int64_t end = fk_min(job->n, (task + 1) * job->rows);
    for (int64_t r = task * job->rows; r < end; r++) memcpy(job->out + r * job->ldo, job->x + r * job->ldx, (size_t)job->d * sizeof(float));
}

static fk_status FK(copy_columns)(float *out, const float *x, int64_t n, int64_t d, int64_t ldo, int64_t ldx, fk_stream s) {
    if (n < 0 || d < 0 || ldo < d || ldx < d) return FK_BAD_SHAPE;
    if (d == 0) return FK_OK;
    struct FK(columns_job) job = {out, x, n, d, ldo, ldx, fk_max(1, FK(chunk) / d)};
    fk_run(s, fk_ceil(n, job.rows), FK(columns_rows), &job);
    return FK_OK;
}

static void FK(sumsq_chunk)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(element_job) *job = context;
    const int64_t end = fk_min(job->n, (task + 1) * FK(chunk));
    double lanes[16] = {0};
    for (int64_t i = task * FK(chunk); i < end; i += 16) {
        _Alignas(64) float x[16];
        vstore(x, vload_n(job->x + i, end - i));
        FK_UNROLL for (int l = 0; l < 16; l++) lanes[l] += (double)x[l] * (double)x[l];
    }
    double sum = 0;
    for (int l = 0; l < 16; l++) sum += lanes[l];
    job->partials[task] = sum;
}

static fk_status FK(sumsq)(double *out, double *partials, const float *x, int64_t n, fk_stream s) {
    struct FK(element_job) job = {.x = x, .partials = partials, .n = n};
    fk_run(s, fk_ceil(n, FK(chunk)), FK(sumsq_chunk), &job);
    double sum = 0;
    for (int64_t i = 0; i < fk_ceil(n, FK(chunk)); i++) sum += partials[i];
    *out = sum;
    return FK_OK;
}

struct FK(sums_job) { double *out; const float *x; int64_t n, d; };

/// Sixteen columns, rows in order.
static void FK(sums_columns)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(sums_job) *job = context;
    const int64_t first = task * 16, width = fk_min(16, job->d - first);
    double sum[16] = {0};
    for (int64_t r = 0; r < job->n; r++)
        for (int64_t i = 0; i < width; i++) sum[i] += (double)job->x[r * job->d + first + i];
    memcpy(job->out + first, sum, (size_t)width * sizeof(double));
}

static fk_status FK(column_sums)(double *out, const float *x, int64_t n, int64_t d, fk_stream s) {
    struct FK(sums_job) job = {out, x, n, d};
    fk_run(s, fk_ceil(d, 16), FK(sums_columns), &job);
    return FK_OK;
}

static void FK(adamw_chunk)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(element_job) *job = context;
    const fk_adamw *a = job->adam;
    const int64_t end = fk_min(job->n, (task + 1) * FK(chunk));
    const vf b1 = vset(a->beta1), b2 = vset(a->beta2), c1 = vset((float)(1.0 - (double)a->beta1)), c2 = vset((float)(1.0 - (double)a->beta2));
    const vf keep = vset((float)(1.0 - (double)a->lr * a->weight_decay)), rate = vset((float)((double)a->lr / a->bias1));
    const vf spread = vset((float)(1.0 / __builtin_sqrt((double)a->bias2))), eps = vset(a->eps), scale = vset(a->scale);
    for (int64_t i = task * FK(chunk); i < end; i += 16) {
        const int64_t lanes = end - i;
        const vf g = vload_n(job->x + i, lanes) * scale;
        const vf m = vfma(c1, g, b1 * vload_n(job->m + i, lanes)), v = vfma(c2 * g, g, b2 * vload_n(job->v + i, lanes));
        const vf p = keep * vload_n(job->out + i, lanes) - rate * m / vfma(vsqrt(v), spread, eps);
        vstore_n(job->m + i, m, lanes);
        vstore_n(job->v + i, v, lanes);
        vstore_n(job->out + i, p, lanes);
    }
}

static fk_status FK(adamw)(float *p, float *m, float *v, const float *g, int64_t n, const fk_adamw *step, fk_stream s) {
    struct FK(element_job) job = {.out = p, .m = m, .v = v, .x = g, .n = n, .adam = step};
    fk_run(s, fk_ceil(n, FK(chunk)), FK(adamw_chunk), &job);
    return FK_OK;
}

static void FK(to_bf16_chunk)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(element_job) *job = context;
    const int64_t end = fk_min(job->n, (task + 1) * FK(chunk));
    for (int64_t i = task * FK(chunk); i < end; i++) job->to[i] = FK(bf16_of)(job->x[i]);
}

static fk_status FK(to_bf16)(uint16_t *out, const float *x, int64_t n, fk_stream s) {
    struct FK(element_job) job = {.to = out, .x = x, .n = n};
    fk_run(s, fk_ceil(n, FK(chunk)), FK(to_bf16_chunk), &job);
    return FK_OK;
}

static void FK(from_bf16_chunk)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(element_job) *job = context;
    const int64_t end = fk_min(job->n, (task + 1) * FK(chunk));
    for (int64_t i = task * FK(chunk); i < end; i++) job->out[i] = FK(of_bf16)(job->halves[i]);
}

static fk_status FK(from_bf16)(float *out, const uint16_t *x, int64_t n, fk_stream s) {
    struct FK(element_job) job = {.out = out, .halves = x, .n = n};
    fk_run(s, fk_ceil(n, FK(chunk)), FK(from_bf16_chunk), &job);
    return FK_OK;
}

#endif
