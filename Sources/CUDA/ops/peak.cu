// What a share is a share of: multiply-adds from registers and shared memory alone, and bytes read from memory.

struct fk_peak_job { float *out; int32_t rounds, unused = 0; };

/// Sixteen chains of fused multiply-adds a thread.
FK_KERNEL(fk_peak_f32, fk_peak_job, 256) {
    float sum[16];
    for (int i = 0; i < 16; i++) sum[i] = (float)(fk_thread() + i);
    for (int32_t round = 0; round < job.rounds; round++)
        for (int i = 0; i < 16; i++) sum[i] = fk_fma(sum[i], 0.999f, 0.001f);
    float all = 0.0f;
    for (int i = 0; i < 16; i++) all = all + sum[i];
    job.out[fk_block() * 256 + fk_thread()] = all;
}

/// Eight chains of a warp's tile a warp.
FK_KERNEL(fk_peak_s8, fk_peak_job, 256) {
    int32_t sum[8][4] = {};
    const uint32_t a[4] = {0x01020304u + (uint32_t)fk_thread(), 0x7f01fe02u, 0x03050709u, 0x01fd02fcu}, b[2] = {0x01ff0203u, 0xfe010203u};
    for (int32_t round = 0; round < job.rounds; round++)
        for (int i = 0; i < 8; i++) fk_mma_s8(sum[i], a, b);
    int32_t all = 0;
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 4; j++) all += sum[i][j];
    job.out[fk_block() * 256 + fk_thread()] = (float)all;
}

#if FK_DEVICE_PASS && defined(__CUDA_ARCH_FEAT_SM90_ALL)
/// d += a·b for a warp group (four warps): 64×16 by 16×128, both read from shared memory as 8×8 pieces of 128 bytes.
FK_FN void fk_peak_wgmma(float (&d)[64], uint64_t a, uint64_t b) {
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
#endif

/// The tile that the processor is built for: a warp group's on sm_90a, a warp's elsewhere.
FK_KERNEL(fk_peak_bf16, fk_peak_job, 256) {
    fk_arena arena;
    // Numbers near one with differing bits: tiles of zeroes run faster than any real ones.
    const auto tiles = arena.take<uint32_t>(2048);
    for (int i = fk_thread(); i < 2048; i += 256) tiles[i] = 0x3f003f80u ^ (uint32_t)(i * 2654435761u & 0x007f80ffu);
    fk_sync();
    float all = 0.0f;
#if FK_DEVICE_PASS && defined(__CUDA_ARCH_FEAT_SM90_ALL)
    float sum[64] = {};
    // Where a piece starts, and from one piece to the next along k and along the rows, all in sixteenths.
    const uint64_t apart = (uint64_t)(128 >> 4) << 16 | (uint64_t)(256 >> 4) << 32;
    const uint64_t a = (fk_shared_address(tiles) & 0x3ffff) >> 4 | apart, b = (fk_shared_address(tiles + 512) & 0x3ffff) >> 4 | apart;
    for (int32_t round = 0; round < job.rounds; round++) {
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
        for (int i = 0; i < 8; i++) fk_peak_wgmma(sum, a, b);
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    }
    for (int i = 0; i < 64; i++) all = all + sum[i];
#else
    float sum[8][4] = {};
    const uint32_t a[4] = {tiles[fk_thread()], tiles[fk_thread() + 256], tiles[fk_thread() + 512], tiles[fk_thread() + 768]};
    const uint32_t b[2] = {tiles[fk_thread() + 1024], tiles[fk_thread() + 1280]};
    // As much work as a round of the other form: 8·64·16·128 multiply-adds for four warps.
    for (int32_t round = 0; round < job.rounds; round++)
        for (int again = 0; again < 16; again++)
            for (int i = 0; i < 8; i++) fk_mma_bf16(sum[i], a, b);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 4; j++) all = all + sum[i][j];
#endif
    job.out[fk_block() * 256 + fk_thread()] = all;
}

struct fk_reading_job { float *out; const float4 *from; int64_t count, step; };

/// Reads 16 bytes a thread, `step` threads in all.
FK_KERNEL(fk_read_all, fk_reading_job, 256) {
    const int64_t first = fk_block() * 256 + fk_thread();
    float sum[4] = {};
    for (int64_t i = first; i < job.count; i += 4 * job.step)
        for (int part = 0; part < 4; part++)
            if (i + part * job.step < job.count) {
                const float4 v = job.from[i + part * job.step];
                sum[part] = sum[part] + ((v.x + v.y) + (v.z + v.w));
            }
    job.out[first] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

#if !FK_DEVICE_PASS
static double fk_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int32_t fk_threads_cuda(fk_stream) { return 1; }

static double fk_measure_peak_cuda(int32_t flags, int32_t milliseconds, fk_stream s) {
    // Operations of a block and round: 256 threads of 16 chains; 8 warps of 8 tiles; 2 warp groups of 8 tiles.
    fk_kernel &kernel = flags & FK_BF16 ? fk_peak_bf16 : flags & FK_INT8 ? fk_peak_s8 : fk_peak_f32;
    const double work = flags & FK_BF16 ? 2.0 * 2 * 8 * 64 * 16 * 128 : flags & FK_INT8 ? 2.0 * 8 * 8 * 16 * 32 * 8 : 2.0 * 256 * 16;
    const int64_t blocks = 4 * (int64_t)fk_processors(s);
    void *out;
    if (fk_scratch(&out, s, (size_t)blocks * 256 * sizeof(float)) != FK_OK) return 0;
    fk_peak_job job = {(float *)out, 1};
    const double end = fk_seconds() + 1e-3 * milliseconds;
    double best = 0;
    do {
        const double before = fk_seconds();
        if (fk_launch(s, kernel, blocks, 1, 8192, job) != FK_OK || fk_sync_cuda(s) != FK_OK) return 0;
        const double took = fk_seconds() - before, rate = work * (double)blocks * job.rounds / took;
        if (rate > best) best = rate;
        // Long enough that the launch itself does not count.
        if (took < 2e-3 && job.rounds < 1 << 20) job.rounds *= 2;
    } while (fk_seconds() < end);
    return best;
}

static double fk_measure_bandwidth_cuda(size_t bytes, int32_t rounds, fk_stream s) {
    // Several times what a cache holds.
    bytes = bytes < (size_t)1 << 30 && fk_processors(s) > 16 ? (size_t)1 << 30 : bytes;
    const int64_t blocks = 16 * (int64_t)fk_processors(s);
    void *memory;
    if (fk_scratch(&memory, s, bytes + (size_t)blocks * 256 * sizeof(float)) != FK_OK || fk_clear(memory, bytes, s) != FK_OK) return 0;
    const fk_reading_job job = {(float *)((char *)memory + bytes / 16 * 16), (const float4 *)memory, (int64_t)(bytes / 16), blocks * 256};
    double best = 0;
    for (int32_t i = 0; i < rounds; i++) {
        if (fk_sync_cuda(s) != FK_OK) return 0;
        const double before = fk_seconds();
        for (int turn = 0; turn < 4; turn++)
            if (fk_launch(s, fk_read_all, blocks, 1, 0, job) != FK_OK) return 0;
        if (fk_sync_cuda(s) != FK_OK) return 0;
        const double rate = 4.0 * (double)(bytes / 16 * 16) / (fk_seconds() - before);
        if (rate > best) best = rate;
    }
    return best;
}
#endif
