#ifndef FK_SIMT_H
#define FK_SIMT_H
// The thin layer that a kernel's source is written against, so that one source runs in three ways.
//
// owns      the words a kernel may use: threads, warps, barriers, shuffles, shared memory, asynchronous copies, matrix tiles, arithmetic
// promises  FK_DEVICE_PASS (nvcc): each word is the CUDA of the same meaning and costs nothing more;
//           FK_SIMT (any C++ compiler): the blocks run on the host, and every access to shared memory is checked (simt_host.cpp);
//           neither: only the side that launches, and the kernels are found by name in the fat binary (driver.cpp)
// never     reassociates: a*b + c is two roundings, fk_fma one (nvcc runs with -fmad=false)
// flow      op(…, stream) → fk_launch(stream, kernel, blocks…, job) → the kernel's body reads its job, once a thread
//
// A kernel takes one struct by value, `job`. Blocks have one dimension of threads, grids two. A warp is 32 consecutive threads, and the words
// that say `warp` are called by all 32 of them. Shared memory is asked for with fk_arena in the same order by every thread.
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "../CForgeKernels/include/forge_kernels.h"

#if defined(__CUDACC__)
#define FK_DEVICE_PASS 1
#endif

#if FK_DEVICE_PASS
#define FK_FN static __device__ __forceinline__
#define FK_CONST static __device__ const
#else
#define FK_FN static inline __attribute__((unused))
#define FK_CONST static const
#endif

FK_FN int64_t fk_min(int64_t a, int64_t b) { return a < b ? a : b; }
FK_FN int64_t fk_max(int64_t a, int64_t b) { return a > b ? a : b; }
FK_FN int64_t fk_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// How the tensor copy engine finds a matrix (CUtensorMap).
struct alignas(64) fk_tensor_map { uint64_t words[16]; };

#if FK_DEVICE_PASS
// -- on a GPU -------------------------------------------------------------------------------------------------------------------------------

/// What every kernel begins with: from here on, what the stream was given before is done and seen. A kernel may be started before that (driver.cpp), so that what
/// starting costs is over by then; the next one may be started from here on.
FK_FN void fk_begin() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait; griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
#define FK_KERNEL(name, Job, threads)                                                                                     \
    FK_FN void name##_body(const Job &job);                                                                               \
    extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Job job) { fk_begin(); name##_body(job); } \
    FK_FN void name##_body(const Job &job)
/// A kernel that calls fk_begin itself, in every thread, before it reads what another kernel may have written a moment ago or writes anything.
#define FK_KERNEL_EARLY(name, Job, threads) extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Job job)

FK_FN int fk_thread() { return (int)threadIdx.x; }
FK_FN int fk_threads() { return (int)blockDim.x; }
FK_FN int64_t fk_block() { return (int64_t)blockIdx.x; }
FK_FN int64_t fk_block_y() { return (int64_t)blockIdx.y; }
FK_FN void fk_sync() { __syncthreads(); }
FK_FN void fk_sync_warp() { __syncwarp(); }
template <class T> FK_FN T fk_shuffle(T value, int lane) { return __shfl_sync(0xffffffffu, value, lane); }
template <class T> FK_FN T fk_shuffle_xor(T value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
FK_FN uint32_t fk_ballot(bool here) { return __ballot_sync(0xffffffffu, here); }

template <class T> using fk_shared = T *;
extern __shared__ __align__(128) unsigned char fk_shared_bytes[];
struct fk_arena {
    uint32_t at = 0;
    template <class T> __device__ __forceinline__ T *take(int64_t count) {
        T *here = (T *)(fk_shared_bytes + at);
        at += (uint32_t)((count * sizeof(T) + 15) / 16 * 16);
        return here;
    }
};
/// The same memory read as another type.
template <class T, class U> FK_FN T *fk_as(U *p) { return (T *)p; }

FK_FN uint32_t fk_shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
/// Starts a copy of 16 (8, 4) bytes into shared memory, of which the first `bytes` come from `from` and the rest are zero. Both are aligned to the size.
template <class T> FK_FN void fk_async16(T *to, const void *from, int bytes = 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(fk_shared_address(to)), "l"(from), "r"(bytes));
}
template <class T> FK_FN void fk_async8(T *to, const void *from, int bytes = 8) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(fk_shared_address(to)), "l"(from), "r"(bytes));
}
template <class T> FK_FN void fk_async4(T *to, const void *from, int bytes = 4) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(fk_shared_address(to)), "l"(from), "r"(bytes));
}
/// Closes a group of the copies this thread has started.
FK_FN void fk_async_commit() { asm volatile("cp.async.commit_group;"); }
/// Waits until at most N of this thread's groups are under way. Others see the bytes after a barrier.
template <int N> FK_FN void fk_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N)); }

