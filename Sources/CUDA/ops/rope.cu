// Rotary position embedding: Su et al. 2021 (arXiv:2104.09864), eq. 34, in both published orders of the pairs.

struct fk_rope_job {
    float *x;
    const int32_t *position;
    const float *cosines, *sines;
    int64_t tokens, heads, half, x_stride;
    int32_t apart, step;  // elements from a pair's first to its second, and from one pair to the next
    float sign;
    int32_t unused = 0;
};

/// One pair a thread; the pairs of a token side by side.
FK_KERNEL(fk_rope_pairs, fk_rope_job, 256) {
    const int64_t here = fk_block() * 256 + fk_thread(), pairs = job.heads * job.half;
    if (here >= job.tokens * pairs) return;
    const int64_t t = here / pairs, h = here % pairs / job.half, i = here % job.half, at = job.position[t] * job.half + i;
    float *x = job.x + t * job.x_stride + h * 2 * job.half + i * job.step;
    const float a = x[0], b = x[job.apart], c = job.cosines[at], s = job.sines[at] * job.sign;
    x[0] = a * c - b * s;
    x[job.apart] = b * c + a * s;
}

#if !FK_DEVICE_PASS
static fk_status fk_rope_cuda(float *x, const int32_t *position, const float *cosines, const float *sines, int64_t tokens, int64_t heads, int64_t d, int64_t x_stride,
                              fk_rope_layout layout, int32_t inverse, fk_stream s) {
    if (tokens < 0 || d < 2 || d % 2 || x_stride < heads * d) return FK_BAD_SHAPE;
    const bool half = layout == FK_ROPE_HALF;
    const fk_rope_job job = {x, position, cosines, sines, tokens, heads, d / 2, x_stride, half ? (int32_t)(d / 2) : 1, half ? 1 : 2, inverse ? -1.0f : 1.0f};
    return fk_launch(s, fk_rope_pairs, fk_ceil(tokens * heads * (d / 2), 256), 1, 0, job);
}
#endif
