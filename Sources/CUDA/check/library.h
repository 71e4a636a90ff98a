#ifndef FK_CHECK_LIBRARY_H
#define FK_CHECK_LIBRARY_H
// A kernel library under test and its memory: what check.cpp and bench.cpp share.
#include <dlfcn.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "../../CForgeKernels/include/forge_kernels.h"

inline uint64_t noise_state = 1;
/// Uniform on [-1, 1), reproducible.
inline float noise() {
    noise_state = noise_state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(noise_state >> 32) * 0x1p-31f;
}

inline const fk_ops *table;
inline fk_stream stream;

/// Opens a library and a stream; false, with a word, where there is none or no device for it.
inline bool open_library(const char *path) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const auto door = handle ? (fk_ops_open_fn)dlsym(handle, "fk_ops_open") : nullptr;
    if (!door || !(table = door(FK_ABI))) {
        fprintf(stderr, "%s: %s\n", path, handle ? "not a kernel library of this version" : dlerror());
        return false;
    }
    if (table->stream_open(&stream, 1, 0) != FK_OK) {
        fprintf(stderr, "%s: no driver, or no GPU of compute capability 8.0 or more\n", path);
        return false;
    }
    return true;
}

inline void must(fk_status status, const char *what) {
    if (status == FK_OK) return;
    fprintf(stderr, "%s: status %d\n", what, (int)status);
    exit(1);
}
#endif