/// A barrier of its own in shared memory, for some of a block's threads and for copies: a phase ends when `count` arrivals and all the bytes that
/// were announced have come. The first phase has parity 0; waiting for parity 1 before it ended returns at once.
FK_FN void fk_barrier_init(uint64_t *b, int count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(fk_shared_address(b)), "r"(count));
}
/// After the inits, before a barrier of the block: copies of the engine see them too.
FK_FN void fk_barrier_publish() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
FK_FN void fk_barrier_arrive(uint64_t *b) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(fk_shared_address(b)) : "memory"); }
/// Arrives, and announces bytes.
FK_FN void fk_barrier_expect(uint64_t *b, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(fk_shared_address(b)), "r"(bytes) : "memory");
}
FK_FN void fk_barrier_wait(uint64_t *b, int parity) {
    uint32_t done;
    do {
        asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }" : "=r"(done) : "r"(fk_shared_address(b)), "r"(parity) : "memory");
    } while (!done);
}
/// Has the tensor copy engine fetch the box of `map` at (row, column) to `to`, a multiple of 1,024 bytes, rows of 128 bytes whose eighth c lies at c ^ (row % 8);
/// the barrier counts the bytes, also of what lies outside the matrix and reads as zero. One thread calls it.
template <class T> FK_FN void fk_fetch_box(T *to, const fk_tensor_map &map, int64_t row, int64_t column, uint64_t *b) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(fk_shared_address(to)), "l"(&map), "r"((int32_t)column),
                 "r"((int32_t)row), "r"(fk_shared_address(b)) : "memory");
}

/// Four 8×8 matrices of 16-bit elements: lane l gives the address of row l % 8 of matrix l / 8 (16 bytes, aligned) and receives of each
/// matrix the two elements (row l / 4, columns 2 (l % 4) and + 1); `_trans` receives those of the transposed matrices.
FK_FN void fk_ldmatrix(uint32_t (&r)[4], const uint16_t *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(fk_shared_address(row)));
}
FK_FN void fk_ldmatrix_trans(uint32_t (&r)[4], const uint16_t *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(fk_shared_address(row)));
}
/// d += a·b on a warp's tile: a 16×16, b 16×8 of bfloat16, d 16×8 of float. With g = lane / 4, c = 2 (lane % 4):
/// a[0] = A[g][c,c+1], a[1] = A[g+8][c,c+1], a[2] = A[g][c+8,c+9], a[3] = A[g+8][c+8,c+9]; b[0] = B[c,c+1][g], b[1] = B[c+8,c+9][g];
/// d[0,1] = D[g][c,c+1], d[2,3] = D[g+8][c,c+1]. The element of the lower index is in the lower half.
FK_FN void fk_mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/// The same with a 16×32, b 32×8 of int8 and d of int32, exact. With c = 4 (lane % 4): a[0] = A[g][c…c+3], a[1] = A[g+8][c…], a[2] = A[g][c+16…],
/// a[3] = A[g+8][c+16…]; b[0] = B[c…c+3][g], b[1] = B[c+16…][g]; d as above.
FK_FN void fk_mma_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/// c + Σ of four products of signed bytes.
FK_FN int32_t fk_dot4(uint32_t a, uint32_t b, int32_t c) { return __dp4a((int)a, (int)b, c); }

/// The number of the lowest bit set; one must be.
FK_FN int fk_lowest(uint32_t bits) { return __ffs((int)bits) - 1; }
FK_FN float fk_fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
FK_FN float fk_bits_float(uint32_t bits) { return __uint_as_float(bits); }
FK_FN uint32_t fk_float_bits(float x) { return __float_as_uint(x); }
/// 2^x within two units in the last place, 0 below the normal range.
FK_FN float fk_exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
FK_FN float fk_of_half(uint16_t bits) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(bits));
    return y;
}
FK_FN uint16_t fk_half(float x) {
    uint16_t y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}
