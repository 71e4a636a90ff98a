// Rows to their experts and back. Place p of the sorted order holds pair pair[p] = t·k + j; place[t·k + j] = p.

struct fk_expert_job {
    float *out, *again, *dweights;
    const float *x, *add, *weights, *gu;
    const int32_t *index;
    int32_t *trouble;
    int64_t rows, choices, d;
};

FK_FN bool fk_place_fits(const fk_expert_job &job, int64_t place, int64_t pairs) {
    if (place >= 0 && place < pairs) return true;
    fk_raise(job.trouble, FK_BAD_SHAPE);
    return false;
}

FK_KERNEL(fk_expert_gather_rows, fk_expert_job, 256) {
    const int64_t across = fk_ceil(job.d, 256), p = fk_block() / across, i = fk_block() % across * 256 + fk_thread(), pair = job.index[p];
    if (!fk_place_fits(job, pair, job.rows) || i >= job.d) return;
    job.out[p * job.d + i] = job.x[pair / job.choices * job.d + i];
}

FK_KERNEL(fk_expert_combine_rows, fk_expert_job, 256) {
    const int64_t across = fk_ceil(job.d, 256), t = fk_block() / across, i = fk_block() % across * 256 + fk_thread(), k = job.choices;
    for (int64_t j = 0; j < k; j++)
        if (!fk_place_fits(job, job.index[t * k + j], job.rows * k)) return;
    if (i >= job.d) return;
    float sum = job.add ? job.add[t * job.d + i] : 0.0f;
    for (int64_t j = 0; j < k; j++) {
        const float y = job.x[job.index[t * k + j] * job.d + i];
        sum = job.weights ? fk_fma(job.weights[t * k + j], y, sum) : sum + y;
    }
    job.out[t * job.d + i] = sum;
}

/// A warp a pair.
FK_KERNEL(fk_expert_swiglu_bwd_rows, fk_expert_job, 256) {
    const int64_t p = fk_block() * 8 + fk_warp(), width = job.d;
    if (p >= job.rows) return;
    const int64_t pair = job.index[p];
    if (!fk_place_fits(job, pair, job.rows)) return;
    const float *gate = job.gu + p * 2 * width, *up = gate + width;
    const float w = job.weights[pair];
    float dot = 0.0f;
    for (int64_t i = fk_lane(); i < width; i += 32) {
        const float g = gate[i], u = up[i], d = job.x[p * width + i];
        const float sigma = 1.0f / (1.0f + fk_exp(-g)), silu = g * sigma, h = silu * u, dw = w * d;
        dot = fk_fma(d, h, dot);
        job.again[p * width + i] = w * h;
        job.out[p * 2 * width + i] = dw * u * sigma * (1.0f + g * (1.0f - sigma));
        job.out[p * 2 * width + width + i] = dw * silu;
    }
    dot = fk_warp_sum(dot);
    if (fk_lane() == 0) job.dweights[pair] = dot;
}

#if !FK_DEVICE_PASS
static fk_status fk_expert_gather_cuda(float *out, const float *x, const int32_t *pair, int64_t n, int64_t choices, int64_t d, fk_stream s) {
    if (n < 0 || choices < 1 || d < 0) return FK_BAD_SHAPE;
    fk_expert_job job = {};
    job.out = out, job.x = x, job.index = pair, job.trouble = fk_trouble(s), job.rows = n * choices, job.choices = choices, job.d = d;
    return fk_launch(s, fk_expert_gather_rows, n * choices * fk_ceil(d, 256), 1, 0, job);
}

static fk_status fk_expert_combine_cuda(float *out, const float *add, const float *y, const float *weights, const int32_t *place, int64_t n, int64_t choices, int64_t d, fk_stream s) {
    if (n < 0 || choices < 1 || d < 0) return FK_BAD_SHAPE;
    fk_expert_job job = {};
    job.out = out, job.x = y, job.add = add, job.weights = weights, job.index = place, job.trouble = fk_trouble(s), job.rows = n, job.choices = choices, job.d = d;
    return fk_launch(s, fk_expert_combine_rows, n * fk_ceil(d, 256), 1, 0, job);
}

static fk_status fk_expert_swiglu_bwd_cuda(float *dgu, float *again, float *dweights, const float *dh, const float *gu, const float *weights, const int32_t *pair, int64_t pairs,
                                           int64_t width, fk_stream s) {
    if (pairs < 0 || width < 0) return FK_BAD_SHAPE;
    fk_expert_job job = {};
    job.out = dgu, job.again = again, job.dweights = dweights, job.x = dh, job.gu = gu, job.weights = weights, job.index = pair, job.trouble = fk_trouble(s), job.rows = pairs, job.d = width;
    return fk_launch(s, fk_expert_swiglu_bwd_rows, fk_ceil(pairs, 8), 1, 0, job);
}
#endif
