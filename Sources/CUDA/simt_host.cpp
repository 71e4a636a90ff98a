// The host's run of a kernel: every thread of a block is a fibre, and a warp or a block goes on when all of it has arrived.
//
// owns      the blocks' order (one after another), the fibres, the room of a warp's exchange, the record of who touched shared memory
// promises  ends the program with a word about the kernel, the block and the threads when two threads touch the same shared memory without a
//           barrier between them, when one reads what nobody wrote, when an access leaves the shared memory, when a barrier is missed by some
// never     needs a GPU; global memory is the host's, so that AddressSanitizer sees every access to it
// flow      fk_launch_bytes → one block at a time: a fibre a thread, switched at barriers, exchanges and waits
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <vector>

#include "simt.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FK_ASAN 1
#endif
#endif
#if FK_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

// Saves the registers that a call keeps on the stack in use and takes them from the other.
extern "C" void fk_switch(void **from, void *to);
__asm__(
    ".text\n.type fk_switch,@function\nfk_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".size fk_switch,.-fk_switch\n");

namespace {

constexpr size_t stack_bytes = 256u << 10;
constexpr size_t shared_most = 227u << 10;  // what a block can have on sm_90

/// Who touched two bytes of shared memory last. An epoch counts the barriers of all blocks that ever ran, so nothing is cleared in between.
struct Touch {
    uint64_t written = 0, read = 0;            // the epoch
    uint32_t written_warp = 0, read_warp = 0;  // the warp's own epoch
    int16_t writer = -1, reader = -1;          // reader: a thread, or many
    int16_t read_in = -1;                      // the readers' warp, or many
};
constexpr int16_t many = -2;

struct Copy { uint32_t to; const void *from; size_t size, bytes; };

struct Thread {
    void *stack = nullptr, *at = nullptr;
    bool done = false;
    uint64_t arrivals = 0;
    uint32_t warp_epoch = 0;
    std::vector<Copy> open;
    std::vector<std::vector<Copy>> groups;
    void *shadow = nullptr;
};
struct Warp {
    int arrived = 0;
    uint64_t turn = 0;
    int sync_arrived = 0;
    uint64_t sync_turn = 0;
    alignas(16) unsigned char room[2][32][64];
};

struct Block {
    const fk_kernel *kernel;
    const void *job;
    int threads, alive, arrived;
    uint64_t epoch, first_epoch;
    int64_t at[2];
    size_t shared_bytes;
    uint64_t idle;  // switches since anything moved
} block;
std::vector<Thread> threads;
std::vector<Warp> warps;
std::vector<Touch> touches;
unsigned char *shared_memory;
int me;
void *scheduler;
#if FK_ASAN
void *scheduler_shadow;
const void *scheduler_stack;
size_t scheduler_size;
#endif

[[noreturn]] void fail(const char *what) {
    fprintf(stderr, "simt: %s: %s (block %lld, %lld; thread %d)\n", block.kernel->name, what, (long long)block.at[0], (long long)block.at[1], me);
    abort();
}

void switch_to(int next) {
    const int self = me;
    me = next;
#if FK_ASAN
    __sanitizer_start_switch_fiber(threads[self].done ? nullptr : &threads[self].shadow, threads[next].stack, stack_bytes);
#endif
    fk_switch(&threads[self].at, threads[next].at);
#if FK_ASAN
    __sanitizer_finish_switch_fiber(threads[self].shadow, nullptr, nullptr);
#endif
}

/// To the next thread that is not done; to the scheduler after the last.
void give_way() {
    if (++block.idle > 8u * (unsigned)block.threads + 64) fail("a barrier or an exchange that not all of its threads reach");
    for (int step = 1; step <= block.threads; step++) {
        const int next = (me + step) % block.threads;
        if (threads[next].done) continue;
        if (next != me) switch_to(next);
        return;
    }
}

void release_if_all() {
    if (block.arrived && block.arrived == block.alive) {
        block.arrived = 0;
        block.epoch++;
        block.idle = 0;
    }
}

void entry() {
#if FK_ASAN
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
    if (!scheduler_stack) scheduler_stack = bottom, scheduler_size = size;
#endif
    block.kernel->body(block.job);
    Thread &self = threads[(size_t)me];
    for (const auto &group : self.groups) if (!group.empty()) fail("a thread ends while its copies are under way");
    if (!self.open.empty()) fail("a thread ends while its copies are under way");
    self.done = true;
    block.alive--;
    block.idle = 0;
    release_if_all();
    if (block.alive) {
        give_way();
    } else {
#if FK_ASAN
        __sanitizer_start_switch_fiber(nullptr, scheduler_stack, scheduler_size);
#endif
        fk_switch(&self.at, scheduler);
    }
    abort();
}

void prepare(int count, size_t shared) {
    while ((int)threads.size() < count) {
        Thread made;
        made.stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (made.stack == MAP_FAILED) abort();
        threads.push_back(made);
    }
    if (warps.size() < threads.size() / 32 + 1) warps.resize(threads.size() / 32 + 1);
    if (touches.empty()) {
        touches.resize(shared_most / 2);
        shared_memory = (unsigned char *)aligned_alloc(128, shared_most + 128 - shared_most % 128);
    }
    if (shared > shared_most) fail("more shared memory than a multiprocessor has");
}

void run_block() {
    block.alive = block.threads;
    block.arrived = 0;
    // What the copy engine writes carries the first epoch: it is there for whoever waited for the barrier that counts its bytes.
    block.first_epoch = ++block.epoch;
    block.epoch++;
    block.idle = 0;
    for (size_t w = 0; w < warps.size(); w++) warps[w].arrived = warps[w].sync_arrived = 0;
    for (int t = 0; t < block.threads; t++) {
        Thread &thread = threads[(size_t)t];
        thread.done = false;
        thread.warp_epoch = 0;
        thread.arrivals = 0;
        thread.open.clear();
        thread.groups.clear();
        // Six registers and the address to return to; a call finds the stack 8 off a multiple of 16.
        uint64_t *top = (uint64_t *)((char *)thread.stack + stack_bytes - 24);
        *--top = (uint64_t)(void (*)())entry;
        for (int i = 0; i < 6; i++) *--top = 0;
        thread.at = top;
    }
    for (auto &warp : warps) warp.turn = warp.sync_turn = 0;
    me = 0;
#if FK_ASAN
    __sanitizer_start_switch_fiber(&scheduler_shadow, threads[0].stack, stack_bytes);
#endif
    fk_switch(&scheduler, threads[0].at);
#if FK_ASAN
    __sanitizer_finish_switch_fiber(scheduler_shadow, nullptr, nullptr);
#endif
}

void race(uint32_t at, const char *what, int other) {
    fprintf(stderr, "simt: %s: byte %u of shared memory: thread %d %s thread %d without a barrier between (block %lld, %lld)\n", block.kernel->name, at, me, what, other,
            (long long)block.at[0], (long long)block.at[1]);
    abort();
}

/// Whether what `thread` did in that epoch is over for this thread.
bool settled(uint64_t epoch, uint32_t warp_epoch, int thread) {
    if (epoch < block.epoch || thread == me) return true;
    return thread >= 0 && thread / 32 == me / 32 && warp_epoch < threads[(size_t)me].warp_epoch;
}

}  // namespace

fk_status fk_launch_bytes(fk_stream, fk_kernel &kernel, int64_t x, int64_t y, size_t shared, const void *job, size_t) {
    if (x > 0x7fffffff || y > 65535 || kernel.threads % 32 || kernel.threads > 1024) {
        fprintf(stderr, "simt: %s: %lld by %lld blocks of %d threads\n", kernel.name, (long long)x, (long long)y, kernel.threads);
        abort();
    }
    block.kernel = &kernel;
    prepare(kernel.threads, shared);
    block.job = job;
    block.threads = kernel.threads;
    block.shared_bytes = shared;
    for (block.at[1] = 0; block.at[1] < y; block.at[1]++)
        for (block.at[0] = 0; block.at[0] < x; block.at[0]++) run_block();
    return FK_OK;
}

int fk_simt_thread() { return me; }
int fk_simt_threads() { return block.threads; }
int64_t fk_simt_block(int axis) { return block.at[axis]; }

void fk_simt_sync() {
    const uint64_t epoch = block.epoch;
    block.arrived++;
    release_if_all();
    while (block.epoch == epoch) give_way();
}

namespace {
/// All 32 lanes meet. Returns the number of meetings before this one.
uint64_t meet(int &arrived, uint64_t &turn) {
    const uint64_t mine = turn;
    if (++arrived == 32) {
        arrived = 0;
        turn++;
        block.idle = 0;
    }
    while (turn == mine) give_way();
    return mine;
}
}  // namespace

void fk_simt_sync_warp() {
    Warp &warp = warps[(size_t)me / 32];
    meet(warp.sync_arrived, warp.sync_turn);
    threads[(size_t)me].warp_epoch++;
}

const unsigned char *fk_simt_exchange(const void *mine, size_t bytes) {
    Warp &warp = warps[(size_t)me / 32];
    // Two rooms by turns: a lane that is a turn ahead fills the other one, and two ahead nobody can be.
    auto &room = warp.room[warp.turn % 2];
    memcpy(room[me % 32], mine, bytes);
    meet(warp.arrived, warp.turn);
    return room[0];
}

void fk_simt_bounds(int64_t at, size_t bytes) {
    if (at < 0 || at + (int64_t)bytes > (int64_t)block.shared_bytes) fail("shared memory is left");
}

unsigned char *fk_simt_read(uint32_t at, size_t bytes) {
    fk_simt_bounds(at, bytes);
    if (at % (bytes > 16 ? 16 : bytes)) fail("an access to shared memory that is not aligned to its size");
    Thread &self = threads[(size_t)me];
    for (uint32_t i = at / 2; i < (at + bytes + 1) / 2; i++) {
        Touch &touch = touches[i];
        if (touch.written < block.first_epoch) fail("shared memory is read that nobody wrote");
        if (!settled(touch.written, touch.written_warp, touch.writer)) race(2 * i, "reads what was written by", touch.writer);
        const int16_t warp = (int16_t)(me / 32);
        if (touch.read < block.epoch) {
            touch.reader = (int16_t)me;
            touch.read_in = warp;
            touch.read_warp = self.warp_epoch;
        } else {
            if (touch.reader != me) touch.reader = many;
            if (touch.read_in != warp) touch.read_in = many;
            if (touch.read_in == warp && touch.read_warp < self.warp_epoch) touch.read_warp = self.warp_epoch;
        }
        touch.read = block.epoch;
    }
    return shared_memory + at;
}

unsigned char *fk_simt_write(uint32_t at, size_t bytes) {
    fk_simt_bounds(at, bytes);
    if (at % (bytes > 16 ? 16 : bytes)) fail("an access to shared memory that is not aligned to its size");
    if (bytes < 2) fail("single bytes of shared memory are not told apart: write two or more");
    Thread &self = threads[(size_t)me];
    for (uint32_t i = at / 2; i < (at + bytes) / 2; i++) {
        Touch &touch = touches[i];
        if (touch.written >= block.first_epoch && !settled(touch.written, touch.written_warp, touch.writer)) race(2 * i, "writes over what was written by", touch.writer);
        if (touch.read == block.epoch && touch.reader != me && !(touch.read_in == me / 32 && touch.read_warp < self.warp_epoch))
            race(2 * i, "writes over what is read by", touch.reader);
        touch.written = block.epoch;
        touch.written_warp = self.warp_epoch;
        touch.writer = (int16_t)me;
    }
    return shared_memory + at;
}

void fk_simt_async(uint32_t to, const void *from, size_t size, size_t bytes) {
    fk_simt_bounds(to, size);
    if (bytes > size) fail("a copy of more bytes than its size");
    if (to % size || (bytes && (uintptr_t)from % size)) fail("an asynchronous copy that is not aligned to its size");
    threads[(size_t)me].open.push_back({to, from, size, bytes});
}

void fk_simt_async_commit() {
    Thread &self = threads[(size_t)me];
    self.groups.push_back(self.open);
    self.open.clear();
}

void fk_simt_async_wait(int left) {
    Thread &self = threads[(size_t)me];
    while ((int)self.groups.size() > left) {
        for (const Copy &copy : self.groups.front()) {
            unsigned char *to = fk_simt_write(copy.to, copy.size);
            if (copy.bytes) memcpy(to, copy.from, copy.bytes);
            memset(to + copy.bytes, 0, copy.size - copy.bytes);
        }
        self.groups.erase(self.groups.begin());
    }
}

namespace {
/// A barrier's 64 bits.
struct Barrier { uint16_t count, pending; int32_t bytes_and_phase; };
static_assert(sizeof(Barrier) == 8, "a barrier is what a GPU keeps for one");
Barrier &barrier_at(uint32_t at) {
    fk_simt_bounds(at, sizeof(Barrier));
    if (at % sizeof(Barrier)) fail("a barrier that is not aligned to its size");
    return *(Barrier *)(void *)(shared_memory + at);
}
// The lowest bit is the phase's parity, the rest the bytes that are still to come.
void end_if_complete(Barrier &b) {
    if (b.pending || b.bytes_and_phase >> 1) return;
    b.pending = b.count;
    b.bytes_and_phase ^= 1;
    block.idle = 0;
}
struct Map { const unsigned char *base; int64_t rows, columns, stride; int32_t box_rows, box_columns; };
static_assert(sizeof(Map) <= sizeof(fk_tensor_map), "a map is kept where a GPU's would be");
}  // namespace

void fk_simt_barrier_init(uint32_t at, int count) { barrier_at(at) = {(uint16_t)count, (uint16_t)count, 0}; }
void fk_simt_barrier_arrive(uint32_t at, int bytes) {
    Barrier &b = barrier_at(at);
    if (!b.pending) fail("more arrivals than a barrier waits for");
    b.bytes_and_phase += 2 * bytes;
    b.pending--;
    end_if_complete(b);
}
void fk_simt_barrier_wait(uint32_t at, int parity) {
    // A phase that differs from the one asked for means that the one asked for is over.
    while ((barrier_at(at).bytes_and_phase & 1) == parity) give_way();
}
void fk_simt_fetch_box(uint32_t to, const fk_tensor_map &from, int64_t row, int64_t column, uint32_t barrier) {
    Map map;
    memcpy(&map, &from, sizeof map);
    const size_t width = (size_t)map.box_columns * 2;
    if (to % 1024) fail("a box that is not fetched to a multiple of 1,024 bytes");
    fk_simt_bounds(to, width * (size_t)map.box_rows);
    for (int32_t r = 0; r < map.box_rows; r++)
        for (int32_t c = 0; c < map.box_columns; c++) {
            const bool inside = row + r < map.rows && column + c < map.columns;
            const uint32_t at = to + (uint32_t)r * (uint32_t)width + ((uint32_t)(c / 8) ^ (uint32_t)(r % 8)) * 16 + (uint32_t)(c % 8) * 2;
            if (inside) memcpy(shared_memory + at, map.base + ((row + r) * map.stride + column + c) * 2, 2);
            else memset(shared_memory + at, 0, 2);
            touches[at / 2] = {};
            touches[at / 2].written = block.first_epoch;
        }
    Barrier &b = barrier_at(barrier);
    b.bytes_and_phase -= 2 * (int32_t)(width * (size_t)map.box_rows);
    end_if_complete(b);
}

// -- the host's stream: nothing is ever left to wait for ------------------------------------------------------------------------------------

struct fk_stream_state {
    int32_t trouble = FK_OK;
    std::vector<unsigned char> scratch;
};

static fk_status stream_open(fk_stream *out, int32_t, int32_t index) {
    if (index != 0) return FK_DEVICE;
    *out = new fk_stream_state;
    return FK_OK;
}
static void stream_close(fk_stream s) { delete s; }
fk_status fk_sync_cuda(fk_stream s) {
    const fk_status trouble = (fk_status)s->trouble;
    s->trouble = FK_OK;
    return trouble;
}
static fk_status memory_alloc(void **out, size_t bytes, fk_stream) {
    // The last byte asked for is the last of the block, as far as an alignment of 16 allows: AddressSanitizer sees what is read beyond.
    *out = aligned_alloc(16, (bytes + 15) / 16 * 16 + (bytes ? 0 : 16));
    if (!*out) return FK_MEMORY;
    memset(*out, 0, bytes);
    return FK_OK;
}
static void memory_release(void *memory, fk_stream) { free(memory); }
static fk_status memory_copy(void *to, const void *from, size_t bytes, fk_stream) {
    if (bytes) memcpy(to, from, bytes);
    return FK_OK;
}
fk_status fk_scratch(void **out, fk_stream s, size_t bytes) {
    if (s->scratch.size() < bytes + 256) s->scratch.resize(bytes + 256);
    *out = (void *)(((uintptr_t)s->scratch.data() + 255) & ~(uintptr_t)255);
    return FK_OK;
}
int32_t *fk_trouble(fk_stream s) { return &s->trouble; }
fk_status fk_clear(void *memory, size_t bytes, fk_stream) {
    memset(memory, 0, bytes);
    return FK_OK;
}
int fk_processors(fk_stream) { return 4; }
int fk_major(fk_stream) { return 0; }
bool fk_has_engine(fk_stream) { return true; }
fk_status fk_map_rows(fk_tensor_map *out, const void *base, int64_t rows, int64_t columns, int64_t stride, int32_t box_rows, int32_t box_columns) {
    if (box_columns != 64 || box_rows > 256 || stride % 8 || (uintptr_t)base % 16) return FK_BAD_SHAPE;
    const Map map = {(const unsigned char *)base, rows, columns, stride, box_rows, box_columns};
    memcpy(out, &map, sizeof map);
    return FK_OK;
}

const char *fk_backend_name() { return "cuda-host"; }
extern const fk_ops fk_memory_ops;
const fk_ops fk_memory_ops = {.device = 1, .stream_open = stream_open, .stream_close = stream_close, .sync = fk_sync_cuda, .alloc = memory_alloc, .release = memory_release, .copy = memory_copy};
