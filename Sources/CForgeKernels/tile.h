// The inner product of everything: a block of outputs held in registers while k runs.
// c[i,j] = (acc ? c[i,j] : 0) + Σ_k a[i*a_rs + k*a_cs] b[k*b_rs + j], the terms fused-multiply-added in the order of k.
// Every output has one accumulator, so its bits do not depend on the block it sat in.
#if FK_WIDE
#define MR 12  // 24 accumulators of 32 zmm
#define NV 2
#else
#define MR 6   // 12 accumulators of 16 ymm
#define NV 1
#endif

/// Rows of b that are asked for ahead of their use, where b is a packed matrix that comes from memory: 4 KiB.
#define FK_AHEAD 32

FK_INLINE void tile_fixed(const int rows, const int nv, float *c, int64_t ldc, int64_t cols, const float *a, int64_t a_rs,
                          int64_t a_cs, const float *b, int64_t b_rs, int64_t k, int acc, const int ahead) {
    vf s[MR][NV];
    const int whole = cols == 16 * nv;
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < nv; v++)
            s[i][v] = !acc ? vset(0.0f) : whole ? vload(c + i * ldc + 16 * v) : vload_n(c + i * ldc + 16 * v, fk_max(0, cols - 16 * v));
    for (int64_t kk = 0; kk < k; kk++) {
        vf bv[NV];
        if (ahead) __builtin_prefetch(b + ahead * b_rs);
        FK_UNROLL for (int v = 0; v < nv; v++) bv[v] = vload(b + 16 * v);
        FK_UNROLL for (int i = 0; i < rows; i++) {
            const vf av = vset(a[i * a_rs]);
            FK_UNROLL for (int v = 0; v < nv; v++) s[i][v] = vfma(av, bv[v], s[i][v]);
        }
        a += a_cs;
        b += b_rs;
    }
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < nv; v++) {
            if (whole) vstore(c + i * ldc + 16 * v, s[i][v]);
            else vstore_n(c + i * ldc + 16 * v, s[i][v], fk_max(0, cols - 16 * v));
        }
}

#define TILE_CASE(r)                                                                                            \
    case r: tile_fixed(r, NV, c, ldc, cols, a, a_rs, a_cs, b, b_rs, k, acc, 0); break;
/// rows 1...MR, cols 1...16 NV; b must be readable for 16 NV columns.
static void tile(int64_t rows, float *c, int64_t ldc, int64_t cols, const float *a, int64_t a_rs, int64_t a_cs,
                 const float *b, int64_t b_rs, int64_t k, int acc) {
    switch (rows) {
        TILE_CASE(1) TILE_CASE(2) TILE_CASE(3) TILE_CASE(4) TILE_CASE(5) TILE_CASE(6)
#if FK_WIDE
        TILE_CASE(7) TILE_CASE(8) TILE_CASE(9) TILE_CASE(10) TILE_CASE(11) TILE_CASE(12)
#endif
    }
}
/// The same with `a` packed [k][rows].
#define TILE_PACKED_CASE(r)                                                                                     \
    case r: tile_fixed(r, NV, c, ldc, cols, a, 1, r, b, FK_PANEL, k, acc, FK_AHEAD); break;
static void tile_packed(int64_t rows, float *c, int64_t ldc, int64_t cols, const float *a, const float *b, int64_t k, int acc) {
    switch (rows) {
        TILE_PACKED_CASE(1) TILE_PACKED_CASE(2) TILE_PACKED_CASE(3) TILE_PACKED_CASE(4) TILE_PACKED_CASE(5) TILE_PACKED_CASE(6)
#if FK_WIDE
        TILE_PACKED_CASE(7) TILE_PACKED_CASE(8) TILE_PACKED_CASE(9) TILE_PACKED_CASE(10) TILE_PACKED_CASE(11) TILE_PACKED_CASE(12)
#endif
    }
}

/// c[rows, cols] of any size from strided a and b whose rows are readable to a multiple of 16 NV columns.
static void tile_block(float *c, int64_t ldc, int64_t rows, int64_t cols, const float *a, int64_t a_rs, int64_t a_cs,
                       const float *b, int64_t b_rs, int64_t k, int acc) {
    // Eight rows keep the row addresses in registers and still hide the latency of a multiply-add.
    const int64_t step = FK_WIDE ? 8 : MR;
    for (int64_t j = 0; j < cols; j += 16 * NV)
        for (int64_t i = 0; i < rows; i += step)
            tile(fk_min(step, rows - i), c + i * ldc + j, ldc, fk_min(16 * NV, cols - j), a + i * a_rs, a_rs, a_cs, b + j, b_rs, k, acc);
}
