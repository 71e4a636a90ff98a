// Attention of new tokens over keys and values kept in blocks.
//
// One task is one (row, kv head): it reads the keys of one sequence and nothing of the other rows, so a row's bits cannot depend on its
// company. Keys are taken in splits of 64 counted from position 0, never by blocks, so they cannot depend on the block size either:
//   for each split:  s_j = scale q·k_j;  m' = max(m, max_j s_j);  p_j = e^(s_j - m');  l = l e^(m - m') + Σ p_j;  o = o e^(m - m') + Σ p_j v_j
//   out = o / l                                                               (Milakov & Gimelshein 2018, arXiv:1805.02867, alg. 3)
// Sums over a split run in the order of j for values; dot products and Σ p_j add lane by lane and then by a fixed tree.
#include "fk_paged_attention.h"

#include <immintrin.h>
#include <math.h>

#define SPLIT 64
#define HEAD_MAX 256

typedef struct paged {
    float *out;
    const float *q, *kpool, *vpool;
    const int32_t *block_table, *row_of, *position;
    fk_paged_shape shape;
} paged;

static fk_status check(const fk_paged_shape *s) {
    if (s->tokens < 0 || s->q_heads < 1 || s->kv_heads < 1 || s->q_heads % s->kv_heads != 0) return FK_BAD_SHAPE;
    if (s->head_dim < 1 || s->head_dim > HEAD_MAX || s->block_size < 1 || s->window < 0) return FK_BAD_SHAPE;
    if (s->q_stride < s->q_heads * s->head_dim || s->o_stride < s->q_heads * s->head_dim) return FK_BAD_SHAPE;
    return FK_OK;
}

/// The first position a row at `position` sees.
static inline int64_t first_seen(const paged *p, int64_t position) {
    int64_t window = p->shape.window;
    return window > 0 && position + 1 > window ? position + 1 - window : 0;
}

/// Elements from the start of a pool to the row of `position` for kv head `g`.
static inline int64_t row_offset(const paged *p, const int32_t *table, int64_t position, int64_t g) {
    int64_t size = p->shape.block_size;
    return ((table[position / size] * size + position % size) * p->shape.kv_heads + g) * p->shape.head_dim;
}

// -- reference: the formula, in double ------------------------------------------------------------------------------

static void body_ref(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const paged *p = context;
    const fk_paged_shape *s = &p->shape;
    int64_t t = task / s->kv_heads, g = task % s->kv_heads, d = s->head_dim, group = s->q_heads / s->kv_heads;
    int64_t last = p->position[t], first = first_seen(p, last);
    const int32_t *table = p->block_table + (int64_t)p->row_of[t] * s->table_stride;
    for (int64_t h = g * group; h < (g + 1) * group; h++) {
        const float *q = p->q + t * s->q_stride + h * d;
        double o[HEAD_MAX] = {0}, l = 0, m = -INFINITY;
        for (int64_t j = first; j <= last; j++) {
            int64_t at = row_offset(p, table, j, g);
            double dot = 0;
            for (int64_t i = 0; i < d; i++) dot += (double)q[i] * p->kpool[at + i];
            double score = dot * s->scale, top = score > m ? score : m;
            double keep = exp(m - top), add = exp(score - top);
            for (int64_t i = 0; i < d; i++) o[i] = o[i] * keep + add * p->vpool[at + i];
            l = l * keep + add;
            m = top;
        }
        float *out = p->out + t * s->o_stride + h * d;
        for (int64_t i = 0; i < d; i++) out[i] = (float)(o[i] / l);
    }
}

// -- AVX2 ------------------------------------------------------------------------------------------------------------

#define AVX2 __attribute__((target("avx2,fma")))

/// e^x for x <= 0; below -87 the answer is 0. Cody-Waite reduction and the degree-6 Taylor polynomial on |r| <= ln2/2: relative error under 2^-22.
AVX2 static inline __m256 exp_avx2(__m256 x) {
    const __m256 low = _mm256_set1_ps(-87.0f);
    __m256 live = _mm256_cmp_ps(x, low, _CMP_GE_OQ);
    x = _mm256_max_ps(x, low);
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693145752f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(1.42860677e-6f), r);
    __m256 y = _mm256_set1_ps(1.0f / 720);
    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0f / 120));
    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0f / 24));
    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0f / 6));
    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(0.5f));
    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0f));
    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0f));
    __m256i e = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_and_ps(_mm256_mul_ps(y, _mm256_castsi256_ps(e)), live);
}

