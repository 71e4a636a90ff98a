// Floats of eight and of four bits.
#include "internal.h"

/// Sign, four bits of exponent (bias 7), three of fraction; no infinity, and a NaN where all bits but the sign are set.
FB_INLINE float e4m3(uint32_t code) {
    const uint32_t size = code & 0x7f, placed = size << 20;
    const uint32_t small = fb_bits(fb_float(placed + 0x3c800000) - fb_float(0x3c800000)), normal = placed + 0x3c000000;
    return fb_float(fb_choose(size == 0x7f, 0x7fc00000, fb_choose(size < 8, small, normal)) | (code & 0x80) << 24);
}

FB_WIDE void fb_decode_e4m3(float *restrict out, const uint8_t *restrict in, int64_t count, float scale) {
    for (int64_t i = 0; i < count; i++) out[i] = e4m3(in[i]) * scale;
}

/// The upper half of a half-precision number.
FB_WIDE void fb_decode_e5m2(float *restrict out, const uint8_t *restrict in, int64_t count, float scale) {
    for (int64_t i = 0; i < count; i++) out[i] = fb_half((uint32_t)in[i] << 8) * scale;
}

FB_INLINE uint8_t to_e4m3(float x) {
    const uint32_t bits = fb_bits(x), size = bits & 0x7fffffff;
    // Adding 2¹⁴ puts the last bit of the smallest numbers, 2⁻⁹, at the last place of a float32.
    const uint32_t small = fb_bits(fb_float(size) + 0x1p14f) - 0x46800000;
    const uint32_t normal = (size + 0x7ffff + ((size >> 20) & 1) - 0x3c000000) >> 20;
    const uint32_t code = fb_choose(size < 0x3c800000, small, fb_choose(size >= 0x43e00000, 0x7e, normal));
    return (uint8_t)(fb_choose(size > 0x7f800000, 0x7f, code) | (bits >> 24 & 0x80));
}

FB_WIDE void fb_encode_e4m3(uint8_t *restrict out, const float *restrict in, int64_t count, float scale) {
    for (int64_t i = 0; i < count; i++) out[i] = to_e4m3(in[i] / scale);
}

FB_WIDE void fb_encode_e5m2(uint8_t *restrict out, const float *restrict in, int64_t count, float scale) {
    for (int64_t i = 0; i < count; i++) {
        const uint32_t bits = fb_bits(in[i] / scale), size = bits & 0x7fffffff;
        const uint32_t small = fb_bits(fb_float(size) + 0x1p7f) - 0x43000000;
        const uint32_t normal = (size + 0xfffff + ((size >> 21) & 1) - 0x38000000) >> 21;
        const uint32_t code = fb_choose(size < 0x38800000, small, fb_choose(size >= 0x47600000, 0x7b, normal));
        out[i] = (uint8_t)(fb_choose(size > 0x7f800000, 0x7f, code) | (bits >> 24 & 0x80));
    }
}

static const float e2m1[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};

FB_WIDE void fb_decode_e2m1(float *restrict out, const uint8_t *restrict packed, const uint8_t *restrict scales, float global, int64_t groups) {
    for (int64_t g = 0; g < groups; g++, out += 16, packed += 8) {
        const float d = e4m3(scales[g]) / global;
        for (int j = 0; j < 8; j++) {
            out[2 * j] = e2m1[packed[j] & 15] * d;
            out[2 * j + 1] = e2m1[packed[j] >> 4] * d;
        }
    }
}

/// The eight sizes lie where they do, so a code is the number of middles below it; on a middle the even code wins.
FB_INLINE uint32_t to_e2m1(float x) {
    const uint32_t bits = fb_bits(x);
    const float size = fb_float(bits & 0x7fffffff);
    const int code = (size > 0.25f) + (size >= 0.75f) + (size > 1.25f) + (size >= 1.75f) + (size > 2.5f) + (size >= 3.5f) + (size > 5);
    return (uint32_t)code | (bits >> 28 & 8);
}

FB_WIDE void fb_encode_e2m1(uint8_t *restrict packed, uint8_t *restrict scales, const float *restrict in, float global, int64_t groups) {
    for (int64_t g = 0; g < groups; g++, in += 16, packed += 8) {
        // A NaN is the largest of all and ends up in the scale.
        uint32_t top = 0;
        for (int j = 0; j < 16; j++) {
            const uint32_t size = fb_bits(in[j]) & 0x7fffffff;
            top = size > top ? size : top;
        }
        scales[g] = to_e4m3(fb_float(top) / 6 * global);
        const float d = e4m3(scales[g]) / global;
        for (int j = 0; j < 8; j++) packed[j] = (uint8_t)(to_e2m1(d == 0 ? 0 : in[2 * j] / d) | to_e2m1(d == 0 ? 0 : in[2 * j + 1] / d) << 4);
    }
}
