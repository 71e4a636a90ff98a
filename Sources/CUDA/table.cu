// All kernels and the table that names them: one source for the fat binary (nvcc), the library that launches it, and the host's own run.
#include "simt.h"

#if defined(__clang__) && !FK_DEVICE_PASS
// Equal launches are told by the bytes of their jobs (driver.cpp), so no job may have a byte that nobody writes.
#pragma clang diagnostic error "-Wpadded"
#endif

#include "ops/rmsnorm.cu"
#include "ops/rope.cu"
#include "ops/swiglu.cu"
#include "ops/embed.cu"
#include "ops/elements.cu"
#include "ops/gemm_tma.cu"
#include "ops/gemm.cu"
#include "ops/group_gemm.cu"
#include "ops/gemm_quant.cu"
#include "ops/route.cu"
#include "ops/experts.cu"
#include "ops/attention.cu"
#include "ops/paged_attention.cu"
#include "ops/linear_ce.cu"
#include "ops/peak.cu"

#if !FK_DEVICE_PASS
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpadded"
#endif
const char *fk_backend_name();
extern const fk_ops fk_memory_ops;

extern "C" __attribute__((visibility("default"))) const fk_ops *fk_ops_open(uint32_t abi) {
    if (abi != FK_ABI) return nullptr;
    static const fk_ops table = [] {
        fk_ops t = fk_memory_ops;
        t.abi = FK_ABI;
        t.name = fk_backend_name();
        t.gemm_pack = fk_gemm_pack_cuda;
        t.gemm_unpack = fk_gemm_unpack_cuda;
        t.gemm = fk_gemm_cuda;
        t.quant_pack = fk_quant_pack_cuda;
        t.quant_unpack = fk_quant_unpack_cuda;
        t.quant_gemm = fk_quant_gemm_cuda;
        t.rmsnorm_fwd = fk_rmsnorm_fwd_cuda;
        t.rmsnorm_bwd = fk_rmsnorm_bwd_cuda;
        t.rope = fk_rope_cuda;
        t.swiglu_fwd = fk_swiglu_fwd_cuda;
        t.swiglu_bwd = fk_swiglu_bwd_cuda;
        t.embed_fwd = fk_embed_fwd_cuda;
        t.embed_bwd = fk_embed_bwd_cuda;
        t.route_fwd = fk_route_fwd_cuda;
        t.route_bwd = fk_route_bwd_cuda;
        t.route_sort = fk_route_sort_cuda;
        t.expert_gather = fk_expert_gather_cuda;
        t.expert_combine = fk_expert_combine_cuda;
        t.expert_swiglu_bwd = fk_expert_swiglu_bwd_cuda;
        t.group_pack = fk_group_pack_cuda;
        t.group_gemm = fk_group_gemm_cuda;
        t.group_pack_rows = fk_group_pack_rows_cuda;
        t.group_gemm_dw = fk_group_gemm_dw_cuda;
        t.attn_fwd = fk_attn_fwd_cuda;
        t.attn_bwd = fk_attn_bwd_cuda;
        t.paged_store = fk_paged_store_cuda;
        t.paged_attn = fk_paged_attn_cuda;
        t.linear_ce = fk_linear_ce_cuda;
        t.logprob = fk_logprob_cuda;
        t.cross_entropy = fk_cross_entropy_cuda;
        t.axpby = fk_axpby_cuda;
        t.fill = fk_fill_cuda;
        t.copy_columns = fk_copy_columns_cuda;
        t.sumsq = fk_sumsq_cuda;
        t.column_sums = fk_column_sums_cuda;
        t.adamw = fk_adamw_cuda;
        t.to_bf16 = fk_to_bf16_cuda;
        t.from_bf16 = fk_from_bf16_cuda;
        t.threads = fk_threads_cuda;
        t.measure_peak = fk_measure_peak_cuda;
        t.measure_bandwidth = fk_measure_bandwidth_cuda;
        return t;
    }();
    return &table;
}
#endif
