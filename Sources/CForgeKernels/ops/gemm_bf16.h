// The matrix product with operands rounded to bfloat16 and sums in float32. Two consecutive k make a pair in one 32-bit
// lane; a lane's sum takes the pair's second product first, then its first, each fused: what VDPBF16PS computes, so CPUs
// with that instruction and CPUs without it give the same bits. Subnormal numbers count as zero throughout, as they do there.
#ifdef FK_REFERENCE

static float FK(rounded)(float x) {
    const float r = FK(of_bf16)(FK(bf16_of)(x));
    return r > -0x1p-126f && r < 0x1p-126f ? 0.0f : r;
}

static fk_status FK(gemm_pack_bf16)(float *packed, const float *src, int64_t k, int64_t n, int64_t ld, int nk) {
    uint16_t *to = (uint16_t *)packed;
    const int64_t pairs = fk_ceil(k, 2);
    for (int64_t p = 0; p < fk_ceil(n, FK_PANEL); p++)
        for (int64_t kk = 0; kk < 2 * pairs; kk++)
            for (int64_t j = 0; j < FK_PANEL; j++) {
                const int64_t col = p * FK_PANEL + j;
                const float x = col >= n || kk >= k ? 0.0f : nk ? src[col * ld + kk] : src[kk * ld + col];
                to[((p * pairs + kk / 2) * FK_PANEL + j) * 2 + kk % 2] = FK(bf16_of)(x);
            }
    return FK_OK;
}

static fk_status FK(gemm_bf16)(float *out, const float *a, const float *packed, int64_t m, int64_t k, int64_t n, int64_t a_rs,
                               int64_t a_cs, int64_t ldo, int accumulate) {
    const uint16_t *b = (const uint16_t *)packed;
    const int64_t pairs = fk_ceil(k, 2);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = accumulate ? out[i * ldo + j] : 0.0;
            for (int64_t kk = 0; kk < k; kk++)
                sum += (double)FK(rounded)(a[i * a_rs + kk * a_cs]) *
                       FK(of_bf16)(b[((j / FK_PANEL * pairs + kk / 2) * FK_PANEL + j % FK_PANEL) * 2 + kk % 2]);
            out[i * ldo + j] = (float)sum;
        }
    return FK_OK;
}

#elif !defined(FK_PAIRS_PASS)

/// Sixteen floats rounded to bfloat16, in the low halves of the lanes: nearest, ties to even; NaN stays NaN.
FK_INLINE vi FK(round_low)(vf x) {
    typedef uint32_t vu __attribute__((vector_size(64)));
    const vu bits = (vu)x;
    const vu even = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const vi nan = x != x;
    return ((vi)even & ~nan) | ((vi)((bits >> 16) | 0x40u) & nan);
}
/// (first, second) of each pair in one lane.
FK_INLINE vf FK(joined)(vf first, vf second) { return (vf)(FK(round_low)(first) | (FK(round_low)(second) << 16)); }
/// Sixteen pairs from up to thirty-two consecutive floats.
FK_INLINE vf FK(pairs_of)(const float *p, int64_t n) {
    const vf a = vload_n(p, fk_max(0, n)), b = vload_n(p + 16, fk_max(0, n - 16));
    return FK(joined)(__builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
                    __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31));
}

#define FK_PAIRS_PASS soft
#define FK_PAIRS_OF FK(pairs_of)
#define FK_PAIRED FK(joined)
// Without the instruction a pair of `a` is kept as two floats, the second first: what stands in one register is multiplied often, so it is
// parted once.
#define FK_PARTS 2
#define FK_PART(type, pairs, part) ((part) ? (type)((type##_bits)(pairs) << 16) : (type)((type##_bits)(pairs) & (int32_t)0xffff0000))
#define FK_PAIR_STEP(sum, a, b) vfma(a, b, sum)
#define FK_FLUSH_SUBNORMALS 1
#include "gemm_bf16.h"
#undef FK_PAIRS_PASS
#undef FK_PAIRS_OF
#undef FK_PAIRED
#undef FK_PARTS
#undef FK_PART
#undef FK_PAIR_STEP
#undef FK_FLUSH_SUBNORMALS

