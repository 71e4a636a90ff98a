// gemm_pack and gemm: out[m,n] (+)= Σ_k a[m,k] B[k,n], B packed into panels of 32 columns.
#ifdef FK_REFERENCE

#include "gemm_bf16.h"

static fk_status FK(gemm_pack)(float *packed, const float *src, int64_t k, int64_t n, int64_t ld, fk_layout layout, fk_stream s) {
    (void)s;
    if (layout & FK_BF16) return FK(gemm_pack_bf16)(packed, src, k, n, ld, !(layout & FK_KN));
    for (int64_t p = 0; p < fk_ceil(n, FK_PANEL); p++)
        for (int64_t kk = 0; kk < k; kk++)
            for (int64_t j = 0; j < FK_PANEL; j++) {
                const int64_t col = p * FK_PANEL + j;
                packed[(p * k + kk) * FK_PANEL + j] = col >= n ? 0.0f : layout == FK_NK ? src[col * ld + kk] : src[kk * ld + col];
            }
    return FK_OK;
}

static fk_status FK(gemm_unpack)(float *out, const float *packed, int64_t k, int64_t n, int64_t ld, int32_t flags, fk_stream s) {
    (void)s;
    const uint16_t *halves = (const uint16_t *)packed;
    for (int64_t j = 0; j < n; j++)
        for (int64_t kk = 0; kk < k; kk++) {
            const int64_t panel = j / FK_PANEL, column = j % FK_PANEL;
            out[j * ld + kk] = flags & FK_BF16 ? FK(of_bf16)(halves[((panel * fk_ceil(k, 2) + kk / 2) * FK_PANEL + column) * 2 + kk % 2])
                                               : packed[(panel * k + kk) * FK_PANEL + column];
        }
    return FK_OK;
}

static fk_status FK(gemm)(float *out, const float *a, const float *packed, int64_t m, int64_t k, int64_t n, int64_t a_rs,
                          int64_t a_cs, int64_t ldo, int32_t flags, fk_stream s) {
    (void)s;
    const int accumulate = flags & FK_ACCUMULATE;
    if (flags & FK_BF16) return FK(gemm_bf16)(out, a, packed, m, k, n, a_rs, a_cs, ldo, accumulate);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = accumulate ? out[i * ldo + j] : 0.0;
            for (int64_t kk = 0; kk < k; kk++)
                sum += (double)a[i * a_rs + kk * a_cs] * packed[((j / FK_PANEL) * k + kk) * FK_PANEL + j % FK_PANEL];
            out[i * ldo + j] = (float)sum;
        }
    return FK_OK;
}

#else

struct FK(pack_job) { float *packed; const float *src; int64_t k, n, ld; fk_layout layout; };

static fk_body FK(pack_bf16_body)(void);

static void FK(pack_panel)(void *context, int64_t p, void *scratch) {
    (void)scratch;
    const struct FK(pack_job) *job = context;
    const int64_t k = job->k, ld = job->ld, cols = fk_min(FK_PANEL, job->n - p * FK_PANEL);
    float *to = job->packed + p * k * FK_PANEL;
    if (job->layout == FK_KN) {
        const float *from = job->src + p * FK_PANEL;
        for (int64_t kk = 0; kk < k; kk++) {
            vstore(to + kk * FK_PANEL, vload_n(from + kk * ld, cols));
            vstore(to + kk * FK_PANEL + 16, vload_n(from + kk * ld + 16, fk_max(0, cols - 16)));
        }
        return;
    }
    for (int64_t half = 0; half < 2; half++) {
        const int64_t here = fk_max(0, fk_min(16, cols - 16 * half));
        const float *from = job->src + (p * FK_PANEL + 16 * half) * ld;
        for (int64_t kk = 0; kk < k; kk += 16) {
            const int64_t deep = fk_min(16, k - kk);
            vf block[16];
            FK_UNROLL for (int64_t i = 0; i < 16; i++) block[i] = i < here ? vload_n(from + i * ld + kk, deep) : vset(0.0f);
            vtranspose(block);
            for (int64_t i = 0; i < deep; i++) vstore(to + (kk + i) * FK_PANEL + 16 * half, block[i]);
        }
    }
}

