// Blocks whose codes name numbers in a list.
#include "internal.h"

// A scale of the finest numbers has them between whole ones: learnt steps, and the eight sizes of a float of four bits, doubled.
static const float learnt[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const float doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

FB_WIDE void fb_decode_iq4_nl(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 18, out += 32) {
        const float d = fb_half_at(in);
        for (int j = 0; j < 16; j++) out[j] = d * learnt[in[2 + j] & 15];
        for (int j = 0; j < 16; j++) out[16 + j] = d * learnt[in[2 + j] >> 4];
    }
}

FB_WIDE void fb_decode_iq4_xs(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 136, out += 256) {
        const float d = fb_half_at(in);
        const int high = in[2] | in[3] << 8;
        for (int g = 0; g < 8; g++) {
            const uint8_t *codes = in + 8 + 16 * g;
            const float scale = d * (float)(((in[4 + g / 2] >> (g % 2 * 4) & 15) | (high >> (2 * g) & 3) << 4) - 32);
            for (int j = 0; j < 16; j++) out[32 * g + j] = scale * learnt[codes[j] & 15];
            for (int j = 0; j < 16; j++) out[32 * g + 16 + j] = scale * learnt[codes[j] >> 4];
        }
    }
}

FB_WIDE void fb_decode_mxfp4(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 17, out += 32) {
        // 2^(e - 128): the two smallest are below the normal numbers.
        const uint32_t e = in[0];
        const float d = fb_float(e < 2 ? 0x00200000u << e : (e - 1) << 23);
        for (int j = 0; j < 16; j++) out[j] = d * doubled[in[1 + j] & 15];
        for (int j = 0; j < 16; j++) out[16 + j] = d * doubled[in[1 + j] >> 4];
    }
}

/// Half of an E4M3 number without sign; the code of the largest size stands for nothing.
FB_INLINE float half_scale(uint32_t code) {
    const uint32_t size = code & 0x7f, placed = size << 20;
    const uint32_t small = fb_bits(fb_float(placed + 0x3c800000) - fb_float(0x3c800000)), normal = placed + 0x3c000000;
    return code == 0x7f ? 0 : 0.5f * fb_float(size < 8 ? small : normal);
}

FB_WIDE void fb_decode_nvfp4(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 36) {
        for (int g = 0; g < 4; g++, out += 16) {
            const float d = half_scale(in[g]);
            const uint8_t *codes = in + 4 + 8 * g;
            for (int j = 0; j < 8; j++) out[j] = d * doubled[codes[j] & 15];
            for (int j = 0; j < 8; j++) out[8 + j] = d * doubled[codes[j] >> 4];
        }
    }
}
