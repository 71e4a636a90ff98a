// exact.c: every operation of every table on memory of exactly its own size, under AddressSanitizer and UndefinedBehaviorSanitizer.
//
// owns      allocation: each operand is a heap block of exactly the bytes its documentation names, at odd float offsets, so that one byte
//           read or written beyond is an error; values are checked elsewhere (Tests/ForgeTensorTests)
// flow      run.sh (and Tests/CUDA/run.sh for a library) builds the kernels and this file with the sanitizers and runs it; one line `N passed, N failed, N skipped`
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forge_kernels.h"

static uint64_t state = 1;
static float noise(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(state >> 32) * 0x1p-31f;
}

// Blocks of one call, freed together.
static void *blocks[64];
static int used;
static void *exact(size_t bytes) {
    void *block = malloc(bytes ? bytes : 1);
    if (!block || used == 64) abort();
    return blocks[used++] = block;
}
static float *floats(int64_t count) {
    // The last float ends where the block ends; the first is not aligned to more than a float.
    char *block = exact((size_t)count * 4 + 4);
    float *at = (float *)(block + 4);
    for (int64_t i = 0; i < count; i++) at[i] = noise();
    return at;
}
static int32_t *ints(int64_t count) { return exact((size_t)count * 4); }
static void done(void) {
    while (used) free(blocks[--used]);
}

// One test an operation of a table, however many shapes it was called with.
static struct test { const char *table, *op; int calls, failures; } tests[64];
static int count;
static void verdict(const char *table, const char *op, fk_status status) {
    int i = 0;
    while (i < count && (strcmp(tests[i].table, table) || strcmp(tests[i].op, op))) i++;
    if (i == count) {
        if (count == 64) abort();
        tests[count++] = (struct test){table, op, 0, 0};
    }
    tests[i].calls++;
    if (status != FK_OK && tests[i].failures++ == 0) fprintf(stderr, "%s %s: status %d\n", table, op, (int)status);
    done();
}

static const int64_t all_counts[] = {0, 1, 2, 3, 5, 13, 15, 16, 17, 31, 32, 33, 47, 65, 97}, few_counts[] = {0, 1, 3, 17, 33, 65};
// A library's kernels are run a fibre a thread: few of the shapes.
static const int64_t *counts = all_counts;
static int counts_count = sizeof all_counts / sizeof *all_counts;

static void matrices(const fk_ops *t, fk_stream s) {
    for (int a = 0; a < counts_count; a++)
        for (int b = 0; b < counts_count; b++)
            for (int c = 0; c < counts_count; c += 1 + (a + b) % 2) {
                const int64_t m = counts[a], k = counts[b], n = counts[c];
                for (int way = 0; way < 8; way++) {
                    const int bf16 = way & 1 ? FK_BF16 : 0, kn = way & 2, turned = way & 4;
                    // Panels of bfloat16 pairs take whole pairs.
                    float *packed = floats(fk_packed_count(bf16 ? k + k % 2 : k, n) / (bf16 ? 2 : 1));
                    fk_status status = t->gemm_pack(packed, floats(k * n), k, n, kn ? n : k, (fk_layout)((kn ? FK_KN : FK_NK) | bf16), s);
                    if (status == FK_OK)
                        status = t->gemm(floats(m * n), floats(m * k), packed, m, k, n, turned ? 1 : k, turned ? m : 1, n, bf16 | (way & 1 ? FK_ACCUMULATE : 0), s);
                    if (status == FK_OK && !kn) status = t->gemm_unpack(floats(k * n), packed, k, n, k, bf16, s);
                    verdict(t->name, "gemm", status);
                }
                for (int q = FK_Q8; q <= FK_Q4; q++) {
                    void *packed = exact(fk_quant_bytes(k, n, (fk_quant)q));
                    const size_t workspace = fk_quant_workspace(m, k);
                    fk_status status = t->quant_pack(packed, floats(k * n), k, n, k, (fk_quant)q, s);
                    if (status == FK_OK) status = t->quant_unpack(floats(k * n), packed, k, n, k, (fk_quant)q, s);
                    if (status == FK_OK) status = t->quant_gemm(floats(m * n), floats(m * k), packed, m, k, n, k, n, (fk_quant)q, exact(workspace), workspace, s);
                    verdict(t->name, "quant_gemm", status);
                }
            }
}

