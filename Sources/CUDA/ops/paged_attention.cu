// Attention of new tokens over keys and values kept in blocks (Kwon et al. 2023, arXiv:2309.06180), cut along the positions (Dao et al. 2023,
// Flash-Decoding) so that few rows still keep a GPU busy.
//
// A chunk is always 256 positions counted from 0: one block sums a row's chunk for a kv head and all the query heads that read it, and a second
// kernel adds the chunks in order. Neither the other rows nor the size of a block shows in a result.

enum { fk_paged_chunk = 256, fk_paged_heads = 8 };

struct fk_paged_job {
    float *out, *parts;  // parts[row][head][chunk]: the largest score, the sum, and d elements
    const float *q, *k, *v;
    const int32_t *block_table, *row_of, *position;
    int32_t *trouble;
    fk_paged_shape a;
    int64_t first_row, chunks;
    int32_t whole, unused = 0;  // rows of the pools start at multiples of 16 bytes
};

/// The blocks of row t's sequence, or NULL where it has none for that position.
FK_FN const int32_t *fk_paged_table(const fk_paged_shape &a, const int32_t *block_table, const int32_t *row_of, const int32_t *position, int64_t t) {
    const int64_t row = row_of[t], last = position[t];
    return row < 0 || row >= a.sequences || last < 0 || last / a.block_size >= a.places ? nullptr : block_table + row * a.places;
}

struct fk_paged_store_job {
    float *kpool, *vpool;
    const float *k, *v;
    const int32_t *block_table, *row_of, *position;
    int32_t *trouble;
    fk_paged_shape a;
};

/// A row's keys, or its values.
FK_KERNEL(fk_paged_rows, fk_paged_store_job, 128) {
    const fk_paged_shape &a = job.a;
    const int64_t t = fk_block() / 2, width = a.kv_heads * a.head_dim;
    const int32_t *table = fk_paged_table(a, job.block_table, job.row_of, job.position, t);
    const int64_t block = table ? table[job.position[t] / a.block_size] : -1;
    if (block < 0 || block >= a.blocks) {
        fk_raise(job.trouble, FK_BAD_SHAPE);
        return;
    }
    const float *from = (fk_block() % 2 ? job.v : job.k) + t * a.kv_stride;
    float *to = (fk_block() % 2 ? job.vpool : job.kpool) + (block * a.block_size + job.position[t] % a.block_size) * width;
    for (int64_t i = fk_thread(); i < width; i += 128) to[i] = from[i];
}