AVX2 static inline float sum_avx2(__m256 v) {
    __m128 a = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps(a, a, 1)));
}

AVX2 static inline __m256i tail_mask_avx2(int64_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

AVX2 static void body_avx2(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const paged *p = context;
    const fk_paged_shape *s = &p->shape;
    int64_t t = task / s->kv_heads, g = task % s->kv_heads, d = s->head_dim, group = s->q_heads / s->kv_heads;
    int64_t last = p->position[t], first = first_seen(p, last), whole = d / 8 * 8;
    const int32_t *table = p->block_table + (int64_t)p->row_of[t] * s->table_stride;
    const __m256i tail = tail_mask_avx2(d - whole);
    for (int64_t h = g * group; h < (g + 1) * group; h++) {
        const float *q = p->q + t * s->q_stride + h * d;
        float o[HEAD_MAX + 8] = {0}, score[SPLIT], l = 0, m = -INFINITY;
        int64_t at[SPLIT];
        for (int64_t start = first / SPLIT * SPLIT; start <= last; start += SPLIT) {
            float top = m;
            for (int64_t j = 0; j < SPLIT; j++) {
                int64_t position = start + j;
                score[j] = -INFINITY;
                if (position < first || position > last) continue;
                at[j] = row_offset(p, table, position, g);
                const float *k = p->kpool + at[j];
                __m256 dot = _mm256_setzero_ps();
                for (int64_t i = 0; i < whole; i += 8) dot = _mm256_fmadd_ps(_mm256_loadu_ps(q + i), _mm256_loadu_ps(k + i), dot);
                if (whole < d) dot = _mm256_fmadd_ps(_mm256_maskload_ps(q + whole, tail), _mm256_maskload_ps(k + whole, tail), dot);
                score[j] = sum_avx2(dot) * s->scale;
                if (score[j] > top) top = score[j];
            }
            float keep = m == -INFINITY ? 0 : _mm256_cvtss_f32(exp_avx2(_mm256_set1_ps(m - top)));
            __m256 sum = _mm256_setzero_ps();
            for (int64_t j = 0; j < SPLIT; j += 8) {
                __m256 e = exp_avx2(_mm256_sub_ps(_mm256_loadu_ps(score + j), _mm256_set1_ps(top)));
                _mm256_storeu_ps(score + j, e);
                sum = _mm256_add_ps(sum, e);
            }
            l = l * keep + sum_avx2(sum);
            int64_t from = first > start ? first - start : 0, to = last - start + 1 < SPLIT ? last - start + 1 : SPLIT;
            for (int64_t i = 0; i < d; i += 8) {
                __m256 acc = _mm256_mul_ps(_mm256_loadu_ps(o + i), _mm256_set1_ps(keep));
                if (i < whole) {
                    for (int64_t j = from; j < to; j++)
                        acc = _mm256_fmadd_ps(_mm256_set1_ps(score[j]), _mm256_loadu_ps(p->vpool + at[j] + i), acc);
                } else {
                    for (int64_t j = from; j < to; j++)
                        acc = _mm256_fmadd_ps(_mm256_set1_ps(score[j]), _mm256_maskload_ps(p->vpool + at[j] + i, tail), acc);
                }
                _mm256_storeu_ps(o + i, acc);
            }
            m = top;
        }
        float *out = p->out + t * s->o_stride + h * d;
        for (int64_t i = 0; i < d; i++) out[i] = o[i] / l;
    }
}

// -- AVX-512 ---------------------------------------------------------------------------------------------------------

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")))

AVX512 static inline __m512 exp_avx512(__m512 x) {
    const __m512 low = _mm512_set1_ps(-87.0f);
    __mmask16 live = _mm512_cmp_ps_mask(x, low, _CMP_GE_OQ);
    x = _mm512_max_ps(x, low);
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693145752f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(1.42860677e-6f), r);
    __m512 y = _mm512_set1_ps(1.0f / 720);
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1.0f / 120));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1.0f / 24));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1.0f / 6));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(0.5f));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1.0f));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1.0f));
    return _mm512_maskz_scalef_ps(live, y, n);
}

AVX512 static inline float sum_avx512(__m512 v) {
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_shuffle_ps(b, b, 1)));
}