static void layers(const fk_ops *t, fk_stream s) {
    for (int a = 0; a < counts_count; a++)
        for (int b = 0; b < counts_count; b++) {
            const int64_t n = counts[a], d = counts[b], pairs = d / 2;
            fk_status status = FK_OK;
            float *x = floats(n * d), *rstd = floats(n), *w = floats(d);
            if (d) status = t->rmsnorm_fwd(floats(n * d), floats(n * d), rstd, x, floats(n * d), w, n, d, 1e-5f, s);
            if (d && status == FK_OK) status = t->rmsnorm_bwd(floats(n * d), floats(d), floats(n * d), x, w, rstd, n, d, a % 2, s);
            verdict(t->name, "rmsnorm", status);

            float *gu = floats(n * 2 * d);
            status = t->swiglu_fwd(floats(n * d), gu, n, d, s);
            if (status == FK_OK) status = t->swiglu_bwd(floats(n * 2 * d), floats(n * d), floats(n * d), gu, n, d, s);
            verdict(t->name, "swiglu", status);

            if (pairs) {
                int32_t *position = ints(n);
                for (int64_t i = 0; i < n; i++) position[i] = (int32_t)(i % 7);
                const float *cosines = floats(7 * pairs), *sines = floats(7 * pairs);
                for (int way = 0; way < 4; way++) {
                    status = t->rope(floats(n * 3 * 2 * pairs), position, cosines, sines, n, 3, 2 * pairs, 3 * 2 * pairs, way & 1 ? FK_ROPE_INTERLEAVED : FK_ROPE_HALF, way & 2, s);
                    if (status != FK_OK) break;
                }
                verdict(t->name, "rope", status);
            }

            const int64_t vocabulary = 11;
            int32_t *ids = ints(n);
            for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)(i * 5 % vocabulary);
            status = t->embed_fwd(floats(n * d), floats(vocabulary * d), ids, n, d, vocabulary, s);
            if (status == FK_OK) status = t->embed_bwd(floats(vocabulary * d), floats(n * d), ids, n, d, vocabulary, s);
            verdict(t->name, "embed", status);

            int32_t *targets = ints(n);
            for (int64_t i = 0; i < n; i++) targets[i] = i % 4 ? (int32_t)(i % vocabulary) : -1;
            verdict(t->name, "logprob", t->logprob(floats(n), floats(n * vocabulary), targets, n, vocabulary, s));
            for (int bf16 = 0; bf16 <= FK_BF16; bf16 += FK_BF16) {
                int32_t *wanted = ints(n);
                for (int64_t i = 0; i < n; i++) wanted[i] = i % 3 ? (int32_t)(i % vocabulary) : -1;
                float *weight = floats(vocabulary * d), *nk = floats(fk_packed_count(d, vocabulary)), *kn = floats(fk_packed_count(vocabulary, d));
                status = t->gemm_pack(nk, weight, d, vocabulary, d, (fk_layout)(FK_NK | bf16), s);
                if (status == FK_OK) status = t->gemm_pack(kn, weight, vocabulary, d, d, (fk_layout)(FK_KN | bf16), s);
                const size_t workspace = fk_linear_ce_workspace(n % 2 ? FK_CE_ROWS : 2 * FK_CE_ROWS, d, vocabulary);
                if (status == FK_OK)
                    status = t->linear_ce(floats(n), floats(n * d), floats(vocabulary * d), floats(n * d), nk, kn, wanted, n, d, vocabulary, floats(n), bf16, exact(workspace), workspace, s);
                if (status == FK_OK) status = t->cross_entropy(floats(n), floats(n * vocabulary), wanted, n, vocabulary, floats(n), s);
                verdict(t->name, "linear_ce", status);
            }

            const int64_t e = n * d;
            status = t->axpby(floats(e), 2, floats(e), 3, floats(e), e, s);
            if (status == FK_OK) status = t->fill(floats(e), 1, e, s);
            if (status == FK_OK) status = t->copy_columns(floats(n ? (n - 1) * (d + 3) + d : 0), floats(n ? (n - 1) * (d + 1) + d : 0), n, d, d + 3, d + 1, s);
            double sum;
            if (status == FK_OK) status = t->sumsq(&sum, exact((size_t)fk_sumsq_partials(e) * 8), floats(e), e, s);
            const fk_adamw step = {1e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.1f, 0.05f, 1};
            if (status == FK_OK) {
                float *v = floats(e);
                for (int64_t i = 0; i < e; i++) v[i] *= v[i];
                status = t->adamw(floats(e), floats(e), v, floats(e), e, &step, s);
            }
            uint16_t *half = exact((size_t)e * 2);
            if (status == FK_OK) status = t->to_bf16(half, floats(e), e, s);
            if (status == FK_OK) status = t->from_bf16(floats(e), half, e, s);
            verdict(t->name, "elements", status);
        }
}

