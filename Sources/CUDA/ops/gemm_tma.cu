// Products of bfloat16 on Hopper's own units: operands fetched by the tensor copy engine into a ring of tiles, multiplied by warp groups where
// there are many rows (sm_90a) and by warps where there are few. Every element is the chain of its k in steps of 16, from 0 or from what `out`
// holds: the bits of the tiles in gemm.cu, whichever of them a product takes.

constexpr int fk_tma_deep = 64;  // of a tile: rows of 128 bytes

struct fk_tma_job {
    fk_tensor_map a, b;  // rows of k
    float *out;
    int64_t m, k, n, ldo;
    int64_t pairs, across, group;  // pairs of row tiles, column tiles, pairs taken together so that an L2 holds their operands
    int32_t accumulate, unused[15] = {};
};

// -- many rows ------------------------------------------------------------------------------------------------------------------------------
// A block of three warp groups makes 128 rows by N columns: one group only fetches, two multiply 64 rows each. Two blocks of one cluster have
// the same columns: each fetches half of the operand they share and hands it to both, since an L2 could not feed each by itself.

constexpr int fk_tma_rows = 128, fk_tma_stages = 4, fk_tma_a_bytes = fk_tma_rows * fk_tma_deep * 2;
// Tiles start at a multiple of 1,024 bytes.
template <int N> struct fk_tma_sizes { static constexpr int b_bytes = N * fk_tma_deep * 2, stage = fk_tma_a_bytes + b_bytes, shared = fk_tma_stages * stage + 1024 + 128; };

#if FK_DEVICE_PASS && defined(__CUDA_ARCH_FEAT_SM90_ALL)

/// Arrives at the barrier that has this place in the shared memory of block `rank` of the cluster. Only copies and the units' reads are ordered by it: asked for
/// more (release at the cluster's scope), every arrival waits for all memory and the products for the arrivals.
FK_FN void fk_cluster_arrive(uint64_t *b, uint32_t rank) {
    asm volatile("{ .reg .b32 there; mapa.shared::cluster.u32 there, %0, %1; mbarrier.arrive.shared::cluster.b64 _, [there]; }" ::"r"(fk_shared_address(b)), "r"(rank) : "memory");
}
FK_FN void fk_cluster_sync() { asm volatile("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
/// fk_fetch_box into both blocks of the cluster, whose barriers at this place count the bytes.
FK_FN void fk_fetch_both(void *to, const fk_tensor_map &map, int64_t row, int64_t column, uint64_t *b) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(fk_shared_address(to)), "l"(&map),
                 "r"((int32_t)column), "r"((int32_t)row), "r"(fk_shared_address(b)), "h"((uint16_t)3) : "memory");
}
/// What the units are told of a tile: rows of 128 bytes, swizzled; eight of them make 1,024.
FK_FN uint64_t fk_tma_tile(const void *at) {
    return (uint64_t)((fk_shared_address(at) & 0x3ffff) >> 4) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}
FK_FN void fk_wgmma(float (&d)[128], uint64_t a, uint64_t b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
        "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
        "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
        "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
        "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
        "}, %128, %129, 1, 1, 1, 0, 0;"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
          "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
          "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
          "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
          "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63]),
          "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67]), "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71]),
          "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75]), "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79]),
          "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83]), "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87]),
          "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91]), "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95]),
          "+f"(d[96]), "+f"(d[97]), "+f"(d[98]), "+f"(d[99]), "+f"(d[100]), "+f"(d[101]), "+f"(d[102]), "+f"(d[103]),
          "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107]), "+f"(d[108]), "+f"(d[109]), "+f"(d[110]), "+f"(d[111]),
          "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115]), "+f"(d[116]), "+f"(d[117]), "+f"(d[118]), "+f"(d[119]),
          "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123]), "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])
        : "l"(a), "l"(b));
}
FK_FN void fk_wgmma(float (&d)[64], uint64_t a, uint64_t b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
        "}, %64, %65, 1, 1, 1, 0, 0;"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
          "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
          "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
          "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
          "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
        : "l"(a), "l"(b));
}