#if FK_WIDE
#define FK_PAIRS_PASS hard
#define FK_PARTS 1
#define FK_PART(type, pairs, part) (pairs)
#define FK_FLUSH_SUBNORMALS 0
typedef __bf16 vh __attribute__((vector_size(64)));
#define FK_PAIR_STEP(sum, a, b) __builtin_ia32_dpbf16ps_512(sum, (vh)(a), (vh)(b))
#define FK_PAIRS_OF FK(pairs_of_hard)
#define FK_PAIRED FK(bf16_pair_hard)
// The table's own target steps aside for one that has the instruction: attributes pushed inside another do not replace it.
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(FK_TARGET ",avx512bf16"))), apply_to = function)
// The conversion instruction makes subnormal operands zero at once, which the products would do anyway.
FK_INLINE vf FK(pairs_of_hard)(const float *p, int64_t n) {
    return (vf)__builtin_ia32_cvtne2ps2bf16_512(vload_n(p + 16, fk_max(0, n - 16)), vload_n(p, fk_max(0, n)));
}
FK_INLINE vf FK(bf16_pair_hard)(vf first, vf second) {
    typedef int16_t vs __attribute__((vector_size(64)));
    const vs x = (vs)__builtin_ia32_cvtne2ps2bf16_512(second, first);
    return (vf)__builtin_shufflevector(x, x, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
                                       29, 14, 30, 15, 31);
}
#include "gemm_bf16.h"
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(FK_TARGET))), apply_to = function)
#undef FK_PAIRS_PASS
#undef FK_PAIRS_OF
#undef FK_PAIRED
#undef FK_PARTS
#undef FK_PART
#undef FK_PAIR_STEP
#undef FK_FLUSH_SUBNORMALS
#endif

static fk_body FK(pack_bf16_body)(void) {
#if FK_WIDE
    if (__builtin_cpu_supports("avx512bf16")) return FK_CAT(FK(pack_panel), hard);
#endif
    return FK_CAT(FK(pack_panel), soft);
}

/// Pair steps in registers only, where the CPU has the instruction; otherwise nothing, and float32 is the peak.
double FK(peak_pairs)(int64_t rounds) {
#if FK_WIDE
    if (__builtin_cpu_supports("avx512bf16")) return FK_CAT(FK(peak_pairs), hard)(rounds);
#endif
    (void)rounds;
    return 0;
}

static fk_body FK(gemm_bf16_body)(void) {
#if FK_WIDE
    if (__builtin_cpu_supports("avx512bf16")) return FK_CAT(FK(gemm_task), hard);
#endif
    return FK_CAT(FK(gemm_task), soft);
}

#else

#define FKP(op) FK_CAT(FK(op), FK_PAIRS_PASS)

static void FKP(pack_panel)(void *context, int64_t p, void *scratch) {
    (void)scratch;
    const struct FK(pack_job) *job = context;
    const int64_t k = job->k, ld = job->ld, pairs = fk_ceil(k, 2), cols = fk_min(FK_PANEL, job->n - p * FK_PANEL);
    float *to = job->packed + p * pairs * FK_PANEL;
    if (!(job->layout & FK_KN)) {
        for (int64_t half = 0; half < 2; half++) {
            const int64_t here = fk_max(0, fk_min(16, cols - 16 * half));
            const float *from = job->src + (p * FK_PANEL + 16 * half) * ld;
            for (int64_t kk = 0; kk < k; kk += 32) {
                const int64_t deep = fk_min(32, k - kk);
                vf block[16];
                FK_UNROLL for (int64_t i = 0; i < 16; i++) block[i] = i < here ? FK_PAIRS_OF(from + i * ld + kk, deep) : vset(0.0f);
                vtranspose(block);
                for (int64_t i = 0; i < fk_ceil(deep, 2); i++) vstore(to + (kk / 2 + i) * FK_PANEL + 16 * half, block[i]);
            }
        }
        return;
    }
    const float *from = job->src + p * FK_PANEL;
    for (int64_t kk = 0; kk < k; kk += 2)
        for (int64_t half = 0; half < 2; half++) {
            const int64_t lanes = fk_max(0, cols - 16 * half);
            const float *row = from + kk * ld + 16 * half;
            vstore(to + kk / 2 * FK_PANEL + 16 * half, FK_PAIRED(vload_n(row, lanes), kk + 1 < k ? vload_n(row + ld, lanes) : vset(0.0f)));
        }
}

/// The parts of one pair of `rows` rows. Writes up to 16 floats past their end.
FK_INLINE void FKP(keep_pair)(float *to, int64_t rows, vtall pairs) {
    FK_UNROLL for (int part = 0; part < FK_PARTS; part++) *(vtall_u *)(to + part * rows) = FK_PART(vtall, pairs, part);
}

