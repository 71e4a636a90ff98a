// Products of many matrices at once, one a group of rows: rows starts[g]..<starts[g+1] belong to group g. Each group's product is
// the product of gemm.h, tile by tile; all groups' tiles are tasks of one run, so small groups leave no thread idle.
static int FK(groups_fit)(const int32_t *starts, int64_t groups, int64_t rows) {
    if (groups < 0 || starts[0] != 0 || starts[groups] != rows) return 0;
    for (int64_t g = 0; g < groups; g++)
        if (starts[g] > starts[g + 1]) return 0;
    return 1;
}

#ifdef FK_REFERENCE

static fk_status FK(group_pack)(float *packed, const float *src, int64_t groups, int64_t src_stride, int64_t k, int64_t n, int64_t ld,
                                fk_layout layout, fk_stream s) {
    for (int64_t g = 0; g < groups; g++) FK(gemm_pack)(packed + g * fk_packed_count(k, n), src + g * src_stride, k, n, ld, layout, s);
    return FK_OK;
}

static fk_status FK(group_gemm)(float *out, const float *a, const float *packed, const int32_t *starts, int64_t groups, int64_t m,
                                int64_t k, int64_t n, int64_t lda, int64_t ldo, int32_t flags, fk_stream s) {
    if (!FK(groups_fit)(starts, groups, m)) return FK_BAD_SHAPE;
    for (int64_t g = 0; g < groups; g++)
        FK(gemm)(out + starts[g] * ldo, a + starts[g] * lda, packed + g * fk_packed_count(k, n), starts[g + 1] - starts[g], k, n, lda, 1, ldo, flags, s);
    return FK_OK;
}

static fk_status FK(group_pack_rows)(float *packed, const float *src, const int32_t *starts, int64_t groups, int64_t m, int64_t n,
                                     int64_t ld, int32_t flags, fk_stream s) {
    if (!FK(groups_fit)(starts, groups, m)) return FK_BAD_SHAPE;
    for (int64_t g = 0; g < groups; g++)
        FK(gemm_pack)(packed + fk_packed_count(starts[g], n), src + starts[g] * ld, starts[g + 1] - starts[g], n, ld, (fk_layout)(FK_KN | flags), s);
    return FK_OK;
}

static fk_status FK(group_gemm_dw)(float *dw, const float *dy, const float *packed, const int32_t *starts, int64_t groups, int64_t dw_stride,
                                   int64_t m, int64_t n, int64_t k, int64_t ldy, int64_t ldo, int32_t flags, fk_stream s) {
    if (!FK(groups_fit)(starts, groups, m)) return FK_BAD_SHAPE;
    for (int64_t g = 0; g < groups; g++)
        FK(gemm)(dw + g * dw_stride, dy + starts[g] * ldy, packed + fk_packed_count(starts[g], k), n, starts[g + 1] - starts[g], k, 1, ldy, ldo, flags, s);
    return FK_OK;
}

#else

struct FK(group_pack_job) { struct FK(pack_job) pack; const int32_t *starts; int64_t src_stride; fk_body body; };

static void FK(group_pack_task)(void *context, int64_t task, void *scratch) {
    const struct FK(group_pack_job) *job = context;
    const int64_t panels = fk_ceil(job->pack.n, FK_PANEL), g = task / panels;
    struct FK(pack_job) own = job->pack;
    if (job->starts) {
        own.k = job->starts[g + 1] - job->starts[g];
        own.src += job->starts[g] * own.ld;
        own.packed += fk_packed_count(job->starts[g], own.n);
    } else {
        own.src += g * job->src_stride;
        own.packed += g * fk_packed_count(own.k, own.n);
    }
    job->body(&own, task % panels, scratch);
}

static fk_status FK(group_pack)(float *packed, const float *src, int64_t groups, int64_t src_stride, int64_t k, int64_t n, int64_t ld,
                                fk_layout layout, fk_stream s) {
    if (groups < 0 || k < 0 || n < 0) return FK_BAD_SHAPE;
    struct FK(group_pack_job) job = {{packed, src, k, n, ld, (fk_layout)(layout & ~FK_BF16)}, NULL, src_stride, layout & FK_BF16 ? FK(pack_bf16_body)() : FK(pack_panel)};
    fk_run(s, groups * fk_ceil(n, FK_PANEL), FK(group_pack_task), &job);
    return FK_OK;
}

static fk_status FK(group_pack_rows)(float *packed, const float *src, const int32_t *starts, int64_t groups, int64_t m, int64_t n,
                                     int64_t ld, int32_t flags, fk_stream s) {
    if (!FK(groups_fit)(starts, groups, m)) return FK_BAD_SHAPE;
    struct FK(group_pack_job) job = {{packed, src, 0, n, ld, FK_KN}, starts, 0, flags & FK_BF16 ? FK(pack_bf16_body)() : FK(pack_panel)};
    fk_run(s, groups * fk_ceil(n, FK_PANEL), FK(group_pack_task), &job);
    return FK_OK;
}

