// Products with weights of 8 or 4 bits (docs/formats/quantised-weights.md): whole-number sums are exact and a block's contribution is one fused
// multiply-add in the order of the blocks, so the bits are those of every other implementation.
//
// packed[panel][block]: 32 half-precision scales, then the codes of 32 columns one after another, signed. FK_Q8: 32 bytes a column. FK_Q4: 16
// bytes a column, byte i with code i in its low half and code i + 16 in its high one: a tensor core's two words of a column are one word here.

enum { fk_scales = 64 };
FK_FN int64_t fk_quant_block(int32_t quant) { return fk_scales + (quant == FK_Q8 ? 1024 : 512); }

struct fk_quant_pack_job { uint8_t *packed; const float *src; float *out; int64_t k, n, ld; int32_t quant, unused = 0; };

/// Nearest, ties to even, by the float that has no bits below the point.
FK_FN int32_t fk_quant_round(float x) { return (int32_t)((x + 12582912.0f) - 12582912.0f); }

/// A warp a column and block: lane i has its place i.
FK_KERNEL(fk_quant_pack_columns, fk_quant_pack_job, 256) {
    const int64_t blocks = fk_ceil(job.k, FK_BLOCK), here = fk_block() * 8 + fk_warp(), column = here / blocks, b = here % blocks;
    if (column >= fk_ceil(job.n, FK_PANEL) * FK_PANEL) return;
    const int64_t k = b * FK_BLOCK + fk_lane();
    const float w = column < job.n && k < job.k ? job.src[column * job.ld + k] : 0.0f, size = fabsf(w);
    const bool finite = fk_ballot(size <= 3.4028235e38f) == 0xffffffffu;
    const float largest = fk_warp_max(size == size ? size : 0.0f);
    // The first value of largest magnitude.
    const float most = fk_shuffle(w, largest > 0.0f ? fk_lowest(fk_ballot(size == largest)) : 0);
    float wanted = job.quant == FK_Q8 ? largest / 127.0f : (largest > 0.0f ? most : 0.0f) / -8.0f;
    wanted = wanted > 65504.0f ? 65504.0f : wanted < -65504.0f ? -65504.0f : wanted;
    const uint16_t half = finite ? fk_half(wanted) : (uint16_t)0x7e00;
    const float d = fk_of_half(half), inverse = d == 0.0f || d != d ? 0.0f : 1.0f / d, scaled = w * inverse;
    const float bounded = scaled > 200.0f ? 200.0f : scaled < -200.0f ? -200.0f : scaled == scaled ? scaled : 0.0f;
    const int32_t top = job.quant == FK_Q8 ? 127 : 7, bottom = job.quant == FK_Q8 ? -127 : -8;
    int32_t code = fk_quant_round(bounded);
    code = code > top ? top : code < bottom ? bottom : code;
    uint8_t *block = job.packed + (column / FK_PANEL * blocks + b) * fk_quant_block(job.quant);
    const int64_t j = column % FK_PANEL;
    if (fk_lane() == 0) *(uint16_t *)(block + 2 * j) = half;
    if (job.quant == FK_Q8) {
        block[fk_scales + j * 32 + fk_lane()] = (uint8_t)code;
    } else {
        const int32_t high = fk_shuffle(code, fk_lane() + 16);
        if (fk_lane() < 16) block[fk_scales + j * 16 + fk_lane()] = (uint8_t)((code & 15) | (high & 15) << 4);
    }
}

FK_KERNEL(fk_quant_unpack_elements, fk_quant_pack_job, 256) {
    const int64_t here = fk_block() * 256 + fk_thread(), n = here / job.k, k = here % job.k, blocks = fk_ceil(job.k, FK_BLOCK);
    if (n >= job.n) return;
    const uint8_t *block = job.packed + (n / FK_PANEL * blocks + k / FK_BLOCK) * fk_quant_block(job.quant);
    const int64_t j = n % FK_PANEL, i = k % FK_BLOCK;
    int32_t code;
    if (job.quant == FK_Q8) {
        code = (int8_t)block[fk_scales + j * 32 + i];
    } else {
        const uint32_t two = block[fk_scales + j * 16 + i % 16];
        code = (int32_t)((i < 16 ? two & 15u : two >> 4) ^ 8u) - 8;
    }
    job.out[n * job.ld + k] = (float)code * fk_of_half(*(const uint16_t *)(block + 2 * j));
}

struct fk_quant_job {
    float *out;
    const float *x;
    const uint8_t *packed;
    int8_t *codes;   // [m][32 blocks]
    float *scales;   // [m][blocks]
    int64_t m, k, n, ldx, ldo, blocks;
    int32_t whole, unused = 0;  // packed starts at a multiple of 16 bytes
};

