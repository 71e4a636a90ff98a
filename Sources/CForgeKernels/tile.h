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

FK_INLINE void tile_fixed(const int rows, float *c, int64_t ldc, int64_t cols, const float *a, int64_t a_rs, int64_t a_cs, const float *b,
                          int64_t b_rs, int64_t k, int acc) {
    vf s[MR][NV];
    const int whole = cols == 16 * NV;
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < NV; v++)
            s[i][v] = !acc ? vset(0.0f) : whole ? vload(c + i * ldc + 16 * v) : vload_n(c + i * ldc + 16 * v, fk_max(0, cols - 16 * v));
    for (int64_t kk = 0; kk < k; kk++) {
        vf bv[NV];
        FK_UNROLL for (int v = 0; v < NV; v++) bv[v] = vload(b + 16 * v);
        FK_UNROLL for (int i = 0; i < rows; i++) {
            const vf av = vset(a[i * a_rs]);
            FK_UNROLL for (int v = 0; v < NV; v++) s[i][v] = vfma(av, bv[v], s[i][v]);
        }
        a += a_cs;
        b += b_rs;
    }
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < NV; v++) {
            if (whole) vstore(c + i * ldc + 16 * v, s[i][v]);
            else vstore_n(c + i * ldc + 16 * v, s[i][v], fk_max(0, cols - 16 * v));
        }
}

#define TILE_CASE(r)                                                                                            \
    case r: tile_fixed(r, c, ldc, cols, a, a_rs, a_cs, b, b_rs, k, acc); break;
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

/// c[rows, cols] of any size from strided a and b whose rows are readable to a multiple of 16 NV columns.
static void tile_block(float *c, int64_t ldc, int64_t rows, int64_t cols, const float *a, int64_t a_rs, int64_t a_cs,
                       const float *b, int64_t b_rs, int64_t k, int acc) {
    // Eight rows keep the row addresses in registers and still hide the latency of a multiply-add.
    const int64_t step = FK_WIDE ? 8 : MR;
    for (int64_t j = 0; j < cols; j += 16 * NV)
        for (int64_t i = 0; i < rows; i += step)
            tile(fk_min(step, rows - i), c + i * ldc + j, ldc, fk_min(16 * NV, cols - j), a + i * a_rs, a_rs, a_cs, b + j, b_rs, k, acc);
}

// Packed operands: sums [rows][FK_PANEL] of a panel's columns, `registers` of them at once, from `a` packed [depth][rows] and b, which a panel begins.
// Meanwhile memory from `next` on is asked for, `ahead` bytes for every row of b.
typedef void FK(packed_tile)(int64_t rows, int64_t registers, float *sums, const float *a, const float *b, int64_t depth, int acc, const char *next, int64_t ahead);

/// Registers of columns beside so many rows: sums enough to hide the latency of a multiply-add.
FK_INLINE int64_t FK(packed_registers)(int64_t rows) { return FK_WIDE || rows <= 3 ? 2 : 1; }

/// Runs fixed(rows, registers, …) for the numbers that packed_registers allows. Tiles of three and four rows stand side by side, so three come with both.
#if FK_WIDE
#define FK_PACKED_CASES(fixed)                                                                                                           \
    switch (rows) {                                                                                                                      \
        fixed(1, 2) fixed(2, 2) fixed(3, 2) fixed(4, 2) fixed(5, 2) fixed(6, 2) fixed(7, 2) fixed(8, 2) fixed(9, 2) fixed(10, 2) fixed(11, 2) fixed(12, 2) \
    }
#else
#define FK_PACKED_CASES(fixed)                                                                                                           \
    if (registers == 2) switch (rows) { fixed(1, 2) fixed(2, 2) fixed(3, 2) }                                                             \
    else switch (rows) { fixed(3, 1) fixed(4, 1) fixed(5, 1) fixed(6, 1) }
#endif

FK_INLINE void FK(packed_tile_fixed)(const int rows, const int registers, float *sums, const float *a, const float *b, int64_t depth, int acc, const char *next,
                                     int64_t ahead) {
    vf s[MR][2];
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < registers; v++) s[i][v] = acc ? vload(sums + i * FK_PANEL + 16 * v) : vset(0.0f);
    for (int64_t kk = 0; kk < depth; kk++) {
        vf bv[2];
        __builtin_prefetch(next, 0, 2);
        FK_UNROLL for (int v = 0; v < registers; v++) bv[v] = vload(b + 16 * v);
        FK_UNROLL for (int i = 0; i < rows; i++) {
            const vf av = vset(a[i]);
            FK_UNROLL for (int v = 0; v < registers; v++) s[i][v] = vfma(av, bv[v], s[i][v]);
        }
        a += rows;
        b += FK_PANEL;
        next += ahead;
    }
    FK_UNROLL for (int i = 0; i < rows; i++)
        FK_UNROLL for (int v = 0; v < registers; v++) vstore(sums + i * FK_PANEL + 16 * v, s[i][v]);
}

#define FK_WHOLE_CASE(r, v) case r: FK(packed_tile_fixed)(r, v, sums, a, b, depth, acc, next, ahead); break;
static void FK(packed_tile_whole)(int64_t rows, int64_t registers, float *sums, const float *a, const float *b, int64_t depth, int acc, const char *next, int64_t ahead) {
    (void)registers;
    FK_PACKED_CASES(FK_WHOLE_CASE)
}
#undef FK_WHOLE_CASE
