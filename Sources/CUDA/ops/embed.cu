// Rows of a table by id, and their gradient in the order of the tokens.

struct fk_embed_job { float *to; const float *from; const int32_t *ids; int32_t *trouble; int64_t n, d, vocabulary; };

FK_KERNEL(fk_embed_rows, fk_embed_job, 256) {
    const int64_t across = fk_ceil(job.d, 256), t = fk_block() / across, i = fk_block() % across * 256 + fk_thread();
    const int64_t id = job.ids[t];
    if (id < 0 || id >= job.vocabulary) {
        fk_raise(job.trouble, FK_BAD_SHAPE);
        return;
    }
    if (i < job.d) job.to[t * job.d + i] = job.from[id * job.d + i];
}

enum { fk_embed_kept = 8, fk_embed_wide = 256 * fk_embed_kept, fk_embed_scan = 4096 };

/// The ids other … other + 3; -1 where there is none.
FK_FN uint4 fk_embed_four(const fk_embed_job &job, int64_t other) {
    if (other + 4 <= job.n && ((uintptr_t)(job.ids + other) & 15) == 0) return *(const uint4 *)(job.ids + other);
    uint32_t four[4];
    for (int j = 0; j < 4; j++) four[j] = other + j < job.n ? (uint32_t)job.ids[other + j] : 0xffffffffu;
    return make_uint4(four[0], four[1], four[2], four[3]);
}

/// Token t's 2,048 columns. The first token of an id adds for all of them, in order, and the others have nothing to do: no two blocks write one
/// element, and the order is that of the tokens.
FK_KERNEL(fk_embed_columns, fk_embed_job, 256) {
    fk_arena arena;
    const auto seen = arena.take<uint32_t>(fk_embed_scan / 32);
    const int64_t across = fk_ceil(job.d, fk_embed_wide), t = fk_block() / across, first = fk_block() % across * fk_embed_wide + fk_thread();
    const int32_t id = job.ids[t];
    if (id < 0 || id >= job.vocabulary) {
        fk_raise(job.trouble, FK_BAD_SHAPE);
        return;
    }
    float sum[fk_embed_kept];
#pragma unroll
    for (int c = 0; c < fk_embed_kept; c++) sum[c] = first + 256 * c < job.d ? job.to[id * job.d + first + 256 * c] : 0.0f;
    for (int64_t from = 0; from < job.n; from += fk_embed_scan) {
        uint4 ids[4];
#pragma unroll
        for (int part = 0; part < 4; part++) ids[part] = fk_embed_four(job, from + 1024 * part + 4 * fk_thread());
        fk_sync();  // the last round's words were read
#pragma unroll
        for (int part = 0; part < 4; part++) {
            // Bit l of word j: token 4 l + j of the warp's 128.
            const uint32_t hits[4] = {fk_ballot(ids[part].x == (uint32_t)id), fk_ballot(ids[part].y == (uint32_t)id), fk_ballot(ids[part].z == (uint32_t)id), fk_ballot(ids[part].w == (uint32_t)id)};
            if (fk_lane() == 0)
                for (int j = 0; j < 4; j++) seen[32 * part + 4 * fk_warp() + j] = hits[j];
        }
        fk_sync();
        for (int group = 0; group < fk_embed_scan / 128; group++) {
            const uint32_t words[4] = {seen[4 * group], seen[4 * group + 1], seen[4 * group + 2], seen[4 * group + 3]};
            for (uint32_t left = words[0] | words[1] | words[2] | words[3]; left; left &= left - 1) {
                const int lane = fk_lowest(left);
                for (int j = 0; j < 4; j++) {
                    if (!(words[j] >> lane & 1)) continue;
                    const int64_t at = from + 128 * group + 4 * lane + j;
                    if (at < t) return;  // an earlier token's block adds; every thread of this one sees the same bits
#pragma unroll
                    for (int c = 0; c < fk_embed_kept; c++)
                        if (first + 256 * c < job.d) sum[c] = sum[c] + job.from[at * job.d + first + 256 * c];
                }
            }
        }
    }
#pragma unroll
    for (int c = 0; c < fk_embed_kept; c++)
        if (first + 256 * c < job.d) job.to[id * job.d + first + 256 * c] = sum[c];
}

#if !FK_DEVICE_PASS
static fk_status fk_embed_fwd_cuda(float *out, const float *w, const int32_t *ids, int64_t n, int64_t d, int64_t vocabulary, fk_stream s) {
    if (n < 0 || d < 0) return FK_BAD_SHAPE;
    const fk_embed_job job = {out, w, ids, fk_trouble(s), n, d, vocabulary};
    return fk_launch(s, fk_embed_rows, n * fk_ceil(d, 256), 1, 0, job);
}

static fk_status fk_embed_bwd_cuda(float *dw, const float *dy, const int32_t *ids, int64_t n, int64_t d, int64_t vocabulary, fk_stream s) {
    if (n < 0 || d < 0) return FK_BAD_SHAPE;
    const fk_embed_job job = {dw, dy, ids, fk_trouble(s), n, d, vocabulary};
    return fk_launch(s, fk_embed_columns, n * fk_ceil(d, fk_embed_wide), 1, fk_embed_scan / 8, job);
}
#endif
