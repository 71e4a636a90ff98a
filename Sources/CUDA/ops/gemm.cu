// Matrix products: float32 by fused multiply-adds in the order of k (the CPU's bits), bfloat16 by tensor cores in steps of 16 along k.
//
// Packed, float32: the panels the header names, packed[p][k][j] = B[k, 32p + j]. Packed, bfloat16: row j of n has its k side by side, as many as
// make an even number, and rows follow each other up to a whole panel: what a tensor core's second operand wants, and a matrix to any other unit.
//
// One tile body multiplies for gemm, group_gemm and group_gemm_dw. Which sizes of tiles are taken depends on the rows; how an element is summed
// does not: from `out` or 0, k in order, so that a row has the same bits alone and among others.

// -- packing --------------------------------------------------------------------------------------------------------------------------------

struct fk_pack_job {
    float *to;  // of one matrix; the next is to_step floats on
    const float *src;
    int64_t k, n, k_step, n_step, src_step, to_step;  // src[k·k_step + n·n_step]
};

/// Thirty-two columns by thirty-two k of a matrix, through shared memory: whichever way the source runs, a warp reads and writes side by side.
template <class Store> FK_FN void fk_pack_tile(const fk_pack_job &job, Store store) {
    fk_arena arena;
    const auto tile = arena.take<float>(32 * 33);
    const int64_t deep = fk_ceil(job.k, 32), panel = fk_block() / deep, k0 = fk_block() % deep * 32, n0 = panel * 32;
    const float *src = job.src + fk_block_y() * job.src_step;
    const bool along_k = job.k_step == 1;
    for (int line = fk_warp(); line < 32; line += 8) {
        const int64_t k = k0 + (along_k ? fk_lane() : line), n = n0 + (along_k ? line : fk_lane());
        tile[(int)(n - n0) * 33 + (int)(k - k0)] = k < job.k && n < job.n ? src[k * job.k_step + n * job.n_step] : 0.0f;
    }
    fk_sync();
    store(tile, panel, k0, n0);
}

FK_KERNEL(fk_pack_f32, fk_pack_job, 256) {
    fk_pack_tile(job, [&](fk_shared<float> tile, int64_t panel, int64_t k0, int64_t) {
        for (int line = fk_warp(); line < 32 && k0 + line < job.k; line += 8)
            job.to[fk_block_y() * job.to_step + (panel * job.k + k0 + line) * 32 + fk_lane()] = tile[fk_lane() * 33 + line];
    });
}

FK_KERNEL(fk_pack_bf16, fk_pack_job, 256) {
    const int64_t pairs = fk_ceil(job.k, 2);
    uint32_t *to = (uint32_t *)(job.to + fk_block_y() * job.to_step);
    fk_pack_tile(job, [&](fk_shared<float> tile, int64_t, int64_t k0, int64_t n0) {
        // Half a warp a row: sixteen pairs of k.
        for (int line = fk_thread() / 16; line < 32; line += 16) {
            const int pair = fk_thread() % 16;
            if (k0 / 2 + pair < pairs) to[(n0 + line) * pairs + k0 / 2 + pair] = fk_bf16_pair(tile[line * 33 + 2 * pair], tile[line * 33 + 2 * pair + 1]);
        }
    });
}

struct fk_unpack_job { float *out; const float *packed; int64_t k, n, ld; int32_t bf16, unused = 0; };

FK_KERNEL(fk_unpack_elements, fk_unpack_job, 256) {
    const int64_t here = fk_block() * 256 + fk_thread(), n = here / job.k, k = here % job.k;
    if (n >= job.n) return;
    job.out[n * job.ld + k] =
        job.bf16 ? fk_of_bf16(((const uint16_t *)job.packed)[n * fk_ceil(job.k, 2) * 2 + k]) : job.packed[(n / 32 * job.k + k) * 32 + n % 32];
}

// -- float32 --------------------------------------------------------------------------------------------------------------------------------

