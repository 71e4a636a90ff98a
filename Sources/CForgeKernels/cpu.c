// Which table this CPU can run, how many CPUs this process may use, and how fast one thread multiplies at most.
#define _GNU_SOURCE
#include <sched.h>
#include <time.h>

#include "internal.h"

fk_cpu_level fk_cpu_best(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();  // reads cpuid and, for the wide registers, xgetbv
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
        return FK_CPU_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return FK_CPU_AVX2;
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

int32_t fk_affine_cpus(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    const int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double fk_measure_peak(fk_cpu_level level, int32_t milliseconds) {
    double (*loop)(int64_t) = fk_peak_loop_ref;
#if defined(__x86_64__)
    if (level == FK_CPU_AVX2 && fk_cpu_best() >= level) loop = fk_peak_loop_avx2;
    if (level == FK_CPU_AVX512 && fk_cpu_best() >= level) loop = fk_peak_loop_avx512;
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

struct peak { fk_cpu_level level; int32_t milliseconds; double rate[512]; };

static void measure_one(void *context, int64_t task, void *scratch) {
    (void)scratch;
    struct peak *peak = context;
    peak->rate[task] = fk_measure_peak(peak->level, peak->milliseconds);
}

double fk_measure_peak_all(fk_cpu_level level, int32_t milliseconds, fk_stream s) {
    struct peak peak = {.level = level, .milliseconds = milliseconds};
    fk_run(s, fk_stream_threads(s), measure_one, &peak);
    double sum = 0;
    for (int32_t i = 0; i < fk_stream_threads(s); i++) sum += peak.rate[i];
    return sum;
}
