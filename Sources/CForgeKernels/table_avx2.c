// Haswell and later: AVX2 with fused multiply-add.
#include "internal.h"
#if defined(__x86_64__)
#define FK_ISA avx2
#define FK_NAME "avx2"
#define FK_LEVEL FK_CPU_AVX2
#define FK_WIDE 0
// Every function that takes or gives a vector is inlined, so there is no calling convention to change.
#pragma clang diagnostic ignored "-Wpsabi"
#define FK_TARGET "avx2,fma,f16c"
#pragma clang attribute push(__attribute__((target(FK_TARGET))), apply_to = function)
#include "table.h"
#pragma clang attribute pop
#endif
