// Products with weights of 8 or 4 bits, for serving: out[m,n] = Σ_b (d_x[m,b] · d_w[n,b]) · Σ_{k in b} x̂[m,k] ŵ[n,k], b over
// blocks of 32 consecutive k. A row of x is rounded to 8 bits a block by itself, whole-number sums are exact, and a block's
// contribution is one multiply and one fused multiply-add in the order of b: vector levels, any CPU and the scalar form give
// the same bits, whatever the other rows.
//
// packed[panel][block]: 32 half-precision scales, then the codes of 32 columns, four consecutive k of a column in one 32-bit
// lane. FK_Q8: code = ŵ + 128, groups of four k one after another. FK_Q4: code = ŵ + 8, group g in the low nibbles and
// group g + 4 in the high ones. Codes are unsigned because VPDPBUSD wants one unsigned operand; what the offset adds is known
// from x alone (offset · Σ x̂) and is where each sum starts.
#ifndef FK_QUANT_PASS

#define FK_SCALES 64
FK_INLINE size_t FK(quant_block)(fk_quant quant) { return FK_SCALES + (quant == FK_Q8 ? 1024 : 512); }
FK_INLINE int32_t FK(quant_offset)(fk_quant quant) { return quant == FK_Q8 ? 128 : 8; }
FK_INLINE float FK(of_half)(const void *p) {
    _Float16 h;
    memcpy(&h, p, sizeof h);
    return (float)h;
}

/// The code of column j, place i (0...31) of a block.
FK_INLINE uint8_t FK(quant_code)(const uint8_t *block, fk_quant quant, int64_t j, int64_t i) {
    const uint8_t *codes = block + FK_SCALES;
    if (quant == FK_Q8) return codes[i / 4 * 128 + j * 4 + i % 4];
    const uint8_t two = codes[i / 4 % 4 * 128 + j * 4 + i % 4];
    return i < 16 ? two & 15 : two >> 4;
}

/// One block of one column from up to 32 values: the scale is rounded to half precision first, so codes are best for the
/// scale that is kept. Q8: max|w|/127. Q4: the value of largest magnitude becomes -8 exactly.
static void FK(quant_column)(uint8_t *block, fk_quant quant, int64_t j, const float *w, int64_t count) {
    float most = 0.0f;
    int finite = 1;
    for (int64_t i = 0; i < count; i++) {
        const float size = w[i] < 0 ? -w[i] : w[i];
        finite &= size <= 3.4028235e38f;
        if (size > (most < 0 ? -most : most)) most = w[i];
    }
    float wanted = quant == FK_Q8 ? (most < 0 ? -most : most) / 127.0f : most / -8.0f;
    if (wanted > 65504.0f) wanted = 65504.0f;
    if (wanted < -65504.0f) wanted = -65504.0f;
    const _Float16 half = finite ? (_Float16)wanted : (_Float16)__builtin_nanf("");
    memcpy(block + 2 * j, &half, sizeof half);
    const float d = (float)half, inverse = d == 0.0f || d != d ? 0.0f : 1.0f / d;
    const int32_t offset = FK(quant_offset)(quant), top = quant == FK_Q8 ? 127 : 7, bottom = quant == FK_Q8 ? -127 : -8;
    for (int64_t i = 0; i < FK_BLOCK; i++) {
        // Nearest, ties to even, by the float that has no bits below the point; what does not fit is far outside either way.
        const float scaled = i < count ? w[i] * inverse : 0.0f;
        const float bounded = scaled > 200.0f ? 200.0f : scaled < -200.0f ? -200.0f : scaled == scaled ? scaled : 0.0f;
        const float rounded = (bounded + 12582912.0f) - 12582912.0f;
        int32_t code = (int32_t)rounded;
        code = (code > top ? top : code < bottom ? bottom : code) + offset;
        uint8_t *codes = block + FK_SCALES;
        if (quant == FK_Q8) codes[i / 4 * 128 + j * 4 + i % 4] = (uint8_t)code;
        else {
            uint8_t *two = codes + i / 4 % 4 * 128 + j * 4 + i % 4;
            *two = i < 16 ? (uint8_t)code : (uint8_t)(*two | code << 4);
        }
    }
}

