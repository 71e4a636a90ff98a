// SwiGLU: Shazeer 2020 (arXiv:2002.05202), eq. 5, with silu(g) = g / (1 + e^-g). Gate and up side by side in one row.

struct fk_swiglu_job { float *dgu, *out; const float *dy, *gu; int64_t n, width; };

FK_KERNEL(fk_swiglu_elements, fk_swiglu_job, 256) {
    const int64_t across = fk_ceil(job.width, 256), r = fk_block() / across, i = fk_block() % across * 256 + fk_thread();
    if (i >= job.width) return;
    const float g = job.gu[r * 2 * job.width + i], u = job.gu[r * 2 * job.width + job.width + i];
    const float sigma = 1.0f / (1.0f + fk_exp(-g)), silu = g * sigma;
    const float d = job.dgu ? job.dy[r * job.width + i] : 0.0f;
    if (job.out) job.out[r * job.width + i] = silu * u;
    if (!job.dgu) return;
    job.dgu[r * 2 * job.width + i] = d * u * sigma * (1.0f + g * (1.0f - sigma));
    job.dgu[r * 2 * job.width + job.width + i] = d * silu;
}

#if !FK_DEVICE_PASS
static fk_status fk_swiglu_fwd_cuda(float *out, const float *gu, int64_t n, int64_t width, fk_stream s) {
    if (n < 0 || width < 0) return FK_BAD_SHAPE;
    const fk_swiglu_job job = {nullptr, out, nullptr, gu, n, width};
    return fk_launch(s, fk_swiglu_elements, n * fk_ceil(width, 256), 1, 0, job);
}

static fk_status fk_swiglu_bwd_cuda(float *dgu, float *out, const float *dy, const float *gu, int64_t n, int64_t width, fk_stream s) {
    if (n < 0 || width < 0) return FK_BAD_SHAPE;
    const fk_swiglu_job job = {dgu, out, dy, gu, n, width};
    return fk_launch(s, fk_swiglu_elements, n * fk_ceil(width, 256), 1, 0, job);
}
#endif
