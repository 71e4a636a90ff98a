// Element by element: filling, copies of columns, scaled sums, sums of squares and of columns, AdamW, and bfloat16 there and back.

struct fk_element_job {
    float *out, *m, *v;
    const float *x, *y;
    const uint16_t *halves;
    uint16_t *to;
    double *partials;
    int64_t n;
    float alpha, beta;
};

/// Each thread takes 4 elements, 256 apart, so that four reads are under way and all of a warp's are side by side.
enum { fk_element_run = 1024 };
template <class Body> FK_FN void fk_elements(int64_t n, Body body) {
    const int64_t first = fk_block() * fk_element_run + fk_thread();
    for (int part = 0; part < 4; part++)
        if (first + part * 256 < n) body(first + part * 256);
}

FK_KERNEL(fk_axpby_elements, fk_element_job, 256) {
    fk_elements(job.n, [&](int64_t i) {
        const float scaled = job.alpha * job.x[i];
        job.out[i] = job.y ? fk_fma(job.beta, job.y[i], scaled) : scaled;
    });
}

FK_KERNEL(fk_fill_elements, fk_element_job, 256) {
    fk_elements(job.n, [&](int64_t i) { job.out[i] = job.alpha; });
}

struct fk_columns_job { float *out; const float *x; int64_t n, d, ldo, ldx; };

FK_KERNEL(fk_columns_elements, fk_columns_job, 256) {
    fk_elements(job.n * job.d, [&](int64_t i) { job.out[i / job.d * job.ldo + i % job.d] = job.x[i / job.d * job.ldx + i % job.d]; });
}

FK_KERNEL(fk_to_bf16_elements, fk_element_job, 256) {
    fk_elements(job.n, [&](int64_t i) { job.to[i] = fk_bf16(job.x[i]); });
}

FK_KERNEL(fk_from_bf16_elements, fk_element_job, 256) {
    fk_elements(job.n, [&](int64_t i) { job.out[i] = fk_of_bf16(job.halves[i]); });
}

/// 65,536 squares, in double.
FK_KERNEL(fk_sumsq_chunk, fk_element_job, 256) {
    fk_arena arena;
    const auto room = arena.take<double>(8);
    const int64_t first = fk_block() * 65536, end = fk_min(job.n, first + 65536);
    double sum = 0;
    for (int64_t i = first + fk_thread(); i < end; i += 256) sum += (double)job.x[i] * (double)job.x[i];
    sum = fk_block_sum(sum, room);
    if (fk_thread() == 0) job.partials[fk_block()] = sum;
}

struct fk_sums_job { double *out; const double *partials; const float *x; int64_t n, d; };

FK_KERNEL(fk_sumsq_partials_sum, fk_sums_job, 256) {
    fk_arena arena;
    const auto room = arena.take<double>(8);
    double sum = 0;
    for (int64_t i = fk_thread(); i < job.n; i += 256) sum += job.partials[i];
    sum = fk_block_sum(sum, room);
    if (fk_thread() == 0) *job.out = sum;
}

FK_KERNEL(fk_column_sums_columns, fk_sums_job, 256) {
    const int64_t i = fk_block() * 256 + fk_thread();
    if (i >= job.d) return;
    double sum = 0;
    for (int64_t r = 0; r < job.n; r++) sum += (double)job.x[r * job.d + i];
    job.out[i] = sum;
}

struct fk_adamw_job {
    float *p, *m, *v;
    const float *g;
    int64_t n;
    float b1, b2, c1, c2, keep, rate, spread, eps, scale;
    int32_t unused = 0;
};

FK_KERNEL(fk_adamw_elements, fk_adamw_job, 256) {
    fk_elements(job.n, [&](int64_t i) {
        const float g = job.g[i] * job.scale;
        const float m = fk_fma(job.c1, g, job.b1 * job.m[i]), v = fk_fma(job.c2 * g, g, job.b2 * job.v[i]);
        job.p[i] = job.keep * job.p[i] - job.rate * m / fk_fma(sqrtf(v), job.spread, job.eps);
        job.m[i] = m;
        job.v[i] = v;
    });
}

