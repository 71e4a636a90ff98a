// Sixteen lanes of float32, spelled with the compiler's vector types: one zmm register under AVX-512, two ymm under
// AVX2. Lane arithmetic is IEEE and identical on both, so the two levels give the same bits.
// Included once by each vector table, inside its target attribute.
typedef float vf __attribute__((vector_size(64)));
typedef float vfu __attribute__((vector_size(64), aligned(4)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef vi vf_bits;
typedef double vd __attribute__((vector_size(64)));

FK_INLINE vf vload(const float *p) { return *(const vfu *)p; }
FK_INLINE void vstore(float *p, vf x) { *(vfu *)p = x; }
FK_INLINE vf vset(float x) { return (vf){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
FK_INLINE vf vfma(vf a, vf b, vf c) { return __builtin_elementwise_fma(a, b, c); }
FK_INLINE vf vsqrt(vf x) { return __builtin_elementwise_sqrt(x); }
/// Past the caches: for what is read again only after more than they hold. p is a multiple of 64 bytes.
FK_INLINE void vstream(float *p, vf x) { __builtin_nontemporal_store(x, (vf *)p); }
/// After streamed stores, before other threads may read.
FK_INLINE void vstreamed(void) { __builtin_ia32_sfence(); }
/// mask is all ones or all zeros by lane.
FK_INLINE vf vselect(vi mask, vf yes, vf no) { return (vf)(((vi)yes & mask) | ((vi)no & ~mask)); }
FK_INLINE vf vmax(vf a, vf b) { return vselect(a > b, a, b); }

/// The first n lanes (0...16), the rest zero; reads nothing beyond.
FK_INLINE vf vload_n(const float *p, int64_t n) {
    if (n >= 16) return vload(p);
    _Alignas(64) float lanes[16] = {0};
    for (int64_t i = 0; i < n; i++) lanes[i] = p[i];
    return vload(lanes);
}
FK_INLINE void vstore_n(float *p, vf x, int64_t n) {
    if (n >= 16) {
        vstore(p, x);
        return;
    }
    _Alignas(64) float lanes[16];
    vstore(lanes, x);
    for (int64_t i = 0; i < n; i++) p[i] = lanes[i];
}

/// ((0+8)+(4+12)) … : a fixed tree.
FK_INLINE float vsum(vf x) {
    float a[16];
    vstore(a, x);
    for (int w = 8; w >= 1; w /= 2)
        for (int i = 0; i < w; i++) a[i] = a[i] + a[i + w];
    return a[0];
}
FK_INLINE float vhmax(vf x) {
    float a[16];
    vstore(a, x);
    float m = a[0];
    for (int i = 1; i < 16; i++) m = a[i] > m ? a[i] : m;
    return m;
}

/// e^x within 2 ulp on [-87.3, 88.7], 0 below, +inf above; NaN stays NaN.
/// x = n ln2 + r, |r| ≤ ln2/2 (n by adding 1.5·2^23, Cody-Waite in two parts); e^r by its series to r^7/7! (2e-9 there).
FK_INLINE vf vexp(vf x) {
    const vf magic = vset(12582912.0f);
    const vf low = vset(-87.33654f), high = vset(88.72283f);
    const vf clamped = vselect(x > high, high, vselect(x < low, low, x));
    const vf t = vfma(clamped, vset(1.44269504f), magic);
    const vf n = t - magic;
    vf r = vfma(n, vset(-0.693145752f), clamped);
    r = vfma(n, vset(-1.42860677e-6f), r);
    vf p = vset(1.0f / 5040.0f);
    p = vfma(p, r, vset(1.0f / 720.0f));
    p = vfma(p, r, vset(1.0f / 120.0f));
    p = vfma(p, r, vset(1.0f / 24.0f));
    p = vfma(p, r, vset(1.0f / 6.0f));
    p = vfma(p, r, vset(0.5f));
    p = vfma(p, r, vset(1.0f));
    p = vfma(p, r, vset(1.0f));
    // 2^n in two factors, because n may be 128.
    const vi bits = (vi)t - (vi)magic;
    const vi half = bits >> 1;
    const vf scale1 = (vf)((half + 127) << 23), scale2 = (vf)((bits - half + 127) << 23);
    const vf value = p * scale1 * scale2;
    return vselect(x < low, vset(0.0f), vselect(x > high, vset(__builtin_inff()), vselect(x == x, value, x)));
}

#if FK_WIDE
/// What a tile's rows of A fit in when they are turned: MR lanes or more, and as many of a whole number.
typedef vf vtall;
typedef vi vtall_bits;
/// rows[i] becomes column i.
FK_INLINE void vtranspose(vf rows[16]) {
    vf t[16];
    FK_UNROLL for (int stage = 0; stage < 4; stage++) {
        FK_UNROLL for (int i = 0; i < 8; i++) {
            t[2 * i] = __builtin_shufflevector(rows[i], rows[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            t[2 * i + 1] =
                __builtin_shufflevector(rows[i], rows[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
        FK_UNROLL for (int i = 0; i < 16; i++) rows[i] = t[i];
    }
}
FK_INLINE vtall vtall_of(vf x) { return x; }
/// columns[k][i] = rows[i][k].
FK_INLINE void vcolumns(vtall columns[16], const vf rows[16]) {
    FK_UNROLL for (int i = 0; i < 16; i++) columns[i] = rows[i];
    vtranspose(columns);
}
#else
typedef float vtall __attribute__((vector_size(32)));
typedef int32_t vtall_bits __attribute__((vector_size(32)));
/// Eight rows of eight, by the moves that stay inside a half of a register and one that crosses.
FK_INLINE void vtranspose8(vtall out[8], const vtall rows[8]) {
    vtall t[8], u[8];
    FK_UNROLL for (int i = 0; i < 4; i++) {
        t[2 * i] = __builtin_shufflevector(rows[2 * i], rows[2 * i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        t[2 * i + 1] = __builtin_shufflevector(rows[2 * i], rows[2 * i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    FK_UNROLL for (int i = 0; i < 2; i++)
        FK_UNROLL for (int j = 0; j < 2; j++) {
            u[4 * i + 2 * j] = __builtin_shufflevector(t[4 * i + j], t[4 * i + 2 + j], 0, 1, 8, 9, 4, 5, 12, 13);
            u[4 * i + 2 * j + 1] = __builtin_shufflevector(t[4 * i + j], t[4 * i + 2 + j], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    FK_UNROLL for (int i = 0; i < 4; i++) {
        out[i] = __builtin_shufflevector(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        out[i + 4] = __builtin_shufflevector(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}
FK_INLINE vtall vtall_of(vf x) { return __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7); }
FK_INLINE void vcolumns(vtall columns[16], const vf rows[8]) {
    FK_UNROLL for (int half = 0; half < 2; half++) {
        vtall block[8];
        FK_UNROLL for (int i = 0; i < 8; i++)
            block[i] = half ? __builtin_shufflevector(rows[i], rows[i], 8, 9, 10, 11, 12, 13, 14, 15) : __builtin_shufflevector(rows[i], rows[i], 0, 1, 2, 3, 4, 5, 6, 7);
        vtranspose8(columns + 8 * half, block);
    }
}
FK_INLINE void vtranspose(vf rows[16]) {
    vtall low[16], high[16];
    vcolumns(low, rows);
    vcolumns(high, rows + 8);
    FK_UNROLL for (int i = 0; i < 16; i++) rows[i] = __builtin_shufflevector(low[i], high[i], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
#endif
#define FK_TALL ((int)(sizeof(vtall) / sizeof(float)))
typedef vtall vtall_u __attribute__((aligned(4)));
