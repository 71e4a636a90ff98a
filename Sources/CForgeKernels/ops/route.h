// Which experts a token goes to, and the way back: scores, the best few, their weights; pairs of (token, choice) in the order of
// their experts. Softmax routing: Jiang et al. 2024 (arXiv:2401.04088), §2.1. Sigmoid scores with a bias that only chooses:
// DeepSeek-AI 2024 (arXiv:2412.19437), eqs. 12-16. No token is ever dropped (Gale et al. 2022, arXiv:2211.15841).

static int FK(route_fits)(int64_t n, const fk_route *r) {
    return n >= 0 && r->experts >= 1 && r->experts <= FK_EXPERTS_MAX && r->choices >= 1 && r->choices <= r->experts &&
           n <= INT32_MAX / r->choices;
}
static int FK(choices_fit)(const int32_t *choice, int64_t pairs, int64_t experts) {
    for (int64_t i = 0; i < pairs; i++)
        if (choice[i] < 0 || choice[i] >= experts) return 0;
    return 1;
}

/// The k best scores, best first; of equal ones the lower index. A score that is no number loses its comparisons, so the choice
/// is k different experts whatever the scores are.
static void FK(route_choose)(int32_t *choice, const float *probs, const float *bias, const fk_route *r) {
    int64_t kept = 0;
    for (int64_t e = 0; e < r->experts; e++) {
        const float score = bias ? probs[e] + bias[e] : probs[e];
        int64_t at = kept;
        while (at > 0 && score > (bias ? probs[choice[at - 1]] + bias[choice[at - 1]] : probs[choice[at - 1]])) at--;
        if (at == r->choices) continue;
        if (kept < r->choices) kept++;
        for (int64_t i = kept - 1; i > at; i--) choice[i] = choice[i - 1];
        choice[at] = (int32_t)e;
    }
}

#ifdef FK_REFERENCE

static fk_status FK(route_fwd)(float *weights, int32_t *choice, float *probs, const float *logits, const float *bias, int64_t n,
                               const fk_route *r, fk_stream s) {
    (void)s;
    if (!FK(route_fits)(n, r)) return FK_BAD_SHAPE;
    for (int64_t t = 0; t < n; t++) {
        const float *row = logits + t * r->experts;
        float *p = probs + t * r->experts, *w = weights + t * r->choices;
        int32_t *chosen = choice + t * r->choices;
        double largest = -1e300, total = 0;
        for (int64_t e = 0; e < r->experts; e++) largest = row[e] > largest ? row[e] : largest;
        for (int64_t e = 0; e < r->experts; e++) total += __builtin_exp(row[e] - largest);
        for (int64_t e = 0; e < r->experts; e++)
            p[e] = (float)(r->score == FK_SIGMOID ? 1.0 / (1.0 + __builtin_exp(-(double)row[e])) : __builtin_exp(row[e] - largest) / total);
        FK(route_choose)(chosen, p, bias, r);
        double sum = 1e-20;
        for (int64_t j = 0; j < r->choices; j++) sum += p[chosen[j]];
        for (int64_t j = 0; j < r->choices; j++) w[j] = (float)(p[chosen[j]] / (r->renormalise ? sum : 1.0) * r->scale);
    }
    return FK_OK;
}

static fk_status FK(route_bwd)(float *dlogits, const float *dweights, const int32_t *choice, const float *probs, const float *balance,
                               int64_t n, const fk_route *r, fk_stream s) {
    (void)s;
    if (!FK(route_fits)(n, r) || !FK(choices_fit)(choice, n * r->choices, r->experts)) return FK_BAD_SHAPE;
    for (int64_t t = 0; t < n; t++) {
        const float *p = probs + t * r->experts, *dw = dweights + t * r->choices;
        const int32_t *chosen = choice + t * r->choices;
        double sum = 1e-20, mean = 0;
        for (int64_t j = 0; j < r->choices; j++) sum += p[chosen[j]];
        for (int64_t j = 0; j < r->choices; j++) mean += dw[j] * (double)p[chosen[j]] / sum;
        // dL/dp, formed twice: no row of workspace, and k is small.
        double dot = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t e = 0; e < r->experts; e++) {
                double dp = balance ? balance[e] : 0.0;
                for (int64_t j = 0; j < r->choices; j++)
                    if (chosen[j] == e) dp += r->renormalise ? r->scale / sum * (dw[j] - mean) : (double)r->scale * dw[j];
                if (r->score == FK_SIGMOID) dlogits[t * r->experts + e] = (float)(dp * p[e] * (1.0 - p[e]));
                else if (pass == 0) dot += dp * p[e];
                else dlogits[t * r->experts + e] = (float)(p[e] * (dp - dot));
            }
    }
    return FK_OK;
}

static fk_status FK(route_sort)(int32_t *starts, int32_t *place, int32_t *pair, const int32_t *choice, int64_t n, const fk_route *r, fk_stream s) {
    (void)s;
    if (!FK(route_fits)(n, r) || !FK(choices_fit)(choice, n * r->choices, r->experts)) return FK_BAD_SHAPE;
    int32_t next = 0;
    for (int64_t e = 0; e < r->experts; e++) {
        starts[e] = next;
        for (int64_t i = 0; i < n * r->choices; i++)
            if (choice[i] == e) {
                pair[next] = (int32_t)i;
                place[i] = next++;
            }
    }
    starts[r->experts] = next;
    return FK_OK;
}

#else

enum { FK(route_rows_per_task) = 32 };
struct FK(route_job) {
    float *weights, *probs, *dlogits;
    int32_t *choice;
    const float *logits, *bias, *dweights, *balance;
    int64_t n;
    const fk_route *r;
};