#if !FK_DEVICE_PASS
static fk_status fk_axpby_cuda(float *out, float alpha, const float *x, float beta, const float *y, int64_t n, fk_stream s) {
    if (n < 0) return FK_BAD_SHAPE;
    const fk_element_job job = {.out = out, .x = x, .y = y, .n = n, .alpha = alpha, .beta = beta};
    return fk_launch(s, fk_axpby_elements, fk_ceil(n, fk_element_run), 1, 0, job);
}

static fk_status fk_fill_cuda(float *out, float value, int64_t n, fk_stream s) {
    if (n < 0) return FK_BAD_SHAPE;
    const fk_element_job job = {.out = out, .n = n, .alpha = value};
    return fk_launch(s, fk_fill_elements, fk_ceil(n, fk_element_run), 1, 0, job);
}

static fk_status fk_copy_columns_cuda(float *out, const float *x, int64_t n, int64_t d, int64_t ldo, int64_t ldx, fk_stream s) {
    if (n < 0 || d < 0 || ldo < d || ldx < d) return FK_BAD_SHAPE;
    const fk_columns_job job = {out, x, n, d, ldo, ldx};
    return fk_launch(s, fk_columns_elements, fk_ceil(n * d, fk_element_run), 1, 0, job);
}

static fk_status fk_sumsq_cuda(double *out, double *partials, const float *x, int64_t n, fk_stream s) {
    if (n < 0) return FK_BAD_SHAPE;
    const fk_element_job job = {.x = x, .partials = partials, .n = n};
    const fk_status status = fk_launch(s, fk_sumsq_chunk, fk_ceil(n, 65536), 1, 64, job);
    if (status != FK_OK) return status;
    const fk_sums_job all = {out, partials, nullptr, fk_ceil(n, 65536), 0};
    return fk_launch(s, fk_sumsq_partials_sum, 1, 1, 64, all);
}

static fk_status fk_column_sums_cuda(double *out, const float *x, int64_t n, int64_t d, fk_stream s) {
    if (n < 0 || d < 0) return FK_BAD_SHAPE;
    const fk_sums_job job = {out, nullptr, x, n, d};
    return fk_launch(s, fk_column_sums_columns, fk_ceil(d, 256), 1, 0, job);
}

static fk_status fk_adamw_cuda(float *p, float *m, float *v, const float *g, int64_t n, const fk_adamw *a, fk_stream s) {
    if (n < 0) return FK_BAD_SHAPE;
    const fk_adamw_job job = {
        p, m, v, g, n, a->beta1, a->beta2, (float)(1.0 - (double)a->beta1), (float)(1.0 - (double)a->beta2), (float)(1.0 - (double)a->lr * a->weight_decay),
        (float)((double)a->lr / a->bias1), (float)(1.0 / sqrt((double)a->bias2)), a->eps, a->scale,
    };
    return fk_launch(s, fk_adamw_elements, fk_ceil(n, fk_element_run), 1, 0, job);
}

static fk_status fk_to_bf16_cuda(uint16_t *out, const float *x, int64_t n, fk_stream s) {
    if (n < 0) return FK_BAD_SHAPE;
    const fk_element_job job = {.x = x, .to = out, .n = n};
    return fk_launch(s, fk_to_bf16_elements, fk_ceil(n, fk_element_run), 1, 0, job);
}

static fk_status fk_from_bf16_cuda(float *out, const uint16_t *x, int64_t n, fk_stream s) {
    if (n < 0) return FK_BAD_SHAPE;
    const fk_element_job job = {.out = out, .halves = x, .n = n};
    return fk_launch(s, fk_from_bf16_elements, fk_ceil(n, fk_element_run), 1, 0, job);
}
#endif