template <int N> FK_FN void fk_gemm_tma_block(const fk_tma_job &job) {
    constexpr int stage = fk_tma_sizes<N>::stage, b_half = fk_tma_sizes<N>::b_bytes / 2;
    unsigned char *tiles = (unsigned char *)(((uintptr_t)fk_shared_bytes + 1023) & ~(uintptr_t)1023);
    uint64_t *full = (uint64_t *)(tiles + fk_tma_stages * stage), *empty = full + fk_tma_stages;
    const uint32_t rank = (uint32_t)(fk_block() & 1);
    const int64_t cluster = fk_block() >> 1, in_group = cluster % (job.group * job.across), first = cluster / (job.group * job.across) * job.group;
    const int64_t high = fk_min(job.group, job.pairs - first);
    const int64_t row0 = (2 * (first + in_group % high) + rank) * fk_tma_rows, column0 = in_group / high * N;
    const int32_t steps = (int32_t)fk_ceil(job.k, fk_tma_deep);
    if (fk_thread() == 0) {
        for (int s = 0; s < fk_tma_stages; s++) {
            fk_barrier_init(full + s, 1);
            fk_barrier_init(empty + s, 16);  // the eight multiplying warps of both blocks
        }
        fk_barrier_publish();
    }
    fk_cluster_sync();

    if (fk_warp() < 4) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (fk_thread() == 0) {
            for (int32_t step = 0; step < steps; step++) {
                const int s = step % fk_tma_stages;
                unsigned char *a = tiles + s * stage, *b = a + fk_tma_a_bytes;
                fk_barrier_wait(empty + s, (step / fk_tma_stages & 1) ^ 1);
                fk_barrier_expect(full + s, stage);
                fk_fetch_box(a, job.a, row0, step * fk_tma_deep, full + s);
                fk_fetch_both(b + rank * b_half, job.b, column0 + rank * (N / 2), step * fk_tma_deep, full + s);
            }
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        const int half = fk_warp() / 4 - 1, lane = fk_lane();
        const int64_t row = row0 + 64 * half + 16 * (fk_warp() & 3) + lane / 4, column = column0 + 2 * (lane & 3);
        // How much of this thread's two rows and of its columns there is.
        const int columns = (int)fk_max(0, fk_min(N, job.n - column));
        float *rows[2] = {job.out + row * job.ldo + column, job.out + (row + 8) * job.ldo + column};
        const bool here[2] = {row < job.m, row + 8 < job.m};
        float d[N / 2];
#pragma unroll
        for (int i = 0; i < N / 2; i++) d[i] = 0.0f;
        if (job.accumulate)
#pragma unroll
            for (int i = 0; i < N / 2; i++)
                if (here[i >> 1 & 1] && (i >> 2) * 8 + (i & 1) < columns) d[i] = rows[i >> 1 & 1][(i >> 2) * 8 + (i & 1)];
        const auto multiply = [&](int32_t step) {
            const int s = step % fk_tma_stages;
            const unsigned char *a = tiles + s * stage + half * (fk_tma_a_bytes / 2), *b = tiles + s * stage + fk_tma_a_bytes;
            fk_barrier_wait(full + s, step / fk_tma_stages & 1);
            // What the sums start from is settled before the units touch them, or each product would wait for the one before.
#pragma unroll
            for (int i = 0; i < N / 2; i++) asm volatile("" : "+f"(d[i])::"memory");
            asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
            for (int part = 0; part < fk_tma_deep / 16; part++) fk_wgmma(d, fk_tma_tile(a + 32 * part), fk_tma_tile(b + 32 * part));
            asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        };
        multiply(0);
        for (int32_t step = 1; step < steps; step++) {
            multiply(step);
            // One step stays under way while the next one's tiles are waited for; the one before is read no more.
            asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
            if (lane < 2) fk_cluster_arrive(empty + (step - 1) % fk_tma_stages, (uint32_t)lane);
        }
        asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
        if (lane < 2) fk_cluster_arrive(empty + (steps - 1) % fk_tma_stages, (uint32_t)lane);
#pragma unroll
        for (int i = 0; i < N / 2; i++) asm volatile("" : "+f"(d[i])::"memory");
        const bool pairs = job.ldo % 2 == 0 && ((uintptr_t)job.out & 7) == 0;
#pragma unroll
        for (int i = 0; i < N / 2; i += 2) {
            const int c = (i >> 2) * 8;
            float *to = rows[i >> 1 & 1] + c;
            if (!here[i >> 1 & 1] || c >= columns) continue;
            if (pairs && c + 1 < columns) {
                *(float2 *)to = make_float2(d[i], d[i + 1]);
            } else {
                to[0] = d[i];
                if (c + 1 < columns) to[1] = d[i + 1];
            }
        }
    }
    // Neither block leaves while the other may still hand it tiles or arrive at its barriers.
    fk_cluster_sync();
}
extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(384, 1) fk_gemm_tma_256(const __grid_constant__ fk_tma_job job) { fk_begin(), fk_gemm_tma_block<256>(job); }
extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(384, 1) fk_gemm_tma_128(const __grid_constant__ fk_tma_job job) { fk_begin(), fk_gemm_tma_block<128>(job); }
#endif

// -- few rows -------------------------------------------------------------------------------------------------------------------------------
// Up to 64 rows read every weight once, and memory sets the pace: one warp keeps many tiles of columns under way, the others multiply 8 columns each.
// Four of those make blocks of 32 columns; two, of 16, where there would be fewer blocks than multiprocessors.