/// o[i..<i+64] = o[i..<i+64] keep + Σ_j weight[j] v_j[i..<i+64]: four registers stay put while the keys of a split pass by.
AVX512 static inline void add_values_avx512(const paged *p, float *o, const float *weight, const int64_t *at, int64_t from, int64_t to,
                                            int64_t i, int64_t d, float keep) {
    __mmask16 mask[4];
    __m512 acc[4];
    for (int c = 0; c < 4; c++) {
        int64_t left = d - i - 16 * c;
        mask[c] = left >= 16 ? 0xFFFF : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
        acc[c] = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask[c], o + i + 16 * c), _mm512_set1_ps(keep));
    }
    for (int64_t j = from; j < to; j++) {
        const __m512 w = _mm512_set1_ps(weight[j]);
        const float *v = p->vpool + at[j] + i;
        for (int c = 0; c < 4; c++) acc[c] = _mm512_fmadd_ps(w, _mm512_maskz_loadu_ps(mask[c], v + 16 * c), acc[c]);
    }
    for (int c = 0; c < 4; c++) _mm512_mask_storeu_ps(o + i + 16 * c, mask[c], acc[c]);
}

AVX512 static void body_avx512(void *context, int64_t task, void *scratch) {
    (void)scratch;
    const paged *p = context;
    const fk_paged_shape *s = &p->shape;
    int64_t t = task / s->kv_heads, g = task % s->kv_heads, d = s->head_dim, group = s->q_heads / s->kv_heads;
    int64_t last = p->position[t], first = first_seen(p, last), whole = d / 16 * 16;
    const int32_t *table = p->block_table + (int64_t)p->row_of[t] * s->table_stride;
    const __mmask16 tail = (__mmask16)((1u << (d - whole)) - 1);
    for (int64_t h = g * group; h < (g + 1) * group; h++) {
        const float *q = p->q + t * s->q_stride + h * d;
        float o[HEAD_MAX] = {0}, score[SPLIT], l = 0, m = -INFINITY;
        int64_t at[SPLIT];
        for (int64_t start = first / SPLIT * SPLIT; start <= last; start += SPLIT) {
            int64_t from = first > start ? first - start : 0, to = last - start + 1 < SPLIT ? last - start + 1 : SPLIT;
            for (int64_t j = 0; j < SPLIT; j++) score[j] = -INFINITY;
            for (int64_t j = from; j < to; j++) at[j] = row_offset(p, table, start + j, g);
            float top = m;
            for (int64_t j = from; j < to; j++) {
                const float *k = p->kpool + at[j];
                __m512 dot = _mm512_setzero_ps();
                for (int64_t i = 0; i < whole; i += 16) dot = _mm512_fmadd_ps(_mm512_loadu_ps(q + i), _mm512_loadu_ps(k + i), dot);
                if (whole < d) dot = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(tail, q + whole), _mm512_maskz_loadu_ps(tail, k + whole), dot);
                score[j] = sum_avx512(dot) * s->scale;
                if (score[j] > top) top = score[j];
            }
            float keep = m == -INFINITY ? 0 : _mm512_cvtss_f32(exp_avx512(_mm512_set1_ps(m - top)));
            __m512 sum = _mm512_setzero_ps();
            for (int64_t j = 0; j < SPLIT; j += 16) {
                __m512 e = exp_avx512(_mm512_sub_ps(_mm512_loadu_ps(score + j), _mm512_set1_ps(top)));
                _mm512_storeu_ps(score + j, e);
                sum = _mm512_add_ps(sum, e);
            }
            l = l * keep + sum_avx512(sum);
            for (int64_t i = 0; i < d; i += 64) add_values_avx512(p, o, score, at, from, to, i, d, keep);
            m = top;
        }
        float *out = p->out + t * s->o_stride + h * d;
        for (int64_t i = 0; i < d; i++) out[i] = o[i] / l;
    }
}

// -- entries ---------------------------------------------------------------------------------------------------------

#define ENTRY(form)                                                                                                             \
    fk_status fk_paged_attn_##form(float *out, const float *q, const float *kpool, const float *vpool, const int32_t *block_table, \
                                   const int32_t *row_of, const int32_t *position, const fk_paged_shape *shape, fk_stream s) {  \
        fk_status status = check(shape);                                                                                        \
        if (status != FK_OK) return status;                                                                                     \
        paged context = {out, q, kpool, vpool, block_table, row_of, position, *shape};                                          \
        fk_run(s, shape->tokens * shape->kv_heads, body_##form, &context);                                                      \
        return FK_OK;                                                                                                           \
    }

ENTRY(ref)
ENTRY(avx2)
ENTRY(avx512)
