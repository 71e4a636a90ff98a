// Rotary position embedding: Su et al. 2021 (arXiv:2104.09864), eq. 34, in both published orders of the pairs.
#ifdef FK_REFERENCE

static fk_status FK(rope)(float *x, const int32_t *position, const float *cosines, const float *sines, int64_t tokens,
                          int64_t heads, int64_t d, int64_t x_stride, fk_rope_layout layout, int32_t inverse, fk_stream s) {
    (void)s;
    const int64_t half = d / 2;
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t h = 0; h < heads; h++)
            for (int64_t i = 0; i < half; i++) {
                float *a = x + t * x_stride + h * d + (layout == FK_ROPE_HALF ? i : 2 * i);
                float *b = a + (layout == FK_ROPE_HALF ? half : 1);
                const double c = cosines[position[t] * half + i], sn = sines[position[t] * half + i], sign = inverse ? -1.0 : 1.0;
                const double p = *a * c - *b * sn * sign, q = *b * c + *a * sn * sign;
                *a = (float)p;
                *b = (float)q;
            }
    return FK_OK;
}

#else

struct FK(rope_job) {
    float *x;
    const int32_t *position;
    const float *cosines, *sines;
    int64_t tokens, heads, d, x_stride;
    fk_rope_layout layout;
    int32_t inverse;
};

static void FK(rope_rows)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(rope_job) *job = context;
    const int64_t half = job->d / 2, end = fk_min(job->tokens, (task + 1) * 64);
    const vf sign = vset(job->inverse ? -1.0f : 1.0f);
    for (int64_t t = task * 64; t < end; t++) {
        const float *c = job->cosines + job->position[t] * half, *sn = job->sines + job->position[t] * half;
        for (int64_t h = 0; h < job->heads; h++) {
            float *row = job->x + t * job->x_stride + h * job->d;
            if (job->layout == FK_ROPE_HALF) {
                for (int64_t i = 0; i < half; i += 16) {
                    const int64_t lanes = half - i;
                    const vf a = vload_n(row + i, lanes), b = vload_n(row + half + i, lanes);
                    const vf cv = vload_n(c + i, lanes), sv = vload_n(sn + i, lanes) * sign;
                    vstore_n(row + i, a * cv - b * sv, lanes);
                    vstore_n(row + half + i, b * cv + a * sv, lanes);
                }
            } else {
                const float turn = job->inverse ? -1.0f : 1.0f;
                for (int64_t i = 0; i < half; i++) {
                    const float a = row[2 * i], b = row[2 * i + 1], sv = sn[i] * turn;
                    row[2 * i] = a * c[i] - b * sv;
                    row[2 * i + 1] = b * c[i] + a * sv;
                }
            }
        }
    }
}

static fk_status FK(rope)(float *x, const int32_t *position, const float *cosines, const float *sines, int64_t tokens,
                          int64_t heads, int64_t d, int64_t x_stride, fk_rope_layout layout, int32_t inverse, fk_stream s) {
    if (tokens < 0 || d < 2 || d % 2 || x_stride < heads * d) return FK_BAD_SHAPE;
    struct FK(rope_job) job = {x, position, cosines, sines, tokens, heads, d, x_stride, layout, inverse};
    fk_run(s, fk_ceil(tokens, 64), FK(rope_rows), &job);
    return FK_OK;
}

#endif