struct FK(quant_pack_job) { uint8_t *packed; const float *src; int64_t k, n, ld; fk_quant quant; };

static void FK(quant_pack_panel)(void *context, int64_t panel, void *scratch) {
    (void)scratch;
    const struct FK(quant_pack_job) *job = context;
    const int64_t blocks = fk_ceil(job->k, FK_BLOCK);
    for (int64_t b = 0; b < blocks; b++) {
        uint8_t *block = job->packed + (panel * blocks + b) * FK(quant_block)(job->quant);
        for (int64_t j = 0; j < FK_PANEL; j++) {
            const int64_t row = panel * FK_PANEL + j;
            const int64_t count = row < job->n ? fk_min(FK_BLOCK, job->k - b * FK_BLOCK) : 0;
            FK(quant_column)(block, job->quant, j, count > 0 ? job->src + row * job->ld + b * FK_BLOCK : job->src, count);
        }
    }
}

static fk_status FK(quant_pack)(void *packed, const float *src, int64_t k, int64_t n, int64_t ld, fk_quant quant, fk_stream s) {
    if (k < 0 || n < 0 || ld < k || quant > FK_Q4) return FK_BAD_SHAPE;
    struct FK(quant_pack_job) job = {packed, src, k, n, ld, quant};
    fk_run(s, fk_ceil(n, FK_PANEL), FK(quant_pack_panel), &job);
    return FK_OK;
}

struct FK(quant_unpack_job) { float *out; const uint8_t *packed; int64_t k, n, ld; fk_quant quant; };

static void FK(quant_unpack_panel)(void *context, int64_t panel, void *scratch) {
    (void)scratch;
    const struct FK(quant_unpack_job) *job = context;
    const int64_t blocks = fk_ceil(job->k, FK_BLOCK), end = fk_min(job->n, (panel + 1) * FK_PANEL);
    for (int64_t row = panel * FK_PANEL; row < end; row++)
        for (int64_t b = 0; b < blocks; b++) {
            const uint8_t *block = job->packed + (panel * blocks + b) * FK(quant_block)(job->quant);
            const float scale = FK(of_half)(block + row % FK_PANEL * 2);
            float *to = job->out + row * job->ld + b * FK_BLOCK;
            for (int64_t i = 0; i < fk_min(FK_BLOCK, job->k - b * FK_BLOCK); i++)
                to[i] = (float)(FK(quant_code)(block, job->quant, row % FK_PANEL, i) - FK(quant_offset)(job->quant)) * scale;
        }
}

static fk_status FK(quant_unpack)(float *out, const void *packed, int64_t k, int64_t n, int64_t ld, fk_quant quant, fk_stream s) {
    if (k < 0 || n < 0 || ld < k || quant > FK_Q4) return FK_BAD_SHAPE;
    struct FK(quant_unpack_job) job = {out, packed, k, n, ld, quant};
    fk_run(s, fk_ceil(n, FK_PANEL), FK(quant_unpack_panel), &job);
    return FK_OK;
}

/// The rounded rows of x: codes [m][blocks·32], scales [m][blocks], starts [m][blocks] = -offset Σ codes.
struct FK(quant_rows) { int8_t *codes; float *scales; int32_t *starts; int64_t blocks; };
FK_INLINE struct FK(quant_rows) FK(quant_rows_in)(void *workspace, int64_t m, int64_t k) {
    const int64_t blocks = fk_ceil(k, FK_BLOCK);
    char *at = (char *)(((uintptr_t)workspace + 63) & ~(uintptr_t)63);
    struct FK(quant_rows) rows = {.codes = (int8_t *)at, .blocks = blocks};
    rows.scales = (float *)(at + m * blocks * FK_BLOCK);
    rows.starts = (int32_t *)(rows.scales + m * blocks);
    return rows;
}

