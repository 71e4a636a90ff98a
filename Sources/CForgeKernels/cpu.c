// Which table this CPU can run, how many CPUs this process may use, and how fast one thread multiplies at most.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

fk_cpu_level fk_cpu_best(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();  // reads cpuid and, for the wide registers, xgetbv
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"))
        return FK_CPU_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) return FK_CPU_AVX2;
#endif
    return FK_CPU_REFERENCE;
}

const fk_ops *fk_cpu_ops(fk_cpu_level level) {
    if (level > fk_cpu_best()) return NULL;
    switch (level) {
    case FK_CPU_REFERENCE: return &fk_table_ref;
#if defined(__x86_64__)
    case FK_CPU_AVX2: return &fk_table_avx2;
    case FK_CPU_AVX512: return &fk_table_avx512;
#endif
    default: return NULL;
    }
}

/// Reads a small file; 0 bytes if there is none.
static size_t slurp(const char *path, char *to, size_t most) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    const ssize_t got = read(fd, to, most - 1);
    close(fd);
    to[got > 0 ? got : 0] = 0;
    return got > 0 ? (size_t)got : 0;
}

/// The smallest quota of this process's control group and its parents (cgroup v2 `cpu.max`), rounded up; 0 if none.
static int32_t quota_cpus(void) {
    char text[4096], path[4096 + 64];
    if (!slurp("/proc/self/cgroup", text, sizeof text)) return 0;
    char *group = strstr(text, "0::/");
    if (!group) return 0;
    group += 3;
    group[strcspn(group, "\n")] = 0;
    int32_t smallest = 0;
    for (;;) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
        char limit[64];
        if (slurp(path, limit, sizeof limit) && limit[0] != 'm') {
            char *end;
            const long quota = strtol(limit, &end, 10), period = strtol(end, NULL, 10);
            if (quota > 0 && period > 0) {
                const int32_t cpus = (int32_t)((quota + period - 1) / period);
                if (smallest == 0 || cpus < smallest) smallest = cpus;
            }
        }
        char *slash = strrchr(group, '/');
        if (!slash) return smallest;
        *slash = 0;
    }
}

int32_t fk_usable_cpus(void) {
    cpu_set_t set;
    const int32_t affine = sched_getaffinity(0, sizeof set, &set) == 0 ? (int32_t)CPU_COUNT(&set) : 1;
    const int32_t quota = quota_cpus();
    const int32_t usable = quota > 0 && quota < affine ? quota : affine;
    return usable < 1 ? 1 : usable;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double fk_measure_peak(fk_cpu_level level, int32_t flags, int32_t milliseconds) {
    double (*loop)(int64_t) = fk_peak_loop_ref;
#if defined(__x86_64__)
    if (level == FK_CPU_AVX2 && fk_cpu_best() >= level) loop = fk_peak_loop_avx2;
    if (level == FK_CPU_AVX512 && fk_cpu_best() >= level) loop = fk_peak_loop_avx512;
#endif
    if (flags & FK_BF16) {
        double (*pairs)(int64_t) = NULL;
#if defined(__x86_64__)
        if (level == FK_CPU_AVX512 && fk_cpu_best() >= level && fk_peak_pairs_avx512(1) > 0) pairs = fk_peak_pairs_avx512;
#endif
        if (pairs) loop = pairs;
    }
#if defined(__x86_64__)
    if (flags & FK_INT8 && level == FK_CPU_AVX512 && fk_cpu_best() >= level && fk_peak_bytes_avx512(1) > 0) loop = fk_peak_bytes_avx512;
#endif
    const double end = seconds() + 1e-3 * milliseconds;
    double best = 0;
    do {
        const double before = seconds();
        const double flops = loop(20000);
        const double took = seconds() - before;
        if (took > 0 && flops / took > best) best = flops / took;
    } while (seconds() < end);
    return best;
}

struct reading { const uint64_t *words; int64_t parts, words_per_part; _Atomic uint64_t sum; };

static void read_part(void *context, int64_t task, void *scratch) {
    (void)scratch;
    struct reading *reading = context;
    const uint64_t *words = reading->words + task * reading->words_per_part;
    uint64_t sum[16] = {0};
    for (int64_t i = 0; i + 16 <= reading->words_per_part; i += 16)
        for (int j = 0; j < 16; j++) sum[j] ^= words[i + j];
    for (int j = 1; j < 16; j++) sum[0] ^= sum[j];
    reading->sum ^= sum[0];
}

double fk_measure_bandwidth_cpu(size_t bytes, int32_t rounds, fk_stream s) {
    enum { PARTS = 64 };
    void *memory;
    if (fk_alloc_cpu(&memory, bytes, s) != FK_OK) return 0;
    memset(memory, 1, bytes);  // pages that were never written are all one page
    struct reading reading = {.words = memory, .parts = PARTS, .words_per_part = (int64_t)(bytes / 8 / PARTS)};
    double best = 0;
    for (int32_t i = 0; i < rounds; i++) {
        const double before = seconds();
        fk_run(s, PARTS, read_part, &reading);
        const double rate = (double)(reading.words_per_part * 8 * PARTS) / (seconds() - before);
        if (rate > best) best = rate;
    }
    fk_release_cpu(memory, s);
    return best;
}

struct peak { fk_cpu_level level; int32_t flags, milliseconds; double rate[512]; };

static void measure_one(void *context, int64_t task, void *scratch) {
    (void)scratch;
    struct peak *peak = context;
    peak->rate[task] = fk_measure_peak(peak->level, peak->flags, peak->milliseconds);
}

double fk_measure_peak_all(fk_cpu_level level, int32_t flags, int32_t milliseconds, fk_stream s) {
    struct peak peak = {.level = level, .flags = flags, .milliseconds = milliseconds};
    fk_run(s, fk_stream_threads(s), measure_one, &peak);
    double sum = 0;
    for (int32_t i = 0; i < fk_stream_threads(s); i++) sum += peak.rate[i];
    return sum;
}