template <int MT, int workers> struct fk_few_sizes {
    static constexpr int columns = 8 * workers, a_bytes = MT * 16 * fk_tma_deep * 2, b_bytes = columns * fk_tma_deep * 2, stages = MT <= 2 ? 12 : 8;
};

#if !FK_DEVICE_PASS || __CUDA_ARCH__ >= 900
template <int MT, int workers> FK_FN void fk_gemm_few_block(const fk_tma_job &job) {
    using sizes = fk_few_sizes<MT, workers>;
    constexpr int a_count = sizes::a_bytes / 2, b_count = sizes::b_bytes / 2, stages = sizes::stages;
    fk_arena arena;
    const auto at = arena.take<uint16_t>(stages * a_count), bt = arena.take<uint16_t>(stages * b_count);
    const auto full = arena.take<uint64_t>(stages), empty = arena.take<uint64_t>(stages);
    const int64_t column0 = fk_block() * sizes::columns;
    const int32_t steps = (int32_t)fk_ceil(job.k, fk_tma_deep);
    if (fk_thread() == 0) {
        for (int s = 0; s < stages; s++) {
            fk_barrier_init(full + s, 1);
            fk_barrier_init(empty + s, workers);
        }
        fk_barrier_publish();
    }
    fk_sync();
    if (fk_warp() == workers) {
        if (fk_lane()) {
            fk_begin();
            return;
        }
        // The kernel before this one rounds the rows and writes nothing else, so the weights need not wait for it.
        const int32_t early = (int32_t)fk_min(stages, steps);
        for (int32_t step = 0; step < early; step++) {
            fk_barrier_expect(full + step, sizes::a_bytes + sizes::b_bytes);
            fk_fetch_box(bt + step * b_count, job.b, column0, step * fk_tma_deep, full + step);
        }
        fk_begin();
        for (int32_t step = 0; step < early; step++) fk_fetch_box(at + step * a_count, job.a, 0, step * fk_tma_deep, full + step);
        for (int32_t step = early; step < steps; step++) {
            const int s = step % stages;
            fk_barrier_wait(empty + s, (step / stages & 1) ^ 1);
            fk_barrier_expect(full + s, sizes::a_bytes + sizes::b_bytes);
            fk_fetch_box(bt + s * b_count, job.b, column0, step * fk_tma_deep, full + s);
            fk_fetch_box(at + s * a_count, job.a, 0, step * fk_tma_deep, full + s);
        }
        return;
    }
    fk_begin();
    const int lane = fk_lane();
    const int64_t column = column0 + 8 * fk_warp() + 2 * (lane & 3);
    float d[MT][4];
    for (int i = 0; i < MT; i++)
        for (int e = 0; e < 4; e++) {
            const int64_t r = 16 * i + lane / 4 + e / 2 * 8, c = column + e % 2;
            d[i][e] = job.accumulate && r < job.m && c < job.n ? job.out[r * job.ldo + c] : 0.0f;
        }
    // An element's products wait for one another. What the next ones need is read meanwhile.
    struct { uint32_t a[4][MT][4], b[2][4]; } ready[2];
    const auto read = [&](int32_t step, auto &to) {
        const int s = step % stages, row = 8 * fk_warp() + lane % 8;
        const auto ax = at + s * a_count, bx = bt + s * b_count;
        fk_barrier_wait(full + s, step / stages & 1);
#pragma unroll
        for (int half = 0; half < 2; half++) fk_ldmatrix(to.b[half], bx + (row * 64 + (((4 * half + lane / 8) ^ (row & 7)) * 8)));
#pragma unroll
        for (int part = 0; part < 4; part++)
#pragma unroll
            for (int i = 0; i < MT; i++) {
                const int r = 16 * i + lane % 16, c = 2 * part + lane / 16;
                fk_ldmatrix(to.a[part][i], ax + (r * 64 + ((c ^ (r & 7)) * 8)));
            }
    };
    const auto multiply = [&](int32_t step, const auto &from) {
#pragma unroll
        for (int part = 0; part < 4; part++) {
            const uint32_t two[2] = {from.b[part / 2][part % 2 * 2], from.b[part / 2][part % 2 * 2 + 1]};
#pragma unroll
            for (int i = 0; i < MT; i++) fk_mma_bf16(d[i], from.a[part][i], two);
        }
        fk_sync_warp();
        if (lane == 0) fk_barrier_arrive(empty + step % stages);
    };
    read(0, ready[0]);
    for (int32_t step = 0; step < steps; step += 2) {
        if (step + 1 < steps) read(step + 1, ready[1]);
        multiply(step, ready[0]);
        if (step + 1 == steps) break;
        if (step + 2 < steps) read(step + 2, ready[0]);
        multiply(step + 1, ready[1]);
    }
    for (int i = 0; i < MT; i++)
        for (int e = 0; e < 4; e++) {
            const int64_t r = 16 * i + lane / 4 + e / 2 * 8, c = column + e % 2;
            if (r < job.m && c < job.n) job.out[r * job.ldo + c] = d[i][e];
        }
}
#else
template <int MT, int workers> FK_FN void fk_gemm_few_block(const fk_tma_job &) {}
#endif
FK_KERNEL_EARLY(fk_gemm_few_16, fk_tma_job, 160) { fk_gemm_few_block<1, 4>(job); }
FK_KERNEL_EARLY(fk_gemm_few_16_narrow, fk_tma_job, 96) { fk_gemm_few_block<1, 2>(job); }
FK_KERNEL_EARLY(fk_gemm_few_32, fk_tma_job, 160) { fk_gemm_few_block<2, 4>(job); }
FK_KERNEL_EARLY(fk_gemm_few_64, fk_tma_job, 160) { fk_gemm_few_block<4, 4>(job); }

