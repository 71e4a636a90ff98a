// Which experts a token goes to, and the way back. Softmax routing: Jiang et al. 2024 (arXiv:2401.04088), §2.1. Sigmoid scores with a bias that
// only chooses: DeepSeek-AI 2024 (arXiv:2412.19437), eqs. 12-16. Pairs of (token, choice) are sorted by counting, in chunks whose order is theirs.

struct fk_route_job {
    float *weights, *probs, *dlogits;
    int32_t *choice;
    const float *logits, *bias, *dweights, *balance;
    int32_t *trouble;
    int64_t n;
    fk_route r;
};

/// A warp a token.
FK_KERNEL(fk_route_rows, fk_route_job, 256) {
    const int64_t t = fk_block() * 8 + fk_warp(), experts = job.r.experts, k = job.r.choices;
    if (t >= job.n) return;
    const float *row = job.logits + t * experts;
    float *p = job.probs + t * experts;
    float largest = -INFINITY, total = 0.0f;
    if (job.r.score == FK_SOFTMAX) {
        for (int64_t e = fk_lane(); e < experts; e += 32) largest = fmaxf(largest, row[e]);
        largest = fk_warp_max(largest);
        for (int64_t e = fk_lane(); e < experts; e += 32) total = total + fk_exp(row[e] - largest);
        total = fk_warp_sum(total);
    }
    for (int64_t e = fk_lane(); e < experts; e += 32) p[e] = job.r.score == FK_SIGMOID ? 1.0f / (1.0f + fk_exp(-row[e])) : fk_exp(row[e] - largest) / total;
    fk_sync_warp();
    if (fk_lane()) return;
    // One by one into the best so far: of equal ones the lower index, and a score that is no number loses its comparisons.
    int32_t *chosen = job.choice + t * k;
    int64_t kept = 0;
    for (int64_t e = 0; e < experts; e++) {
        const float score = job.bias ? p[e] + job.bias[e] : p[e];
        int64_t at = kept;
        while (at > 0 && score > (job.bias ? p[chosen[at - 1]] + job.bias[chosen[at - 1]] : p[chosen[at - 1]])) at--;
        if (at == k) continue;
        if (kept < k) kept++;
        for (int64_t i = kept - 1; i > at; i--) chosen[i] = chosen[i - 1];
        chosen[at] = (int32_t)e;
    }
    float sum = 0.0f;
    for (int64_t j = 0; j < k; j++) sum = sum + p[chosen[j]];
    sum = job.r.renormalise ? sum + 1e-20f : 1.0f;
    for (int64_t j = 0; j < k; j++) job.weights[t * k + j] = p[chosen[j]] / sum * job.r.scale;
}

FK_KERNEL(fk_route_bwd_rows, fk_route_job, 256) {
    const int64_t t = fk_block() * 8 + fk_warp(), experts = job.r.experts, k = job.r.choices;
    if (t >= job.n) return;
    const float *p = job.probs + t * experts, *dw = job.dweights + t * k;
    const int32_t *chosen = job.choice + t * k;
    float sum = 0.0f, mean = 0.0f;
    for (int64_t j = 0; j < k; j++) {
        if (chosen[j] < 0 || chosen[j] >= experts) {
            fk_raise(job.trouble, FK_BAD_SHAPE);
            return;
        }
        sum = sum + p[chosen[j]];
    }
    sum = sum + 1e-20f;
    for (int64_t j = 0; j < k; j++) mean = mean + dw[j] * (p[chosen[j]] / sum);
    float dot = 0.0f;
    // dL/dp, formed twice: no row of workspace, and k is small. dlogits may be probs: each lane reads what it then writes.
    for (int pass = job.r.score == FK_SIGMOID; pass < 2; pass++) {
        for (int64_t e = fk_lane(); e < experts; e += 32) {
            float dp = job.balance ? job.balance[e] : 0.0f;
            for (int64_t j = 0; j < k; j++)
                if (chosen[j] == e) dp = dp + (job.r.renormalise ? job.r.scale / sum * (dw[j] - mean) : job.r.scale * dw[j]);
            if (pass == 0) dot = fk_fma(dp, p[e], dot);
            else job.dlogits[t * experts + e] = job.r.score == FK_SIGMOID ? dp * p[e] * (1.0f - p[e]) : p[e] * (dp - dot);
        }
        if (pass == 0) dot = fk_warp_sum(dot);
    }
}

enum { fk_sort_chunk = 1024 };
struct fk_sort_job {
    int32_t *starts, *place, *pair, *counts;  // counts[chunk][expert]: how many, then how many before
    const int32_t *choice;
    int32_t *trouble;
    int64_t pairs, experts, chunks;
};