struct fk_gemm_f32_job {
    float *out;
    const float *a, *b;
    const int32_t *starts;
    int32_t *trouble;
    int64_t m, k, n, a_rs, a_cs, ldo;
    int64_t panel_step, row_step;  // b[j / 32 · panel_step + k · row_step + j % 32]
    int64_t groups, b_group, out_group;  // floats from one group's operand (result) to the next
    int32_t accumulate, rows_are_k;      // groups cut the rows of a and out, or k
};

/// Where a block of a grouped product works. `rows` counts what the group has.
struct fk_group { int64_t index, first, rows, tile; };

/// The group and the tile of row tile number `at`, tiles of `height` rows, each group's counted from its own first row.
FK_FN bool fk_find_group(fk_group &found, const int32_t *starts, int64_t groups, int64_t m, int64_t at, int64_t height, int32_t *trouble) {
    bool fits = starts[0] == 0 && starts[groups] == m;
    for (int64_t g = 0; g < groups; g++) {
        const int64_t first = starts[g], end = starts[g + 1];
        if (!(fits = fits && end >= first && end <= m)) {
            fk_raise(trouble, FK_BAD_SHAPE);
            return false;
        }
        const int64_t tiles = fk_ceil(end - first, height);
        if (at < tiles) {
            found = {g, first, end - first, at};
            return true;
        }
        at -= tiles;
    }
    return false;
}

/// 64 rows by 64 columns, 4 by 4 a thread; a chain of fused multiply-adds an element, k in order.
FK_FN void fk_gemm_f32_tile(const float *a, int64_t a_rs, int64_t a_cs, const float *b, int64_t panel_step, int64_t row_step, float *out, int64_t ldo, int64_t m, int64_t k,
                            int64_t n, int64_t row0, int64_t column0, bool accumulate) {
    fk_arena arena;
    const auto at = arena.take<float>(16 * 68), bt = arena.take<float>(16 * 68);
    const int ty = fk_thread() / 16 * 4, tx = fk_thread() % 16 * 4;
    float sum[4][4];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const int64_t r = row0 + ty + i, c = column0 + tx + j;
            sum[i][j] = accumulate && r < m && c < n ? out[r * ldo + c] : 0.0f;
        }
    for (int64_t k0 = 0; k0 < k; k0 += 16) {
        for (int part = 0; part < 4; part++) {
            const int here = part * 256 + fk_thread();
            // Along k where rows run along k, along the rows otherwise.
            const int ak = a_cs == 1 ? here % 16 : here / 64, ar = a_cs == 1 ? here / 16 : here % 64;
            at[ak * 68 + ar] = row0 + ar < m && k0 + ak < k ? a[(row0 + ar) * a_rs + (k0 + ak) * a_cs] : 0.0f;
            const int bk = here / 64, bc = here % 64;
            const int64_t c = column0 + bc;
            bt[bk * 68 + bc] = c < n && k0 + bk < k ? b[c / 32 * panel_step + (k0 + bk) * row_step + c % 32] : 0.0f;
        }
        fk_sync();
        const int deep = (int)fk_min(16, k - k0);
        for (int kk = 0; kk < deep; kk++) {
            const float4 x = fk_as<float4>(at + (kk * 68 + ty))[0], y = fk_as<float4>(bt + (kk * 68 + tx))[0];
            const float av[4] = {x.x, x.y, x.z, x.w}, bv[4] = {y.x, y.y, y.z, y.w};
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) sum[i][j] = fk_fma(av[i], bv[j], sum[i][j]);
        }
        fk_sync();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const int64_t r = row0 + ty + i, c = column0 + tx + j;
            if (r < m && c < n) out[r * ldo + c] = sum[i][j];
        }
}
enum { fk_gemm_f32_shared = 2 * 16 * 68 * 4 };

FK_KERNEL(fk_gemm_f32, fk_gemm_f32_job, 256) {
    const int64_t across = fk_ceil(job.n, 64), row = fk_block() / across, column = fk_block() % across * 64;
    fk_gemm_f32_tile(job.a, job.a_rs, job.a_cs, job.b, job.panel_step, job.row_step, job.out, job.ldo, job.m, job.k, job.n, row * 64, column, job.accumulate);
}