FK_KERNEL(fk_paged_parts, fk_paged_job, 128) {
    const fk_paged_shape &a = job.a;
    fk_arena arena;
    const auto query = arena.take<float>(fk_paged_heads * 256), scores = arena.take<float>(fk_paged_heads * fk_paged_chunk);
    const auto places = arena.take<int64_t>(fk_paged_chunk);
    const int64_t chunk = fk_block() % job.chunks, kv = fk_block() / job.chunks % a.kv_heads, row = fk_block() / job.chunks / a.kv_heads, t = job.first_row + row;
    const int64_t d = a.head_dim, group = a.q_heads / a.kv_heads, last = job.position[t], p0 = chunk * fk_paged_chunk;
    const int64_t first = a.window ? fk_max(0, last - a.window + 1) : 0;
    const int32_t *table = fk_paged_table(a, job.block_table, job.row_of, job.position, t);
    if (!table) fk_raise(job.trouble, FK_BAD_SHAPE);
    if (!table || p0 > last || p0 + fk_paged_chunk <= first) return;
    const int count = (int)fk_min(fk_paged_chunk, last + 1 - p0);
    for (int i = fk_thread(); i < count; i += 128) {
        const int64_t p = p0 + i, block = table[p / a.block_size];
        const bool there = block >= 0 && block < a.blocks;
        if (!there && p >= first) fk_raise(job.trouble, FK_BAD_SHAPE);
        places[i] = (((there ? block : 0) * a.block_size + p % a.block_size) * a.kv_heads + kv) * d;
    }
    const int lane = fk_thread() % 8;  // of the eight threads that share a key
    // Threads that have no column of their own share the positions of one: how many do depends on d alone.
    const int wide = d <= 32 ? 32 : d <= 64 ? 64 : 128, shares = 128 / wide, share = fk_thread() / wide, column = fk_thread() % wide;
    for (int64_t h0 = kv * group; h0 < (kv + 1) * group; h0 += fk_paged_heads) {
        const int heads = (int)fk_min(fk_paged_heads, (kv + 1) * group - h0);
        fk_sync();
        // A warp a head, and up to the whole fours that are read below.
        for (int h = fk_warp(); h < heads; h += 4)
#pragma unroll 4
            for (int e = fk_lane(); e < fk_ceil(d, 4) * 4; e += 32) query[h * 256 + e] = e < d ? job.q[t * a.q_stride + (h0 + h) * d + e] * a.scale : 0.0f;
        fk_sync();
        // All threads go through the loop together, two keys each: the sums below are a warp's.
        for (int i0 = 0; i0 < count; i0 += 32) {
            const int i[2] = {i0 + fk_thread() / 8, i0 + 16 + fk_thread() / 8};
            const bool here[2] = {i[0] < count && p0 + i[0] >= first, i[1] < count && p0 + i[1] >= first};
            const float *key[2] = {here[0] ? job.k + (int64_t)places[i[0]] : job.k, here[1] ? job.k + (int64_t)places[i[1]] : job.k};
            float dot[2][fk_paged_heads] = {};
#pragma unroll 2
            for (int e = 4 * lane; e < d; e += 32) {
                float k[2][4] = {};
#pragma unroll
                for (int two = 0; two < 2; two++) {
                    if (here[two] && job.whole) {
                        const float4 four = *(const float4 *)(key[two] + e);
                        k[two][0] = four.x, k[two][1] = four.y, k[two][2] = four.z, k[two][3] = four.w;
                    } else if (here[two]) {
                        for (int j = 0; j < 4; j++) k[two][j] = e + j < d ? key[two][e + j] : 0.0f;
                    }
                }
#pragma unroll
                for (int h = 0; h < fk_paged_heads; h++)
                    if (h < heads) {
                        const float4 x = fk_as<float4>(query + (h * 256 + e))[0];
#pragma unroll
                        for (int two = 0; two < 2; two++)
                            dot[two][h] = fk_fma(x.w, k[two][3], fk_fma(x.z, k[two][2], fk_fma(x.y, k[two][1], fk_fma(x.x, k[two][0], dot[two][h]))));
                    }
            }
#pragma unroll
            for (int h = 0; h < fk_paged_heads; h++)
                if (h < heads)
#pragma unroll
                    for (int two = 0; two < 2; two++) {
                        for (int mask = 4; mask; mask >>= 1) dot[two][h] = dot[two][h] + fk_shuffle_xor(dot[two][h], mask);
                        if (lane == 0 && i[two] < count) scores[h * fk_paged_chunk + i[two]] = here[two] ? dot[two][h] : -INFINITY;
                    }
        }
        fk_sync();
        // A warp a head.
        for (int h = fk_warp(); h < heads; h += 4) {
            float top = -INFINITY, sum = 0.0f;
            for (int i = fk_lane(); i < count; i += 32) top = fmaxf(top, scores[h * fk_paged_chunk + i]);
            top = fk_warp_max(top);
            for (int i = fk_lane(); i < count; i += 32) {
                const float p = fk_exp(scores[h * fk_paged_chunk + i] - top);
                scores[h * fk_paged_chunk + i] = p;
                sum = sum + p;
            }
            sum = fk_warp_sum(sum);
            if (fk_lane() == 0) {
                float *part = job.parts + ((row * a.q_heads + h0 + h) * job.chunks + chunk) * (d + 2);
                part[0] = top, part[1] = sum;
            }
        }
        fk_sync();
        for (int64_t e = column; e < fk_ceil(d, wide) * wide; e += wide) {
            float sum[fk_paged_heads] = {};
            if (e < d) {
#pragma unroll 8
                for (int i = share; i < count; i += shares) {
                    const float v = job.v[(int64_t)places[i] + e];
#pragma unroll
                    for (int h = 0; h < fk_paged_heads; h++)
                        if (h < heads) sum[h] = fk_fma(scores[h * fk_paged_chunk + i], v, sum[h]);
                }
            }
            if (shares > 1) {
                // The queries are done with; their room is eight times 256.
#pragma unroll
                for (int h = 0; h < fk_paged_heads; h++)
                    if (h < heads) query[h * 128 + fk_thread()] = sum[h];
                fk_sync();
#pragma unroll
                for (int h = 0; h < fk_paged_heads; h++)
                    if (h < heads && share == 0)
                        for (int other = 1; other < shares; other++) sum[h] = sum[h] + (float)query[h * 128 + other * wide + column];
            }
#pragma unroll
            for (int h = 0; h < fk_paged_heads; h++)
                if (h < heads && share == 0 && e < d) job.parts[((row * a.q_heads + h0 + h) * job.chunks + chunk) * (d + 2) + 2 + e] = sum[h];
        }
    }
}

