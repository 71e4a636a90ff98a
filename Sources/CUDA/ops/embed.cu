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

/// Token t's 256 columns. The first token of an id adds for all of them, in order, and the others have nothing to do: no two blocks write one
/// element, and the order is that of the tokens.
FK_KERNEL(fk_embed_columns, fk_embed_job, 256) {
    fk_arena arena;
    const auto seen = arena.take<uint32_t>(32);
    const int64_t across = fk_ceil(job.d, 256), t = fk_block() / across, i = fk_block() % across * 256 + fk_thread();
    const int32_t id = job.ids[t];
    if (id < 0 || id >= job.vocabulary) {
        fk_raise(job.trouble, FK_BAD_SHAPE);
        return;
    }
    float sum = i < job.d ? job.to[id * job.d + i] : 0.0f;
    for (int64_t from = 0; from < job.n; from += 1024) {
        uint32_t hits[4];
#pragma unroll
        for (int part = 0; part < 4; part++) {
            const int64_t other = from + 256 * part + fk_thread();
            hits[part] = fk_ballot(other < job.n && job.ids[other] == id);
        }
        fk_sync();  // the last round's words were read
        if (fk_lane() == 0)
            for (int part = 0; part < 4; part++) seen[8 * part + fk_warp()] = hits[part];
        fk_sync();
        for (int word = 0; word < 32; word++) {
            for (uint32_t left = seen[word]; left; left &= left - 1) {
                const int64_t at = from + word * 32 + fk_lowest(left);
                if (at < t) return;  // an earlier token's block adds; every thread of this one sees the same bits
                if (i < job.d) sum = sum + job.from[at * job.d + i];
            }
        }
    }
    if (i < job.d) job.to[id * job.d + i] = sum;
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
    return fk_launch(s, fk_embed_columns, n * fk_ceil(d, 256), 1, 128, job);
}
#endif