#if !FK_DEVICE_PASS
static fk_kernel fk_gemm_tma_256 = {"fk_gemm_tma_256", 384, nullptr, nullptr, 0}, fk_gemm_tma_128 = {"fk_gemm_tma_128", 384, nullptr, nullptr, 0};

template <int MT, int workers> static fk_status fk_launch_few(fk_tma_job &job, fk_kernel &kernel, const uint16_t *a, const uint16_t *b, int64_t lda, int64_t ldb, fk_stream s) {
    using sizes = fk_few_sizes<MT, workers>;
    fk_status status = fk_map_rows(&job.a, a, job.m, job.k, lda, 16 * MT, fk_tma_deep);
    if (status == FK_OK) status = fk_map_rows(&job.b, b, job.n, job.k, ldb, sizes::columns, fk_tma_deep);
    const size_t shared = sizes::stages * (sizes::a_bytes + sizes::b_bytes + 16);
    return status == FK_OK ? fk_launch(s, kernel, fk_ceil(job.n, sizes::columns), 1, shared, job) : status;
}

/// out[m,n] (+)= a·bᵀ, a [m, k] and b [n, k] of bfloat16, rows lda and ldb apart; the launch before this one did not write b. FK_UNSUPPORTED where the units are missing or cannot read the rows.
static fk_status fk_gemm_tma(float *out, const uint16_t *a, const uint16_t *b, int64_t m, int64_t k, int64_t n, int64_t lda, int64_t ldb, int64_t ldo, int32_t accumulate, fk_stream s) {
    if (!fk_has_engine(s) || k < 1 || lda % 8 || ldb % 8 || ((uintptr_t)a | (uintptr_t)b) % 16 || m > 0x7fffffff || n > 0x7fffffff || k > 0x7fffffff) return FK_UNSUPPORTED;
    fk_tma_job job = {};
    job.out = out;
    job.m = m, job.k = k, job.n = n, job.ldo = ldo, job.accumulate = accumulate;
    if (m <= 16 && fk_ceil(n, 32) < fk_processors(s)) return fk_launch_few<1, 2>(job, fk_gemm_few_16_narrow, a, b, lda, ldb, s);
    if (m <= 16) return fk_launch_few<1, 4>(job, fk_gemm_few_16, a, b, lda, ldb, s);
    if (m <= 32) return fk_launch_few<2, 4>(job, fk_gemm_few_32, a, b, lda, ldb, s);
    if (m <= 64) return fk_launch_few<4, 4>(job, fk_gemm_few_64, a, b, lda, ldb, s);
    if (fk_major(s) != 9) return FK_UNSUPPORTED;
    // Wide tiles read less; narrow ones keep more processors busy where there are few.
    const bool wide = fk_ceil(m, fk_tma_rows) * fk_ceil(n, 256) >= 2 * fk_processors(s);
    job.pairs = fk_ceil(m, 2 * fk_tma_rows), job.across = fk_ceil(n, wide ? 256 : 128), job.group = 8;
    fk_status status = fk_map_rows(&job.a, a, m, k, lda, fk_tma_rows, fk_tma_deep);
    if (status == FK_OK) status = fk_map_rows(&job.b, b, n, k, ldb, wide ? 128 : 64, fk_tma_deep);
    if (status != FK_OK) return status;
    return fk_launch(s, wide ? fk_gemm_tma_256 : fk_gemm_tma_128, 2 * job.pairs * job.across, 1, wide ? fk_tma_sizes<256>::shared : fk_tma_sizes<128>::shared, job);
}
#endif