/// A row's head: its chunks in order.
FK_KERNEL(fk_paged_whole, fk_paged_job, 128) {
    const fk_paged_shape &a = job.a;
    const int64_t row = fk_block() / a.q_heads, h = fk_block() % a.q_heads, t = job.first_row + row, d = a.head_dim, last = job.position[t];
    if (!fk_paged_table(a, job.block_table, job.row_of, job.position, t)) return;
    const int64_t first = (a.window ? fk_max(0, last - a.window + 1) : 0) / fk_paged_chunk, end = fk_min(job.chunks, last / fk_paged_chunk + 1);
    const float *parts = job.parts + fk_block() * job.chunks * (d + 2);
    float top = -INFINITY, total = 0.0f;
    for (int64_t c = first; c < end; c++) top = fmaxf(top, parts[c * (d + 2)]);
    for (int64_t c = first; c < end; c++) total = fk_fma(parts[c * (d + 2) + 1], fk_exp(parts[c * (d + 2)] - top), total);
    for (int64_t e = fk_thread(); e < d; e += 128) {
        float sum = 0.0f;
        for (int64_t c = first; c < end; c++) sum = fk_fma(parts[c * (d + 2) + 2 + e], fk_exp(parts[c * (d + 2)] - top), sum);
        job.out[t * a.o_stride + h * d + e] = sum / total;
    }
}

#if !FK_DEVICE_PASS
static bool fk_paged_bad(const fk_paged_shape *a) {
    if (a->tokens < 0 || a->kv_heads < 1 || a->q_heads < 1 || a->q_heads % a->kv_heads) return true;
    if (a->head_dim < 1 || a->head_dim > FK_HEAD_MAX || a->block_size < 1 || a->window < 0) return true;
    return a->blocks < 0 || a->sequences < 0 || a->places < 0 || (a->tokens > 0 && !(a->blocks && a->sequences && a->places));
}

static fk_status fk_paged_store_cuda(float *kpool, float *vpool, const float *k, const float *v, const int32_t *block_table, const int32_t *row_of, const int32_t *position,
                                     const fk_paged_shape *a, fk_stream s) {
    if (fk_paged_bad(a) || a->kv_stride < a->kv_heads * a->head_dim) return FK_BAD_SHAPE;
    const fk_paged_store_job job = {kpool, vpool, k, v, block_table, row_of, position, fk_trouble(s), *a};
    return fk_launch(s, fk_paged_rows, 2 * a->tokens, 1, 0, job);
}

static fk_status fk_paged_attn_cuda(float *out, const float *q, const float *kpool, const float *vpool, const int32_t *block_table, const int32_t *row_of, const int32_t *position,
                                    const fk_paged_shape *a, fk_stream s) {
    if (fk_paged_bad(a)) return FK_BAD_SHAPE;
    if (a->head_dim > 256) return FK_UNSUPPORTED;
    if (a->q_stride < a->q_heads * a->head_dim || a->o_stride < a->q_heads * a->head_dim) return FK_BAD_SHAPE;
    fk_paged_job job = {};
    job.out = out, job.q = q, job.k = kpool, job.v = vpool, job.block_table = block_table, job.row_of = row_of, job.position = position, job.trouble = fk_trouble(s), job.a = *a;
    job.chunks = fk_max(1, fk_ceil(a->places * a->block_size, fk_paged_chunk));
    job.whole = a->head_dim % 4 == 0 && ((uintptr_t)kpool | (uintptr_t)vpool) % 16 == 0;
    // Rows by as many at a time as 256 MiB of parts have room for.
    const int64_t row_bytes = a->q_heads * job.chunks * (a->head_dim + 2) * 4, rows = fk_max(1, fk_min(a->tokens, ((int64_t)256 << 20) / row_bytes));
    void *parts;
    fk_status status = fk_scratch(&parts, s, (size_t)(rows * row_bytes));
    job.parts = (float *)parts;
    for (job.first_row = 0; status == FK_OK && job.first_row < a->tokens; job.first_row += rows) {
        const int64_t some = fk_min(rows, a->tokens - job.first_row);
        const size_t shared = (fk_paged_heads * 256 + fk_paged_heads * fk_paged_chunk) * 4 + fk_paged_chunk * 8;
        status = fk_launch(s, fk_paged_parts, some * a->kv_heads * job.chunks, 1, shared, job);
        if (status == FK_OK) status = fk_launch(s, fk_paged_whole, some * a->q_heads, 1, 0, job);
    }
    return status;
}
#endif
