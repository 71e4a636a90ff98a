#ifndef FK_PAGED_ATTENTION_H
#define FK_PAGED_ATTENTION_H
#include "forge_kernels.h"

// The three forms of `fk_ops.paged_attn`; the vector ones may only be called where fk_cpu_best() allows them.
fk_status fk_paged_attn_ref(float *out, const float *q, const float *kpool, const float *vpool, const int32_t *block_table,
                            const int32_t *row_of, const int32_t *position, const fk_paged_shape *shape, fk_stream s);
fk_status fk_paged_attn_avx2(float *out, const float *q, const float *kpool, const float *vpool, const int32_t *block_table,
                             const int32_t *row_of, const int32_t *position, const fk_paged_shape *shape, fk_stream s);
fk_status fk_paged_attn_avx512(float *out, const float *q, const float *kpool, const float *vpool, const int32_t *block_table,
                               const int32_t *row_of, const int32_t *position, const fk_paged_shape *shape, fk_stream s);
#endif
