#ifndef FORGE_BLOCKS_H
#define FORGE_BLOCKS_H
// Numbers packed into blocks and small floats, to and from float32.
//
// owns      the arithmetic of docs/formats/gguf.md ("Tensor types") and docs/formats/small-floats.md, bit by bit
// promises  each product is rounded to float32 by itself in the order those pages say, so every machine gives the same bits;
//           any bytes are numbers: nothing traps, and nothing is read or written beyond the counts handed in
// never     allocates, keeps a global, or looks at a file
// flow      whole blocks → fb_decode_<type> → float32 → fb_encode_<type> → whole blocks
//
// `count` is of blocks where a block holds several numbers, else of numbers. Pointers to bytes may have any alignment.
#include <stdint.h>

void fb_decode_f32(float *out, const uint8_t *in, int64_t count);
void fb_decode_f16(float *out, const uint8_t *in, int64_t count);
void fb_decode_bf16(float *out, const uint8_t *in, int64_t count);
void fb_decode_q4_0(float *out, const uint8_t *in, int64_t count);
void fb_decode_q4_1(float *out, const uint8_t *in, int64_t count);
void fb_decode_q5_0(float *out, const uint8_t *in, int64_t count);
void fb_decode_q5_1(float *out, const uint8_t *in, int64_t count);
void fb_decode_q8_0(float *out, const uint8_t *in, int64_t count);
void fb_decode_q2_k(float *out, const uint8_t *in, int64_t count);
void fb_decode_q3_k(float *out, const uint8_t *in, int64_t count);
void fb_decode_q4_k(float *out, const uint8_t *in, int64_t count);
void fb_decode_q5_k(float *out, const uint8_t *in, int64_t count);
void fb_decode_q6_k(float *out, const uint8_t *in, int64_t count);
void fb_decode_iq4_nl(float *out, const uint8_t *in, int64_t count);
void fb_decode_iq4_xs(float *out, const uint8_t *in, int64_t count);
void fb_decode_mxfp4(float *out, const uint8_t *in, int64_t count);
void fb_decode_nvfp4(float *out, const uint8_t *in, int64_t count);

void fb_encode_f16(uint8_t *out, const float *in, int64_t count);
void fb_encode_bf16(uint8_t *out, const float *in, int64_t count);
void fb_encode_q4_0(uint8_t *out, const float *in, int64_t count);
void fb_encode_q8_0(uint8_t *out, const float *in, int64_t count);

/// out[i] = value(in[i]) * scale
void fb_decode_e4m3(float *out, const uint8_t *in, int64_t count, float scale);
void fb_decode_e5m2(float *out, const uint8_t *in, int64_t count, float scale);
/// out[i] = code(in[i] / scale), to nearest, ties to even, bounded by the largest finite number (448; 57344). A NaN stays one.
void fb_encode_e4m3(uint8_t *out, const float *in, int64_t count, float scale);
void fb_encode_e5m2(uint8_t *out, const float *in, int64_t count, float scale);
/// Groups of 16: out[16g+i] = e2m1(code 16g+i) * (e4m3(scales[g]) / global); even places lie in the low halves.
void fb_decode_e2m1(float *out, const uint8_t *packed, const uint8_t *scales, float global, int64_t groups);
/// scales[g] = e4m3(max|in| / 6 * global) of a group, codes e2m1(in / (scale / global)), both to nearest, ties to even; all 0 where the scale is.
void fb_encode_e2m1(uint8_t *packed, uint8_t *scales, const float *in, float global, int64_t groups);

#endif
