#ifndef FORGE_KERNELS_H
#define FORGE_KERNELS_H
// The kernel table: every piece of heavy arithmetic in Forge, behind one struct of function pointers.
//
// owns      what each operation computes, as a formula with shapes; the rules below; the table's layout
// promises  no operation allocates, prints or keeps a global; work goes through the stream handed in;
//           every output element is summed in one fixed order, so results have the same bits whatever the number of
//           threads and, row for row, whatever the other rows in the call: a row alone equals that row among sixteen
// never     reassociates (no fast-math), reads past an extent, or chooses an order by timing
// flow      fk_cpu_ops(level) or dlopen("libforge-cuda.so") + fk_ops_open(abi) → table → stream_open → operations
//
// Conventions. Row-major float32 unless named otherwise. `int64_t` for every extent and stride; strides count
// elements. Extents of zero are fine and do nothing. Pointers may have any alignment a float may have. Outputs do not
// alias inputs unless it says so. A status other than FK_OK means nothing was launched.
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FK_ABI 9u
/// Columns a packed panel holds, on every CPU.
#define FK_PANEL 32

typedef enum fk_status {
    FK_OK = 0,
    FK_UNSUPPORTED = 1,  // this backend does not have that combination of options
    FK_BAD_SHAPE = 2,    // extents, strides or workspace do not fit together
    FK_DEVICE = 3,       // the device refused
    FK_MEMORY = 4,       // no memory
} fk_status;

/// One queue of work: a thread pool on the CPU, a CUDA stream on a GPU. Calls on one stream run in order, one at a time.
typedef struct fk_stream_state *fk_stream;

/// How gemm_pack finds B[k,n] in its source.
typedef enum fk_layout {
    FK_NK = 0,  // source is [n,k] with row stride ld: B[k,n] = src[n*ld + k]  (a weight, for y = x·Wᵀ)
    FK_KN = 1,  // source is [k,n] with row stride ld: B[k,n] = src[k*ld + n]  (a weight for dx = dy·W, or x for dW = dyᵀ·x)
    FK_LAYOUT_ROOM = 3,  // no layout: with it C++ too lets FK_BF16 be or-ed in
} fk_layout;

/// May be or-ed into gemm's flags.
#define FK_ACCUMULATE 1
/// May be or-ed into a layout and into gemm's and linear_ce's flags, the same in all calls on one packed matrix: operands are
/// rounded to bfloat16 (nearest, ties to even), products and sums are float32. k is taken in pairs (2i, 2i+1), the second
/// product added first, subnormals as zero: the arithmetic of VDPBF16PS, whether the CPU has that instruction or not. An
/// accumulating call must start at an even k to continue the sum of one call.
#define FK_BF16 2

/// Weights kept in blocks of FK_BLOCK consecutive k, each with one half-precision scale d (docs/formats/quantised-weights.md).
#define FK_BLOCK 32
typedef enum fk_quant {
    FK_Q8 = 0,  // w = d·c, c in -127...127: 8.5 bits a weight
    FK_Q4 = 1,  // w = d·c, c in -8...7:     4.5 bits a weight
} fk_quant;

/// Only for measure_peak.
#define FK_INT8 4

typedef enum fk_rope_layout {
    FK_ROPE_HALF = 0,         // pairs (i, i + d/2): Hugging Face Llama and Mistral
    FK_ROPE_INTERLEAVED = 1,  // pairs (2i, 2i + 1): native Mistral weights
} fk_rope_layout;

/// What makes a score of a router's logit.
typedef enum fk_score {
    FK_SOFTMAX = 0,  // over all experts: Mixtral, Mistral Small 4
    FK_SIGMOID = 1,  // each expert by itself: DeepSeek-V3
} fk_score;

/// How tokens choose experts.
typedef struct fk_route {
    int64_t experts;      // 1...FK_EXPERTS_MAX
    int64_t choices;      // k, 1...experts
    fk_score score;
    int32_t renormalise;  // divide the weights of a token by their sum + 1e-20
    float scale;          // multiplies the weights last
    int32_t unused;       // 0: no byte of a shape is left to chance, since equal launches are told by their bytes
} fk_route;
#define FK_EXPERTS_MAX 4096

