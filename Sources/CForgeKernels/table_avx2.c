// Haswell and later: AVX2 with fused multiply-add.
#include "internal.h"
#if defined(__x86_64__)
#define FK_ISA avx2
#define FK_NAME "avx2"
#define FK_WIDE 0
// Every function that takes or gives a vector is inlined, so there is no calling convention to change.
#pragma clang diagnostic ignored "-Wpsabi"
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "table.h"
#pragma clang attribute pop
#endif
