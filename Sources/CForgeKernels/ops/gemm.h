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
    int32_t accumulate, streams;  // streams: results go past the caches
    int64_t row_block, panel_block, row_blocks;
};

// Rows of A and panels of B that a task takes, at most.
#define FK_TASK_ROWS 96
#define FK_TASK_PANELS 64
// Rows of a panel that a task's tiles read again and again, 12 KiB: these and the next ones fit in an L1. Where k is cut never shows in a result.
#define FK_DEPTH 96
// Results of so many bytes are not in a cache any more when they are read: written past all of them, their old contents need not be fetched.
#define FK_STREAM_BYTES (4 << 20)
// Floats of A that are packed at once: a third of an L2.
#define FK_PASS 40960
_Static_assert(FK_PASS >= 2 * FK_TASK_ROWS * FK_DEPTH, "a pass holds one depth of the two parts of all rows");
_Static_assert((FK_PASS + 64 + FK_TASK_ROWS * FK_PANEL) * sizeof(float) <= FK_SCRATCH, "a pass and its sums fit in the scratch memory");

/// What is packed after `rows` rows of A from `a` on, whose k end before `end`: the same rows' next k, or if there are none the next rows.
FK_INLINE const float *FK(packed_soon)(const struct FK(gemm_job) *job, const float *a, int64_t rows, int64_t end, int64_t depth) {
    return end < job->k ? a + depth * job->a_cs : a + rows * job->a_rs;
}

/// to[kk][rows] from `rows` (at most MR) rows of a, while as many of `soon` are asked for. Writes up to 16 floats past the end of the block.
FK_INLINE void FK(pack_rows)(float *to, const float *a, int64_t a_rs, int64_t a_cs, int64_t rows, int64_t k, int64_t rows_after, const float *soon) {
    if (a_cs == 1) {
        for (int64_t kk = 0; kk < k; kk += 16) {
            const int64_t deep = fk_min(16, k - kk);
            vf block[FK_TALL];
            vtall columns[16];
            for (int64_t i = 0; i < rows; i++) __builtin_prefetch(soon + i * a_rs + kk, 0, 2);
            FK_UNROLL for (int64_t i = 0; i < FK_TALL; i++) block[i] = i < rows ? vload_n(a + i * a_rs + kk, deep) : vset(0.0f);
            vcolumns(columns, block);
            for (int64_t i = 0; i < deep; i++) *(vtall_u *)(to + (kk + i) * rows) = columns[i];
        }
    } else if (a_rs == 1 && rows + rows_after >= 16) {
        for (int64_t kk = 0; kk < k; kk++) {
            __builtin_prefetch(soon + kk * a_cs, 0, 2);
            vstore(to + kk * rows, vload(a + kk * a_cs));
        }
    } else {
        for (int64_t kk = 0; kk < k; kk++)
            for (int64_t i = 0; i < rows; i++) to[kk * rows + i] = a[i * a_rs + kk * a_cs];
    }
}

// One or two rows: registers of 16 columns taken at once, so that enough sums are under way and none leaves its register.
#define FK_THIN_ROWS 2
#if FK_WIDE
enum { FK(thin_1) = 8, FK(thin_2) = 6 };
#else
enum { FK(thin_1) = 6, FK(thin_2) = 2 };
#endif
/// Runs thin(rows, width) for the columns of panel..<panel_end, `width` registers at a time while so many are left, then a panel's two. `at` counts registers.
#define FK_THIN_COLUMNS(thin, panel, panel_end, rows)                                                           \
    for (int64_t at = 2 * (panel), end = 2 * (panel_end); at < end;) {                                          \
        const int64_t whole = (rows) == 1 ? FK(thin_1) : FK(thin_2), step = end - at >= whole ? whole : 2;      \
        if ((rows) == 1) {                                                                                      \
            if (step == whole) thin(1, FK(thin_1)); else thin(1, 2);                                            \
        } else {                                                                                                \
            if (step == whole) thin(2, FK(thin_2)); else thin(2, 2);                                            \
        }                                                                                                       \
        at += step;                                                                                             \
    }