/// What stays the same over one AdamW step (Loshchilov & Hutter 2019, arXiv:1711.05101; torch.optim.AdamW).
typedef struct fk_adamw {
    float lr, beta1, beta2, eps, weight_decay;
    float bias1;  // 1 - beta1^t
    float bias2;  // 1 - beta2^t
    float scale;  // multiplies the gradient first: min(1, clip / norm)
} fk_adamw;

/// The widest head: a latent of 512 and 64 turned dimensions (multi-head latent attention reads both as one).
#define FK_HEAD_MAX 576

/// Attention over packed rows: row t of q, k, v and out holds token t of the batch, heads side by side.
typedef struct fk_attn_shape {
    int64_t tokens;              // rows
    int64_t sequences;           // cu_seqlens has sequences + 1 entries, from 0 to tokens, never falling
    int64_t q_heads, kv_heads;   // q_heads is a multiple of kv_heads; q head h reads kv head h / (q_heads / kv_heads)
    int64_t head_dim;            // d, 1...FK_HEAD_MAX; a GPU may say FK_UNSUPPORTED above 256
    int64_t q_stride, kv_stride, o_stride;  // elements from one row to the next
    int64_t window;              // a query sees at most this many keys, itself included; 0 is no limit
    float scale;                 // usually 1/sqrt(d)
    int32_t flags;               // FK_BF16: q, k, v, dout and the probabilities may be rounded to bfloat16 before they are multiplied; sums are float32
} fk_attn_shape;

/// New tokens of sequences whose keys and values are kept in blocks (serving).
typedef struct fk_paged_shape {
    int64_t tokens;              // new rows
    int64_t q_heads, kv_heads, head_dim;
    int64_t q_stride, kv_stride, o_stride;  // elements from one row of q (of k and v, of out) to the next
    int64_t blocks, block_size;  // a pool is [blocks, block_size, kv_heads, head_dim] float32
    int64_t sequences, places;   // block_table is [sequences, places]: the blocks of a sequence in the order of positions
    int64_t window;              // as above
    float scale;
    int32_t unused;              // 0
} fk_paged_shape;