struct FK(quant_job) {
    float *out;
    const float *x;
    const uint8_t *packed;
    int64_t m, k, n, ldx, ldo;
    fk_quant quant;
    struct FK(quant_rows) rows;
    int64_t row_block, row_blocks, panel_block;
};

#endif
#ifdef FK_REFERENCE

static fk_status FK(quant_gemm)(float *out, const float *x, const void *packed, int64_t m, int64_t k, int64_t n, int64_t ldx,
                                int64_t ldo, fk_quant quant, void *workspace, size_t workspace_bytes, fk_stream s) {
    (void)s;
    if (m < 0 || k < 0 || n < 0 || ldx < k || ldo < n || quant > FK_Q4) return FK_BAD_SHAPE;
    if (workspace_bytes < fk_quant_workspace(m, k)) return FK_BAD_SHAPE;
    const struct FK(quant_rows) rows = FK(quant_rows_in)(workspace, m, k);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t b = 0; b < rows.blocks; b++) {
            const float *from = x + i * ldx + b * FK_BLOCK;
            const int64_t count = fk_min(FK_BLOCK, k - b * FK_BLOCK);
            float most = 0.0f;
            int finite = 1;
            for (int64_t c = 0; c < count; c++) {
                const float size = from[c] < 0 ? -from[c] : from[c];
                finite &= size <= 3.4028235e38f;
                if (size > most) most = size;
            }
            const float inverse = finite && most > 0x1p-100f ? 127.0f / most : 0.0f;
            rows.scales[i * rows.blocks + b] = finite ? most / 127.0f : __builtin_nanf("");
            for (int64_t c = 0; c < FK_BLOCK; c++)
                rows.codes[(i * rows.blocks + b) * FK_BLOCK + c] =
                    c < count && inverse != 0.0f ? (int8_t)((from[c] * inverse + 12582912.0f) - 12582912.0f) : 0;
        }
        for (int64_t j = 0; j < n; j++) {
            float sum = 0.0f;
            for (int64_t b = 0; b < rows.blocks; b++) {
                const uint8_t *block = (const uint8_t *)packed + (j / FK_PANEL * rows.blocks + b) * FK(quant_block)(quant);
                int32_t whole = 0;
                for (int64_t c = 0; c < FK_BLOCK; c++)
                    whole += rows.codes[(i * rows.blocks + b) * FK_BLOCK + c] * (FK(quant_code)(block, quant, j % FK_PANEL, c) - FK(quant_offset)(quant));
                const float scale = FK(of_half)(block + j % FK_PANEL * 2) * rows.scales[i * rows.blocks + b];
                sum = __builtin_fmaf((float)whole, scale, sum);
            }
            out[i * ldo + j] = sum;
        }
    }
    return FK_OK;
}

#elif !defined(FK_QUANT_PASS)

// Rows a tile of sums covers: the whole-number sums of all of them stay in registers; with narrow ones the float sums wait in the L1 for the end of a block.
#if FK_WIDE
#define QR 6
#else
#define QR 3
#endif
// Blocks of k a pass takes: 16 blocks of one panel are a half of an L1.
#define FK_QUANT_DEPTH 16

