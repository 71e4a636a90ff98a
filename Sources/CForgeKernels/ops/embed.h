// Rows of a table by id, and their gradient: tokens in order, so the sum has one order whatever the threads.
static int FK(ids_fit)(const int32_t *ids, int64_t n, int64_t vocabulary) {
    for (int64_t t = 0; t < n; t++)
        if (ids[t] < 0 || ids[t] >= vocabulary) return 0;
    return 1;
}

#ifdef FK_REFERENCE

static fk_status FK(embed_fwd)(float *out, const float *w, const int32_t *ids, int64_t n, int64_t d, int64_t vocabulary, fk_stream s) {
    (void)s;
    if (!FK(ids_fit)(ids, n, vocabulary)) return FK_BAD_SHAPE;
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < d; i++) out[t * d + i] = w[ids[t] * d + i];
    return FK_OK;
}

static fk_status FK(embed_bwd)(float *dw, const float *dy, const int32_t *ids, int64_t n, int64_t d, int64_t vocabulary, fk_stream s) {
    (void)s;
    if (!FK(ids_fit)(ids, n, vocabulary)) return FK_BAD_SHAPE;
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < d; i++) dw[ids[t] * d + i] += dy[t * d + i];
    return FK_OK;
}

#else

struct FK(embed_job) { float *to; const float *from; const int32_t *ids; int64_t n, d; };

static void FK(embed_rows)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(embed_job) *job = context;
    const int64_t end = fk_min(job->n, (task + 1) * 64);
    for (int64_t t = task * 64; t < end; t++) memcpy(job->to + t * job->d, job->from + job->ids[t] * job->d, (size_t)job->d * 4);
}

/// Thirty-two columns of dw.
static void FK(embed_columns)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(embed_job) *job = context;
    const int64_t first = task * 32, width = fk_min(32, job->d - first);
    for (int64_t t = 0; t < job->n; t++) {
        float *to = job->to + job->ids[t] * job->d + first;
        const float *from = job->from + t * job->d + first;
        vstore_n(to, vload_n(to, width) + vload_n(from, width), width);
        if (width > 16) vstore_n(to + 16, vload_n(to + 16, width - 16) + vload_n(from + 16, width - 16), width - 16);
    }
}

static fk_status FK(embed_fwd)(float *out, const float *w, const int32_t *ids, int64_t n, int64_t d, int64_t vocabulary, fk_stream s) {
    if (!FK(ids_fit)(ids, n, vocabulary)) return FK_BAD_SHAPE;
    struct FK(embed_job) job = {out, w, ids, n, d};
    fk_run(s, fk_ceil(n, 64), FK(embed_rows), &job);
    return FK_OK;
}

static fk_status FK(embed_bwd)(float *dw, const float *dy, const int32_t *ids, int64_t n, int64_t d, int64_t vocabulary, fk_stream s) {
    if (!FK(ids_fit)(ids, n, vocabulary)) return FK_BAD_SHAPE;
    struct FK(embed_job) job = {dw, dy, ids, n, d};
    fk_run(s, fk_ceil(d, 32), FK(embed_columns), &job);
    return FK_OK;
}

#endif