static fk_status FK(gemm_pack)(float *packed, const float *src, int64_t k, int64_t n, int64_t ld, fk_layout layout, fk_stream s) {
    if (k < 0 || n < 0) return FK_BAD_SHAPE;
    struct FK(pack_job) job = {packed, src, k, n, ld, layout};
    fk_run(s, fk_ceil(n, FK_PANEL), layout & FK_BF16 ? FK(pack_bf16_body)() : FK(pack_panel), &job);
    return FK_OK;
}

struct FK(unpack_job) { float *out; const float *packed; int64_t k, n, ld; };

static void FK(unpack_panel)(void *context, int64_t p, void *scratch) {
    (void)scratch;
    const struct FK(unpack_job) *job = context;
    for (int64_t half = 0; half < 2; half++) {
        const int64_t row = p * FK_PANEL + 16 * half, rows = fk_max(0, fk_min(16, job->n - row));
        const float *from = job->packed + p * job->k * FK_PANEL + 16 * half;
        for (int64_t kk = 0; kk < job->k; kk += 16) {
            const int64_t deep = fk_min(16, job->k - kk);
            vf block[16];
            FK_UNROLL for (int64_t i = 0; i < 16; i++) block[i] = i < deep ? vload(from + (kk + i) * FK_PANEL) : vset(0.0f);
            vtranspose(block);
            for (int64_t i = 0; i < rows; i++) vstore_n(job->out + (row + i) * job->ld + kk, block[i], deep);
        }
    }
}

/// The same of pairs: a lane's low half is the first of two k.
static void FK(unpack_pairs_panel)(void *context, int64_t p, void *scratch) {
    (void)scratch;
    const struct FK(unpack_job) *job = context;
    const int64_t pairs = fk_ceil(job->k, 2);
    for (int64_t half = 0; half < 2; half++) {
        const int64_t row = p * FK_PANEL + 16 * half, rows = fk_max(0, fk_min(16, job->n - row));
        const float *from = job->packed + p * pairs * FK_PANEL + 16 * half;
        for (int64_t kk = 0; kk < pairs; kk += 16) {
            const int64_t deep = fk_min(16, pairs - kk), left = job->k - 2 * kk;
            vf block[16];
            FK_UNROLL for (int64_t i = 0; i < 16; i++) block[i] = i < deep ? vload(from + (kk + i) * FK_PANEL) : vset(0.0f);
            vtranspose(block);
            for (int64_t i = 0; i < rows; i++) {
                const vf first = (vf)((vi)block[i] << 16), second = (vf)((vi)block[i] & (int32_t)0xffff0000);
                float *to = job->out + (row + i) * job->ld + 2 * kk;
                vstore_n(to, __builtin_shufflevector(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), fk_min(16, left));
                if (left > 16)
                    vstore_n(to + 16, __builtin_shufflevector(first, second, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), fk_min(16, left - 16));
            }
        }
    }
}

static fk_status FK(gemm_unpack)(float *out, const float *packed, int64_t k, int64_t n, int64_t ld, int32_t flags, fk_stream s) {
    if (k < 0 || n < 0 || ld < k) return FK_BAD_SHAPE;
    struct FK(unpack_job) job = {out, packed, k, n, ld};
    fk_run(s, fk_ceil(n, FK_PANEL), flags & FK_BF16 ? FK(unpack_pairs_panel) : FK(unpack_panel), &job);
    return FK_OK;
}

struct FK(gemm_job) {
    float *out;
    const float *a, *packed;
    int64_t m, k, n, a_rs, a_cs, ldo;
    int32_t accumulate;
    int64_t row_block, panel_block, row_blocks;
};

