// The output projection with cross-entropy, by chunks of rows, and the log-probability of a target in given logits.

/// `weights` is null where no gradient is wanted.
struct fk_ce_job { float *logp, *logits; const int32_t *targets; const float *weights; int32_t *trouble; int64_t v; };

/// One row a block; with weights the logits become weight (softmax - onehot).
FK_KERNEL(fk_ce_rows, fk_ce_job, 512) {
    fk_arena arena;
    const auto room = arena.take<float>(16);
    const int64_t r = fk_block(), target = job.targets[r];
    float *row = job.logits + r * job.v;
    if (target < 0 || target >= job.v) {
        if (target >= 0) fk_raise(job.trouble, FK_BAD_SHAPE);
        if (fk_thread() == 0) job.logp[r] = 0.0f;
        if (job.weights)
            for (int64_t i = fk_thread(); i < job.v; i += 512) row[i] = 0.0f;
        return;
    }
    float largest = -INFINITY;
    for (int64_t i = fk_thread(); i < job.v; i += 512) largest = fmaxf(largest, row[i]);
    largest = fk_block_max(largest, room);
    const float at_target = row[target];
    float sum = 0.0f;
    for (int64_t i = fk_thread(); i < job.v; i += 512) sum = sum + fk_exp(row[i] - largest);
    const float total = fk_block_sum(sum, room);
    if (fk_thread() == 0) job.logp[r] = (float)((double)at_target - largest - fk_log((double)total));
    if (!job.weights) return;
    const float weight = job.weights[r], scale = weight / total;
    for (int64_t i = fk_thread(); i < job.v; i += 512) {
        const float p = fk_exp(row[i] - largest) * scale;
        row[i] = i == target ? p - weight : p;
    }
}

#if !FK_DEVICE_PASS
static fk_status fk_ce_cuda(float *logp, float *logits, const int32_t *targets, const float *weights, int64_t n, int64_t v, fk_stream s) {
    if (n < 0 || v < 0) return FK_BAD_SHAPE;
    const fk_ce_job job = {logp, logits, targets, weights, fk_trouble(s), v};
    return fk_launch(s, fk_ce_rows, n, 1, 64, job);
}

static fk_status fk_logprob_cuda(float *logp, const float *logits, const int32_t *targets, int64_t n, int64_t v, fk_stream s) {
    return fk_ce_cuda(logp, (float *)logits, targets, nullptr, n, v, s);
}

static fk_status fk_cross_entropy_cuda(float *logp, float *logits, const int32_t *targets, int64_t n, int64_t v, const float *weights, fk_stream s) {
    return fk_ce_cuda(logp, logits, targets, weights, n, v, s);
}

static fk_status fk_linear_ce_cuda(float *logp, float *dx, float *dw, const float *x, const float *nk, const float *kn, const int32_t *targets, int64_t n, int64_t d, int64_t v,
                                   const float *weights, int32_t flags, void *workspace, size_t workspace_bytes, fk_stream s) {
    if (n < 0 || d < 0 || v < 0 || workspace_bytes < fk_linear_ce_workspace(FK_CE_ROWS, d, v) || (dx && !weights)) return FK_BAD_SHAPE;
    const int64_t most = fk_linear_ce_rows(workspace_bytes, d, v);
    // Both pieces start where a vector may: the workspace has 64 bytes to spare.
    float *logits = (float *)(((uintptr_t)workspace + 15) & ~(uintptr_t)15);
    float *packed_x = (float *)(((uintptr_t)(logits + most * v) + 15) & ~(uintptr_t)15);
    for (int64_t r = 0; r < n; r += most) {
        const int64_t rows = fk_min(most, n - r);
        fk_status status = fk_gemm_cuda(logits, x + r * d, nk, rows, d, v, d, 1, v, flags, s);
        if (status == FK_OK) status = fk_ce_cuda(logp + r, logits, targets + r, dx ? weights + r : nullptr, rows, v, s);
        if (status == FK_OK && dx) {
            status = fk_gemm_pack_cuda(packed_x, x + r * d, rows, d, d, (fk_layout)(FK_KN | flags), s);
            if (status == FK_OK) status = fk_gemm_cuda(dw, logits, packed_x, v, rows, d, 1, v, d, FK_ACCUMULATE | flags, s);
            if (status == FK_OK) status = fk_gemm_cuda(dx + r * d, logits, kn, rows, v, d, v, 1, d, flags, s);
        }
        if (status != FK_OK) return status;
    }
    return FK_OK;
}
#endif