/// A warp a row and block of x.
FK_KERNEL(fk_quant_rows, fk_quant_job, 256) {
    const int64_t here = fk_block() * 8 + fk_warp(), row = here / job.blocks, b = here % job.blocks, k = b * FK_BLOCK + fk_lane();
    if (row >= job.m) return;
    const float x = k < job.k ? job.x[row * job.ldx + k] : 0.0f, size = fabsf(x);
    const bool finite = fk_ballot(size <= 3.4028235e38f) == 0xffffffffu;
    const float most = fk_warp_max(size == size ? size : 0.0f), inverse = finite && most > 0x1p-100f ? 127.0f / most : 0.0f;
    job.codes[here * FK_BLOCK + fk_lane()] = inverse != 0.0f ? (int8_t)fk_quant_round(x * inverse) : (int8_t)0;
    if (fk_lane() == 0) job.scales[here] = finite ? most / 127.0f : fk_bits_float(0x7fc00000u);
}

/// Four codes of four bits to bytes: the low (high) halves of a word, as signed numbers.
FK_FN uint32_t fk_nibbles(uint32_t four) {
    // x ^ 8 is 0…15 for -8…7; 120 more and the top bit turned again take the eight away, and no byte borrows of its neighbour.
    return (((four & 0x0f0f0f0fu) ^ 0x08080808u) + 0x78787878u) ^ 0x80808080u;
}

enum { fk_quant_round_blocks = 32, fk_quant_few = 8 };

/// Up to eight rows and a panel: eight warps sum four blocks each, a lane a column, and then a warp a row adds the thirty-two in order.
template <int quant> FK_FN void fk_quant_few_block(const fk_quant_job &job) {
    const int64_t panel = fk_block(), row0 = fk_block_y() * fk_quant_few, size = fk_quant_block(quant), column = panel * FK_PANEL + fk_lane();
    const int rows = (int)fk_min(fk_quant_few, job.m - row0);
    fk_arena arena;
    const auto sums = arena.take<float2>(rows * fk_quant_round_blocks * 32);
    float sum = 0.0f;
    if (job.blocks == 0) fk_begin();
    for (int64_t b0 = 0; b0 < job.blocks; b0 += fk_quant_round_blocks) {
        uint32_t w[4][8];
        float d[4] = {};
#pragma unroll
        for (int part = 0; part < 4; part++) {
            const int64_t b = b0 + fk_warp() * 4 + part;
            if (b >= job.blocks) continue;
            const uint8_t *block = job.packed + (panel * job.blocks + b) * size;
            d[part] = fk_of_half(*(const uint16_t *)(block + 2 * fk_lane()));
            const uint8_t *codes = block + fk_scales + fk_lane() * (quant == FK_Q8 ? 32 : 16);
            for (int i = 0; i < (quant == FK_Q8 ? 8 : 4); i += 4) {
                if (job.whole) {
                    const uint4 four = *(const uint4 *)(codes + 4 * i);
                    w[part][i] = four.x, w[part][i + 1] = four.y, w[part][i + 2] = four.z, w[part][i + 3] = four.w;
                } else {
                    for (int j = 0; j < 4; j++) w[part][i + j] = *(const uint32_t *)(codes + 4 * (i + j));
                }
            }
            if (quant == FK_Q4)
                for (int i = 0; i < 4; i++) w[part][i + 4] = fk_nibbles(w[part][i] >> 4), w[part][i] = fk_nibbles(w[part][i]);
        }
        // The kernel before this one rounds the rows and writes nothing else, so the first weights need not wait for it.
        if (b0 == 0) fk_begin();
        fk_sync();  // the last round's sums were added
#pragma unroll
        for (int part = 0; part < 4; part++) {
            const int64_t b = b0 + fk_warp() * 4 + part;
            if (b >= job.blocks) continue;
            for (int r = 0; r < rows; r++) {
                const uint32_t *x = (const uint32_t *)(job.codes + ((row0 + r) * job.blocks + b) * FK_BLOCK);
                int32_t whole = 0;
                for (int i = 0; i < 8; i++) whole = fk_dot4(w[part][i], x[i], whole);
                sums[(r * fk_quant_round_blocks + fk_warp() * 4 + part) * 32 + fk_lane()] = make_float2((float)whole, d[part] * job.scales[(row0 + r) * job.blocks + b]);
            }
        }
        fk_sync();
        if (fk_warp() < rows) {
            const int some = (int)fk_min(fk_quant_round_blocks, job.blocks - b0);
            for (int i = 0; i < some; i++) {
                const float2 each = sums[(fk_warp() * fk_quant_round_blocks + i) * 32 + fk_lane()];
                sum = fk_fma(each.x, each.y, sum);
            }
        }
    }
    if (fk_warp() < rows && column < job.n) job.out[(row0 + fk_warp()) * job.ldo + column] = sum;
}
FK_KERNEL_EARLY(fk_quant_few_q8, fk_quant_job, 256) { fk_quant_few_block<FK_Q8>(job); }
FK_KERNEL_EARLY(fk_quant_few_q4, fk_quant_job, 256) { fk_quant_few_block<FK_Q4>(job); }

