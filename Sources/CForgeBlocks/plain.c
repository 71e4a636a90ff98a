// Blocks of 32 with one scale, and numbers without a block.
#include "internal.h"

void fb_decode_f32(float *out, const uint8_t *in, int64_t count) { memcpy(out, in, (size_t)count * sizeof(float)); }

FB_WIDE void fb_decode_f16(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, in + 2 * i, sizeof half);
        out[i] = fb_half(half);
    }
}

FB_WIDE void fb_decode_bf16(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint16_t top;
        memcpy(&top, in + 2 * i, sizeof top);
        out[i] = fb_float((uint32_t)top << 16);
    }
}

FB_WIDE void fb_decode_q8_0(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 34, out += 32) {
        const float d = fb_half_at(in);
        for (int j = 0; j < 32; j++) out[j] = d * (float)(int8_t)in[2 + j];
    }
}

FB_WIDE void fb_decode_q4_0(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 18, out += 32) {
        const float d = fb_half_at(in);
        for (int j = 0; j < 16; j++) out[j] = d * (float)((in[2 + j] & 15) - 8);
        for (int j = 0; j < 16; j++) out[16 + j] = d * (float)((in[2 + j] >> 4) - 8);
    }
}

FB_WIDE void fb_decode_q4_1(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 20, out += 32) {
        const float d = fb_half_at(in), m = fb_half_at(in + 2);
        for (int j = 0; j < 16; j++) out[j] = d * (float)(in[4 + j] & 15) + m;
        for (int j = 0; j < 16; j++) out[16 + j] = d * (float)(in[4 + j] >> 4) + m;
    }
}

FB_INLINE uint32_t word(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

FB_WIDE void fb_decode_q5_0(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 22, out += 32) {
        const float d = fb_half_at(in);
        const uint32_t fifth = word(in + 2);
        for (int j = 0; j < 16; j++) out[j] = d * (float)((int)((in[6 + j] & 15) | (fifth >> j & 1) << 4) - 16);
        for (int j = 0; j < 16; j++) out[16 + j] = d * (float)((int)((in[6 + j] >> 4) | (fifth >> (j + 16) & 1) << 4) - 16);
    }
}

FB_WIDE void fb_decode_q5_1(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 24, out += 32) {
        const float d = fb_half_at(in), m = fb_half_at(in + 2);
        const uint32_t fifth = word(in + 4);
        for (int j = 0; j < 16; j++) out[j] = d * (float)(int)((in[8 + j] & 15) | (fifth >> j & 1) << 4) + m;
        for (int j = 0; j < 16; j++) out[16 + j] = d * (float)(int)((in[8 + j] >> 4) | (fifth >> (j + 16) & 1) << 4) + m;
    }
}

FB_WIDE void fb_encode_f16(uint8_t *restrict out, const float *restrict in, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint16_t half = fb_to_half(in[i]);
        memcpy(out + 2 * i, &half, sizeof half);
    }
}

FB_WIDE void fb_encode_bf16(uint8_t *restrict out, const float *restrict in, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = fb_bits(in[i]), nan = (bits & 0x7fffffff) > 0x7f800000;
        bits = fb_choose((int)nan, (bits & 0xffff0000) | 0x400000, bits);
        uint16_t top = (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
        memcpy(out + 2 * i, &top, sizeof top);
    }
}

// The largest size of a block, NaN if it holds one: it ends up in the scale, so that what is no number never looks like one.
FB_INLINE float largest(const float *in) {
    uint32_t top = 0;
    for (int j = 0; j < 32; j++) {
        uint32_t size = fb_bits(in[j]) & 0x7fffffff;
        top = size > top ? size : top;
    }
    return fb_float(top);
}

FB_WIDE void fb_encode_q8_0(uint8_t *restrict out, const float *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 32, out += 34) {
        const float d = largest(in) / 127, inverse = d == 0 ? 0 : 1 / d;
        fb_put16(out, fb_to_half(d));
        for (int j = 0; j < 32; j++) {
            // Halves go away from zero. Sizes are at most 127 and a little, unless something is not finite.
            const float x = in[j] * inverse, size = fb_float(fb_bits(x) & 0x7fffffff), held = size < 128 ? size : 0;
            const int32_t whole = (int32_t)held, up = held - (float)whole >= 0.5f, code = whole + up > 127 ? 127 : whole + up;
            out[2 + j] = (uint8_t)(x < 0 ? -code : code);
        }
    }
}

FB_WIDE void fb_encode_q4_0(uint8_t *restrict out, const float *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 32, out += 18) {
        const uint32_t top = fb_bits(largest(in));
        float extreme = 0;
        for (int j = 31; j >= 0; j--) extreme = (fb_bits(in[j]) & 0x7fffffff) == top ? in[j] : extreme;
        const float d = extreme / -8, inverse = d == 0 ? 0 : 1 / d;
        fb_put16(out, fb_to_half(d));
        uint8_t codes[32];
        for (int j = 0; j < 32; j++) {
            const float x = in[j] * inverse + 8.5f, held = x >= 0 ? (x < 15 ? x : 15) : 0;
            codes[j] = (uint8_t)held;
        }
        for (int j = 0; j < 16; j++) out[2 + j] = (uint8_t)(codes[j] | codes[16 + j] << 4);
    }
}