// Depth of a pass, in rows of a panel: what a tile reads of B (12 or 24 KiB) stays in L1 while the rows of A, packed in L2, go by. Where k is cut never shows in
// a result.
#define FK_DEPTH 192

/// to[kk][rows] from `rows` (at most MR) rows of a. Writes up to 16 floats past the end of the block.
FK_INLINE void FK(pack_rows)(float *to, const float *a, int64_t a_rs, int64_t a_cs, int64_t rows, int64_t k, int64_t rows_after) {
    if (a_cs == 1) {
        for (int64_t kk = 0; kk < k; kk += 16) {
            const int64_t deep = fk_min(16, k - kk);
            vf block[16];
            FK_UNROLL for (int64_t i = 0; i < 16; i++) block[i] = i < rows ? vload_n(a + i * a_rs + kk, deep) : vset(0.0f);
            vtranspose(block);
            for (int64_t i = 0; i < deep; i++) vstore(to + (kk + i) * rows, block[i]);
        }
    } else if (a_rs == 1 && rows + rows_after >= 16) {
        for (int64_t kk = 0; kk < k; kk++) vstore(to + kk * rows, vload(a + kk * a_cs));
    } else {
        for (int64_t kk = 0; kk < k; kk++)
            for (int64_t i = 0; i < rows; i++) to[kk * rows + i] = a[i * a_rs + kk * a_cs];
    }
}

// Few rows: registers of 16 columns taken at once for one to four rows, so that enough sums are under way and none leaves its register.
#if FK_WIDE
enum { FK(thin_1) = 8, FK(thin_2) = 6, FK(thin_3) = 4, FK(thin_4) = 4 };
#else
enum { FK(thin_1) = 6, FK(thin_2) = 2, FK(thin_3) = 2, FK(thin_4) = 1 };
#endif
#define FK_THIN_WIDTH(rows) ((rows) == 1 ? FK(thin_1) : (rows) == 2 ? FK(thin_2) : (rows) == 3 ? FK(thin_3) : FK(thin_4))
/// Runs thin(rows, width) for the columns of panel..<panel_end, `width` registers at a time while so many are left, then a panel's two. `at` counts registers.
#define FK_THIN_COLUMNS(thin, panel, panel_end, rows)                                                           \
    for (int64_t at = 2 * (panel), end = 2 * (panel_end); at < end;) {                                          \
        const int64_t whole = FK_THIN_WIDTH(rows), step = end - at >= whole ? whole : 2;                        \
        switch (rows) {                                                                                         \
        case 1: if (step == whole) thin(1, FK(thin_1)); else thin(1, 2); break;                                 \
        case 2: if (step == whole) thin(2, FK(thin_2)); else thin(2, 2); break;                                 \
        case 3: if (step == whole) thin(3, FK(thin_3)); else thin(3, 2); break;                                 \
        default: if (step == whole) thin(4, FK(thin_4)); else thin(4, 2); break;                                \
        }                                                                                                       \
        at += step;                                                                                             \
    }

/// One to four rows without packing a.
FK_INLINE void FK(thin_fixed)(const int rows, const int width, float *out, int64_t ldo, int64_t cols, const float *a,
                              int64_t a_rs, int64_t a_cs, const float *b, int64_t k, int acc) {
    vf s[4][8];
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < width; v++)
            s[i][v] = acc ? vload_n(out + i * ldo + 16 * v, fk_max(0, cols - 16 * v)) : vset(0.0f);
    for (int64_t kk = 0; kk < k; kk++) {
        vf av[4];
        FK_UNROLL for (int i = 0; i < rows; i++) av[i] = vset(a[i * a_rs + kk * a_cs]);
        FK_UNROLL for (int v = 0; v < width; v++) {
            const vf bv = vload(b + (v / 2 * k + kk) * FK_PANEL + 16 * (v % 2));
            FK_UNROLL for (int i = 0; i < rows; i++) s[i][v] = vfma(av[i], bv, s[i][v]);
        }
    }
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < width; v++) vstore_n(out + i * ldo + 16 * v, s[i][v], fk_max(0, cols - 16 * v));
}

