// Rows to their experts and back. Place p of the sorted order holds pair pair[p] = t·k + j; place[t·k + j] = p.
static int FK(places_fit)(const int32_t *places, int64_t pairs) {
    for (int64_t i = 0; i < pairs; i++)
        if (places[i] < 0 || places[i] >= pairs) return 0;
    return 1;
}

#ifdef FK_REFERENCE

static fk_status FK(expert_gather)(float *out, const float *x, const int32_t *pair, int64_t n, int64_t choices, int64_t d, fk_stream s) {
    (void)s;
    if (!FK(places_fit)(pair, n * choices)) return FK_BAD_SHAPE;
    for (int64_t p = 0; p < n * choices; p++)
        for (int64_t i = 0; i < d; i++) out[p * d + i] = x[pair[p] / choices * d + i];
    return FK_OK;
}

static fk_status FK(expert_combine)(float *out, const float *add, const float *y, const float *weights, const int32_t *place, int64_t n,
                                    int64_t choices, int64_t d, fk_stream s) {
    (void)s;
    if (!FK(places_fit)(place, n * choices)) return FK_BAD_SHAPE;
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < d; i++) {
            double sum = add ? add[t * d + i] : 0.0;
            for (int64_t j = 0; j < choices; j++)
                sum += (weights ? (double)weights[t * choices + j] : 1.0) * y[place[t * choices + j] * d + i];
            out[t * d + i] = (float)sum;
        }
    return FK_OK;
}

static fk_status FK(expert_swiglu_bwd)(float *dgu, float *again, float *dweights, const float *dh, const float *gu, const float *weights,
                                       const int32_t *pair, int64_t pairs, int64_t width, fk_stream s) {
    (void)s;
    if (!FK(places_fit)(pair, pairs)) return FK_BAD_SHAPE;
    for (int64_t p = 0; p < pairs; p++) {
        const double w = weights[pair[p]];
        double dot = 0;
        for (int64_t i = 0; i < width; i++) {
            const double g = gu[p * 2 * width + i], u = gu[p * 2 * width + width + i], d = dh[p * width + i];
            const double sigma = 1.0 / (1.0 + __builtin_exp(-g));
            dot += d * g * sigma * u;
            again[p * width + i] = (float)(w * g * sigma * u);
            dgu[p * 2 * width + i] = (float)(w * d * u * sigma * (1.0 + g * (1.0 - sigma)));
            dgu[p * 2 * width + width + i] = (float)(w * d * g * sigma);
        }
        dweights[pair[p]] = (float)dot;
    }
    return FK_OK;
}

#else

struct FK(expert_job) {
    float *out, *again, *dweights;
    const float *x, *add, *weights, *gu;
    const int32_t *index;
    int64_t rows, choices, d;
};

static void FK(expert_gather_rows)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(expert_job) *job = context;
    const int64_t d = job->d, end = fk_min(job->rows, (task + 1) * 64);
    for (int64_t p = task * 64; p < end; p++) memcpy(job->out + p * d, job->x + job->index[p] / job->choices * d, (size_t)d * sizeof(float));
}

static fk_status FK(expert_gather)(float *out, const float *x, const int32_t *pair, int64_t n, int64_t choices, int64_t d, fk_stream s) {
    if (!FK(places_fit)(pair, n * choices)) return FK_BAD_SHAPE;
    struct FK(expert_job) job = {.out = out, .x = x, .index = pair, .rows = n * choices, .choices = choices, .d = d};
    fk_run(s, fk_ceil(n * choices, 64), FK(expert_gather_rows), &job);
    return FK_OK;
}

static void FK(expert_combine_rows)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(expert_job) *job = context;
    const int64_t d = job->d, k = job->choices, end = fk_min(job->rows, (task + 1) * 16);
    for (int64_t t = task * 16; t < end; t++)
        for (int64_t i = 0; i < d; i += 16) {
            vf sum = job->add ? vload_n(job->add + t * d + i, d - i) : vset(0.0f);
            for (int64_t j = 0; j < k; j++) {
                const vf y = vload_n(job->x + job->index[t * k + j] * d + i, d - i);
                sum = job->weights ? vfma(vset(job->weights[t * k + j]), y, sum) : sum + y;
            }
            vstore_n(job->out + t * d + i, sum, d - i);
        }
}

static fk_status FK(expert_combine)(float *out, const float *add, const float *y, const float *weights, const int32_t *place, int64_t n,
                                    int64_t choices, int64_t d, fk_stream s) {
    if (!FK(places_fit)(place, n * choices)) return FK_BAD_SHAPE;
    struct FK(expert_job) job = {.out = out, .x = y, .add = add, .weights = weights, .index = place, .rows = n, .choices = choices, .d = d};
    fk_run(s, fk_ceil(n, 16), FK(expert_combine_rows), &job);
    return FK_OK;
}

static void FK(expert_swiglu_bwd_rows)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(expert_job) *job = context;
    const int64_t width = job->d, end = fk_min(job->rows, (task + 1) * 16);
    const vf one = vset(1.0f);
    for (int64_t p = task * 16; p < end; p++) {
        const float *gate = job->gu + p * 2 * width, *up = gate + width;
        const vf w = vset(job->weights[job->index[p]]);
        vf dot = vset(0.0f);
        for (int64_t i = 0; i < width; i += 16) {
            const int64_t lanes = width - i;
            const vf g = vload_n(gate + i, lanes), u = vload_n(up + i, lanes), d = vload_n(job->x + p * width + i, lanes);
            const vf sigma = one / (one + vexp(-g)), silu = g * sigma, h = silu * u, dw = w * d;
            dot = vfma(d, h, dot);
            vstore_n(job->again + p * width + i, w * h, lanes);
            vstore_n(job->out + p * 2 * width + i, dw * u * sigma * (one + g * (one - sigma)), lanes);
            vstore_n(job->out + p * 2 * width + width + i, dw * silu, lanes);
        }
        job->dweights[job->index[p]] = vsum(dot);
    }
}

static fk_status FK(expert_swiglu_bwd)(float *dgu, float *again, float *dweights, const float *dh, const float *gu, const float *weights,
                                       const int32_t *pair, int64_t pairs, int64_t width, fk_stream s) {
    if (!FK(places_fit)(pair, pairs)) return FK_BAD_SHAPE;
    struct FK(expert_job) job = {.out = dgu, .again = again, .dweights = dweights, .x = dh, .gu = gu, .weights = weights, .index = pair, .rows = pairs, .d = width};
    fk_run(s, fk_ceil(pairs, 16), FK(expert_swiglu_bwd_rows), &job);
    return FK_OK;
}

#endif