/// Two floats rounded to bfloat16, `low` in the lower half; NaN stays NaN.
FK_FN uint32_t fk_bf16_pair(float low, float high) {
    uint32_t y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}
/// Sets a word that many threads may set at once.
FK_FN void fk_raise(int32_t *word, int32_t value) { *(volatile int32_t *)word = value; }

#else
// -- on the host ----------------------------------------------------------------------------------------------------------------------------

struct fk_kernel {
    const char *name;
    int threads;
    void (*body)(const void *job);  // FK_SIMT
    void *function;                 // CUkernel, once it was looked up
    size_t shared;                  // what the function was last prepared for
};
#if FK_SIMT
#define FK_BODY(name, Job) [](const void *job) { name##_body(*(const Job *)job); }
#else
#define FK_BODY(name, Job) nullptr
#endif
#define FK_KERNEL(name, Job, threads)                                            \
    __attribute__((unused)) static void name##_body(const Job &job);             \
    static fk_kernel name = {#name, threads, FK_BODY(name, Job), nullptr, 0};    \
    static void name##_body(const Job &job)
#define FK_KERNEL_EARLY(name, Job, threads) FK_KERNEL(name, Job, threads)
FK_FN void fk_begin() {}

/// Runs `x` by `y` blocks of the kernel's threads with `shared` bytes of shared memory each, after what the stream was given before.
fk_status fk_launch_bytes(fk_stream s, fk_kernel &kernel, int64_t x, int64_t y, size_t shared, const void *job, size_t job_bytes);
template <class Job> static inline fk_status fk_launch(fk_stream s, fk_kernel &kernel, int64_t x, int64_t y, size_t shared, const Job &job) {
    static_assert(sizeof(Job) <= 4096, "a job is what a kernel takes by value");
    return fk_launch_bytes(s, kernel, x, y, shared, &job, sizeof job);
}
/// `bytes` of the device's memory that hold until the stream's next operation.
fk_status fk_scratch(void **out, fk_stream s, size_t bytes);
/// A word that a kernel raises (fk_raise) to have the next sync return that status.
int32_t *fk_trouble(fk_stream s);
/// Zeroes, after what the stream was given before.
fk_status fk_clear(void *memory, size_t bytes, fk_stream s);
/// Multiprocessors.
int fk_processors(fk_stream s);
/// The major number of the device's compute capability; 0 where the host runs the kernels.
int fk_major(fk_stream s);
/// Whether there is a tensor copy engine (or the host plays one).
bool fk_has_engine(fk_stream s);
/// Describes rows × columns of 16-bit elements, rows `stride` apart, to be fetched in boxes of box_rows × box_columns (128 bytes, swizzled). What lies outside reads as zero.
fk_status fk_map_rows(fk_tensor_map *out, const void *base, int64_t rows, int64_t columns, int64_t stride, int32_t box_rows, int32_t box_columns);
/// The table's `sync`.
fk_status fk_sync_cuda(fk_stream s);

// What follows is the host's meaning of each word. Without FK_SIMT it only has to compile: no body is ever called.
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) uint4 { uint32_t x, y, z, w; };
struct alignas(8) uint2 { uint32_t x, y; };
struct alignas(16) int4 { int32_t x, y, z, w; };
static inline __attribute__((unused)) float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline __attribute__((unused)) float2 make_float2(float x, float y) { return {x, y}; }
static inline __attribute__((unused)) uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
static inline __attribute__((unused)) uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }

int fk_simt_thread();
int fk_simt_threads();
int64_t fk_simt_block(int axis);
void fk_simt_sync();
void fk_simt_sync_warp();
/// Gives `bytes` (at most 64) to the other lanes of the warp and returns the 32 pieces, 64 bytes apart; they hold until the lane's next exchange.
const unsigned char *fk_simt_exchange(const void *mine, size_t bytes);
/// Checks an access to shared memory and returns where it is.
unsigned char *fk_simt_read(uint32_t at, size_t bytes);
unsigned char *fk_simt_write(uint32_t at, size_t bytes);
/// Ends the program unless [at, at + bytes) lies in the block's shared memory.
void fk_simt_bounds(int64_t at, size_t bytes);
void fk_simt_async(uint32_t to, const void *from, size_t size, size_t bytes);
void fk_simt_async_commit();
void fk_simt_async_wait(int left);