static void FK(quant_row)(void *context, int64_t i, void *scratch) {
    (void)scratch;
    const struct FK(quant_job) *job = context;
    const struct FK(quant_rows) *rows = &job->rows;
    typedef int8_t vb __attribute__((vector_size(16)));
    const vi size = (vi)vset(-0.0f) ^ -1;
    const vf top = vset(3.4028235e38f), magic = vset(12582912.0f);
    for (int64_t b = 0; b < rows->blocks; b++) {
        const float *from = job->x + i * job->ldx + b * FK_BLOCK;
        const int64_t count = fk_min(FK_BLOCK, job->k - b * FK_BLOCK), at = i * rows->blocks + b;
        const vf low = vload_n(from, count), high = vload_n(from + 16, fk_max(0, count - 16));
        const vf a = (vf)((vi)low & size), c = (vf)((vi)high & size);
        const vi fine = (a <= top) & (c <= top);  // neither NaN nor infinity
        int finite = 1;
        FK_UNROLL for (int lane = 0; lane < 16; lane++) finite &= fine[lane] != 0;
        const float most = vhmax(vmax(a, c));
        const float inverse = finite && most > 0x1p-100f ? 127.0f / most : 0.0f;
        rows->scales[at] = finite ? most / 127.0f : __builtin_nanf("");
        vi one = {0}, two = {0};
        if (inverse != 0.0f) {
            one = (vi)(low * vset(inverse) + magic) - (vi)magic;
            two = (vi)(high * vset(inverse) + magic) - (vi)magic;
        }
        const vb first = __builtin_convertvector(one, vb), second = __builtin_convertvector(two, vb);
        memcpy(rows->codes + at * FK_BLOCK, &first, sizeof first);
        memcpy(rows->codes + at * FK_BLOCK + 16, &second, sizeof second);
        const vi both = one + two;
        int32_t sum = 0;
        FK_UNROLL for (int lane = 0; lane < 16; lane++) sum += both[lane];
        rows->starts[at] = -FK(quant_offset)(job->quant) * sum;
    }
}

FK_INLINE vf FK(halves)(const uint8_t *p) {
    typedef _Float16 vhalf __attribute__((vector_size(32)));
    vhalf h;
    memcpy(&h, p, sizeof h);
    return __builtin_convertvector(h, vf);
}
FK_INLINE vi FK(all_lanes)(int32_t x) { return (vi){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
FK_INLINE vi FK(four_bytes)(const void *p) {
    int32_t x;
    memcpy(&x, p, sizeof x);
    return FK(all_lanes)(x);
}
FK_INLINE vi FK(load_codes)(const uint8_t *p) {
    typedef int32_t vu __attribute__((vector_size(64), aligned(1)));
    return *(const vu *)p;
}

/// sum + Σ over the four bytes of each lane, u unsigned by a signed: two products of 16 bits at a time, all of it exact.
FK_INLINE vi FK(dot_step)(vi sum, vi u, vi a) {
    typedef int16_t vs __attribute__((vector_size(64)));
    const vs even = (vs)(u & 0x00ff00ff), odd = (vs)((u >> 8) & 0x00ff00ff);
    const vs a_even = (vs)((vs)a << 8) >> 8, a_odd = (vs)a >> 8;
#if FK_WIDE
    return sum + (vi)__builtin_ia32_pmaddwd512(even, a_even) + (vi)__builtin_ia32_pmaddwd512(odd, a_odd);
#else
    typedef int16_t vhalf __attribute__((vector_size(32)));
    union { vs whole; vhalf half[2]; } e = {even}, o = {odd}, ae = {a_even}, ao = {a_odd};
    union { vi whole; int32_t __attribute__((vector_size(32))) half[2]; } r;
    FK_UNROLL for (int h = 0; h < 2; h++)
        r.half[h] = __builtin_ia32_pmaddwd256(e.half[h], ae.half[h]) + __builtin_ia32_pmaddwd256(o.half[h], ao.half[h]);
    return sum + r.whole;
#endif
}

/// Sums of 16 bits: u of 0...15, a of -127...127, so that the eight steps of a block stay within 8·2·15·127 = 30,480.
typedef int16_t FK(shorts) __attribute__((vector_size(64)));
FK_INLINE FK(shorts) FK(nibble_step)(FK(shorts) sum, vi u, vi a) {
#if FK_WIDE
    typedef char vc __attribute__((vector_size(64)));
    return sum + (FK(shorts))__builtin_ia32_pmaddubsw512((vc)u, (vc)a);
#else
    typedef char vc __attribute__((vector_size(32)));
    union { vi whole; vc half[2]; } w = {u}, x = {a};
    union { FK(shorts) whole; int16_t __attribute__((vector_size(32))) half[2]; } r = {sum};
    FK_UNROLL for (int h = 0; h < 2; h++) r.half[h] += (int16_t __attribute__((vector_size(32))))__builtin_ia32_pmaddubsw256(w.half[h], x.half[h]);
    return r.whole;
#endif
}
/// sum + both halves of each lane.
FK_INLINE vi FK(nibble_total)(vi sum, FK(shorts) t) {
#if FK_WIDE
    return sum + (vi)__builtin_ia32_pmaddwd512(t, (FK(shorts))FK(all_lanes)(0x00010001));
#else
    typedef int16_t vhalf __attribute__((vector_size(32)));
    const vhalf ones = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    union { FK(shorts) whole; vhalf half[2]; } x = {t};
    union { vi whole; int32_t __attribute__((vector_size(32))) half[2]; } r = {sum};
    FK_UNROLL for (int h = 0; h < 2; h++) r.half[h] += __builtin_ia32_pmaddwd256(x.half[h], ones);
    return r.whole;
#endif
}

#define FK_QUANT_PASS soft
#define FK_QUANT_SHORTS 1
#define FK_DOT(sum, u, a) FK(dot_step)(sum, u, a)
#include "gemm_quant.h"
#undef FK_QUANT_PASS
#undef FK_QUANT_SHORTS
#undef FK_DOT

#if FK_WIDE
#define FK_QUANT_PASS hard
#define FK_QUANT_SHORTS 0
#define FK_DOT(sum, u, a) __builtin_ia32_vpdpbusd512(sum, u, a)
// As in gemm_bf16.h: the table's target steps aside for one that has the instruction.
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(FK_TARGET ",avx512vnni"))), apply_to = function)
#include "gemm_quant.h"
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(FK_TARGET))), apply_to = function)
#undef FK_QUANT_PASS
#undef FK_QUANT_SHORTS
#undef FK_DOT
#endif