FK_KERNEL(fk_group_gemm_f32, fk_gemm_f32_job, 256) {
    const int64_t across = fk_ceil(job.n, 64), column = fk_block() % across * 64;
    fk_group g;
    if (job.rows_are_k) {
        // Groups cut k: every group has all tiles of its own matrix.
        const int64_t high = fk_ceil(job.m, 64), tile = fk_block() / across;
        g.index = tile / high;
        const int64_t first = job.starts[g.index], rows = job.starts[g.index + 1] - first;
        if (first < 0 || rows < 0 || first + rows > job.k) {
            fk_raise(job.trouble, FK_BAD_SHAPE);
            return;
        }
        if (rows == 0 && job.accumulate) return;
        fk_gemm_f32_tile(job.a + first * job.a_cs, job.a_rs, job.a_cs, job.b + first * job.row_step, job.panel_step, job.row_step, job.out + g.index * job.out_group, job.ldo,
                         job.m, rows, job.n, tile % high * 64, column, job.accumulate);
    } else {
        if (!fk_find_group(g, job.starts, job.groups, job.m, fk_block() / across, 64, job.trouble)) return;
        fk_gemm_f32_tile(job.a + g.first * job.a_rs, job.a_rs, job.a_cs, job.b + g.index * job.b_group, job.panel_step, job.row_step, job.out + g.first * job.ldo, job.ldo,
                         g.rows, job.k, job.n, g.tile * 64, column, job.accumulate);
    }
}

// -- bfloat16 -------------------------------------------------------------------------------------------------------------------------------

struct fk_round_job {
    uint16_t *to;
    const float *src;
    const int32_t *starts;
    int64_t rows, k, rs, cs, stride;  // to[row · stride + k], zero from k up to stride
    int64_t groups;                   // if not 0, starts cut k, and each group starts at a multiple of 8
};

/// Where group g's k begin when each begins at a multiple of 8.
FK_FN int64_t fk_group_place(int64_t start, int64_t g) { return fk_ceil(start, 8) * 8 + 8 * g; }

/// Thirty-two rows by 128 k, rounded, four rows a warp: rows that run along k.
FK_KERNEL(fk_round_rows, fk_round_job, 256) {
    const int64_t deep = fk_ceil(job.stride, 128), row0 = fk_block() / deep * 32 + fk_warp(), k = fk_block() % deep * 128 + 4 * fk_lane();
    if (k >= job.stride) return;
    const bool whole = job.rs % 4 == 0 && ((uintptr_t)job.src & 15) == 0 && k + 4 <= job.k;
    float4 four[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int64_t r = row0 + 8 * i;
        const float *from = job.src + r * job.rs + k;
        if (r >= job.rows) four[i] = make_float4(0, 0, 0, 0);
        else if (whole) four[i] = *(const float4 *)from;
        else four[i] = make_float4(k < job.k ? from[0] : 0.0f, k + 1 < job.k ? from[1] : 0.0f, k + 2 < job.k ? from[2] : 0.0f, k + 3 < job.k ? from[3] : 0.0f);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int64_t r = row0 + 8 * i;
        if (r < job.rows) *(uint2 *)(job.to + r * job.stride + k) = make_uint2(fk_bf16_pair(four[i].x, four[i].y), fk_bf16_pair(four[i].z, four[i].w));
    }
}