FK_FN int fk_thread() { return fk_simt_thread(); }
FK_FN int fk_threads() { return fk_simt_threads(); }
FK_FN int64_t fk_block() { return fk_simt_block(0); }
FK_FN int64_t fk_block_y() { return fk_simt_block(1); }
FK_FN void fk_sync() { fk_simt_sync(); }
FK_FN void fk_sync_warp() { fk_simt_sync_warp(); }
template <class T> FK_FN T fk_lane_of(const unsigned char *pieces, int lane) {
    T value;
    memcpy(&value, pieces + 64 * lane, sizeof value);
    return value;
}
template <class T> FK_FN T fk_shuffle(T value, int lane) { return fk_lane_of<T>(fk_simt_exchange(&value, sizeof value), lane & 31); }
template <class T> FK_FN T fk_shuffle_xor(T value, int mask) { return fk_lane_of<T>(fk_simt_exchange(&value, sizeof value), (fk_simt_thread() & 31) ^ mask); }
FK_FN uint32_t fk_ballot(bool here) {
    const unsigned char *pieces = fk_simt_exchange(&here, sizeof here);
    uint32_t all = 0;
    for (int lane = 0; lane < 32; lane++) all |= (uint32_t)fk_lane_of<bool>(pieces, lane) << lane;
    return all;
}

/// An element of shared memory: reading and writing it are checked.
template <class T> struct fk_cell {
    uint32_t at;
    operator T() const {
        T value;
        memcpy(&value, fk_simt_read(at, sizeof value), sizeof value);
        return value;
    }
    const fk_cell &operator=(T value) const {
        memcpy(fk_simt_write(at, sizeof value), &value, sizeof value);
        return *this;
    }
    const fk_cell &operator=(const fk_cell &other) const { return *this = (T)other; }
    const fk_cell &operator+=(T value) const { return *this = (T)*this + value; }
    const fk_cell &operator*=(T value) const { return *this = (T)*this * value; }
};
/// A pointer into the block's shared memory.
template <class T> struct fk_shared {
    uint32_t at;
    fk_cell<T> operator[](int64_t i) const {
        const int64_t where = at + i * (int64_t)sizeof(T);
        fk_simt_bounds(where, sizeof(T));
        return {(uint32_t)where};
    }
    fk_cell<T> operator*() const { return (*this)[0]; }
    fk_shared operator+(int64_t i) const { return {(uint32_t)(at + i * (int64_t)sizeof(T))}; }
    fk_shared operator-(int64_t i) const { return {(uint32_t)(at - i * (int64_t)sizeof(T))}; }
    fk_shared &operator+=(int64_t i) { return *this = *this + i; }
};
struct fk_arena {
    uint32_t at = 0;
    template <class T> fk_shared<T> take(int64_t count) {
        const fk_shared<T> here = {at};
        at += (uint32_t)((count * (int64_t)sizeof(T) + 15) / 16 * 16);
        fk_simt_bounds(here.at, at - here.at);
        return here;
    }
};
template <class T, class U> FK_FN fk_shared<T> fk_as(fk_shared<U> p) { return {p.at}; }

template <class T> FK_FN void fk_async16(fk_shared<T> to, const void *from, int bytes = 16) { fk_simt_async(to.at, from, 16, (size_t)bytes); }
template <class T> FK_FN void fk_async8(fk_shared<T> to, const void *from, int bytes = 8) { fk_simt_async(to.at, from, 8, (size_t)bytes); }
template <class T> FK_FN void fk_async4(fk_shared<T> to, const void *from, int bytes = 4) { fk_simt_async(to.at, from, 4, (size_t)bytes); }
FK_FN void fk_async_commit() { fk_simt_async_commit(); }
template <int N> FK_FN void fk_async_wait() { fk_simt_async_wait(N); }

void fk_simt_barrier_init(uint32_t at, int count);
void fk_simt_barrier_arrive(uint32_t at, int bytes);
void fk_simt_barrier_wait(uint32_t at, int parity);
void fk_simt_fetch_box(uint32_t to, const fk_tensor_map &map, int64_t row, int64_t column, uint32_t barrier);
FK_FN void fk_barrier_init(fk_shared<uint64_t> b, int count) { fk_simt_barrier_init(b.at, count); }
FK_FN void fk_barrier_publish() {}
FK_FN void fk_barrier_arrive(fk_shared<uint64_t> b) { fk_simt_barrier_arrive(b.at, 0); }
FK_FN void fk_barrier_expect(fk_shared<uint64_t> b, int bytes) { fk_simt_barrier_arrive(b.at, bytes); }
FK_FN void fk_barrier_wait(fk_shared<uint64_t> b, int parity) { fk_simt_barrier_wait(b.at, parity); }
template <class T> FK_FN void fk_fetch_box(fk_shared<T> to, const fk_tensor_map &map, int64_t row, int64_t column, fk_shared<uint64_t> b) {
    fk_simt_fetch_box(to.at, map, row, column, b.at);
}