/// One or two rows without packing a.
FK_INLINE void FK(thin_fixed)(const int rows, const int width, float *out, int64_t ldo, int64_t cols, const float *a,
                              int64_t a_rs, int64_t a_cs, const float *b, int64_t k, int acc) {
    vf s[FK_THIN_ROWS][8];
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < width; v++)
            s[i][v] = acc ? vload_n(out + i * ldo + 16 * v, fk_max(0, cols - 16 * v)) : vset(0.0f);
    for (int64_t kk = 0; kk < k; kk++) {
        vf av[FK_THIN_ROWS];
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

/// Packs `rows` rows of A from `row` on, for `depth` rows of a panel from `at` on.
typedef void FK(gemm_rows)(float *to, const struct FK(gemm_job) *job, int64_t row, int64_t rows, int64_t at, int64_t depth);

/// One task of a product: its rows of A by its panels of B, `deep` rows each. For one row of a panel a row of A packs to `parts` floats.
FK_INLINE void FK(gemm_walk)(const struct FK(gemm_job) *job, int64_t task, float *packed_a, int64_t deep, const int64_t parts,
                             FK(gemm_rows) *const pack, FK(packed_tile) *const tile) {
    const int64_t panel0 = task / job->row_blocks * job->panel_block, panel_end = fk_min(fk_ceil(job->n, FK_PANEL), panel0 + job->panel_block);
    const int64_t row0 = task % job->row_blocks * job->row_block, rows = fk_min(job->row_block, job->m - row0);
    // Tiles of nearly equal height, and for each run of one the share of the next rows of B to ask for.
    const int64_t tiles = fk_ceil(rows, MR), registers = FK(packed_registers)(fk_ceil(rows, tiles)), ahead = fk_ceil(sizeof(float) * FK_PANEL, tiles * 2 / registers);
    const int64_t pass = fk_max(1, FK_PASS / (rows * parts * FK_DEPTH)) * FK_DEPTH;
    float *const sums = packed_a + FK_PASS + 64;  // of a panel, side by side: rows of `out` may lie where they push each other out of a cache
    for (int64_t from = 0; from == 0 || from < deep; from += pass) {
        const int64_t end = fk_min(deep, from + pass);
        const int acc = job->accumulate || from > 0;
        for (int64_t at = from; at < end; at += FK_DEPTH)
            for (int64_t t = 0; t < tiles; t++) {
                const int64_t depth = fk_min(FK_DEPTH, end - at), row = rows * t / tiles;
                pack(packed_a + ((at - from) * rows + row * depth) * parts, job, row0 + row, rows * (t + 1) / tiles - row, at, depth);
            }
        for (int64_t panel = panel0; panel < panel_end; panel++) {
            float *out = job->out + row0 * job->ldo + panel * FK_PANEL;
            const int64_t cols = fk_min(FK_PANEL, job->n - panel * FK_PANEL);
            for (int64_t row = 0; acc && row < rows; row++) {
                vstore(sums + row * FK_PANEL, vload_n(out + row * job->ldo, cols));
                vstore(sums + row * FK_PANEL + 16, vload_n(out + row * job->ldo + 16, fk_max(0, cols - 16)));
            }
            for (int64_t at = from; at == from || at < end; at += FK_DEPTH) {
                const int64_t depth = fk_min(FK_DEPTH, end - at);
                const float *b = job->packed + (panel * deep + at) * FK_PANEL;
                const int64_t after = at + depth < end ? panel * deep + at + depth : panel + 1 < panel_end ? (panel + 1) * deep + from : panel0 * deep + (end < deep ? end : 0);
                const char *next = (const char *)(job->packed + after * FK_PANEL);
                for (int64_t v = 0; v < 2 && 16 * v < cols; v += registers)
                    for (int64_t t = 0; t < tiles; t++, next += ahead * depth) {
                        const int64_t row = rows * t / tiles;
                        tile(rows * (t + 1) / tiles - row, registers, sums + row * FK_PANEL + 16 * v, packed_a + ((at - from) * rows + row * depth) * parts, b + 16 * v,
                             depth, acc || at > from, next, ahead);
                    }
            }
            if (job->streams && !acc && end == deep && cols == FK_PANEL) {
                for (int64_t row = 0; row < rows; row++) {
                    vstream(out + row * job->ldo, vload(sums + row * FK_PANEL));
                    vstream(out + row * job->ldo + 16, vload(sums + row * FK_PANEL + 16));
                }
                vstreamed();
                continue;
            }
            for (int64_t row = 0; row < rows; row++) {
                vstore_n(out + row * job->ldo, vload(sums + row * FK_PANEL), cols);
                vstore_n(out + row * job->ldo + 16, vload(sums + row * FK_PANEL + 16), fk_max(0, cols - 16));
            }
        }
    }
}

static void FK(gemm_rows_whole)(float *to, const struct FK(gemm_job) *job, int64_t row, int64_t rows, int64_t at, int64_t depth) {
    const float *a = job->a + row * job->a_rs + at * job->a_cs;
    FK(pack_rows)(to, a, job->a_rs, job->a_cs, rows, depth, job->m - row - rows, FK(packed_soon)(job, a, rows, at + depth, depth));
}

static void FK(gemm_task)(void *context, int64_t task, void *scratch) {
    const struct FK(gemm_job) *job = context;
    if (job->m <= FK_THIN_ROWS) FK(gemm_thin)(job, task * job->panel_block, fk_min(fk_ceil(job->n, FK_PANEL), (task + 1) * job->panel_block));
    else FK(gemm_walk)(job, task, scratch, job->k, 1, FK(gemm_rows_whole), FK(packed_tile_whole));
}

/// Rows a block takes so that `m` rows fill blocks of nearly equal size.
static int64_t FK(row_block)(int64_t m) { return fk_ceil(fk_ceil(m, fk_max(1, fk_ceil(m, FK_TASK_ROWS))), MR) * MR; }

static int32_t FK(streams)(const float *out, int64_t ldo, int64_t count) {
    return count >= FK_STREAM_BYTES / (int64_t)sizeof(float) && ((uintptr_t)out | (uintptr_t)ldo * sizeof(float)) % 64 == 0;
}

/// Work for every thread, also where the matrix is small: the cut never shows in the results.
static int64_t FK(wanted_tasks)(fk_stream s) { return 6 * fk_stream_threads(s); }

/// Makes tasks smaller, if they can be. A row of A is packed for each block of panels anew, so these are cut last where they are few; a panel is
/// read for each block of rows anew, by tiles of MR rows two of which hide that.
static int FK(cut_tasks)(struct FK(gemm_job) *job) {
    if (job->panel_block > 16 || (job->panel_block > 4 && job->row_block <= 2 * MR)) job->panel_block /= 2;
    else if (job->row_block > MR) job->row_block = fk_ceil(job->row_block / 2, MR) * MR;
    else return 0;
    return 1;
}

#include "gemm_bf16.h"

static fk_status FK(gemm)(float *out, const float *a, const float *packed, int64_t m, int64_t k, int64_t n, int64_t a_rs,
                          int64_t a_cs, int64_t ldo, int32_t flags, fk_stream s) {
    if (m < 0 || k < 0 || n < 0 || ldo < n) return FK_BAD_SHAPE;
    if (m == 0 || n == 0) return FK_OK;
    struct FK(gemm_job) job = {out, a, packed, m, k, n, a_rs, a_cs, ldo, flags & FK_ACCUMULATE, FK(streams)(out, ldo, m * n), FK(row_block)(m), FK_TASK_PANELS, 0};
    const int64_t panels = fk_ceil(n, FK_PANEL);
    while (fk_ceil(m, job.row_block) * fk_ceil(panels, job.panel_block) < FK(wanted_tasks)(s) && FK(cut_tasks)(&job)) {}
    job.row_blocks = fk_ceil(m, job.row_block);
    fk_run(s, job.row_blocks * fk_ceil(panels, job.panel_block), flags & FK_BF16 ? FK(gemm_bf16_body)() : FK(gemm_task), &job);
    return FK_OK;
}

#endif