/// Thirty-two rows by sixty-four k, rounded, through shared memory: rows that lie side by side.
FK_KERNEL(fk_round_turned, fk_round_job, 256) {
    fk_arena arena;
    const auto tile = arena.take<float>(32 * 65);
    const int64_t deep = fk_ceil(job.stride, 64), row0 = fk_block() / deep * 32, k0 = fk_block() % deep * 64;
#pragma unroll
    for (int part = 0; part < 8; part++) {
        const int line = fk_warp() + 8 * part;
        const int64_t r = row0 + fk_lane(), k = k0 + line;
        tile[fk_lane() * 65 + line] = r < job.rows && k < job.k ? job.src[r * job.rs + k * job.cs] : 0.0f;
    }
    fk_sync();
    for (int line = fk_warp(); line < 32; line += 8) {
        const int64_t r = row0 + line, k = k0 + 2 * fk_lane();
        if (r < job.rows && k < job.stride) *(uint32_t *)(job.to + r * job.stride + k) = fk_bf16_pair(tile[line * 65 + 2 * fk_lane()], tile[line * 65 + 2 * fk_lane() + 1]);
    }
}

/// The same with k cut into groups, one k a warp's line: k's place in its group is looked for by halving.
FK_KERNEL(fk_round_groups, fk_round_job, 256) {
    const int64_t k = fk_block() * 8 + fk_warp();
    if (k >= job.k || k >= job.starts[job.groups] || job.starts[0] > k) return;
    int64_t low = 0, high = job.groups;  // starts[low] <= k < starts[high]
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        if (job.starts[middle] <= k) low = middle;
        else high = middle;
    }
    const int64_t place = fk_group_place(job.starts[low], low) + k - job.starts[low];
    if (place < 0 || place >= job.stride) return;
    for (int64_t r = fk_lane(); r < job.rows; r += 32) job.to[r * job.stride + place] = fk_bf16(job.src[r * job.rs + k * job.cs]);
}

struct fk_widen_job { float *to; const float *src; int64_t m, n, ld, wide; };

FK_KERNEL(fk_widen_rows, fk_widen_job, 256) {
    const int64_t here = fk_block() * 256 + fk_thread(), r = here / job.wide, c = here % job.wide;
    if (r < job.m) job.to[here] = c < job.n ? job.src[r * job.ld + c] : 0.0f;
}

struct fk_gemm_bf16_job {
    float *out;
    const uint16_t *a, *b;  // rows of k
    const int32_t *starts;
    int32_t *trouble;
    int64_t m, k, n, lda, ldb, ldo;
    int64_t groups, b_group, out_group;
    int32_t accumulate, rows_are_k, b_whole, unused = 0;  // b_whole: b's rows start at multiples of 16 bytes
};

struct fk_operand { const uint16_t *rows; int64_t count, stride, k, whole; };

/// Starts the copy of `high` rows by 64 k from (row0, k0). Row r's eighth c of 16 bytes lies at c ^ (r % 8), so that neither these writes nor a matrix's reads meet in a bank.
template <int threads, int high> FK_FN void fk_fetch_tile(fk_shared<uint16_t> to, const fk_operand &from, int64_t row0, int64_t k0) {
    // A thread has one eighth of every (threads / 8)th row, a multiple of 8 apart.
    constexpr int step = threads / 8;
    const int first = fk_thread() / 8, c = fk_thread() % 8;
    const uint16_t *source = from.rows + (row0 + first) * from.stride + k0 + 8 * c;
    const auto place = to + (first * 64 + ((c ^ (first & 7)) * 8));
    if (from.whole && k0 + 64 <= from.k) {
#pragma unroll
        for (int i = 0; i < high / step; i++) {
            const bool here = row0 + first + i * step < from.count;
            fk_async16(place + i * step * 64, here ? source + i * step * from.stride : from.rows, here ? 16 : 0);
        }
        return;
    }
    for (int i = 0; i < high / step; i++) {
        const int left = row0 + first + i * step < from.count ? (int)fk_max(0, fk_min(8, from.k - k0 - 8 * c)) : 0;
        const uint16_t *row = left ? source + i * step * from.stride : from.rows;
        if (from.whole) {
            fk_async16(place + i * step * 64, row, left * 2);
        } else {
            for (int pair = 0; pair < 8; pair += 2) fk_async4(place + (i * step * 64 + pair), left > pair ? row + pair : from.rows, left > pair ? 4 : 0);
        }
    }
}