static void FK(route_rows)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(route_job) *job = context;
    const fk_route *r = job->r;
    const int64_t experts = r->experts, end = fk_min(job->n, (task + 1) * FK(route_rows_per_task));
    const vf one = vset(1.0f);
    for (int64_t t = task * FK(route_rows_per_task); t < end; t++) {
        const float *row = job->logits + t * experts;
        float *p = job->probs + t * experts, *w = job->weights + t * r->choices;
        int32_t *chosen = job->choice + t * r->choices;
        if (r->score == FK_SIGMOID) {
            for (int64_t e = 0; e < experts; e += 16) vstore_n(p + e, one / (one + vexp(-vload_n(row + e, experts - e))), experts - e);
        } else {
            float largest = row[0];
            for (int64_t e = 1; e < experts; e++) largest = row[e] > largest ? row[e] : largest;
            vf total = vset(0.0f);
            for (int64_t e = 0; e < experts; e += 16) {
                vstore_n(p + e, vexp(vload_n(row + e, experts - e) - vset(largest)), experts - e);
                total = total + vload_n(p + e, experts - e);
            }
            const vf sum = vset(vsum(total));
            for (int64_t e = 0; e < experts; e += 16) vstore_n(p + e, vload_n(p + e, experts - e) / sum, experts - e);
        }
        FK(route_choose)(chosen, p, job->bias, r);
        float sum = 0.0f;
        for (int64_t j = 0; j < r->choices; j++) sum += p[chosen[j]];
        sum = r->renormalise ? sum + 1e-20f : 1.0f;
        for (int64_t j = 0; j < r->choices; j++) w[j] = p[chosen[j]] / sum * r->scale;
    }
}

static fk_status FK(route_fwd)(float *weights, int32_t *choice, float *probs, const float *logits, const float *bias, int64_t n,
                               const fk_route *r, fk_stream s) {
    if (!FK(route_fits)(n, r)) return FK_BAD_SHAPE;
    struct FK(route_job) job = {.weights = weights, .probs = probs, .choice = choice, .logits = logits, .bias = bias, .n = n, .r = r};
    fk_run(s, fk_ceil(n, FK(route_rows_per_task)), FK(route_rows), &job);
    return FK_OK;
}

static void FK(route_bwd_rows)(void *context, int64_t task, void *scratch) {
    const struct FK(route_job) *job = context;
    const fk_route *r = job->r;
    const int64_t experts = r->experts, end = fk_min(job->n, (task + 1) * FK(route_rows_per_task));
    float *dp = scratch;
    for (int64_t t = task * FK(route_rows_per_task); t < end; t++) {
        const float *p = job->probs + t * experts, *dw = job->dweights + t * r->choices;
        const int32_t *chosen = job->choice + t * r->choices;
        if (job->balance) memcpy(dp, job->balance, (size_t)experts * sizeof(float));
        else memset(dp, 0, (size_t)experts * sizeof(float));
        float sum = 0.0f, mean = 0.0f;
        for (int64_t j = 0; j < r->choices; j++) sum += p[chosen[j]];
        sum += 1e-20f;
        for (int64_t j = 0; j < r->choices; j++) mean += dw[j] * (p[chosen[j]] / sum);
        for (int64_t j = 0; j < r->choices; j++)
            dp[chosen[j]] += r->renormalise ? r->scale / sum * (dw[j] - mean) : r->scale * dw[j];
        vf dot = vset(0.0f);
        if (r->score == FK_SOFTMAX)
            for (int64_t e = 0; e < experts; e += 16) dot = vfma(vload_n(dp + e, experts - e), vload_n(p + e, experts - e), dot);
        const vf pull = vset(vsum(dot)), one = vset(1.0f);
        for (int64_t e = 0; e < experts; e += 16) {
            const vf here = vload_n(p + e, experts - e), d = vload_n(dp + e, experts - e);
            vstore_n(job->dlogits + t * experts + e, r->score == FK_SIGMOID ? d * here * (one - here) : here * (d - pull), experts - e);
        }
    }
}

static fk_status FK(route_bwd)(float *dlogits, const float *dweights, const int32_t *choice, const float *probs, const float *balance,
                               int64_t n, const fk_route *r, fk_stream s) {
    if (!FK(route_fits)(n, r) || !FK(choices_fit)(choice, n * r->choices, r->experts)) return FK_BAD_SHAPE;
    struct FK(route_job) job = {.dlogits = dlogits, .dweights = dweights, .choice = (int32_t *)choice, .probs = (float *)probs, .balance = balance, .n = n, .r = r};
    fk_run(s, fk_ceil(n, FK(route_rows_per_task)), FK(route_bwd_rows), &job);
    return FK_OK;
}

/// Counting sort, on the caller alone: two passes over a few numbers a token beside millions of multiplications each.
static fk_status FK(route_sort)(int32_t *starts, int32_t *place, int32_t *pair, const int32_t *choice, int64_t n, const fk_route *r, fk_stream s) {
    (void)s;
    const int64_t pairs = n * r->choices;
    if (!FK(route_fits)(n, r) || !FK(choices_fit)(choice, pairs, r->experts)) return FK_BAD_SHAPE;
    memset(starts, 0, (size_t)(r->experts + 1) * sizeof *starts);
    for (int64_t i = 0; i < pairs; i++) starts[choice[i] + 1]++;
    for (int64_t e = 0; e < r->experts; e++) starts[e + 1] += starts[e];
    // Filling moves each start to its expert's end, which is the next one's start.
    for (int64_t i = 0; i < pairs; i++) {
        place[i] = starts[choice[i]]++;
        pair[place[i]] = (int32_t)i;
    }
    for (int64_t e = r->experts; e > 0; e--) starts[e] = starts[e - 1];
    starts[0] = 0;
    return FK_OK;
}

#endif
