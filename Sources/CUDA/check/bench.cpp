// bench.cpp: rates of a kernel library at the sizes of real models, beside the limits measured in the same run.
//
//   bench LIBRARY [SECONDS]
//
// promises  random operands (tiles of zeroes run faster), the median of five rounds of about SECONDS (0.02) after a first that does not count;
//           products of few rows take turns over more matrices than a cache holds, as a decoder does
#include "library.h"

static double round_seconds = 0.02;
static std::vector<float> values(1 << 22);

static double seconds() {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/// Device memory that goes back at the end of a row.
struct Memory {
    std::vector<void *> all;
    ~Memory() {
        for (void *each : all) table->release(each, stream);
    }
    void *bytes(size_t count) {
        void *p = nullptr;
        must(table->alloc(&p, count, stream), "alloc");
        all.push_back(p);
        return p;
    }
    float *floats(int64_t count) {
        float *p = (float *)bytes((size_t)count * 4);
        for (int64_t i = 0; i < count; i += (int64_t)values.size())
            must(table->copy(p + i, values.data(), 4 * (size_t)std::min((int64_t)values.size(), count - i), stream), "copy");
        return p;
    }
    int32_t *ints(const std::vector<int32_t> &numbers) {
        void *p = bytes(numbers.size() * 4);
        must(table->copy(p, numbers.data(), numbers.size() * 4, stream), "copy");
        return (int32_t *)p;
    }
};

/// Seconds of one call of body(turn).
static double timed(const std::function<fk_status(int)> &body) {
    must(body(0), "operation");
    must(table->sync(stream), "sync");
    std::vector<double> rounds;
    int calls = 1, turn = 1;
    while (rounds.size() < 5) {
        const double before = seconds();
        for (int i = 0; i < calls; i++) must(body(turn++), "operation");
        must(table->sync(stream), "sync");
        const double took = seconds() - before;
        if (took < round_seconds && calls < 1 << 14) calls *= 2;
        else rounds.push_back(took / calls);
    }
    std::sort(rounds.begin(), rounds.end());
    return rounds[2];
}

static double peak_f32, peak_bf16, peak_int8, bandwidth;
/// A row: what, how long, and its rate as a share of the limit it is held against.
static void say(const std::string &what, double time, double work, const char *unit, double limit) {
    const bool bytes = !strcmp(unit, "GB/s");
    printf("%-40s %10.4f ms %9.1f %-8s %5.1f %%\n", what.c_str(), time * 1e3, work / time / (bytes ? 1e9 : 1e12), unit, 100 * work / time / limit);
    fflush(stdout);
}
static void flops(const std::string &what, double time, double work, double limit) { say(what, time, work, "TFLOP/s", limit); }
static void bytes(const std::string &what, double time, double work) { say(what, time, work, "GB/s", bandwidth); }
static std::string of(const char *what, std::initializer_list<int64_t> sizes) {
    std::string text = what, sign = " ";
    for (const int64_t size : sizes) text += sign + std::to_string(size), sign = "x";
    return text;
}

static void products() {
    for (const int64_t n : {4096, 14336})
        for (const int64_t m : {1, 16, 64, 512, 4096, 8192}) {
            const int64_t k = 4096, copies = m <= 64 ? 1 + (256 << 20) / (2 * k * n) : 1;
            Memory memory;
            const float *source = memory.floats(k * n), *a = memory.floats(m * k);
            float *out = memory.floats(m * n);
            std::vector<float *> packed;
            for (int64_t i = 0; i < copies; i++) {
                packed.push_back((float *)memory.bytes((size_t)fk_packed_count(k, n) * 2));
                must(table->gemm_pack(packed.back(), source, k, n, k, (fk_layout)(FK_NK | FK_BF16), stream), "pack");
            }
            const double time = timed([&](int i) { return table->gemm(out, a, packed[(size_t)(i % copies)], m, k, n, k, 1, n, FK_BF16, stream); });
            if (m <= 64) bytes(of("bf16", {m, k, n}) + ", weights", time, 2.0 * (double)(k * n));
            else flops(of("bf16", {m, k, n}), time, 2.0 * (double)(m * k * n), peak_bf16);
        }
    {
        Memory memory;
        const int64_t m = 32768, k = 768, n = 2048;
        const float *weight = memory.floats(k * n), *x = memory.floats(m * k);
        float *y = memory.floats(m * n), *nk = memory.floats(fk_packed_count(k, n)), *px = memory.floats(fk_packed_count(m, k)), *dw = memory.floats(n * k);
        must(table->gemm_pack(nk, weight, k, n, k, (fk_layout)(FK_NK | FK_BF16), stream), "pack");
        flops(of("bf16", {m, k, n}), timed([&](int) { return table->gemm(y, x, nk, m, k, n, k, 1, n, FK_BF16, stream); }), 2.0 * (double)(m * k * n), peak_bf16);
        bytes("  pack its input for dW", timed([&](int) { return table->gemm_pack(px, x, m, k, k, (fk_layout)(FK_KN | FK_BF16), stream); }), 6.0 * (double)(m * k));
        flops("  dW", timed([&](int) { return table->gemm(dw, y, px, n, m, k, 1, n, k, FK_BF16 | FK_ACCUMULATE, stream); }), 2.0 * (double)(m * k * n), peak_bf16);
    }
    {
        Memory memory;
        const int64_t m = 2048;
        const float *source = memory.floats(m * m), *a = memory.floats(m * m);
        float *out = memory.floats(m * m), *packed = memory.floats(m * m);
        must(table->gemm_pack(packed, source, m, m, m, FK_NK, stream), "pack");
        flops(of("f32", {m, m, m}), timed([&](int) { return table->gemm(out, a, packed, m, m, m, m, 1, m, 0, stream); }), 2.0 * (double)(m * m * m), peak_f32);
    }
    for (const fk_quant quant : {FK_Q8, FK_Q4})
        for (const int64_t m : {1, 16, 512}) {
            Memory memory;
            const int64_t k = 4096, n = 14336;
            const size_t size = fk_quant_bytes(k, n, quant), room = fk_quant_workspace(m, k);
            const int copies = 1 + (int)((256 << 20) / size);
            const float *source = memory.floats(k * n), *x = memory.floats(m * k);
            float *out = memory.floats(m * n);
            void *workspace = memory.bytes(room);
            std::vector<void *> packed;
            for (int i = 0; i < copies; i++) {
                packed.push_back(memory.bytes(size));
                must(table->quant_pack(packed.back(), source, k, n, k, quant, stream), "pack");
            }
            const double time = timed([&](int i) { return table->quant_gemm(out, x, packed[(size_t)(i % copies)], m, k, n, k, n, quant, workspace, room, stream); });
            if (m <= 16) bytes(of(quant == FK_Q8 ? "q8" : "q4", {m, k, n}) + ", weights", time, (double)size);
            else flops(of(quant == FK_Q8 ? "q8" : "q4", {m, k, n}), time, 2.0 * (double)(m * k * n), peak_int8);
        }
}

static void layers() {
    {
        Memory memory;
        const int64_t n = 8192, d = 4096;
        const float *x = memory.floats(n * d), *w = memory.floats(d);
        float *out = memory.floats(n * d), *sum = memory.floats(n * d), *rstd = memory.floats(n), *dw = memory.floats(d);
        bytes(of("rmsnorm with a sum", {n, d}), timed([&](int) { return table->rmsnorm_fwd(out, sum, rstd, x, x, w, n, d, 1e-5f, stream); }), 12.0 * (double)(n * d));
        bytes("  backward", timed([&](int) { return table->rmsnorm_bwd(out, dw, x, sum, w, rstd, n, d, 0, stream); }), 20.0 * (double)(n * d));
    }
    {
        Memory memory;
        const int64_t n = 8192, width = 14336;
        float *gu = memory.floats(2 * n * width), *out = memory.floats(n * width), *dy = memory.floats(n * width);
        bytes(of("swiglu", {n, width}), timed([&](int) { return table->swiglu_fwd(out, gu, n, width, stream); }), 12.0 * (double)(n * width));
        bytes("  backward", timed([&](int) { return table->swiglu_bwd(gu, out, dy, gu, n, width, stream); }), 24.0 * (double)(n * width));
    }
    {
        Memory memory;
        const int64_t n = 64 << 20;
        float *p = memory.floats(n), *m = memory.floats(n), *v = memory.floats(n), *g = memory.floats(n);
        double *sums = (double *)memory.bytes(8 * (size_t)(fk_sumsq_partials(n) + 1));
        const fk_adamw step = {1e-5f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.1f, 0.05f, 1};
        bytes("adamw 64M", timed([&](int) { return table->adamw(p, m, v, g, n, &step, stream); }), 28.0 * (double)n);
        bytes("axpby 64M", timed([&](int) { return table->axpby(p, 1, m, 2, g, n, stream); }), 12.0 * (double)n);
        bytes("sumsq 64M", timed([&](int) { return table->sumsq(sums, sums + 1, g, n, stream); }), 4.0 * (double)n);
    }
    {
        Memory memory;
        const int64_t n = 4096, d = 2048, v = 32768;
        const size_t room = fk_linear_ce_workspace(4096, d, v);
        std::vector<int32_t> which((size_t)n);
        for (size_t i = 0; i < which.size(); i++) which[i] = (int32_t)(i * 7 % (size_t)v);
        const float *x = memory.floats(n * d), *w = memory.floats(v * d), *weights = memory.floats(n);
        float *nk = memory.floats(fk_packed_count(d, v)), *kn = memory.floats(fk_packed_count(v, d)), *logp = memory.floats(n), *dx = memory.floats(n * d), *dw = memory.floats(v * d);
        void *workspace = memory.bytes(room);
        const int32_t *targets = memory.ints(which);
        must(table->gemm_pack(nk, w, d, v, d, (fk_layout)(FK_NK | FK_BF16), stream), "pack");
        must(table->gemm_pack(kn, w, v, d, d, (fk_layout)(FK_KN | FK_BF16), stream), "pack");
        flops(of("linear_ce bf16", {n, d, v}), timed([&](int) { return table->linear_ce(logp, dx, dw, x, nk, kn, targets, n, d, v, weights, FK_BF16, workspace, room, stream); }),
              6.0 * (double)(n * d * v), peak_bf16);
        const int64_t width = 768;
        float *table_rows = memory.floats(50304 * width), *dy = memory.floats(8192 * width);
        std::vector<int32_t> ids(8192);
        for (size_t i = 0; i < ids.size(); i++) ids[i] = (int32_t)(i * i * 7919 % 50304 % (i % 3 ? 50304 : 50));
        const int32_t *tokens = memory.ints(ids);
        bytes(of("embed backward", {8192, width}), timed([&](int) { return table->embed_bwd(table_rows, dy, tokens, 8192, width, 50304, stream); }), 12.0 * 8192 * (double)width);
    }
    {
        Memory memory;
        const int64_t n = 65536;
        const fk_route route = {128, 8, FK_SOFTMAX, 1, 1, 0};
        const float *logits = memory.floats(n * 128);
        float *probs = memory.floats(n * 128), *weights = memory.floats(n * 8);
        const std::vector<int32_t> none((size_t)(n * 8));
        int32_t *choice = memory.ints(none), *place = memory.ints(none), *pair = memory.ints(none), *starts = memory.ints(std::vector<int32_t>(129));
        bytes("route 65536 tokens, 8 of 128", timed([&](int) { return table->route_fwd(weights, choice, probs, logits, nullptr, n, &route, stream); }), 8.0 * (double)n * 128);
        bytes("  sort", timed([&](int) { return table->route_sort(starts, place, pair, choice, n, &route, stream); }), 16.0 * (double)n * 8);
    }
}

static void attention() {
    for (const int32_t flags : {FK_BF16, 0})
        for (const int64_t d : {64, 128}) {
            Memory memory;
            const int64_t length = 4096, sequences = 4, q = 32, kv = 8, n = length * sequences;
            const fk_attn_shape shape = {n, sequences, q, kv, d, q * d, kv * d, q * d, 0, 0.1f, flags};
            const int32_t *cu = memory.ints({0, 4096, 8192, 12288, 16384});
            const float *Q = memory.floats(n * q * d), *K = memory.floats(n * kv * d), *V = memory.floats(n * kv * d), *dout = memory.floats(n * q * d);
            float *out = memory.floats(n * q * d), *lse = memory.floats(n * q), *delta = memory.floats(n * q);
            float *dq = memory.floats(n * q * d), *dk = memory.floats(n * kv * d), *dv = memory.floats(n * kv * d);
            const double work = 4.0 * (double)d * (double)length * (double)length / 2 * (double)(q * sequences);
            flops(of(flags ? "attention bf16, 4 x 4096, 32 heads of" : "attention f32, 4 x 4096, 32 heads of", {d}), timed([&](int) { return table->attn_fwd(out, lse, Q, K, V, cu, &shape, stream); }), work, flags ? peak_bf16 : peak_f32);
            flops("  backward", timed([&](int) { return table->attn_bwd(dq, dk, dv, delta, dout, Q, K, V, out, lse, cu, &shape, stream); }), 2.5 * work, flags ? peak_bf16 : peak_f32);
        }
    for (const int64_t rows : {1, 64}) {
        Memory memory;
        const int64_t d = 128, q = 32, kv = 8, context = 4096, block = 16, places = context / block;
        const fk_paged_shape shape = {rows, q, kv, d, q * d, kv * d, q * d, rows * places, block, rows, places, 0, 0.1f, 0};
        std::vector<int32_t> blocks((size_t)(rows * places)), of_row((size_t)rows), last((size_t)rows, (int32_t)context - 1);
        for (size_t i = 0; i < blocks.size(); i++) blocks[i] = (int32_t)(i * 7 % blocks.size());
        for (size_t i = 0; i < of_row.size(); i++) of_row[i] = (int32_t)i;
        const int32_t *map = memory.ints(blocks), *row_of = memory.ints(of_row), *position = memory.ints(last);
        const float *Q = memory.floats(rows * q * d), *K = memory.floats(rows * context * kv * d), *V = memory.floats(rows * context * kv * d);
        float *out = memory.floats(rows * q * d);
        bytes("paged attention, 4096 positions, rows " + std::to_string(rows), timed([&](int) { return table->paged_attn(out, Q, K, V, map, row_of, position, &shape, stream); }),
              8.0 * (double)(rows * context * kv * d));
    }
}

int main(int count, char **words) {
    if (count < 2) {
        fprintf(stderr, "usage: bench LIBRARY [SECONDS]\n");
        return 64;
    }
    if (count > 2) round_seconds = atof(words[2]);
    if (!open_library(words[1])) return 0;
    for (float &value : values) value = noise();
    peak_f32 = table->measure_peak(0, 80, stream), peak_bf16 = table->measure_peak(FK_BF16, 80, stream), peak_int8 = table->measure_peak(FK_INT8, 80, stream);
    bandwidth = table->measure_bandwidth((size_t)1 << 30, 4, stream);
    printf("%s: from registers %.1f TFLOP/s f32, %.1f bf16, %.1f int8; %.0f GB/s read\n", table->name, peak_f32 / 1e12, peak_bf16 / 1e12, peak_int8 / 1e12, bandwidth / 1e9);
    products(), layers(), attention();
    return 0;
}