static void experts(const fk_ops *t, fk_stream s) {
    static const int64_t few[] = {1, 2, 5, 16, 17, 40};
    for (int a = 0; a < counts_count; a++)
        for (int b = 0; b < 6; b++)
            for (int c = 0; c < counts_count; c += 1 + (a + b) % 3) {
                const int64_t n = counts[a], e = few[b], k = 1 + (a + c) % (e < 4 ? e : 4), d = counts[c], f = counts[(a + b + c) % counts_count], pairs = n * k;
                const int bf16 = (a + c) % 2 ? FK_BF16 : 0;
                const fk_route route = {e, k, c % 2 ? FK_SIGMOID : FK_SOFTMAX, b % 2, 1.5f, 0};
                float *weights = floats(pairs), *probs = floats(n * e), *dweights = floats(pairs);
                int32_t *choice = ints(pairs), *starts = ints(e + 1), *place = ints(pairs), *pair = ints(pairs);
                fk_status status = t->route_fwd(weights, choice, probs, floats(n * e), a % 2 ? floats(e) : NULL, n, &route, s);
                if (status == FK_OK) status = t->route_sort(starts, place, pair, choice, n, &route, s);
                if (status == FK_OK) status = t->route_bwd(floats(n * e), dweights, choice, probs, c % 2 ? NULL : floats(e), n, &route, s);
                double *sums = exact((size_t)e * 8);
                if (status == FK_OK) status = t->column_sums(sums, probs, n, e, s);
                if (status != FK_OK) { verdict(t->name, "route", status); continue; }

                float *rows = floats(pairs * d), *gu = floats(pairs * 2 * f), *h = floats(pairs * f);
                status = t->expert_gather(rows, floats(n * d), pair, n, k, d, s);
                if (status == FK_OK) status = t->expert_combine(floats(n * d), b % 2 ? floats(n * d) : NULL, rows, c % 2 ? weights : NULL, place, n, k, d, s);
                if (status == FK_OK) status = t->expert_swiglu_bwd(floats(pairs * 2 * f), floats(pairs * f), dweights, h, gu, weights, pair, pairs, f, s);

                float *packed = floats(e * fk_packed_count(d, f)), *dw = floats(e * d * f), *x = floats(fk_packed_count(pairs, d));
                if (status == FK_OK) status = t->group_pack(packed, floats(e * d * f), e, d * f, d, f, d, (fk_layout)(FK_NK | bf16), s);
                if (status == FK_OK) status = t->group_gemm(floats(pairs * f), rows, packed, starts, e, pairs, d, f, d, f, bf16, s);
                if (status == FK_OK) status = t->group_pack_rows(x, rows, starts, e, pairs, d, d, bf16, s);
                if (status == FK_OK) status = t->group_gemm_dw(dw, h, x, starts, e, d * f, pairs, f, d, f, d, bf16 | (c % 3 ? FK_ACCUMULATE : 0), s);
                verdict(t->name, "experts", status);
            }
}

static void attention(const fk_ops *t, fk_stream s) {
    static const int64_t lengths[][4] = {{1, 0, 0, 0}, {5, 1, 0, 0}, {64, 65, 3, 0}, {130, 17, 0, 2}};
    for (int l = 0; l < 4; l++)
        for (int64_t d = 2; d <= (t->device ? 66 : FK_HEAD_MAX); d += d >= 66 ? 255 : counts_count < 10 ? 32 : d < 16 ? 6 : 25)
            for (int64_t group = 1; group <= 3; group++)
                for (int64_t window = 0; window <= 40; window += 20) {
                    int32_t *cu = ints(5);
                    cu[0] = 0;
                    for (int i = 0; i < 4; i++) cu[i + 1] = cu[i] + (int32_t)lengths[l][i];
                    const int64_t n = cu[4], kv = 2, q = kv * group;
                    const fk_attn_shape shape = {n, 4, q, kv, d, q * d, kv * d, q * d, window, 0.3f, group % 2 ? FK_BF16 : 0};
                    float *queries = floats(n * q * d), *keys = floats(n * kv * d), *values = floats(n * kv * d), *out = floats(n * q * d), *lse = floats(n * q);
                    fk_status status = t->attn_fwd(out, lse, queries, keys, values, cu, &shape, s);
                    if (status == FK_OK)
                        status = t->attn_bwd(floats(n * q * d), floats(n * kv * d), floats(n * kv * d), floats(n * q), floats(n * q * d), queries, keys, values, out, lse, cu, &shape, s);
                    verdict(t->name, "attention", status);

                    // Two sequences in blocks of three positions, the last block of each partly empty.
                    const int64_t block = 3, places = n / block + 1, rows = 2;
                    int32_t *table = ints(2 * places), *row_of = ints(rows), *position = ints(rows);
                    for (int64_t i = 0; i < 2 * places; i++) table[i] = (int32_t)(2 * places - 1 - i);
                    for (int32_t i = 0; i < rows; i++) row_of[i] = i, position[i] = i ? (int32_t)n - 1 : 0;
                    const fk_paged_shape paged = {rows, q, kv, d, q * d, kv * d, q * d, 2 * places, block, 2, places, window, 0.3f, 0};
                    const int64_t pool = 2 * places * block * kv * d;
                    float *pools[] = {floats(pool), floats(pool)};
                    status = t->paged_store(pools[0], pools[1], floats(rows * kv * d), floats(rows * kv * d), table, row_of, position, &paged, s);
                    if (status == FK_OK) status = t->paged_attn(floats(rows * q * d), floats(rows * q * d), pools[0], pools[1], table, row_of, position, &paged, s);

                    // The last rows of the first sequence, one after another, and what their windows do not reach is nowhere.
                    const int64_t run = n < 40 ? n : 40, seen = window && n - run - window + 1 > 0 ? (n - run - window + 1) / block : 0;
                    int32_t *run_of = ints(run), *run_at = ints(run);
                    for (int64_t i = 0; i < seen; i++) table[i] = -1;
                    for (int64_t i = 0; i < run; i++) run_of[i] = 0, run_at[i] = (int32_t)(n - run + i);
                    fk_paged_shape many = paged;
                    many.tokens = run;
                    if (status == FK_OK) status = t->paged_attn(floats(run * q * d), floats(run * q * d), pools[0], pools[1], table, run_of, run_at, &many, s);
                    verdict(t->name, "paged attention", status);
                }
}