/// A chunk's choices in shared memory; those outside are no expert's.
FK_FN fk_shared<int32_t> fk_sort_choices(const fk_sort_job &job, fk_arena &arena) {
    const auto choices = arena.take<int32_t>(fk_sort_chunk);
    for (int i = fk_thread(); i < fk_sort_chunk; i += 256) {
        const int64_t at = fk_block() * fk_sort_chunk + i;
        const int32_t e = at < job.pairs ? job.choice[at] : -1;
        if (at < job.pairs && (e < 0 || e >= job.experts)) fk_raise(job.trouble, FK_BAD_SHAPE);
        choices[i] = e;
    }
    fk_sync();
    return choices;
}

FK_KERNEL(fk_sort_count, fk_sort_job, 256) {
    fk_arena arena;
    const auto choices = fk_sort_choices(job, arena);
    for (int64_t e = fk_thread(); e < job.experts; e += 256) {
        int32_t count = 0;
        for (int i = 0; i < fk_sort_chunk; i++) count += (int32_t)choices[i] == e;
        job.counts[fk_block() * job.experts + e] = count;
    }
}

FK_KERNEL(fk_sort_starts, fk_sort_job, 1024) {
    fk_arena arena;
    const auto totals = arena.take<int32_t>(FK_EXPERTS_MAX);
    for (int64_t e = fk_thread(); e < job.experts; e += 1024) {
        int32_t before = 0;
        for (int64_t c = 0; c < job.chunks; c++) {
            const int32_t here = job.counts[c * job.experts + e];
            job.counts[c * job.experts + e] = before;
            before += here;
        }
        totals[e] = before;
    }
    fk_sync();
    if (fk_thread()) return;
    int32_t next = 0;
    for (int64_t e = 0; e < job.experts; e++) {
        job.starts[e] = next;
        next += (int32_t)totals[e];
    }
    job.starts[job.experts] = next;
}

FK_KERNEL(fk_sort_place, fk_sort_job, 256) {
    fk_arena arena;
    const auto choices = fk_sort_choices(job, arena);
    for (int64_t e = fk_thread(); e < job.experts; e += 256) {
        int32_t next = job.starts[e] + job.counts[fk_block() * job.experts + e];
        for (int i = 0; i < fk_sort_chunk; i++)
            if ((int32_t)choices[i] == e) {
                job.place[fk_block() * fk_sort_chunk + i] = next;
                job.pair[next++] = (int32_t)(fk_block() * fk_sort_chunk + i);
            }
    }
}

#if !FK_DEVICE_PASS
static bool fk_route_fits(int64_t n, const fk_route *r) {
    return n >= 0 && r->experts >= 1 && r->experts <= FK_EXPERTS_MAX && r->choices >= 1 && r->choices <= r->experts && n <= INT32_MAX / r->choices;
}

static fk_status fk_route_fwd_cuda(float *weights, int32_t *choice, float *probs, const float *logits, const float *bias, int64_t n, const fk_route *r, fk_stream s) {
    if (!fk_route_fits(n, r)) return FK_BAD_SHAPE;
    fk_route_job job = {};
    job.weights = weights, job.choice = choice, job.probs = probs, job.logits = logits, job.bias = bias, job.n = n, job.r = *r;
    return fk_launch(s, fk_route_rows, fk_ceil(n, 8), 1, 0, job);
}

static fk_status fk_route_bwd_cuda(float *dlogits, const float *dweights, const int32_t *choice, const float *probs, const float *balance, int64_t n, const fk_route *r, fk_stream s) {
    if (!fk_route_fits(n, r)) return FK_BAD_SHAPE;
    fk_route_job job = {};
    job.dlogits = dlogits, job.dweights = dweights, job.choice = (int32_t *)choice, job.probs = (float *)probs, job.balance = balance, job.trouble = fk_trouble(s), job.n = n, job.r = *r;
    return fk_launch(s, fk_route_bwd_rows, fk_ceil(n, 8), 1, 0, job);
}

static fk_status fk_route_sort_cuda(int32_t *starts, int32_t *place, int32_t *pair, const int32_t *choice, int64_t n, const fk_route *r, fk_stream s) {
    if (!fk_route_fits(n, r)) return FK_BAD_SHAPE;
    const int64_t pairs = n * r->choices, chunks = fk_ceil(pairs, fk_sort_chunk);
    void *counts;
    fk_status status = fk_scratch(&counts, s, (size_t)(chunks * r->experts) * sizeof(int32_t) + 16);
    const fk_sort_job job = {starts, place, pair, (int32_t *)counts, choice, fk_trouble(s), pairs, r->experts, chunks};
    if (status == FK_OK) status = fk_launch(s, fk_sort_count, chunks, 1, fk_sort_chunk * 4, job);
    if (status == FK_OK) status = fk_launch(s, fk_sort_starts, 1, 1, FK_EXPERTS_MAX * 4, job);
    return status == FK_OK ? fk_launch(s, fk_sort_place, chunks, 1, fk_sort_chunk * 4, job) : status;
}
#endif