/// The row that this lane names, given to all.
FK_FN const unsigned char *fk_matrix_rows(fk_shared<uint16_t> row) {
    if (row.at % 16) __builtin_trap();
    return fk_simt_exchange(fk_simt_read(row.at, 16), 16);
}
FK_FN void fk_ldmatrix(uint32_t (&r)[4], fk_shared<uint16_t> row) {
    const unsigned char *rows = fk_matrix_rows(row);
    const int lane = fk_simt_thread() & 31;
    for (int i = 0; i < 4; i++) memcpy(&r[i], rows + 64 * (8 * i + lane / 4) + 4 * (lane % 4), 4);
}
FK_FN void fk_ldmatrix_trans(uint32_t (&r)[4], fk_shared<uint16_t> row) {
    const unsigned char *rows = fk_matrix_rows(row);
    const int lane = fk_simt_thread() & 31;
    for (int i = 0; i < 4; i++) {
        uint16_t pair[2];
        for (int j = 0; j < 2; j++) memcpy(&pair[j], rows + 64 * (8 * i + 2 * (lane % 4) + j) + 2 * (lane / 4), 2);
        memcpy(&r[i], pair, 4);
    }
}
FK_FN float fk_bits_float(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
FK_FN uint32_t fk_float_bits(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }
/// The element (row, k) of the 16-row operand and (k, column) of the other, from the registers of all lanes; `wide` elements a register.
template <class T> FK_FN T fk_tile_a(const unsigned char *pieces, int row, int k) {
    const int wide = 4 / (int)sizeof(T), lane = row % 8 * 4 + k % (4 * wide) / wide, reg = row / 8 + k / (4 * wide) * 2;
    T value;
    memcpy(&value, pieces + 64 * lane + 4 * reg + sizeof(T) * (size_t)(k % wide), sizeof value);
    return value;
}
template <class T> FK_FN T fk_tile_b(const unsigned char *pieces, int k, int column) {
    const int wide = 4 / (int)sizeof(T), lane = column * 4 + k % (4 * wide) / wide, reg = k / (4 * wide);
    T value;
    memcpy(&value, pieces + 64 * lane + 16 + 4 * reg + sizeof(T) * (size_t)(k % wide), sizeof value);
    return value;
}
FK_FN const unsigned char *fk_tile_exchange(const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    return fk_simt_exchange(mine, sizeof mine);
}
FK_FN void fk_mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    const unsigned char *pieces = fk_tile_exchange(a, b);
    const int lane = fk_simt_thread() & 31;
    for (int i = 0; i < 4; i++) {
        double sum = d[i];
        for (int k = 0; k < 16; k++)
            sum += (double)fk_bits_float((uint32_t)fk_tile_a<uint16_t>(pieces, lane / 4 + i / 2 * 8, k) << 16) *
                   (double)fk_bits_float((uint32_t)fk_tile_b<uint16_t>(pieces, k, lane % 4 * 2 + i % 2) << 16);
        d[i] = (float)sum;
    }
}
FK_FN void fk_mma_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    const unsigned char *pieces = fk_tile_exchange(a, b);
    const int lane = fk_simt_thread() & 31;
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 32; k++)
            d[i] += (int32_t)fk_tile_a<int8_t>(pieces, lane / 4 + i / 2 * 8, k) * (int32_t)fk_tile_b<int8_t>(pieces, k, lane % 4 * 2 + i % 2);
}
FK_FN int32_t fk_dot4(uint32_t a, uint32_t b, int32_t c) {
    for (int i = 0; i < 32; i += 8) c += (int32_t)(int8_t)(a >> i) * (int32_t)(int8_t)(b >> i);
    return c;
}
FK_FN int fk_lowest(uint32_t bits) { return __builtin_ctz(bits); }
FK_FN float fk_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
FK_FN float fk_exp2_fast(float x) { return x < -126.0f ? 0.0f : exp2f(x); }
FK_FN float fk_of_half(uint16_t bits) { _Float16 h; memcpy(&h, &bits, 2); return (float)h; }
FK_FN uint16_t fk_half(float x) { const _Float16 h = (_Float16)x; uint16_t bits; memcpy(&bits, &h, 2); return bits; }
FK_FN uint32_t fk_bf16_bits(float x) {
    const uint32_t bits = fk_float_bits(x);
    return x != x ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}
