// Blocks of 256 whose groups have scales of their own.
#include "internal.h"

FB_WIDE void fb_decode_q2_k(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 84, out += 256) {
        const float d = fb_half_at(in + 80), m = fb_half_at(in + 82);
        for (int part = 0; part < 16; part++) {
            // Groups of 16: those of one shift share 32 bytes.
            const uint8_t *codes = in + 16 + 32 * (part / 8) + 16 * (part & 1);
            const int shift = part % 8 / 2 * 2;
            const float scale = d * (float)(in[part] & 15), offset = m * (float)(in[part] >> 4);
            for (int j = 0; j < 16; j++) out[16 * part + j] = scale * (float)(codes[j] >> shift & 3) - offset;
        }
    }
}

FB_WIDE void fb_decode_q3_k(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 110, out += 256) {
        const float d = fb_half_at(in + 108);
        const uint8_t *scales = in + 96;
        for (int part = 0; part < 16; part++) {
            const uint8_t *codes = in + 32 + 32 * (part / 8) + 16 * (part & 1), *third = in + 16 * (part & 1);
            const int shift = part % 8 / 2 * 2, bit = part / 2;
            const int low = part < 8 ? scales[part] & 15 : scales[part - 8] >> 4, high = scales[8 + part % 4] >> (part / 4 * 2) & 3;
            const float scale = d * (float)((low | high << 4) - 32);
            for (int j = 0; j < 16; j++) out[16 * part + j] = scale * (float)((codes[j] >> shift & 3) - (~third[j] >> bit & 1) * 4);
        }
    }
}

/// Scale and offset of group g of eight, six bits each.
FB_INLINE void six_bits(const uint8_t *q, int g, int *scale, int *offset) {
    *scale = g < 4 ? q[g] & 63 : (q[g + 4] & 15) | (q[g - 4] >> 6) << 4;
    *offset = g < 4 ? q[g + 4] & 63 : (q[g + 4] >> 4) | (q[g] >> 6) << 4;
}

FB_WIDE void fb_decode_q4_k(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 144, out += 256) {
        const float d = fb_half_at(in), m = fb_half_at(in + 2);
        for (int g = 0; g < 8; g++) {
            int s, t;
            six_bits(in + 4, g, &s, &t);
            const float scale = d * (float)s, offset = m * (float)t;
            const uint8_t *codes = in + 16 + 32 * (g / 2);
            const int shift = g % 2 * 4;
            for (int j = 0; j < 32; j++) out[32 * g + j] = scale * (float)(codes[j] >> shift & 15) - offset;
        }
    }
}

FB_WIDE void fb_decode_q5_k(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 176) {
        const float d = fb_half_at(in), m = fb_half_at(in + 2);
        const uint8_t *fifth = in + 16, *codes = in + 48;
        for (int g = 0; g < 8; g += 2, codes += 32, out += 64) {
            int s0, t0, s1, t1;
            six_bits(in + 4, g, &s0, &t0);
            six_bits(in + 4, g + 1, &s1, &t1);
            const float d0 = d * (float)s0, m0 = m * (float)t0, d1 = d * (float)s1, m1 = m * (float)t1;
            for (int j = 0; j < 32; j++) out[j] = d0 * (float)((codes[j] & 15) | (fifth[j] >> g & 1) << 4) - m0;
            for (int j = 0; j < 32; j++) out[32 + j] = d1 * (float)((codes[j] >> 4) | (fifth[j] >> (g + 1) & 1) << 4) - m1;
        }
    }
}

FB_WIDE void fb_decode_q6_k(float *restrict out, const uint8_t *restrict in, int64_t count) {
    for (int64_t b = 0; b < count; b++, in += 210, out += 256) {
        const float d = fb_half_at(in + 208);
        for (int half = 0; half < 2; half++) {
            const uint8_t *low = in + 64 * half, *high = in + 128 + 32 * half;
            for (int i = 0; i < 4; i++) {
                const uint8_t *codes = low + 32 * (i & 1);
                const int shift = i / 2 * 4;
                for (int part = 0; part < 2; part++) {
                    const float scale = d * (float)(int8_t)in[192 + 8 * half + 2 * i + part];
                    float *to = out + 128 * half + 32 * i + 16 * part;
                    for (int j = 0; j < 16; j++) {
                        const int at = 16 * part + j;
                        to[j] = scale * (float)(((codes[at] >> shift & 15) | (high[at] >> (2 * i) & 3) << 4) - 32);
                    }
                }
            }
        }
    }
}
