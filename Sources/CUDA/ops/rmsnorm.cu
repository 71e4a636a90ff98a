// Root-mean-square normalisation over the last axis: Zhang & Sennrich 2019 (arXiv:1910.07467), eq. 4.
//
// A row of up to 1,024 is one warp's, a longer one a block's; how a row is summed depends on its length alone.

struct fk_rmsnorm_job {
    float *out, *sum, *rstd;
    const float *x, *add, *w;
    int64_t n, d;
    float eps;
    int32_t whole;  // every row of every matrix starts at a multiple of 16 bytes
};

/// Four elements from i on of a row of d; 0 behind its end.
FK_FN float4 fk_norm_four(const float *row, int32_t i, int32_t d, bool whole) {
    if (whole && i + 4 <= d) return *(const float4 *)(row + i);
    return make_float4(i < d ? row[i] : 0.0f, i + 1 < d ? row[i + 1] : 0.0f, i + 2 < d ? row[i + 2] : 0.0f, i + 3 < d ? row[i + 3] : 0.0f);
}
FK_FN void fk_norm_put(float *row, int32_t i, int32_t d, bool whole, float4 x) {
    if (whole && i + 4 <= d) {
        *(float4 *)(row + i) = x;
        return;
    }
    if (i < d) row[i] = x.x;
    if (i + 1 < d) row[i + 1] = x.y;
    if (i + 2 < d) row[i + 2] = x.z;
    if (i + 3 < d) row[i + 3] = x.w;
}

/// Fours of a row that a thread keeps in registers, so that all its reads are under way at once.
enum { fk_rmsnorm_fours = 8 };

/// Row r by the threads first, first + step, …, four elements at a time; `total` sums over all of them.
template <class Total> FK_FN void fk_rmsnorm_row(const fk_rmsnorm_job &job, int64_t r, int32_t first, int32_t step, Total total) {
    const float *x = job.x + r * job.d, *add = job.add ? job.add + r * job.d : nullptr;
    float *sum = job.sum ? job.sum + r * job.d : nullptr, *out = job.out + r * job.d;
    const int32_t d = (int32_t)job.d, near = 4 * step * fk_rmsnorm_fours;
    const bool whole = job.whole;
    float squares = 0.0f;
    float4 kept[fk_rmsnorm_fours];
    const auto read = [&](int32_t i) {
        float4 value = fk_norm_four(x, i, d, whole);
        if (add) {
            const float4 more = fk_norm_four(add, i, d, whole);
            value.x = value.x + more.x, value.y = value.y + more.y, value.z = value.z + more.z, value.w = value.w + more.w;
        }
        return value;
    };
    const auto count = [&](int32_t i, float4 value) {
        if (sum) fk_norm_put(sum, i, d, whole, value);
        squares = fk_fma(value.w, value.w, fk_fma(value.z, value.z, fk_fma(value.y, value.y, fk_fma(value.x, value.x, squares))));
    };
#pragma unroll
    for (int part = 0; part < fk_rmsnorm_fours; part++)
        if (4 * (first + part * step) < d) kept[part] = read(4 * (first + part * step));
#pragma unroll
    for (int part = 0; part < fk_rmsnorm_fours; part++)
        if (4 * (first + part * step) < d) count(4 * (first + part * step), kept[part]);
    for (int32_t i = 4 * first + near; i < d; i += 4 * step) count(i, read(i));
    const float scale = 1.0f / sqrtf(total(squares) / (float)job.d + job.eps);
    const auto write = [&](int32_t i, float4 value) {
        const float4 w = fk_norm_four(job.w, i, d, whole);
        fk_norm_put(out, i, d, whole, make_float4(value.x * scale * w.x, value.y * scale * w.y, value.z * scale * w.z, value.w * scale * w.w));
    };
#pragma unroll
    for (int part = 0; part < fk_rmsnorm_fours; part++)
        if (4 * (first + part * step) < d) write(4 * (first + part * step), kept[part]);
    // What lies beyond, a thread reads as it wrote it: no barrier stands between.
    for (int32_t i = 4 * first + near; i < d; i += 4 * step) write(i, fk_norm_four(sum ? sum : x, i, d, whole));
    if (first == 0 && job.rstd) job.rstd[r] = scale;
}