/// Two rows of one head of four over two blocks of four positions; each time one index lies outside its range.
static void refusals(const fk_ops *t, fk_stream s) {
    static const struct { int32_t map[2], row_of[2], position[2]; } wrong[] = {
        {{0, 1}, {0, 1}, {0, 1}}, {{0, 1}, {-1, 0}, {0, 1}}, {{0, 1}, {0, 0}, {0, -1}}, {{0, 1}, {0, 0}, {0, 8}}, {{0, 2}, {0, 0}, {0, 5}}, {{0, -1}, {0, 0}, {0, 4}},
    };
    const fk_paged_shape shape = {2, 1, 1, 4, 4, 4, 4, 2, 4, 1, 2, 0, 1, 0};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        float *k = floats(32), *v = floats(32), *rows = floats(8);
        int refused = t->paged_store(k, v, rows, rows, wrong[i].map, wrong[i].row_of, wrong[i].position, &shape, s) == FK_BAD_SHAPE;
        refused &= t->paged_attn(floats(8), rows, k, v, wrong[i].map, wrong[i].row_of, wrong[i].position, &shape, s) == FK_BAD_SHAPE;
        verdict(t->name, "refusals of paged indices", refused ? FK_OK : FK_DEVICE);
    }
}

/// All operations of a table, by streams of one and two threads if it is one of the CPU's.
static int all(const fk_ops *t) {
    for (int threads = t->device ? 2 : 1; threads <= 2; threads++) {
        fk_stream s;
        if (t->stream_open(&s, threads, 0) != FK_OK) return 0;
        layers(t, s);
        attention(t, s);
        if (!t->device) refusals(t, s);
        experts(t, s);
        if (threads == 2) matrices(t, s);
        t->stream_close(s);
    }
    return 1;
}

int main(int words, char **word) {
    for (int level = FK_CPU_REFERENCE; words == 1 && level <= FK_CPU_AVX512; level++) {
        const fk_ops *t = fk_cpu_ops((fk_cpu_level)level);
        if (t && !all(t)) return 1;
    }
    // Or the tables of the libraries named: of kernels that this processor runs, so that its memory is theirs.
    if (words > 1) counts = few_counts, counts_count = sizeof few_counts / sizeof *few_counts;
    for (int i = 1; i < words; i++) {
        void *library = dlopen(word[i], RTLD_NOW);
        const fk_ops_open_fn door = library ? (fk_ops_open_fn)dlsym(library, "fk_ops_open") : NULL;
        if (!door || !all(door(FK_ABI))) {
            fprintf(stderr, "%s: %s\n", word[i], library ? "no table" : dlerror());
            return 1;
        }
    }
    int calls = 0, failed = 0;
    for (int i = 0; i < count; i++) calls += tests[i].calls, failed += tests[i].failures != 0;
    printf("%d calls\n%d passed, %d failed, 0 skipped\n", calls, count - failed, failed);
    return failed != 0;
}