/// to[pair][part][rows] from `rows` (at most MR) rows of a, while as many of `soon` are asked for. Writes up to 16 floats past the end of the block.
FK_INLINE void FKP(pack_rows)(float *to, const float *a, int64_t a_rs, int64_t a_cs, int64_t rows, int64_t k, int64_t rows_after, const float *soon) {
    if (a_cs == 1) {
        for (int64_t kk = 0; kk < k; kk += 32) {
            const int64_t deep = fk_min(32, k - kk);
            vf block[FK_TALL];
            vtall columns[16];
            for (int64_t i = 0; i < rows; i++) {
                __builtin_prefetch(soon + i * a_rs + kk, 0, 2);
                __builtin_prefetch(soon + i * a_rs + kk + 16, 0, 2);
            }
            FK_UNROLL for (int64_t i = 0; i < FK_TALL; i++) block[i] = i < rows ? FK_PAIRS_OF(a + i * a_rs + kk, deep) : vset(0.0f);
            vcolumns(columns, block);
            for (int64_t i = 0; i < fk_ceil(deep, 2); i++) FKP(keep_pair)(to + (kk / 2 + i) * FK_PARTS * rows, rows, columns[i]);
        }
        return;
    }
    for (int64_t kk = 0; kk < k; kk += 2) {
        const float *column = a + kk * a_cs;
        vf first, second = vset(0.0f);
        if (a_rs == 1) {
            const int64_t lanes = rows + rows_after >= 16 ? 16 : rows;
            __builtin_prefetch(soon + kk * a_cs, 0, 2);
            __builtin_prefetch(soon + (kk + 1) * a_cs, 0, 2);
            first = vload_n(column, lanes);
            if (kk + 1 < k) second = vload_n(column + a_cs, lanes);
        } else {
            _Alignas(64) float one[16] = {0}, two[16] = {0};
            for (int64_t i = 0; i < rows; i++) {
                one[i] = column[i * a_rs];
                if (kk + 1 < k) two[i] = column[i * a_rs + a_cs];
            }
            first = vload(one);
            second = vload(two);
        }
        FKP(keep_pair)(to + kk / 2 * FK_PARTS * rows, rows, vtall_of(FK_PAIRED(first, second)));
    }
}

/// packed_tile of pairs.
FK_INLINE void FKP(pairs_tile_fixed)(const int rows, const int registers, float *sums, const float *a, const float *b, int64_t pairs, int acc, const char *next,
                                     int64_t ahead) {
    vf s[MR][2];
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < registers; v++) s[i][v] = acc ? vload(sums + i * FK_PANEL + 16 * v) : vset(0.0f);
    for (int64_t kk = 0; kk < pairs; kk++) {
        __builtin_prefetch(next, 0, 2);
        FK_UNROLL for (int part = 0; part < FK_PARTS; part++) {
            // Sixteen registers hold the sums and one part of b: the other is read again rather than kept, or a sum would leave its register.
            if (part) __asm__ volatile("" ::: "memory");
            vf bv[2];
            FK_UNROLL for (int v = 0; v < registers; v++) bv[v] = FK_PART(vf, vload(b + 16 * v), part);
            FK_UNROLL for (int i = 0; i < rows; i++) {
                const vf av = vset(a[part * rows + i]);
                FK_UNROLL for (int v = 0; v < registers; v++) s[i][v] = FK_PAIR_STEP(s[i][v], av, bv[v]);
            }
        }
        a += FK_PARTS * rows;
        b += FK_PANEL;
        next += ahead;
    }
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < registers; v++) vstore(sums + i * FK_PANEL + 16 * v, s[i][v]);
}

#define FK_PAIRS_CASE(r, v) case r: FKP(pairs_tile_fixed)(r, v, sums, a, b, pairs, acc, next, ahead); break;
static void FKP(pairs_tile)(int64_t rows, int64_t registers, float *sums, const float *a, const float *b, int64_t pairs, int acc, const char *next, int64_t ahead) {
    (void)registers;
    FK_PACKED_CASES(FK_PAIRS_CASE)
}

// Pairs a pass over one or two rows takes: they fit in half an L1.
#define FK_THIN_PAIRS (2048 / FK_PARTS)