FK_KERNEL(fk_rmsnorm_fwd_warps, fk_rmsnorm_job, 256) {
    const int64_t r = fk_block() * 8 + fk_warp();
    if (r >= job.n) return;
    fk_rmsnorm_row(job, r, fk_lane(), 32, [](float x) { return fk_warp_sum(x); });
}

FK_KERNEL(fk_rmsnorm_fwd_blocks, fk_rmsnorm_job, 256) {
    fk_arena arena;
    const auto room = arena.take<float>(8);
    fk_rmsnorm_row(job, fk_block(), fk_thread(), 256, [&](float x) { return fk_block_sum(x, room); });
}

struct fk_rmsnorm_bwd_job {
    float *dx, *dw, *parts;
    const float *dy, *x, *w, *rstd;
    int64_t n, d;
    int32_t add_dx, unused = 0;
};

enum { fk_rmsnorm_kept = 32 };
/// dx may be dy: what a thread needs again it keeps, as far as its registers go, or every read would wait for the write before it.
template <class Total> FK_FN void fk_rmsnorm_bwd_row(const fk_rmsnorm_bwd_job &job, int64_t r, int first, int step, Total total) {
    const float *dy = job.dy + r * job.d, *x = job.x + r * job.d;
    float *dx = job.dx + r * job.d;
    float dot = 0.0f, up[fk_rmsnorm_kept], kept[fk_rmsnorm_kept];
#pragma unroll
    for (int part = 0; part < fk_rmsnorm_kept; part++) {
        const int64_t i = first + part * step;
        up[part] = i < job.d ? dy[i] * job.w[i] : 0.0f, kept[part] = i < job.d ? x[i] : 0.0f;
    }
#pragma unroll
    for (int part = 0; part < fk_rmsnorm_kept; part++) dot = fk_fma(up[part], kept[part], dot);
    for (int64_t i = first + fk_rmsnorm_kept * step; i < job.d; i += step) dot = fk_fma(dy[i] * job.w[i], x[i], dot);
    const float scale = job.rstd[r], pull = total(dot) / (float)job.d * scale * scale;
    if (job.add_dx)
#pragma unroll
        for (int part = 0; part < fk_rmsnorm_kept; part++) {
            const int64_t i = first + part * step;
            up[part] = scale * (up[part] - kept[part] * pull), kept[part] = i < job.d ? dx[i] : 0.0f;
        }
#pragma unroll
    for (int part = 0; part < fk_rmsnorm_kept; part++) {
        const int64_t i = first + part * step;
        if (i < job.d) dx[i] = job.add_dx ? kept[part] + up[part] : scale * (up[part] - kept[part] * pull);
    }
    for (int64_t i = first + fk_rmsnorm_kept * step; i < job.d; i += step) {
        const float value = scale * (dy[i] * job.w[i] - x[i] * pull);
        dx[i] = job.add_dx ? dx[i] + value : value;
    }
}

FK_KERNEL(fk_rmsnorm_bwd_warps, fk_rmsnorm_bwd_job, 256) {
    const int64_t r = fk_block() * 8 + fk_warp();
    if (r >= job.n) return;
    fk_rmsnorm_bwd_row(job, r, fk_lane(), 32, [](float x) { return fk_warp_sum(x); });
}

FK_KERNEL(fk_rmsnorm_bwd_blocks, fk_rmsnorm_bwd_job, 256) {
    fk_arena arena;
    const auto room = arena.take<float>(8);
    fk_rmsnorm_bwd_row(job, fk_block(), fk_thread(), 256, [&](float x) { return fk_block_sum(x, room); });
}