typedef struct fk_ops {
    uint32_t abi;          // FK_ABI
    const char *name;      // "reference", "avx2", "avx512", "cuda"
    int32_t device;        // 0: pointers are the host's; otherwise they came from `alloc`

    // -- streams and memory -------------------------------------------------------------------------------------
    /// Opens a stream of `threads` workers, the caller included (CPU; 0 means one), or on device `index` (GPU).
    fk_status (*stream_open)(fk_stream *out, int32_t threads, int32_t index);
    void (*stream_close)(fk_stream s);
    /// Waits until everything given to the stream is done.
    fk_status (*sync)(fk_stream s);
    /// 64-byte aligned, zeroed memory the operations can use.
    fk_status (*alloc)(void **out, size_t bytes, fk_stream s);
    void (*release)(void *memory, fk_stream s);
    /// Between any two of host and device.
    fk_status (*copy)(void *dst, const void *src, size_t bytes, fk_stream s);

    // -- matrices -----------------------------------------------------------------------------------------------
    /// packed[p][k][j] = B[k, 32p + j], zero beyond n.   packed: fk_packed_count(k, n) floats (FK_BF16 fills half of them)
    fk_status (*gemm_pack)(float *packed, const float *src, int64_t k, int64_t n, int64_t ld, fk_layout layout, fk_stream s);
    /// out[n,k] (row stride ld) = the weight that gemm_pack laid out as FK_NK, as it was rounded. flags: FK_BF16 or 0
    fk_status (*gemm_unpack)(float *out, const float *packed, int64_t k, int64_t n, int64_t ld, int32_t flags, fk_stream s);
    /// out[m,n] = (FK_ACCUMULATE ? out[m,n] : 0) + Σ_k a[m,k] B[k,n], the terms added in the order of k.
    /// a[m,k] is at a[m*a_rs + k*a_cs]; out row stride ldo. Splitting k over accumulating calls changes no bit.
    fk_status (*gemm)(float *out, const float *a, const float *packed, int64_t m, int64_t k, int64_t n, int64_t a_rs,
                      int64_t a_cs, int64_t ldo, int32_t flags, fk_stream s);

    /// Rounds W[n,k] (row stride ld) to blocks. Q8: d = max|w|/127; Q4: d = w*/-8 with w* the value of largest magnitude; d is
    /// rounded to half precision first, codes to nearest, ties to even. A block with a NaN or an infinity has d = NaN.
    /// packed: fk_quant_bytes(k, n, quant) bytes
    fk_status (*quant_pack)(void *packed, const float *src, int64_t k, int64_t n, int64_t ld, fk_quant quant, fk_stream s);
    /// out[n,k] = d·c: what the packed weights stand for.
    fk_status (*quant_unpack)(float *out, const void *packed, int64_t k, int64_t n, int64_t ld, fk_quant quant, fk_stream s);
    /// out[m,n] = Σ_b fma(Σ_{k in b} x̂[m,k] c[n,k], d[n,b]·e[m,b], …), blocks in order, with x̂ = x·127/max|x| rounded to whole
    /// numbers and e = max|x|/127, block by block of a row: the same bits on every CPU, alone and among other rows.
    /// workspace: fk_quant_workspace(m, k) bytes.
    fk_status (*quant_gemm)(float *out, const float *x, const void *packed, int64_t m, int64_t k, int64_t n, int64_t ldx,
                            int64_t ldo, fk_quant quant, void *workspace, size_t workspace_bytes, fk_stream s);

    // -- layers -------------------------------------------------------------------------------------------------
    /// sum = x + add; out[n,d] = sum[n,d] * rstd[n] * w[d], rstd[n] = 1/sqrt(mean_d(sum^2) + eps)
    /// `add` and `sum` may both be NULL (then sum is x); sum may alias x or add; rstd may be NULL. d ≥ 1: no mean is taken of nothing.
    fk_status (*rmsnorm_fwd)(float *out, float *sum, float *rstd, const float *x, const float *add, const float *w,
                             int64_t n, int64_t d, float eps, fk_stream s);
    /// dx[n,d] (+)= rstd (dy w - x rstd² mean_d(dy w x)); dw[d] += Σ_n dy x rstd, rows in order. dx may alias dy;
    /// add_dx != 0 adds to dx instead of replacing it (then dx must not alias dy); dw may be NULL.
    fk_status (*rmsnorm_bwd)(float *dx, float *dw, const float *dy, const float *x, const float *w, const float *rstd,
                             int64_t n, int64_t d, int32_t add_dx, fk_stream s);
    /// Turns the pairs of every head of every row in place by the angle of its position:
    /// (a, b) → (a c - b s', b c + a s'), s' = inverse ? -s : s. x [tokens, heads, d] with row stride x_stride;
    /// cosines, sines [positions, d/2]; position [tokens] indexes them.
    fk_status (*rope)(float *x, const int32_t *position, const float *cosines, const float *sines, int64_t tokens,
                      int64_t heads, int64_t d, int64_t x_stride, fk_rope_layout layout, int32_t inverse, fk_stream s);
    /// out[n,f] = g/(1 + e^-g) * u with g = gu[n, f], u = gu[n, width + f].   gu [n, 2 width], out [n, width]
    fk_status (*swiglu_fwd)(float *out, const float *gu, int64_t n, int64_t width, fk_stream s);
    /// dgu from dy and gu; dgu may alias gu. If `out` is not NULL it receives the forward result again.
    fk_status (*swiglu_bwd)(float *dgu, float *out, const float *dy, const float *gu, int64_t n, int64_t width, fk_stream s);
    /// out[t,:] = w[ids[t],:].   w [vocabulary, d]; an id outside is FK_BAD_SHAPE
    fk_status (*embed_fwd)(float *out, const float *w, const int32_t *ids, int64_t n, int64_t d, int64_t vocabulary, fk_stream s);
    /// dw[ids[t],:] += dy[t,:], in the order of t.
    fk_status (*embed_bwd)(float *dw, const float *dy, const int32_t *ids, int64_t n, int64_t d, int64_t vocabulary, fk_stream s);

    // -- experts ------------------------------------------------------------------------------------------------
    // Tokens 0..<n choose k experts each. Pair t·k + j is choice j of token t; the pairs in the order of their experts, those of
    // one expert in their own order, have places 0..<n·k. An index outside its range is FK_BAD_SHAPE.

    /// probs[n,e] = the score of logits[n,e]; choice[n,k]: the k largest of probs + bias (bias [e] may be NULL), best first, of
    /// equal ones the lower index; weights[n,k] = scale · probs[n,choice] / (renormalise ? Σ_k probs[n,choice] + 1e-20 : 1).
    /// probs may alias logits.
    fk_status (*route_fwd)(float *weights, int32_t *choice, float *probs, const float *logits, const float *bias, int64_t n,
                           const fk_route *route, fk_stream s);
    /// dlogits[n,e] from dweights[n,k]; balance [e], if not NULL, is added to the gradient of every token's probs first. The bias
    /// and the choice itself have no gradient. dlogits may alias probs.
    fk_status (*route_bwd)(float *dlogits, const float *dweights, const int32_t *choice, const float *probs, const float *balance,
                           int64_t n, const fk_route *route, fk_stream s);
    /// Expert e has places starts[e]..<starts[e+1]; place[pair] and pair[place] undo each other. starts has experts + 1 entries.
    fk_status (*route_sort)(int32_t *starts, int32_t *place, int32_t *pair, const int32_t *choice, int64_t n, const fk_route *route, fk_stream s);
    /// out[p,:] = x[pair[p] / choices,:].   out [n·choices, d], x [n, d]
    fk_status (*expert_gather)(float *out, const float *x, const int32_t *pair, int64_t n, int64_t choices, int64_t d, fk_stream s);
    /// out[t,:] = (add ? add[t,:] : 0) + Σ_j (weights ? weights[t,j] : 1) y[place[t,j],:], choices in order. out may alias add.
    /// With weights: what the experts say together. Without: the gradient of expert_gather.
    fk_status (*expert_combine)(float *out, const float *add, const float *y, const float *weights, const int32_t *place, int64_t n,
                                int64_t choices, int64_t d, fk_stream s);
    /// The way back through expert_combine and swiglu at once, so that the experts' outputs need not be kept. dh[p] = W₂ᵀ dout of
    /// place p's token, not yet weighted; h = silu(g) u from gu, w = weights[pair[p]]:
    /// dweights[pair[p]] = Σ_f dh h;  again[p] = w h, for dW₂ = Σ_p dout ⊗ again;  dgu[p] from w dh. dgu may alias gu.
    fk_status (*expert_swiglu_bwd)(float *dgu, float *again, float *dweights, const float *dh, const float *gu, const float *weights,
                                   const int32_t *pair, int64_t pairs, int64_t width, fk_stream s);
    /// Matrix g of `groups` (all k×n, sources src_stride apart) is packed by gemm_pack at packed + g·fk_packed_count(k, n).
    fk_status (*group_pack)(float *packed, const float *src, int64_t groups, int64_t src_stride, int64_t k, int64_t n, int64_t ld,
                            fk_layout layout, fk_stream s);
    /// Rows starts[g]..<starts[g+1] of out = gemm of the same rows of a with packed matrix g: the bits of one gemm a group.
    /// m = starts[groups] rows in all.
    fk_status (*group_gemm)(float *out, const float *a, const float *packed, const int32_t *starts, int64_t groups, int64_t m, int64_t k,
                            int64_t n, int64_t lda, int64_t ldo, int32_t flags, fk_stream s);
    /// Packs each group's rows of src [m, n] by themselves for group_gemm_dw. packed: fk_packed_count(m, n) floats
    fk_status (*group_pack_rows)(float *packed, const float *src, const int32_t *starts, int64_t groups, int64_t m, int64_t n, int64_t ld,
                                 int32_t flags, fk_stream s);
    /// dw_g[n,k] (+)= Σ dy[r,n] x[r,k] over the rows r of group g, in order; dw_g at dw + g·dw_stride, rows ldo apart; x packed
    /// by group_pack_rows. A group without rows gives zeros, or with FK_ACCUMULATE leaves its matrix alone.
    fk_status (*group_gemm_dw)(float *dw, const float *dy, const float *packed, const int32_t *starts, int64_t groups, int64_t dw_stride,
                               int64_t m, int64_t n, int64_t k, int64_t ldy, int64_t ldo, int32_t flags, fk_stream s);

    // -- attention ----------------------------------------------------------------------------------------------
    /// Causal attention inside each sequence; keys of other sequences do not exist. out[t,h] = Σ_j softmax_j(scale q·k_j) v_j.
    /// lse [tokens, q_heads] receives the natural log of the softmax denominators (NULL if not wanted).
    /// Keys are taken in blocks of 64 counted from the start of the sequence (Dao 2023, arXiv:2307.08691, alg. 1).
    fk_status (*attn_fwd)(float *out, float *lse, const float *q, const float *k, const float *v, const int32_t *cu_seqlens,
                          const fk_attn_shape *shape, fk_stream s);
    /// dq, dk, dv (replaced, same strides as q, k, v) from dout, and what the forward pass had and gave.
    /// delta: workspace [tokens, q_heads].
    fk_status (*attn_bwd)(float *dq, float *dk, float *dv, float *delta, const float *dout, const float *q, const float *k,
                          const float *v, const float *out, const float *lse, const int32_t *cu_seqlens,
                          const fk_attn_shape *shape, fk_stream s);
    /// Row t belongs to sequence row_of[t] (a row of block_table) and has position position[t]: its keys and values are copied to
    /// block block_table[row, p / block_size] of the pools, at p % block_size. No two rows have one place. Where k is v, kpool may be vpool. An index outside its range is FK_BAD_SHAPE.
    fk_status (*paged_store)(float *kpool, float *vpool, const float *k, const float *v, const int32_t *block_table, const int32_t *row_of,
                             const int32_t *position, const fk_paged_shape *shape, fk_stream s);
    /// Row t sees the positions 0...position[t] of its sequence, as paged_store laid them out. An index outside its range is FK_BAD_SHAPE.
    /// out[t,h] = Σ_p softmax_p(scale q·k_p) v_p. The order of summation depends on p alone, never on block_size, on the
    /// other rows or on the number of threads.
    fk_status (*paged_attn)(float *out, const float *q, const float *kpool, const float *vpool, const int32_t *block_table,
                            const int32_t *row_of, const int32_t *position, const fk_paged_shape *shape, fk_stream s);

    // -- loss ---------------------------------------------------------------------------------------------------
    /// The output projection and cross-entropy in one, by chunks of rows: logits = x·Wᵀ are never stored whole.
    /// logp[n] = logit[target] - logsumexp(logits), 0 where target < 0 (that row is masked);
    /// if dx is not NULL: dx[n,d] = weight[n] Σ_v (softmax - onehot) W, dw[v,d] += Σ_n weight[n] (softmax - onehot) x, rows in
    /// order; masked rows give 0. weight[n] is -∂loss/∂logp[n]: 1 / (targets of the whole optimiser step) where the loss is their mean.
    /// packed_nk: W packed FK_NK. packed_kn: W packed FK_KN (only read if dx). workspace: fk_linear_ce_workspace bytes for FK_CE_ROWS rows or more.
    fk_status (*linear_ce)(float *logp, float *dx, float *dw, const float *x, const float *packed_nk, const float *packed_kn,
                           const int32_t *targets, int64_t n, int64_t d, int64_t vocabulary, const float *weights, int32_t flags,
                           void *workspace, size_t workspace_bytes, fk_stream s);
    /// logp[n] = logits[n,target] - logsumexp(logits[n,:]); 0 where target < 0.
    fk_status (*logprob)(float *logp, const float *logits, const int32_t *targets, int64_t n, int64_t vocabulary, fk_stream s);
    /// The same, and logits[n,:] ← weight[n] (softmax - onehot), 0 where target < 0: the gradient of -Σ_n weight[n] logp[n].
    fk_status (*cross_entropy)(float *logp, float *logits, const int32_t *targets, int64_t n, int64_t vocabulary, const float *weights, fk_stream s);

    // -- elements -----------------------------------------------------------------------------------------------
    /// out = alpha x + beta y (y may be NULL: out = alpha x). out may alias x or y.
    fk_status (*axpby)(float *out, float alpha, const float *x, float beta, const float *y, int64_t n, fk_stream s);
    /// out = value
    fk_status (*fill)(float *out, float value, int64_t n, fk_stream s);
    /// out[r,i] = x[r,i] for i < d: columns of one matrix become columns of another. Rows are ldo and ldx apart, each at least d.
    fk_status (*copy_columns)(float *out, const float *x, int64_t n, int64_t d, int64_t ldo, int64_t ldx, fk_stream s);
    /// *out = Σ x², in double, in one fixed order. partials: fk_sumsq_partials(n) doubles of workspace. Both lie where `alloc`'s memory lies.
    fk_status (*sumsq)(double *out, double *partials, const float *x, int64_t n, fk_stream s);
    /// out[d] = Σ_n x[n,d] in double, rows in order.
    fk_status (*column_sums)(double *out, const float *x, int64_t n, int64_t d, fk_stream s);
    /// p ← p (1 - lr wd); m ← β₁m + (1-β₁)g; v ← β₂v + (1-β₂)g²; p ← p - lr (m/bias1) / (√(v/bias2) + eps), g scaled first.
    fk_status (*adamw)(float *p, float *m, float *v, const float *g, int64_t n, const fk_adamw *step, fk_stream s);
    /// Round to nearest, ties to even; NaN stays NaN.
    fk_status (*to_bf16)(uint16_t *out, const float *x, int64_t n, fk_stream s);
    fk_status (*from_bf16)(float *out, const uint16_t *x, int64_t n, fk_stream s);

    // -- the machine ----------------------------------------------------------------------------------------------
    /// Workers of a stream (CPU); 1 on a GPU.
    int32_t (*threads)(fk_stream s);
    /// Multiply-adds from registers only, for about `milliseconds`, by everything the stream has, in FLOP/s: what "share of peak" is a share of.
    /// flags: FK_BF16 for the rate of bfloat16 products, FK_INT8 for that of 8-bit products, where the machine has the instruction.
    double (*measure_peak)(int32_t flags, int32_t milliseconds, fk_stream s);
    /// Bytes a second that all the stream has reads from memory, the best of `rounds` passes over `bytes`; 0 without memory.
    double (*measure_bandwidth)(size_t bytes, int32_t rounds, fk_stream s);
} fk_ops;

