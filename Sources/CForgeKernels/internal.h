#ifndef FK_INTERNAL_H
#define FK_INTERNAL_H
// What the files of this library share. An operation lives in ops/<op>.h, which three files include, once per level:
// table_reference.c takes the scalar form (plain loops that sum in double and are what the public header says),
// table_avx2.c and table_avx512.c compile the vector form, written once over sixteen lanes, for their instructions.
#include <stdint.h>
#include <string.h>

#include "include/forge_kernels.h"

#define FK_CAT_(a, b) a##_##b
#define FK_CAT(a, b) FK_CAT_(a, b)
/// The name of an operation at the level being compiled: FK(gemm) is fk_gemm_avx512 in table_avx512.c.
#define FK(op) FK_CAT(fk_##op, FK_ISA)
#define FK_INLINE static inline __attribute__((always_inline, unused))
#define FK_UNROLL _Pragma("clang loop unroll(full)")

FK_INLINE int64_t fk_min(int64_t a, int64_t b) { return a < b ? a : b; }
FK_INLINE int64_t fk_max(int64_t a, int64_t b) { return a > b ? a : b; }
FK_INLINE int64_t fk_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Natural logarithm from IEEE operations only, so that its bits do not depend on the C library: x = 2^e f with f in
/// [√½, √2), ln f = 2 atanh((f-1)/(f+1)) to the 21st power, below 1e-16 there. For finite x > 0 in the normal range.
FK_INLINE double fk_log(double x) {
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int64_t e = (bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffLL) | (1023LL << 52);
    double f;
    memcpy(&f, &bits, sizeof f);
    if (f > 1.4142135623730951) { f *= 0.5; e += 1; }
    const double s = (f - 1.0) / (f + 1.0), z = s * s;
    double p = 1.0 / 21.0;
    for (int i = 19; i >= 1; i -= 2) p = p * z + 1.0 / i;
    return (double)e * 0.69314718055994530942 + 2.0 * s * p;
}

// Host services every CPU table shares (stream.c).
fk_status fk_stream_open_cpu(fk_stream *out, int32_t threads, int32_t index);
void fk_stream_close_cpu(fk_stream s);
fk_status fk_sync_cpu(fk_stream s);
fk_status fk_alloc_cpu(void **out, size_t bytes, fk_stream s);
void fk_release_cpu(void *memory, fk_stream s);
fk_status fk_copy_cpu(void *dst, const void *src, size_t bytes, fk_stream s);
double fk_measure_peak_all(fk_cpu_level level, int32_t flags, int32_t milliseconds, fk_stream s);
double fk_measure_bandwidth_cpu(size_t bytes, int32_t rounds, fk_stream s);

extern const fk_ops fk_table_ref, fk_table_avx2, fk_table_avx512;
double fk_peak_loop_ref(int64_t rounds);
double fk_peak_loop_avx2(int64_t rounds);
double fk_peak_loop_avx512(int64_t rounds);
double fk_peak_pairs_avx2(int64_t rounds);
double fk_peak_pairs_avx512(int64_t rounds);
double fk_peak_bytes_avx2(int64_t rounds);
double fk_peak_bytes_avx512(int64_t rounds);
#endif