enum { fk_rmsnorm_chunk = 256 };
/// Thirty-two columns of dw over 256 rows: warp v takes rows v, v + 8, …, and the eight sums are added in the order of v.
FK_KERNEL(fk_rmsnorm_bwd_columns, fk_rmsnorm_bwd_job, 256) {
    fk_arena arena;
    const auto room = arena.take<float>(256);
    const int64_t across = fk_ceil(job.d, 32), chunk = fk_block() / across, i = fk_block() % across * 32 + fk_lane();
    const int64_t end = fk_min(job.n, (chunk + 1) * fk_rmsnorm_chunk);
    float sum = 0.0f;
    if (i < job.d)
#pragma unroll 8
        for (int64_t r = chunk * fk_rmsnorm_chunk + fk_warp(); r < end; r += 8) sum = fk_fma(job.dy[r * job.d + i], job.x[r * job.d + i] * job.rstd[r], sum);
    room[fk_thread()] = sum;
    fk_sync();
    if (fk_warp() || i >= job.d) return;
    float all = room[fk_lane()];
    for (int v = 1; v < 8; v++) all = all + (float)room[32 * v + fk_lane()];
    job.parts[chunk * job.d + i] = all;
}

/// The chunks in order.
FK_KERNEL(fk_rmsnorm_bwd_chunks, fk_rmsnorm_bwd_job, 256) {
    const int64_t i = fk_block() * 256 + fk_thread();
    if (i >= job.d) return;
    float sum = job.dw[i];
#pragma unroll 8
    for (int64_t chunk = 0; chunk < fk_ceil(job.n, fk_rmsnorm_chunk); chunk++) sum = sum + job.parts[chunk * job.d + i];
    job.dw[i] = sum;
}

#if !FK_DEVICE_PASS
static fk_status fk_rmsnorm_fwd_cuda(float *out, float *sum, float *rstd, const float *x, const float *add, const float *w, int64_t n, int64_t d, float eps, fk_stream s) {
    if (n < 0 || d < 1 || d > 1 << 30 || (add && !sum)) return FK_BAD_SHAPE;
    const bool whole = d % 4 == 0 && ((uintptr_t)out | (uintptr_t)sum | (uintptr_t)x | (uintptr_t)add | (uintptr_t)w) % 16 == 0;
    const fk_rmsnorm_job job = {out, sum, rstd, x, add, w, n, d, eps, whole};
    if (d <= 1024) return fk_launch(s, fk_rmsnorm_fwd_warps, fk_ceil(n, 8), 1, 0, job);
    return fk_launch(s, fk_rmsnorm_fwd_blocks, n, 1, 32, job);
}

static fk_status fk_rmsnorm_bwd_cuda(float *dx, float *dw, const float *dy, const float *x, const float *w, const float *rstd, int64_t n, int64_t d, int32_t add_dx, fk_stream s) {
    if (n < 0 || d < 1 || (add_dx && dx == dy)) return FK_BAD_SHAPE;
    fk_rmsnorm_bwd_job job = {dx, dw, nullptr, dy, x, w, rstd, n, d, add_dx};
    // First: dx may be written over dy.
    if (dw) {
        const int64_t chunks = fk_ceil(n, fk_rmsnorm_chunk);
        void *parts;
        fk_status status = fk_scratch(&parts, s, (size_t)(chunks * d) * sizeof(float) + 16);
        job.parts = (float *)parts;
        if (status == FK_OK) status = fk_launch(s, fk_rmsnorm_bwd_columns, chunks * fk_ceil(d, 32), 1, 1024, job);
        if (status == FK_OK) status = fk_launch(s, fk_rmsnorm_bwd_chunks, fk_ceil(d, 256), 1, 0, job);
        if (status != FK_OK) return status;
    }
    if (d <= 1024) return fk_launch(s, fk_rmsnorm_bwd_warps, fk_ceil(n, 8), 1, 0, job);
    return fk_launch(s, fk_rmsnorm_bwd_blocks, n, 1, 32, job);
}
#endif
