// Skylake-X, Zen 4 and later: AVX-512 F, BW, DQ, VL.
#include "internal.h"
#if defined(__x86_64__)
#define FK_ISA avx512
#define FK_NAME "avx512"
#define FK_LEVEL FK_CPU_AVX512
#define FK_WIDE 1
#define FK_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#pragma clang attribute push(__attribute__((target(FK_TARGET))), apply_to = function)
#include "table.h"
#pragma clang attribute pop
#endif
