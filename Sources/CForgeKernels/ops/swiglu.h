// SwiGLU: Shazeer 2020 (arXiv:2002.05202), eq. 5, with silu(g) = g / (1 + e^-g). Gate and up side by side in one row.
#ifdef FK_REFERENCE

static fk_status FK(swiglu_fwd)(float *out, const float *gu, int64_t n, int64_t width, fk_stream s) {
    (void)s;
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < width; i++) {
            const double g = gu[r * 2 * width + i], u = gu[r * 2 * width + width + i];
            out[r * width + i] = (float)(g / (1.0 + __builtin_exp(-g)) * u);
        }
    return FK_OK;
}

static fk_status FK(swiglu_bwd)(float *dgu, float *out, const float *dy, const float *gu, int64_t n, int64_t width, fk_stream s) {
    (void)s;
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < width; i++) {
            const double g = gu[r * 2 * width + i], u = gu[r * 2 * width + width + i], d = dy[r * width + i];
            const double sigma = 1.0 / (1.0 + __builtin_exp(-g));
            if (out) out[r * width + i] = (float)(g * sigma * u);
            dgu[r * 2 * width + i] = (float)(d * u * sigma * (1.0 + g * (1.0 - sigma)));
            dgu[r * 2 * width + width + i] = (float)(d * g * sigma);
        }
    return FK_OK;
}

#else

struct FK(swiglu_job) { float *dgu, *out; const float *dy, *gu; int64_t n, width; };

static void FK(swiglu_rows)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(swiglu_job) *job = context;
    const int64_t width = job->width, end = fk_min(job->n, (task + 1) * 16);
    const vf one = vset(1.0f);
    for (int64_t r = task * 16; r < end; r++) {
        const float *gate = job->gu + r * 2 * width, *up = gate + width;
        for (int64_t i = 0; i < width; i += 16) {
            const int64_t lanes = width - i;
            const vf g = vload_n(gate + i, lanes), u = vload_n(up + i, lanes);
            const vf sigma = one / (one + vexp(-g)), silu = g * sigma;
            if (job->out) vstore_n(job->out + r * width + i, silu * u, lanes);
            if (!job->dgu) continue;
            const vf d = vload_n(job->dy + r * width + i, lanes);
            vstore_n(job->dgu + r * 2 * width + i, d * u * sigma * (one + g * (one - sigma)), lanes);
            vstore_n(job->dgu + r * 2 * width + width + i, d * silu, lanes);
        }
    }
}

static fk_status FK(swiglu_fwd)(float *out, const float *gu, int64_t n, int64_t width, fk_stream s) {
    struct FK(swiglu_job) job = {NULL, out, NULL, gu, n, width};
    fk_run(s, fk_ceil(n, 16), FK(swiglu_rows), &job);
    return FK_OK;
}

static fk_status FK(swiglu_bwd)(float *dgu, float *out, const float *dy, const float *gu, int64_t n, int64_t width, fk_stream s) {
    struct FK(swiglu_job) job = {dgu, out, dy, gu, n, width};
    fk_run(s, fk_ceil(n, 16), FK(swiglu_rows), &job);
    return FK_OK;
}

#endif