static void FK(gemm_thin)(const struct FK(gemm_job) *job, int64_t panel, int64_t panel_end) {
#define FK_THIN(rows, width)                                                                                                                  \
    FK(thin_fixed)(rows, width, job->out + 16 * at, job->ldo, fk_min(16 * width, job->n - 16 * at), job->a, job->a_rs, job->a_cs, \
                   job->packed + at / 2 * job->k * FK_PANEL + 16 * (at % 2), job->k, job->accumulate)
    FK_THIN_COLUMNS(FK_THIN, panel, panel_end, job->m)
#undef FK_THIN
}

static void FK(gemm_task)(void *context, int64_t task, void *scratch) {
    const struct FK(gemm_job) *job = context;
    const int64_t panels = fk_ceil(job->n, FK_PANEL);
    const int64_t panel0 = task / job->row_blocks * job->panel_block, panel_end = fk_min(panels, panel0 + job->panel_block);
    if (job->m <= 4) {
        FK(gemm_thin)(job, panel0, panel_end);
        return;
    }
    const int64_t row0 = task % job->row_blocks * job->row_block, row_end = fk_min(job->m, row0 + job->row_block);
    float *packed_a = scratch;
    for (int64_t k0 = 0; k0 == 0 || k0 < job->k; k0 += FK_DEPTH) {
        const int64_t depth = fk_min(FK_DEPTH, job->k - k0);
        const int acc = job->accumulate || k0 > 0;
        for (int64_t row = row0; row < row_end; row += MR) {
            const int64_t rows = fk_min(MR, row_end - row);
            FK(pack_rows)(packed_a + (row - row0) * depth, job->a + row * job->a_rs + k0 * job->a_cs, job->a_rs, job->a_cs, rows, depth, job->m - row - rows);
        }
        for (int64_t col = panel0 * FK_PANEL; col < fk_min(panel_end * FK_PANEL, job->n); col += 16 * NV) {
            const float *b = job->packed + (col / FK_PANEL * job->k + k0) * FK_PANEL + col % FK_PANEL;
            for (int64_t row = row0; row < row_end; row += MR)
                tile_packed(fk_min(MR, row_end - row), job->out + row * job->ldo + col, job->ldo, fk_min(16 * NV, job->n - col),
                            packed_a + (row - row0) * depth, b, depth, acc);
        }
    }
}

#include "gemm_bf16.h"

static fk_status FK(gemm)(float *out, const float *a, const float *packed, int64_t m, int64_t k, int64_t n, int64_t a_rs,
                          int64_t a_cs, int64_t ldo, int32_t flags, fk_stream s) {
    if (m < 0 || k < 0 || n < 0 || ldo < n) return FK_BAD_SHAPE;
    if (m == 0 || n == 0) return FK_OK;
    struct FK(gemm_job) job = {out, a, packed, m, k, n, a_rs, a_cs, ldo, flags & FK_ACCUMULATE, 96, 16, 0};
    const int64_t panels = fk_ceil(n, FK_PANEL);
    // Work for every thread, also where the matrix is small: the cut never shows in the results.
    const int64_t wanted = 8 * fk_stream_threads(s);
    while (job.row_block > MR && fk_ceil(m, job.row_block) * fk_ceil(panels, job.panel_block) < wanted) job.row_block /= 2;
    while (job.panel_block > 4 && fk_ceil(m, job.row_block) * fk_ceil(panels, job.panel_block) < wanted) job.panel_block /= 2;
    job.row_blocks = fk_ceil(m, job.row_block);
    fk_run(s, job.row_blocks * fk_ceil(panels, job.panel_block), flags & FK_BF16 ? FK(gemm_bf16_body)() : FK(gemm_task), &job);
    return FK_OK;
}

#endif