/// One or two rows, while the weights stream by.
FK_INLINE void FKP(pairs_thin_fixed)(const int rows, const int width, float *out, int64_t ldo, int64_t cols, const float *a, const float *b,
                                     int64_t panel_stride, int64_t pairs, int acc) {
    vf s[FK_THIN_ROWS][8];
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < width; v++)
            s[i][v] = acc ? vload_n(out + i * ldo + 16 * v, fk_max(0, cols - 16 * v)) : vset(0.0f);
    for (int64_t kk = 0; kk < pairs; kk++) {
        vf av[FK_THIN_ROWS * FK_PARTS];
        FK_UNROLL for (int i = 0; i < rows * FK_PARTS; i++) av[i] = vset(a[kk * FK_PARTS * rows + i]);
        FK_UNROLL for (int v = 0; v < width; v++) {
            const vf bv = vload(b + v / 2 * panel_stride + kk * FK_PANEL + 16 * (v % 2));
            FK_UNROLL for (int part = 0; part < FK_PARTS; part++)
                FK_UNROLL for (int i = 0; i < rows; i++) s[i][v] = FK_PAIR_STEP(s[i][v], av[part * rows + i], FK_PART(vf, bv, part));
        }
    }
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < width; v++) vstore_n(out + i * ldo + 16 * v, s[i][v], fk_max(0, cols - 16 * v));
}

static void FKP(gemm_thin)(const struct FK(gemm_job) *job, int64_t panel0, int64_t panel_end, float *packed_a) {
    const int64_t all = fk_ceil(job->k, 2);
    for (int64_t from = 0; from == 0 || from < all; from += FK_THIN_PAIRS) {
        const int64_t pairs = fk_min(FK_THIN_PAIRS, all - from), acc = job->accumulate || from > 0;
        FKP(pack_rows)(packed_a, job->a + 2 * from * job->a_cs, job->a_rs, job->a_cs, job->m, fk_min(2 * FK_THIN_PAIRS, job->k - 2 * from), 0, job->a);
#define FK_THIN(rows, width)                                                                                                        \
    FKP(pairs_thin_fixed)(rows, width, job->out + 16 * at, job->ldo, fk_min(16 * width, job->n - 16 * at), packed_a,           \
                          job->packed + (at / 2 * all + from) * FK_PANEL + 16 * (at % 2), all * FK_PANEL, pairs, (int)acc)
        FK_THIN_COLUMNS(FK_THIN, panel0, panel_end, job->m)
#undef FK_THIN
    }
}

static void FKP(gemm_rows)(float *to, const struct FK(gemm_job) *job, int64_t row, int64_t rows, int64_t at, int64_t depth) {
    const float *a = job->a + row * job->a_rs + 2 * at * job->a_cs;
    FKP(pack_rows)(to, a, job->a_rs, job->a_cs, rows, fk_min(2 * depth, job->k - 2 * at), job->m - row - rows, FK(packed_soon)(job, a, rows, 2 * (at + depth), 2 * depth));
}

static void FKP(gemm_part)(const struct FK(gemm_job) *job, int64_t task, float *packed_a) {
    if (job->m <= FK_THIN_ROWS) FKP(gemm_thin)(job, task * job->panel_block, fk_min(fk_ceil(job->n, FK_PANEL), (task + 1) * job->panel_block), packed_a);
    else FK(gemm_walk)(job, task, packed_a, fk_ceil(job->k, 2), FK_PARTS, FKP(gemm_rows), FKP(pairs_tile));
}

static void FKP(gemm_task)(void *context, int64_t task, void *scratch) {
#if FK_FLUSH_SUBNORMALS
    const uint32_t control = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(control | 0x8040u);
    FKP(gemm_part)(context, task, scratch);
    __builtin_ia32_ldmxcsr(control);
#else
    FKP(gemm_part)(context, task, scratch);
#endif
}
#if !FK_FLUSH_SUBNORMALS
static double FKP(peak_pairs)(int64_t rounds) {
    vf s[MR];
    const vf a = FK(bf16_pair_hard)(vset(0.5f), vset(0.25f)), b = FK(bf16_pair_hard)(vset(0.001f), vset(0.002f));
    FK_UNROLL for (int j = 0; j < MR; j++) s[j] = vset((float)j);
    for (int64_t i = 0; i < rounds; i++)
        FK_UNROLL for (int j = 0; j < MR; j++) s[j] = FK_PAIR_STEP(s[j], a, b);
    vf all = s[0];
    FK_UNROLL for (int j = 1; j < MR; j++) all = all + s[j];
    volatile float keep = vsum(all);
    (void)keep;
    return (double)rounds * MR * 64;
}
#endif
#undef FKP
#undef FK_THIN_PAIRS
#undef FK_PAIRS_CASE

#endif