/// BM rows by BN columns by warps of WM by WN, `stages` tiles of 64 k under way.
template <int BM, int BN, int WM, int WN, int stages>
FK_FN void fk_gemm_bf16_tile(const fk_operand &a, const fk_operand &b, float *out, int64_t ldo, int64_t row0, int64_t column0, bool accumulate) {
    constexpr int across = BN / WN, threads = BM / WM * across * 32, MT = WM / 16, NT = WN / 8;
    fk_arena arena;
    const auto at = arena.take<uint16_t>(stages * BM * 64), bt = arena.take<uint16_t>(stages * BN * 64);
    const int lane = fk_lane(), wr = fk_warp() / across * WM, wc = fk_warp() % across * WN;
    float d[MT][NT][4];
    for (int i = 0; i < MT; i++)
        for (int j = 0; j < NT; j++)
            for (int e = 0; e < 4; e++) {
                const int64_t r = row0 + wr + 16 * i + lane / 4 + e / 2 * 8, c = column0 + wc + 8 * j + lane % 4 * 2 + e % 2;
                d[i][j][e] = accumulate && r < a.count && c < b.count ? out[r * ldo + c] : 0.0f;
            }
    const int64_t steps = fk_ceil(a.k, 64);
    for (int s = 0; s < stages - 1; s++) {
        if (s < steps) {
            fk_fetch_tile<threads, BM>(at + s * BM * 64, a, row0, 64 * s);
            fk_fetch_tile<threads, BN>(bt + s * BN * 64, b, column0, 64 * s);
        }
        fk_async_commit();
    }
    for (int64_t step = 0; step < steps; step++) {
        fk_async_wait<stages - 2>();
        fk_sync();  // this step's tile is there for all, and the last one's is read no more
        const int64_t next = step + stages - 1;
        if (next < steps) {
            const int s = (int)(next % stages);
            fk_fetch_tile<threads, BM>(at + s * BM * 64, a, row0, 64 * next);
            fk_fetch_tile<threads, BN>(bt + s * BN * 64, b, column0, 64 * next);
        }
        fk_async_commit();
        const auto ax = at + (int)(step % stages) * BM * 64, bx = bt + (int)(step % stages) * BN * 64;
#pragma unroll
        for (int kk = 0; kk < 4; kk++) {
            uint32_t af[MT][4], bf[NT][2];
#pragma unroll
            for (int i = 0; i < MT; i++) {
                const int r = wr + 16 * i + lane % 16, c = 2 * kk + lane / 16;
                fk_ldmatrix(af[i], ax + (r * 64 + ((c ^ (r & 7)) * 8)));
            }
#pragma unroll
            for (int j = 0; j < NT; j += 2) {
                const int r = wc + 8 * j + lane / 16 * 8 + lane % 8, c = 2 * kk + lane / 8 % 2;
                uint32_t four[4];
                fk_ldmatrix(four, bx + (r * 64 + ((c ^ (r & 7)) * 8)));
                bf[j][0] = four[0], bf[j][1] = four[1], bf[j + 1][0] = four[2], bf[j + 1][1] = four[3];
            }
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int j = 0; j < NT; j++) fk_mma_bf16(d[i][j], af[i], bf[j]);
        }
    }
    fk_async_wait<0>();
    const bool together = ldo % 2 == 0 && ((uintptr_t)out & 7) == 0;
    for (int i = 0; i < MT; i++)
        for (int j = 0; j < NT; j++)
            for (int e = 0; e < 4; e += 2) {
                const int64_t r = row0 + wr + 16 * i + lane / 4 + e / 2 * 8, c = column0 + wc + 8 * j + lane % 4 * 2;
                float *to = out + r * ldo + c;
                if (r >= a.count || c >= b.count) continue;
                if (together && c + 1 < b.count) {
                    *(float2 *)to = make_float2(d[i][j][e], d[i][j][e + 1]);
                } else {
                    to[0] = d[i][j][e];
                    if (c + 1 < b.count) to[1] = d[i][j][e + 1];
                }
            }
}

