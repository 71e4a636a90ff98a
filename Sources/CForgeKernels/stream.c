// The CPU's stream: a pool of threads that takes numbered tasks from a counter.
//
// A worker joins a job only while it is open, and the caller, once the counter is used up, closes the job and waits for
// those who joined. A worker that the machine did not run in time is therefore never waited for. One that lost its
// processor in the middle of a task must be, and gets it back milliseconds later: the caller that sees this works alone
// for a while, longer if it happens again soon, so that beside a busy neighbour two threads are not slower than one.
// Waiting spins for some tens of microseconds, then parks on a futex. Who works never shows in a result.
// No thread is pinned, so the pool works where affinity calls are denied.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

enum { SPINS = 3000, THREADS_MAX = 512 };
// A wait is a stall if it is longer than this and than any task can explain; then the caller works alone, from the first to the last duration.
enum { STALL_NS = 500000, STALL_TASKS = 4, ALONE_NS_MIN = 20000000, ALONE_NS_MAX = 1280000000 };
// state: joined workers in the low 16 bits, then one bit that says the job is open.
#define JOINED 0xffffu
#define OPEN 0x10000u

struct fk_stream_state {
    _Alignas(64) _Atomic uint32_t epoch;     // grows with every job; idle workers wait on it
    _Atomic uint32_t sleepers;
    _Atomic uint32_t stop;
    _Alignas(64) _Atomic uint32_t state;
    _Atomic uint32_t caller_waits;
    _Alignas(64) _Atomic int64_t next;
    int64_t tasks;
    fk_body body;
    void *context;
    // The caller's own: until when it works alone, and for how long the last stall made it.
    int64_t alone_until, alone_for;
    int32_t threads;
    pthread_t *handles;
    char *scratch;
};

struct start { fk_stream s; int32_t index; };