static fk_status FK(quant_gemm)(float *out, const float *x, const void *packed, int64_t m, int64_t k, int64_t n, int64_t ldx,
                                int64_t ldo, fk_quant quant, void *workspace, size_t workspace_bytes, fk_stream s) {
    if (m < 0 || k < 0 || n < 0 || ldx < k || ldo < n || quant > FK_Q4) return FK_BAD_SHAPE;
    if (workspace_bytes < fk_quant_workspace(m, k)) return FK_BAD_SHAPE;
    if (m == 0 || n == 0) return FK_OK;
    struct FK(quant_job) job = {out, x, packed, m, k, n, ldx, ldo, quant, FK(quant_rows_in)(workspace, m, k), 96, 0, 8};
    // A few rows are rounded faster than a second thread wakes.
    if (m <= 4) for (int64_t i = 0; i < m; i++) FK(quant_row)(&job, i, NULL);
    else fk_run(s, m, FK(quant_row), &job);
    const int64_t panels = fk_ceil(n, FK_PANEL), wanted = 8 * fk_stream_threads(s);
    while (job.row_block > QR && fk_ceil(m, job.row_block) * fk_ceil(panels, job.panel_block) < wanted) job.row_block /= 2;
    while (job.panel_block > 4 && fk_ceil(m, job.row_block) * fk_ceil(panels, job.panel_block) < wanted) job.panel_block /= 2;
    job.row_blocks = fk_ceil(m, job.row_block);
    fk_body body = FK_CAT(FK(quant_task), soft);
#if FK_WIDE
    if (__builtin_cpu_supports("avx512vnni")) body = FK_CAT(FK(quant_task), hard);
#endif
    fk_run(s, job.row_blocks * fk_ceil(panels, job.panel_block), body, &job);
    return FK_OK;
}

/// Whole-number dot steps in registers only, where the CPU has the instruction; otherwise 0.
double FK(peak_bytes)(int64_t rounds) {
#if FK_WIDE
    if (__builtin_cpu_supports("avx512vnni")) return FK_CAT(FK(peak_bytes), hard)(rounds);
#endif
    (void)rounds;
    return 0;
}