FK_FN uint32_t fk_bf16_pair(float low, float high) { return fk_bf16_bits(low) | fk_bf16_bits(high) << 16; }
FK_FN void fk_raise(int32_t *word, int32_t value) { *word = value; }
#endif

// -- made of the words above ----------------------------------------------------------------------------------------------------------------

FK_FN int fk_lane() { return fk_thread() & 31; }
FK_FN int fk_warp() { return fk_thread() >> 5; }
FK_FN float fk_of_bf16(uint16_t bits) { return fk_bits_float((uint32_t)bits << 16); }
FK_FN uint16_t fk_bf16(float x) { return (uint16_t)fk_bf16_pair(x, 0.0f); }

/// The sum over a warp, the same bits in every lane.
template <class T> FK_FN T fk_warp_sum(T x) {
    for (int mask = 16; mask; mask >>= 1) x = x + fk_shuffle_xor(x, mask);
    return x;
}
FK_FN float fk_warp_max(float x) {
    for (int mask = 16; mask; mask >>= 1) x = fmaxf(x, fk_shuffle_xor(x, mask));
    return x;
}
/// The sum over a block, the same bits in every thread. `room`: one element a warp.
template <class T> FK_FN T fk_block_sum(T x, fk_shared<T> room) {
    x = fk_warp_sum(x);
    fk_sync();  // the room's last use is over
    if (fk_lane() == 0) room[fk_warp()] = x;
    fk_sync();
    T all = room[0];
    for (int warp = 1; warp < fk_threads() / 32; warp++) all = all + (T)room[warp];
    return all;
}
FK_FN float fk_block_max(float x, fk_shared<float> room) {
    x = fk_warp_max(x);
    fk_sync();
    if (fk_lane() == 0) room[fk_warp()] = x;
    fk_sync();
    float all = room[0];
    for (int warp = 1; warp < fk_threads() / 32; warp++) all = fmaxf(all, (float)room[warp]);
    return all;
}

/// e^x from IEEE operations only, within two units in the last place: the CPU's polynomial (CForgeKernels/vec.h), so the same bits.
FK_FN float fk_exp(float x) {
    const float low = -87.33654f, high = 88.72283f, magic = 12582912.0f;
    const float clamped = x < low ? low : x > high ? high : x;
    const float t = fk_fma(clamped, 1.44269504f, magic), n = t - magic;
    float r = fk_fma(n, -0.693145752f, clamped);
    r = fk_fma(n, -1.42860677e-6f, r);
    float p = 1.0f / 5040.0f;
    p = fk_fma(p, r, 1.0f / 720.0f);
    p = fk_fma(p, r, 1.0f / 120.0f);
    p = fk_fma(p, r, 1.0f / 24.0f);
    p = fk_fma(p, r, 1.0f / 6.0f);
    p = fk_fma(p, r, 0.5f);
    p = fk_fma(p, r, 1.0f);
    p = fk_fma(p, r, 1.0f);
    const int32_t bits = (int32_t)(fk_float_bits(t) - fk_float_bits(magic)), half = bits >> 1;
    const float value = p * fk_bits_float((uint32_t)(half + 127) << 23) * fk_bits_float((uint32_t)(bits - half + 127) << 23);
    return x < low ? 0.0f : x > high ? INFINITY : x == x ? value : x;
}

/// Natural logarithm of a finite x > 0 in the normal range, in double: the CPU's series (CForgeKernels/internal.h).
FK_FN double fk_log(double x) {
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int64_t e = (bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffLL) | (1023LL << 52);
    double f;
    memcpy(&f, &bits, sizeof f);
    if (f > 1.4142135623730951) { f *= 0.5; e += 1; }
    const double s = (f - 1.0) / (f + 1.0), z = s * s;
    double p = 1.0 / 21.0;
    for (int i = 19; i >= 1; i -= 2) p = p * z + 1.0 / i;
    return (double)e * 0.69314718055994530942 + 2.0 * s * p;
}
#endif
