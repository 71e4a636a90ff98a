// The operations of one level and the table that names them. FK_ISA (and FK_REFERENCE or FK_WIDE) say which.
#ifndef FK_REFERENCE
#include "vec.h"
#include "tile.h"
#endif
#include "ops/bf16.h"
#include "ops/gemm.h"
#include "ops/gemm_quant.h"
#include "ops/group_gemm.h"
#include "ops/route.h"
#include "ops/experts.h"
#include "ops/rmsnorm.h"
#include "ops/rope.h"
#include "ops/swiglu.h"
#include "ops/embed.h"
#include "ops/attention.h"
#include "ops/linear_ce.h"
#include "ops/elements.h"
#include "ops/paged_attention.h"

/// Multiply-adds in registers only: chains enough to hide the latency.
double FK(peak_loop)(int64_t rounds) {
#ifdef FK_REFERENCE
    double s[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (int64_t i = 0; i < rounds; i++)
        for (int j = 0; j < 8; j++) s[j] = s[j] * 0.999 + 0.001;
    volatile double keep = s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
    (void)keep;
    return (double)rounds * 16;
#else
    vf s[MR], a = vset(0.999f), b = vset(0.001f);
    FK_UNROLL for (int j = 0; j < MR; j++) s[j] = vset((float)j);
    // What the sums start from is hidden, or equal halves of them are computed once and counted twice.
    __asm__("" : "+m"(s));
    for (int64_t i = 0; i < rounds; i++)
        FK_UNROLL for (int j = 0; j < MR; j++) s[j] = vfma(s[j], a, b);
    vf all = s[0];
    FK_UNROLL for (int j = 1; j < MR; j++) all = all + s[j];
    volatile float keep = vsum(all);
    (void)keep;
    return (double)rounds * MR * 32;
#endif
}

static double FK(measure_peak)(int32_t flags, int32_t milliseconds, fk_stream s) { return fk_measure_peak_all(FK_LEVEL, flags, milliseconds, s); }

const fk_ops FK(table) = {
    .abi = FK_ABI,
    .name = FK_NAME,
    .device = 0,
    .stream_open = fk_stream_open_cpu,
    .stream_close = fk_stream_close_cpu,
    .sync = fk_sync_cpu,
    .alloc = fk_alloc_cpu,
    .release = fk_release_cpu,
    .copy = fk_copy_cpu,
    .gemm_pack = FK(gemm_pack),
    .gemm_unpack = FK(gemm_unpack),
    .gemm = FK(gemm),
    .quant_pack = FK(quant_pack),
    .quant_unpack = FK(quant_unpack),
    .quant_gemm = FK(quant_gemm),
    .rmsnorm_fwd = FK(rmsnorm_fwd),
    .rmsnorm_bwd = FK(rmsnorm_bwd),
    .rope = FK(rope),
    .swiglu_fwd = FK(swiglu_fwd),
    .swiglu_bwd = FK(swiglu_bwd),
    .embed_fwd = FK(embed_fwd),
    .embed_bwd = FK(embed_bwd),
    .route_fwd = FK(route_fwd),
    .route_bwd = FK(route_bwd),
    .route_sort = FK(route_sort),
    .expert_gather = FK(expert_gather),
    .expert_combine = FK(expert_combine),
    .expert_swiglu_bwd = FK(expert_swiglu_bwd),
    .group_pack = FK(group_pack),
    .group_gemm = FK(group_gemm),
    .group_pack_rows = FK(group_pack_rows),
    .group_gemm_dw = FK(group_gemm_dw),
    .attn_fwd = FK(attn_fwd),
    .attn_bwd = FK(attn_bwd),
    .paged_store = FK(paged_store),
    .paged_attn = FK(paged_attn),
    .linear_ce = FK(linear_ce),
    .logprob = FK(logprob),
    .cross_entropy = FK(cross_entropy),
    .axpby = FK(axpby),
    .fill = FK(fill),
    .copy_columns = FK(copy_columns),
    .sumsq = FK(sumsq),
    .column_sums = FK(column_sums),
    .adamw = FK(adamw),
    .to_bf16 = FK(to_bf16),
    .from_bf16 = FK(from_bf16),
    .threads = fk_stream_threads,
    .measure_peak = FK(measure_peak),
    .measure_bandwidth = fk_measure_bandwidth_cpu,
};
