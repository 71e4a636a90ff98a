// Products of groups of rows, each with its own matrix: the tiles of gemm.cu, found through where each group starts.
#if !FK_DEVICE_PASS
static fk_status fk_group_pack_cuda(float *packed, const float *src, int64_t groups, int64_t src_stride, int64_t k, int64_t n, int64_t ld, fk_layout layout, fk_stream s) {
    return fk_pack_cuda(packed, src, groups, src_stride, k, n, ld, layout, s);
}

static fk_status fk_group_gemm_cuda(float *out, const float *a, const float *packed, const int32_t *starts, int64_t groups, int64_t m, int64_t k, int64_t n, int64_t lda, int64_t ldo,
                                    int32_t flags, fk_stream s) {
    if (groups < 1 || m < 0 || k < 0 || n < 0 || lda < k || ldo < n) return FK_BAD_SHAPE;
    if (!(flags & FK_BF16)) {
        fk_gemm_f32_job job = {};
        job.out = out, job.a = a, job.b = packed, job.starts = starts, job.trouble = fk_trouble(s), job.m = m, job.k = k, job.n = n, job.a_rs = lda, job.a_cs = 1, job.ldo = ldo;
        job.panel_step = 32 * k, job.row_step = 32, job.groups = groups, job.b_group = fk_packed_count(k, n), job.accumulate = flags & FK_ACCUMULATE;
        return fk_launch(s, fk_group_gemm_f32, (m / 64 + groups) * fk_ceil(n, 64), 1, fk_gemm_f32_shared, job);
    }
    void *rounded;
    fk_status status = fk_scratch(&rounded, s, (size_t)(m * fk_eighth(k)) * 2 + 16);
    if (status != FK_OK) return status;
    status = fk_round_cuda((uint16_t *)rounded, a, m, k, lda, 1, fk_eighth(k), s);
    if (status != FK_OK) return status;
    fk_gemm_bf16_job job = {};
    job.out = out, job.a = (const uint16_t *)rounded, job.b = (const uint16_t *)packed, job.starts = starts, job.trouble = fk_trouble(s), job.m = m, job.k = k, job.n = n;
    job.lda = fk_eighth(k), job.ldb = fk_even(k), job.ldo = ldo, job.groups = groups, job.b_group = fk_packed_count(k, n) * 2, job.accumulate = flags & FK_ACCUMULATE;
    job.b_whole = job.ldb % 8 == 0 && (uintptr_t)packed % 16 == 0;
    return fk_launch_bf16(s, job, m / groups);
}

/// Rows as they are, columns filled up to whole panels: where a group starts needs no place of its own, and rounding waits until the product knows it.
static fk_status fk_group_pack_rows_cuda(float *packed, const float *src, const int32_t *, int64_t groups, int64_t m, int64_t n, int64_t ld, int32_t, fk_stream s) {
    if (groups < 1 || m < 0 || n < 0 || ld < n) return FK_BAD_SHAPE;
    const fk_widen_job job = {packed, src, m, n, ld, fk_ceil(n, 32) * 32};
    return fk_launch(s, fk_widen_rows, fk_ceil(m * job.wide, 256), 1, 0, job);
}

static fk_status fk_group_gemm_dw_cuda(float *dw, const float *dy, const float *packed, const int32_t *starts, int64_t groups, int64_t dw_stride, int64_t m, int64_t n, int64_t k,
                                       int64_t ldy, int64_t ldo, int32_t flags, fk_stream s) {
    if (groups < 1 || m < 0 || n < 0 || k < 0 || ldy < n || ldo < k || (groups > 1 && dw_stride < (n - 1) * ldo + k)) return FK_BAD_SHAPE;
    const int64_t wide = fk_ceil(k, 32) * 32;
    if (!(flags & FK_BF16)) {
        fk_gemm_f32_job job = {};
        job.out = dw, job.a = dy, job.b = packed, job.starts = starts, job.trouble = fk_trouble(s), job.m = n, job.k = m, job.n = k, job.a_rs = 1, job.a_cs = ldy, job.ldo = ldo;
        job.panel_step = 32, job.row_step = wide, job.groups = groups, job.out_group = dw_stride, job.accumulate = flags & FK_ACCUMULATE, job.rows_are_k = 1;
        return fk_launch(s, fk_group_gemm_f32, groups * fk_ceil(n, 64) * fk_ceil(k, 64), 1, fk_gemm_f32_shared, job);
    }
    // Both operands turned so that a group's rows lie side by side, from a multiple of eight on.
    const int64_t stride = fk_eighth(m) + 8 * groups + 8;
    void *rounded;
    fk_status status = fk_scratch(&rounded, s, (size_t)((n + k) * stride) * 2);
    if (status != FK_OK) return status;
    fk_round_job round = {};
    round.to = (uint16_t *)rounded, round.src = dy, round.starts = starts, round.rows = n, round.k = m, round.rs = 1, round.cs = ldy, round.stride = stride, round.groups = groups;
    fk_round_job again = round;
    again.to = round.to + n * stride, again.src = packed, again.rows = k, again.cs = wide;
    status = fk_launch(s, fk_round_groups, fk_ceil(m, 8), 1, 0, round);
    if (status == FK_OK) status = fk_launch(s, fk_round_groups, fk_ceil(m, 8), 1, 0, again);
    if (status != FK_OK) return status;
    fk_gemm_bf16_job job = {};
    job.out = dw, job.a = round.to, job.b = again.to, job.starts = starts, job.trouble = fk_trouble(s), job.m = n, job.k = m, job.n = k, job.lda = stride, job.ldb = stride, job.ldo = ldo;
    job.groups = groups, job.out_group = dw_stride, job.accumulate = flags & FK_ACCUMULATE, job.rows_are_k = 1, job.b_whole = 1;
    return fk_launch_bf16(s, job, n);
}
#endif