/// Sixty-four rows and two panels, a warp 32 by 32: a tensor core's step is a block of k, exact.
template <int quant> FK_FN void fk_quant_many_block(const fk_quant_job &job) {
    const int64_t across = fk_ceil(job.n, 64), row0 = fk_block() / across * 64 + fk_warp() / 2 * 32, panel = fk_block() % across * 2 + fk_warp() % 2, size = fk_quant_block(quant);
    const int g = fk_lane() / 4, c = fk_lane() % 4;
    if (panel * FK_PANEL >= job.n) return;
    float sum[2][4][4] = {};
    // Four blocks' reads are under way together.
#pragma unroll 4
    for (int64_t b = 0; b < job.blocks; b++) {
        const uint8_t *block = job.packed + (panel * job.blocks + b) * size;
        uint32_t a[2][4], w[4][2];
        float e[2][2], d[4][2];
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int64_t row = row0 + 16 * i + 8 * half + g, at = row * job.blocks + b;
                const bool here = row < job.m;
                const uint32_t *x = (const uint32_t *)(job.codes + at * FK_BLOCK);
                a[i][half] = here ? x[c] : 0u, a[i][half + 2] = here ? x[c + 4] : 0u;
                e[i][half] = here ? job.scales[at] : 0.0f;
            }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const uint32_t *codes = (const uint32_t *)(block + fk_scales + (8 * j + g) * (quant == FK_Q8 ? 32 : 16));
            if (quant == FK_Q8) w[j][0] = codes[c], w[j][1] = codes[c + 4];
            else w[j][0] = fk_nibbles(codes[c]), w[j][1] = fk_nibbles(codes[c] >> 4);
            for (int half = 0; half < 2; half++) d[j][half] = fk_of_half(*(const uint16_t *)(block + 2 * (8 * j + 2 * c + half)));
        }
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                int32_t s[4] = {};
                fk_mma_s8(s, a[i], w[j]);
                for (int part = 0; part < 4; part++) sum[i][j][part] = fk_fma((float)s[part], d[j][part % 2] * e[i][part / 2], sum[i][j][part]);
            }
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++)
            for (int part = 0; part < 4; part++) {
                const int64_t row = row0 + 16 * i + part / 2 * 8 + g, column = panel * FK_PANEL + 8 * j + 2 * c + part % 2;
                if (row < job.m && column < job.n) job.out[row * job.ldo + column] = sum[i][j][part];
            }
}
FK_KERNEL(fk_quant_many_q8, fk_quant_job, 128) { fk_quant_many_block<FK_Q8>(job); }
FK_KERNEL(fk_quant_many_q4, fk_quant_job, 128) { fk_quant_many_block<FK_Q4>(job); }

#if !FK_DEVICE_PASS
static fk_status fk_quant_pack_cuda(void *packed, const float *src, int64_t k, int64_t n, int64_t ld, fk_quant quant, fk_stream s) {
    if (k < 0 || n < 0 || ld < k || quant > FK_Q4) return FK_BAD_SHAPE;
    const fk_quant_pack_job job = {(uint8_t *)packed, src, nullptr, k, n, ld, quant};
    return fk_launch(s, fk_quant_pack_columns, fk_ceil(fk_ceil(n, FK_PANEL) * FK_PANEL * fk_ceil(k, FK_BLOCK), 8), 1, 0, job);
}

static fk_status fk_quant_unpack_cuda(float *out, const void *packed, int64_t k, int64_t n, int64_t ld, fk_quant quant, fk_stream s) {
    if (k < 0 || n < 0 || ld < k || quant > FK_Q4) return FK_BAD_SHAPE;
    const fk_quant_pack_job job = {(uint8_t *)packed, nullptr, out, k, n, ld, quant};
    return fk_launch(s, fk_quant_unpack_elements, fk_ceil(k * n, 256), 1, 0, job);
}

static fk_status fk_quant_gemm_cuda(float *out, const float *x, const void *packed, int64_t m, int64_t k, int64_t n, int64_t ldx, int64_t ldo, fk_quant quant, void *workspace,
                                    size_t workspace_bytes, fk_stream s) {
    if (m < 0 || k < 0 || n < 0 || ldx < k || ldo < n || quant > FK_Q4 || workspace_bytes < fk_quant_workspace(m, k)) return FK_BAD_SHAPE;
    const int64_t blocks = fk_ceil(k, FK_BLOCK);
    int8_t *codes = (int8_t *)(((uintptr_t)workspace + 63) & ~(uintptr_t)63);
    const fk_quant_job job = {out, x, (const uint8_t *)packed, codes, (float *)(codes + m * blocks * FK_BLOCK), m, k, n, ldx, ldo, blocks, (uintptr_t)packed % 16 == 0};
    const fk_status status = fk_launch(s, fk_quant_rows, fk_ceil(m * blocks, 8), 1, 0, job);
    if (status != FK_OK) return status;
    if (m <= 2 * fk_quant_few)
        return fk_launch(s, quant == FK_Q8 ? fk_quant_few_q8 : fk_quant_few_q4, fk_ceil(n, FK_PANEL), fk_ceil(m, fk_quant_few),
                         (size_t)(fk_min(m, fk_quant_few) * fk_quant_round_blocks) * 32 * 8, job);
    return fk_launch(s, quant == FK_Q8 ? fk_quant_many_q8 : fk_quant_many_q4, fk_ceil(m, 64) * fk_ceil(n, 64), 1, 0, job);
}
#endif