template <int BM, int BN, int WM, int WN, int stages> FK_FN void fk_gemm_bf16_block(const fk_gemm_bf16_job &job) {
    const int64_t across = fk_ceil(job.n, BN);
    fk_operand a = {job.a, job.m, job.lda, job.k, true}, b = {job.b, job.n, job.ldb, job.k, job.b_whole != 0};
    int64_t row, column;
    float *out = job.out;
    if (job.groups == 0) {
        // Eight rows of tiles together, column by column: what they read stays in the L2.
        const int64_t high = fk_ceil(job.m, BM), first = fk_block() / (8 * across) * 8, some = fk_min(8, high - first), in = fk_block() % (8 * across);
        row = (first + in % some) * BM, column = in / some * BN;
    } else if (job.rows_are_k) {
        const int64_t high = fk_ceil(job.m, BM), tile = fk_block() / across, g = tile / high, first = job.starts[g], rows = job.starts[g + 1] - first;
        if (first < 0 || rows < 0 || first + rows > job.k) {
            fk_raise(job.trouble, FK_BAD_SHAPE);
            return;
        }
        if (rows == 0 && job.accumulate) return;
        row = tile % high * BM, column = fk_block() % across * BN;
        a.rows += fk_group_place(first, g), b.rows += fk_group_place(first, g);
        a.k = b.k = rows;
        out += g * job.out_group;
    } else {
        fk_group g;
        if (!fk_find_group(g, job.starts, job.groups, job.m, fk_block() / across, BM, job.trouble)) return;
        row = g.tile * BM, column = fk_block() % across * BN;
        a.rows += g.first * job.lda, a.count = g.rows;
        b.rows += g.index * job.b_group;
        out += g.first * job.ldo;
    }
    fk_gemm_bf16_tile<BM, BN, WM, WN, stages>(a, b, out, job.ldo, row, column, job.accumulate);
}

FK_KERNEL(fk_gemm_bf16_16, fk_gemm_bf16_job, 64) { fk_gemm_bf16_block<16, 32, 16, 16, 8>(job); }
FK_KERNEL(fk_gemm_bf16_64, fk_gemm_bf16_job, 128) { fk_gemm_bf16_block<64, 64, 32, 32, 4>(job); }
FK_KERNEL(fk_gemm_bf16_128, fk_gemm_bf16_job, 256) { fk_gemm_bf16_block<128, 128, 64, 32, 3>(job); }

#if !FK_DEVICE_PASS
static int64_t fk_even(int64_t k) { return k + (k & 1); }
static int64_t fk_eighth(int64_t k) { return fk_ceil(k, 8) * 8; }

/// Rounds rows of k floats to rows of `stride`, a multiple of eight, filled up with zeroes.
static fk_status fk_round_cuda(uint16_t *to, const float *src, int64_t rows, int64_t k, int64_t rs, int64_t cs, int64_t stride, fk_stream s) {
    fk_round_job job = {};
    job.to = to, job.src = src, job.rows = rows, job.k = k, job.rs = rs, job.cs = cs, job.stride = stride;
    if (cs == 1) return fk_launch(s, fk_round_rows, fk_ceil(rows, 32) * fk_ceil(stride, 128), 1, 0, job);
    return fk_launch(s, fk_round_turned, fk_ceil(rows, 32) * fk_ceil(stride, 64), 1, 32 * 65 * 4, job);
}

static fk_status fk_pack_cuda(float *packed, const float *src, int64_t groups, int64_t src_step, int64_t k, int64_t n, int64_t ld, fk_layout layout, fk_stream s) {
    const bool kn = layout & FK_KN;
    if (k < 0 || n < 0 || groups < 0 || groups > 65535 || ld < (kn ? n : k)) return FK_BAD_SHAPE;
    const fk_pack_job job = {packed, src, k, n, kn ? ld : 1, kn ? 1 : ld, src_step, fk_packed_count(k, n)};
    return fk_launch(s, layout & FK_BF16 ? fk_pack_bf16 : fk_pack_f32, fk_ceil(k, 32) * fk_ceil(n, 32), groups, 32 * 33 * 4, job);
}