static long futex(_Atomic uint32_t *word, int op, uint32_t value) {
    return syscall(SYS_futex, (uint32_t *)word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/// Takes tasks until there are none; the longest of them in nanoseconds.
static int64_t take(fk_stream s, void *scratch) {
    const int64_t tasks = s->tasks;
    int64_t before = now(), longest = 0;
    for (;;) {
        const int64_t task = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
        if (task >= tasks) return longest;
        s->body(s->context, task, scratch);
        const int64_t after = now();
        if (after - before > longest) longest = after - before;
        before = after;
    }
}

/// Joins the open job, if there is one, and works on it.
static void join_job(fk_stream s, void *scratch) {
    uint32_t state = atomic_load(&s->state);
    do {
        if (!(state & OPEN)) return;
    } while (!atomic_compare_exchange_weak(&s->state, &state, state + 1));
    take(s, scratch);
    // Seen by the caller's check of `state` or woken by it: both sides use sequentially consistent operations.
    const uint32_t left = atomic_fetch_sub(&s->state, 1) - 1;
    if (!(left & OPEN) && (left & JOINED) == 0 && atomic_load(&s->caller_waits)) futex(&s->state, FUTEX_WAKE, 1);
}

static void *worker(void *argument) {
    const struct start start = *(struct start *)argument;
    free(argument);
    const fk_stream s = start.s;
    void *scratch = s->scratch + (size_t)start.index * FK_SCRATCH;
    uint32_t seen = 0;
    for (;;) {
        uint32_t epoch = atomic_load(&s->epoch);
        for (int i = 0; epoch == seen && i < SPINS; i++) {
            relax();
            epoch = atomic_load(&s->epoch);
        }
        while (epoch == seen) {
            atomic_fetch_add(&s->sleepers, 1);
            futex(&s->epoch, FUTEX_WAIT, seen);
            atomic_fetch_sub(&s->sleepers, 1);
            epoch = atomic_load(&s->epoch);
        }
        seen = epoch;
        if (atomic_load(&s->stop)) return NULL;
        join_job(s, scratch);
    }
}

/// What a wait for helpers says: a stall soon after the last one doubles the time alone, another starts again with the shortest.
static void judge(fk_stream s, int64_t waited, int64_t longest) {
    if (longest == 0 || waited < STALL_NS || waited < STALL_TASKS * longest) return;
    const int64_t time = now();
    const int soon = s->alone_for > 0 && time - s->alone_until < 4 * s->alone_for;
    s->alone_for = !soon ? ALONE_NS_MIN : 2 * s->alone_for > ALONE_NS_MAX ? ALONE_NS_MAX : 2 * s->alone_for;
    s->alone_until = time + s->alone_for;
}

void fk_run(fk_stream s, int64_t tasks, fk_body body, void *context) {
    if (tasks <= 0) return;
    if (tasks == 1 || s->threads == 1 || (s->alone_until && now() < s->alone_until)) {
        for (int64_t task = 0; task < tasks; task++) body(context, task, s->scratch);
        return;
    }
    s->tasks = tasks;
    s->body = body;
    s->context = context;
    atomic_store(&s->next, 0);
    atomic_store(&s->state, OPEN);  // nobody is joined here: the last job ended with that
    atomic_fetch_add(&s->epoch, 1);
    if (atomic_load(&s->sleepers)) futex(&s->epoch, FUTEX_WAKE, THREADS_MAX);
    const int64_t longest = take(s, s->scratch);
    uint32_t state = atomic_fetch_and(&s->state, ~OPEN) & ~OPEN;
    for (int i = 0; (state & JOINED) && i < SPINS; i++) {
        relax();
        state = atomic_load(&s->state);
    }
    if (state & JOINED) {
        const int64_t before = now();
        atomic_store(&s->caller_waits, 1);
        while ((state = atomic_load(&s->state)) & JOINED) futex(&s->state, FUTEX_WAIT, state);
        atomic_store(&s->caller_waits, 0);
        judge(s, now() - before, longest);
    }
}

int32_t fk_stream_threads(fk_stream s) { return s->threads; }

fk_status fk_stream_open_cpu(fk_stream *out, int32_t threads, int32_t index) {
    if (index != 0 || threads > THREADS_MAX) return FK_BAD_SHAPE;
    if (threads < 1) threads = 1;
    const fk_stream s = aligned_alloc(64, (sizeof *s + 63) & ~(size_t)63);
    if (!s) return FK_MEMORY;
    memset(s, 0, sizeof *s);
    s->threads = threads;
    s->handles = calloc((size_t)threads, sizeof *s->handles);
    s->scratch = aligned_alloc(4096, (size_t)threads * FK_SCRATCH);
    if (!s->handles || !s->scratch) {
        free(s->handles);
        free(s->scratch);
        free(s);
        return FK_MEMORY;
    }
    // Workers take no signals: handlers belong to the threads of the program.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 1 << 20);
    for (int32_t i = 1; i < threads; i++) {
        struct start *start = malloc(sizeof *start);
        if (start) *start = (struct start){s, i};
        if (!start || pthread_create(&s->handles[i], &attributes, worker, start) != 0) {
            free(start);
            s->threads = i;  // fewer workers give the same results
            break;
        }
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    *out = s;
    return FK_OK;
}

void fk_stream_close_cpu(fk_stream s) {
    if (!s) return;
    atomic_store(&s->stop, 1);
    atomic_fetch_add(&s->epoch, 1);
    futex(&s->epoch, FUTEX_WAKE, THREADS_MAX);
    for (int32_t i = 1; i < s->threads; i++) pthread_join(s->handles[i], NULL);
    free(s->handles);
    free(s->scratch);
    free(s);
}

fk_status fk_sync_cpu(fk_stream s) {
    (void)s;
    return FK_OK;
}

fk_status fk_alloc_cpu(void **out, size_t bytes, fk_stream s) {
    (void)s;
    // From 2 MiB on whole pages of 2 MiB, which the kernel is asked to map as one: rows far apart then share an entry of the TLB. calloc takes
    // large blocks fresh from the kernel, so memory that is planned but never touched costs nothing.
    const size_t huge = 2u << 20, alignment = bytes >= huge ? huge : 64;
    if (bytes > SIZE_MAX - 2 * alignment) return FK_MEMORY;
    char *whole = calloc(1, bytes + alignment + sizeof(void *));
    if (!whole) return FK_MEMORY;
    char *memory = (char *)(((uintptr_t)whole + sizeof(void *) + alignment - 1) / alignment * alignment);
    memcpy(memory - sizeof(void *), &whole, sizeof whole);
    if (alignment == huge) madvise(memory, bytes / huge * huge, MADV_HUGEPAGE);  // a wish: without it everything works, slower
    *out = memory;
    return FK_OK;
}

void fk_release_cpu(void *memory, fk_stream s) {
    (void)s;
    if (!memory) return;
    void *whole;
    memcpy(&whole, (char *)memory - sizeof(void *), sizeof whole);
    free(whole);
}

fk_status fk_copy_cpu(void *dst, const void *src, size_t bytes, fk_stream s) {
    (void)s;
    memmove(dst, src, bytes);
    return FK_OK;
}