#else

#define FKQ(op) FK_CAT(FK(op), FK_QUANT_PASS)

/// `rows` rows times `panels` panels over `blocks` blocks from b0; sums go on from `out` if acc.
FK_INLINE void FKQ(quant_tile)(const int rows, const int panels, const fk_quant quant, const struct FK(quant_job) *job, int64_t row,
                               int64_t panel, int64_t b0, int64_t blocks, int acc) {
    const struct FK(quant_rows) *x = &job->rows;
    const int64_t all = x->blocks, cols = job->n - panel * FK_PANEL;
    const size_t size = FK(quant_block)(quant);
    float *out = job->out + row * job->ldo + panel * FK_PANEL;
    const int8_t *codes = x->codes + (row * all + b0) * FK_BLOCK;
    const float *scales = x->scales + row * all + b0;
    const int32_t *starts = x->starts + row * all + b0;
    const uint8_t *weights = job->packed + (panel * all + b0) * size;
    vf f[6][8];
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < 2 * panels; v++)
            f[i][v] = acc ? vload_n(out + i * job->ldo + 16 * v, fk_max(0, cols - 16 * v)) : vset(0.0f);
    for (int64_t b = 0; b < blocks; b++) {
        // The blocks of the next pass are asked for while this one's are multiplied, once for all rows.
        if (row % job->row_block == 0)
            FK_UNROLL for (size_t line = 0; line < size; line += 64) __builtin_prefetch(weights + (b + FK_QUANT_DEPTH) * size + line, 0, 2);
        vi s[6][8];
        FK(shorts) t[6][8];
        if (FK_QUANT_SHORTS) FK_UNROLL for (int i = 0; i < rows; i++)
            FK_UNROLL for (int v = 0; v < 2 * panels; v++) t[i][v] = (FK(shorts))FK(all_lanes)(0);
        FK_UNROLL for (int i = 0; i < rows; i++)
            FK_UNROLL for (int v = 0; v < 2 * panels; v++) s[i][v] = FK(all_lanes)(starts[i * all + b]);
        FK_UNROLL for (int g = 0; g < (quant == FK_Q8 ? 8 : 4); g++) {
            vi a[6], a4[6];
            FK_UNROLL for (int i = 0; i < rows; i++) {
                a[i] = FK(four_bytes)(codes + i * all * FK_BLOCK + b * FK_BLOCK + 4 * g);
                if (quant == FK_Q4) a4[i] = FK(four_bytes)(codes + i * all * FK_BLOCK + b * FK_BLOCK + 4 * g + 16);
            }
            FK_UNROLL for (int p = 0; p < panels; p++)
                FK_UNROLL for (int h = 0; h < 2; h++) {
                    const vi u = FK(load_codes)(weights + p * all * size + b * size + FK_SCALES + g * 128 + 64 * h);
                    if (quant == FK_Q8) {
                        FK_UNROLL for (int i = 0; i < rows; i++) s[i][2 * p + h] = FK_DOT(s[i][2 * p + h], u, a[i]);
                    } else {
                        const vi low = u & 0x0f0f0f0f, high = (u >> 4) & 0x0f0f0f0f;
                        FK_UNROLL for (int i = 0; i < rows; i++) {
                            if (FK_QUANT_SHORTS) t[i][2 * p + h] = FK(nibble_step)(FK(nibble_step)(t[i][2 * p + h], low, a[i]), high, a4[i]);
                            else s[i][2 * p + h] = FK_DOT(FK_DOT(s[i][2 * p + h], low, a[i]), high, a4[i]);
                        }
                    }
                }
        }
        FK_UNROLL for (int p = 0; p < panels; p++)
            FK_UNROLL for (int h = 0; h < 2; h++) {
                const vf d = FK(halves)(weights + p * all * size + b * size + 32 * h);
                if (quant == FK_Q4 && FK_QUANT_SHORTS) FK_UNROLL for (int i = 0; i < rows; i++) s[i][2 * p + h] = FK(nibble_total)(s[i][2 * p + h], t[i][2 * p + h]);
                FK_UNROLL for (int i = 0; i < rows; i++)
                    f[i][2 * p + h] = vfma(__builtin_convertvector(s[i][2 * p + h], vf), d * vset(scales[i * all + b]), f[i][2 * p + h]);
            }
    }
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < 2 * panels; v++) vstore_n(out + i * job->ldo + 16 * v, f[i][v], fk_max(0, cols - 16 * v));
}