static fk_status fk_gemm_pack_cuda(float *packed, const float *src, int64_t k, int64_t n, int64_t ld, fk_layout layout, fk_stream s) {
    return fk_pack_cuda(packed, src, 1, 0, k, n, ld, layout, s);
}

static fk_status fk_gemm_unpack_cuda(float *out, const float *packed, int64_t k, int64_t n, int64_t ld, int32_t flags, fk_stream s) {
    if (k < 0 || n < 0 || ld < k) return FK_BAD_SHAPE;
    const fk_unpack_job job = {out, packed, k, n, ld, flags & FK_BF16};
    return fk_launch(s, fk_unpack_elements, fk_ceil(k * n, 256), 1, 0, job);
}

/// Tiles by the rows a product (or the largest of its groups) can have.
static fk_status fk_launch_bf16(fk_stream s, const fk_gemm_bf16_job &job, int64_t rows) {
    if (job.groups == 0) {
        const fk_status status = fk_gemm_tma(job.out, job.a, job.b, job.m, job.k, job.n, job.lda, job.ldb, job.ldo, job.accumulate, s);
        if (status != FK_UNSUPPORTED) return status;
    }
    struct { fk_kernel *kernel; int64_t high, wide, stages; } tile = rows <= 16 ? decltype(tile){&fk_gemm_bf16_16, 16, 32, 8}
                                                                   : rows <= 64 ? decltype(tile){&fk_gemm_bf16_64, 64, 64, 4} : decltype(tile){&fk_gemm_bf16_128, 128, 128, 3};
    int64_t tiles = fk_ceil(job.m, tile.high);
    if (job.groups) tiles = job.rows_are_k ? tiles * job.groups : job.m / tile.high + job.groups;
    return fk_launch(s, *tile.kernel, tiles * fk_ceil(job.n, tile.wide), 1, (size_t)(tile.stages * (tile.high + tile.wide) * 128), job);
}

static fk_status fk_gemm_cuda(float *out, const float *a, const float *packed, int64_t m, int64_t k, int64_t n, int64_t a_rs, int64_t a_cs, int64_t ldo, int32_t flags, fk_stream s) {
    if (m < 0 || k < 0 || n < 0 || ldo < n) return FK_BAD_SHAPE;
    if (m == 0 || n == 0) return FK_OK;
    if (!(flags & FK_BF16)) {
        fk_gemm_f32_job job = {};
        job.out = out, job.a = a, job.b = packed, job.m = m, job.k = k, job.n = n, job.a_rs = a_rs, job.a_cs = a_cs, job.ldo = ldo;
        job.panel_step = 32 * k, job.row_step = 32, job.accumulate = flags & FK_ACCUMULATE;
        return fk_launch(s, fk_gemm_f32, fk_ceil(m, 64) * fk_ceil(n, 64), 1, fk_gemm_f32_shared, job);
    }
    void *rounded;
    fk_status status = fk_scratch(&rounded, s, (size_t)(m * fk_eighth(k)) * 2 + 16);
    if (status != FK_OK) return status;
    status = fk_round_cuda((uint16_t *)rounded, a, m, k, a_rs, a_cs, fk_eighth(k), s);
    if (status != FK_OK) return status;
    fk_gemm_bf16_job job = {};
    job.out = out, job.a = (const uint16_t *)rounded, job.b = (const uint16_t *)packed, job.m = m, job.k = k, job.n = n, job.lda = fk_eighth(k), job.ldb = fk_even(k), job.ldo = ldo;
    job.accumulate = flags & FK_ACCUMULATE, job.b_whole = job.ldb % 8 == 0 && (uintptr_t)packed % 16 == 0;
    return fk_launch_bf16(s, job, m);
}
#endif