struct FK(group_job) { struct FK(gemm_job) gemm; const int32_t *starts; int64_t groups, dw_stride, panel_blocks; fk_body body; };

/// Finds the group a tile lies in by counting tiles: groups are few beside the multiplications of a tile.
static void FK(group_rows_task)(void *context, int64_t task, void *scratch) {
    const struct FK(group_job) *job = context;
    struct FK(gemm_job) own = job->gemm;
    int64_t g = 0, tiles;
    for (;; g++, task -= tiles) {
        own.m = job->starts[g + 1] - job->starts[g];
        own.row_blocks = fk_ceil(own.m, own.row_block);
        tiles = own.row_blocks * job->panel_blocks;
        if (task < tiles) break;
    }
    own.out += job->starts[g] * own.ldo;
    own.a += job->starts[g] * own.a_rs;
    own.packed += g * fk_packed_count(own.k, own.n);
    job->body(&own, task, scratch);
}

static fk_status FK(group_gemm)(float *out, const float *a, const float *packed, const int32_t *starts, int64_t groups, int64_t m,
                                int64_t k, int64_t n, int64_t lda, int64_t ldo, int32_t flags, fk_stream s) {
    if (k < 0 || n < 0 || ldo < n || !FK(groups_fit)(starts, groups, m)) return FK_BAD_SHAPE;
    if (m == 0 || n == 0) return FK_OK;
    struct FK(group_job) job = {{out, a, packed, 0, k, n, lda, 1, ldo, flags & FK_ACCUMULATE, FK(streams)(out, ldo, m * n), FK_TASK_ROWS, FK_TASK_PANELS, 0}, starts, groups, 0, 0,
                                flags & FK_BF16 ? FK(gemm_bf16_body)() : FK(gemm_task)};
    const int64_t panels = fk_ceil(n, FK_PANEL), wanted = FK(wanted_tasks)(s);
    for (;;) {
        int64_t blocks = 0;
        for (int64_t g = 0; g < groups; g++) blocks += fk_ceil(starts[g + 1] - starts[g], job.gemm.row_block);
        job.panel_blocks = fk_ceil(panels, job.gemm.panel_block);
        if (blocks * job.panel_blocks >= wanted || !FK(cut_tasks)(&job.gemm)) {
            fk_run(s, blocks * job.panel_blocks, FK(group_rows_task), &job);
            return FK_OK;
        }
    }
}

static void FK(group_dw_task)(void *context, int64_t task, void *scratch) {
    const struct FK(group_job) *job = context;
    struct FK(gemm_job) own = job->gemm;
    const int64_t tiles = own.row_blocks * job->panel_blocks, g = task / tiles, first = job->starts[g];
    own.k = job->starts[g + 1] - first;
    if (own.k == 0 && own.accumulate) return;
    own.out += g * job->dw_stride;
    own.a += first * own.a_cs;
    own.packed += fk_packed_count(first, own.n);
    job->body(&own, task % tiles, scratch);
}

static fk_status FK(group_gemm_dw)(float *dw, const float *dy, const float *packed, const int32_t *starts, int64_t groups, int64_t dw_stride,
                                   int64_t m, int64_t n, int64_t k, int64_t ldy, int64_t ldo, int32_t flags, fk_stream s) {
    if (n < 0 || k < 0 || ldo < k || !FK(groups_fit)(starts, groups, m)) return FK_BAD_SHAPE;
    if (n == 0 || k == 0) return FK_OK;
    struct FK(group_job) job = {{dw, dy, packed, n, 0, k, 1, ldy, ldo, flags & FK_ACCUMULATE, FK(streams)(dw, ldo, n * k) && dw_stride % 16 == 0, FK(row_block)(n), FK_TASK_PANELS, 0}, starts, groups, dw_stride, 0,
                                flags & FK_BF16 ? FK(gemm_bf16_body)() : FK(gemm_task)};
    const int64_t panels = fk_ceil(k, FK_PANEL), wanted = FK(wanted_tasks)(s);
    for (;;) {
        job.gemm.row_blocks = fk_ceil(n, job.gemm.row_block);
        job.panel_blocks = fk_ceil(panels, job.gemm.panel_block);
        const int64_t tasks = groups * job.gemm.row_blocks * job.panel_blocks;
        if (tasks >= wanted || !FK(cut_tasks)(&job.gemm)) {
            fk_run(s, tasks, FK(group_dw_task), &job);
            return FK_OK;
        }
    }
}

#endif