#define FK_QUANT_CASE(r, p)                                                                    \
    if (job->quant == FK_Q8) FKQ(quant_tile)(r, p, FK_Q8, job, row, panel, b0, blocks, acc);   \
    else FKQ(quant_tile)(r, p, FK_Q4, job, row, panel, b0, blocks, acc);                       \
    break;

/// One row: several panels at once, so that enough sums are under way while the weights stream by.
static void FKQ(quant_line)(const struct FK(quant_job) *job, int64_t row, int64_t panel, int64_t panel_end) {
    const int64_t b0 = 0, blocks = job->rows.blocks;
    const int acc = 0, wide = FK_WIDE ? 4 : 1;
    for (int64_t step; panel < panel_end; panel += step) {
        step = panel_end - panel >= wide ? wide : 1;
        switch (step) {
#if FK_WIDE
        case 4: FK_QUANT_CASE(1, 4)
#endif
        default: FK_QUANT_CASE(1, 1)
        }
    }
}

static void FKQ(quant_rows_tile)(int64_t rows, const struct FK(quant_job) *job, int64_t row, int64_t panel, int64_t b0, int64_t blocks, int acc) {
    switch (rows) {
    case 1: FK_QUANT_CASE(1, 1)
    case 2: FK_QUANT_CASE(2, 1)
    case 3: FK_QUANT_CASE(3, 1)
#if FK_WIDE
    case 4: FK_QUANT_CASE(4, 1)
    case 5: FK_QUANT_CASE(5, 1)
    case 6: FK_QUANT_CASE(6, 1)
#endif
    }
}

static void FKQ(quant_task)(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const struct FK(quant_job) *job = context;
    const int64_t panels = fk_ceil(job->n, FK_PANEL), all = job->rows.blocks;
    const int64_t panel0 = task / job->row_blocks * job->panel_block, panel_end = fk_min(panels, panel0 + job->panel_block);
    const int64_t row0 = task % job->row_blocks * job->row_block, row_end = fk_min(job->m, row0 + job->row_block);
    if (job->m == 1) {
        FKQ(quant_line)(job, 0, panel0, panel_end);
        return;
    }
    for (int64_t panel = panel0; panel < panel_end; panel++)
        for (int64_t b0 = 0; b0 == 0 || b0 < all; b0 += FK_QUANT_DEPTH)
            for (int64_t row = row0; row < row_end; row += QR)
                FKQ(quant_rows_tile)(fk_min(QR, row_end - row), job, row, panel, b0, fk_min(FK_QUANT_DEPTH, all - b0), b0 > 0);
}

#if FK_WIDE
static double FKQ(peak_bytes)(int64_t rounds) __attribute__((unused));
static double FKQ(peak_bytes)(int64_t rounds) {
    vi s[MR];
    const vi a = FK(all_lanes)(0x01020304), b = FK(all_lanes)(0x04030201);
    FK_UNROLL for (int j = 0; j < MR; j++) s[j] = FK(all_lanes)(j);
    for (int64_t i = 0; i < rounds; i++)
        FK_UNROLL for (int j = 0; j < MR; j++) s[j] = FK_DOT(s[j], a, b);
    vi all = s[0];
    FK_UNROLL for (int j = 1; j < MR; j++) all += s[j];
    volatile int32_t keep = all[0];
    (void)keep;
    return (double)rounds * MR * 128;
}
#endif
#undef FKQ
#undef FK_QUANT_CASE

#endif
