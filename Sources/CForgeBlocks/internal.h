#ifndef FB_INTERNAL_H
#define FB_INTERNAL_H
#include <string.h>

#include "include/forge_blocks.h"

#define FB_INLINE static inline __attribute__((always_inline, unused))
// Compiled twice; the machine takes the wider one where it can. Lanes are IEEE either way, so both give the same bits.
#if defined(__x86_64__)
#define FB_WIDE __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define FB_WIDE
#endif

FB_INLINE float fb_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

FB_INLINE uint32_t fb_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

FB_INLINE uint32_t fb_choose(int holds, uint32_t yes, uint32_t no) {
    uint32_t mask = -(uint32_t)(holds != 0);
    return (yes & mask) | (no & ~mask);
}

/// Half precision by whole numbers alone: the compiler's own conversion needs an instruction or a library. Numbers below the
/// normal ones are the difference of two that are not.
FB_INLINE float fb_half(uint32_t half) {
    uint32_t placed = (half & 0x7fff) << 13, exponent = half & 0x7c00;
    uint32_t normal = placed + 0x38000000, small = fb_bits(fb_float(placed + 0x38800000) - fb_float(0x38800000));
    uint32_t bits = fb_choose(exponent == 0, small, fb_choose(exponent == 0x7c00, normal + 0x38000000, normal));
    return fb_float(bits | (half & 0x8000) << 16);
}

FB_INLINE float fb_half_at(const uint8_t *p) { return fb_half((uint32_t)p[0] | (uint32_t)p[1] << 8); }

/// To nearest, ties to even. Adding ½ puts the last bit of the smallest halves at the last place of a float32.
FB_INLINE uint16_t fb_to_half(float x) {
    uint32_t bits = fb_bits(x), size = bits & 0x7fffffff;
    uint32_t small = fb_bits(fb_float(size) + 0.5f) - 0x3f000000;
    uint32_t normal = (size + 0xfff + ((size >> 13) & 1) - 0x38000000) >> 13;
    uint32_t code = fb_choose(size < 0x38800000, small, fb_choose(size >= 0x477ff000, 0x7c00, normal));
    return (uint16_t)(fb_choose(size > 0x7f800000, 0x7e00 | ((size >> 13) & 0x3ff), code) | (bits >> 16 & 0x8000));
}

FB_INLINE void fb_put16(uint8_t *p, uint16_t x) {
    p[0] = (uint8_t)x;
    p[1] = (uint8_t)(x >> 8);
}

#endif