/// The door of a kernel library opened at run time; NULL if it does not speak that ABI. `libforge-cuda.so` exports it.
typedef const fk_ops *(*fk_ops_open_fn)(uint32_t abi);

typedef enum fk_cpu_level { FK_CPU_REFERENCE = 0, FK_CPU_AVX2 = 1, FK_CPU_AVX512 = 2 } fk_cpu_level;

/// The widest level this CPU and kernel can run (cpuid and xgetbv).
fk_cpu_level fk_cpu_best(void);
/// The table of one level, or NULL if this CPU cannot run it.
const fk_ops *fk_cpu_ops(fk_cpu_level level);

/// CPUs this process may keep busy: its affinity mask, cut to its control group's quota.
int32_t fk_usable_cpus(void);

/// Floats that gemm_pack writes.
static inline int64_t fk_packed_count(int64_t k, int64_t n) { return (n + FK_PANEL - 1) / FK_PANEL * FK_PANEL * k; }
static inline size_t fk_quant_bytes(int64_t k, int64_t n, fk_quant quant) {
    return (size_t)((n + FK_PANEL - 1) / FK_PANEL * ((k + FK_BLOCK - 1) / FK_BLOCK)) * (quant == FK_Q8 ? 1088 : 576);
}
static inline size_t fk_quant_workspace(int64_t m, int64_t k) { return (size_t)(m * ((k + FK_BLOCK - 1) / FK_BLOCK)) * (FK_BLOCK + 8) + 64; }
static inline int64_t fk_sumsq_partials(int64_t n) { return (n + 65535) / 65536; }
/// Rows linear_ce works on at a time, at least. With room for two, four, … times as many it takes as many: a GPU wants thousands. No bit depends on it.
#define FK_CE_ROWS 256
static inline size_t fk_linear_ce_workspace(int64_t rows, int64_t d, int64_t vocabulary) {
    return (size_t)(rows * vocabulary + fk_packed_count(rows, d)) * sizeof(float) + 64;
}
static inline int64_t fk_linear_ce_rows(size_t workspace_bytes, int64_t d, int64_t vocabulary) {
    int64_t rows = FK_CE_ROWS;
    while (rows < 1 << 20 && fk_linear_ce_workspace(2 * rows, d, vocabulary) <= workspace_bytes) rows *= 2;
    return rows;
}

// -- the CPU's stream, for kernels in this library -------------------------------------------------------------------

/// Runs body(context, task, scratch) for task in 0..<tasks on the stream's workers, in any order, and returns when all
/// are done. scratch: FK_SCRATCH bytes, 64-byte aligned, the worker's own.
#define FK_SCRATCH (2u << 20)
typedef void (*fk_body)(void *context, int64_t task, void *scratch);
void fk_run(fk_stream s, int64_t tasks, fk_body body, void *context);
int32_t fk_stream_threads(fk_stream s);

/// measure_peak for one thread of a level.
double fk_measure_peak(fk_cpu_level level, int32_t flags, int32_t milliseconds);

#ifdef __cplusplus
}
#endif
#endif
