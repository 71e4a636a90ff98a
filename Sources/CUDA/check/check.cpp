// check.cpp: a kernel library against the scalar reference, operation by operation, and the promises about equal bits.
//
//   check LIBRARY [--quick]
//
// owns      the shapes, the bounds and where they come from
// promises  every operand is a block of exactly the bytes its documentation names, at an odd float offset and at an even one by turns; outputs
//           that are replaced hold NaN before the call; 64 floats behind each output are still as they were after it
// flow      one test an operation or promise; one line each with the worst error as a share of its bound; `N passed, N failed, N skipped` last
//
// Bounds. u = 2^-24. A float32 sum of k terms in any order differs from the exact one by at most (k + 1) u Σ|terms|, and here |terms| <= 1 or the
// sum of their magnitudes is taken; a function of a few roundings differs by a few u times its size. A product of rounded operands is exact, and a
// tensor core cuts what it aligns instead of rounding it: four times the bound. An operand that is itself a rounded result adds one u of bfloat16,
// 2^-8, where the reference rounded a slightly different number the other way.
#include "library.h"

static const double u = 0x1p-24;
static bool quick;
static const fk_ops *reference;
static fk_stream slow;

static struct { std::string name; int calls = 0, failures = 0; double worst = 0; } test;
static int passed, failed;

static void begin(const char *name) {
    test = {};
    test.name = name;
}
static void end() {
    printf("%-34s %5d calls, worst %.3f of the bound%s\n", test.name.c_str(), test.calls, test.worst, test.failures ? ", FAILED" : "");
    fflush(stdout);
    (test.failures ? failed : passed)++;
}
static void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void wrong(const char *format, ...) {
    if (test.failures++ >= 5) return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", test.name.c_str());
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
}

static int turn;
/// Floats on the device and what the reference works on beside them. `odd`: floats from an aligned place.
struct Floats {
    std::vector<float> host;
    int odd;
    void *memory = nullptr;
    enum { guard = 64 };
    explicit Floats(int64_t count, float scale = 1) : host((size_t)count), odd(turn % 2) {
        must(table->alloc(&memory, (size_t)(count + odd + guard) * 4, stream), "alloc");
        for (float &x : host) x = scale * noise();
        up();
        const std::vector<float> behind(guard, 7.25f);
        must(table->copy(at() + count, behind.data(), sizeof(float) * guard, stream), "copy");
    }
    Floats(const Floats &) = delete;
    ~Floats() { table->release(memory, stream); }
    float *at() const { return (float *)memory + odd; }
    operator float *() const { return at(); }
    float *ref() { return host.data(); }
    void up() { must(table->copy(at(), host.data(), host.size() * 4, stream), "copy"); }
    void poison() {
        const std::vector<float> none(host.size(), NAN);
        must(table->copy(at(), none.data(), none.size() * 4, stream), "copy");
    }
    std::vector<float> get() const {
        std::vector<float> all(host.size() + guard);
        must(table->copy(all.data(), at(), all.size() * 4, stream), "copy");
        for (int i = 0; i < guard; i++)
            if (all[host.size() + (size_t)i] != 7.25f) {
                wrong("float %d behind an output was written", i);
                break;
            }
        all.resize(host.size());
        return all;
    }
    /// Against what the reference wrote; bound(i) is what element i may differ by.
    void compare(const char *what, const std::string &shape, std::function<double(size_t)> bound) {
        const auto mine = get();
        for (size_t i = 0; i < mine.size(); i++) {
            if (isnan(mine[i]) && isnan(host[i])) continue;
            const double off = fabs((double)mine[i] - (double)host[i]), most = bound(i), share = off == 0 ? 0 : off / most;
            if (!(off <= most)) return wrong("%s %s: element %zu is %.9g, not %.9g (may differ by %.3g)", what, shape.c_str(), i, mine[i], host[i], most);
            test.worst = std::max(test.worst, share);
        }
    }
    void compare(const char *what, const std::string &shape, double relative) {
        compare(what, shape, [&, this](size_t i) { return relative * (1 + fabs((double)host[i])); });
    }
    void equal(const char *what, const std::string &shape) {
        compare(what, shape, [](size_t) { return 0.0; });
    }
};
struct Ints {
    std::vector<int32_t> host;
    void *memory = nullptr;
    explicit Ints(std::vector<int32_t> values) : host(std::move(values)) {
        must(table->alloc(&memory, host.size() * 4, stream), "alloc");
        must(table->copy(memory, host.data(), host.size() * 4, stream), "copy");
    }
    Ints(const Ints &) = delete;
    ~Ints() { table->release(memory, stream); }
    operator int32_t *() const { return (int32_t *)memory; }
    int32_t *ref() { return host.data(); }
    void equal(const char *what, const std::string &shape) {
        std::vector<int32_t> mine(host.size());
        must(table->copy(mine.data(), memory, mine.size() * 4, stream), "copy");
        for (size_t i = 0; i < mine.size(); i++)
            if (mine[i] != host[i]) return wrong("%s %s: entry %zu is %d, not %d", what, shape.c_str(), i, mine[i], host[i]);
    }
};

/// A call went well if it and the stream say so.
static void good(fk_status status, const std::string &shape) {
    test.calls++;
    turn++;
    const fk_status after = table->sync(stream);
    if (status != FK_OK || after != FK_OK) wrong("%s: status %d, then %d", shape.c_str(), (int)status, (int)after);
}
static std::string named(std::initializer_list<int64_t> numbers) {
    std::string text;
    for (const int64_t n : numbers) text += (text.empty() ? "" : "×") + std::to_string(n);
    return text;
}

// -- matrices -------------------------------------------------------------------------------------------------------------------------------

static std::vector<int64_t> counts() { return quick ? std::vector<int64_t>{0, 1, 3, 16, 33, 136} : std::vector<int64_t>{0, 1, 2, 5, 15, 16, 17, 31, 33, 64, 65, 130, 136, 257, 520}; }
/// Packed matrices of bfloat16 have whole pairs.
static int64_t packed_floats(int64_t k, int64_t n, int32_t bf16) { return bf16 ? fk_packed_count(k + k % 2, n) / 2 : fk_packed_count(k, n); }

static void matrices(int32_t bf16) {
    begin(bf16 ? "gemm, bfloat16" : "gemm, float32");
    int step = 0;
    for (const int64_t m : counts())
        for (const int64_t k : counts())
            for (const int64_t n : counts()) {
                if (m * k * n > (quick ? 400000 : 6000000) || (++step % 3 && m * k * n > 20000)) continue;
                const int way = step % 8;
                const bool kn = way & 1, turned = way & 2;
                const int32_t accumulate = way & 4 ? FK_ACCUMULATE : 0;
                const auto layout = (fk_layout)((kn ? FK_KN : FK_NK) | bf16);
                const std::string shape = named({m, k, n}) + " way " + std::to_string(way);
                Floats source(k * n), a(m * k), out(m * n + (m ? (m - 1) * 3 : 0)), packed(packed_floats(k, n, bf16));
                const int64_t ldo = n + 3;
                // What is replaced holds NaN; what lies between the rows stays as it is.
                std::vector<float> before = out.host;
                for (size_t i = 0; !accumulate && i < before.size(); i++)
                    if ((int64_t)i % ldo < n) before[i] = NAN;
                must(table->copy(out, before.data(), before.size() * 4, stream), "copy");
                std::vector<float> theirs((size_t)packed.host.size());
                fk_status status = table->gemm_pack(packed, source, k, n, kn ? n : k, layout, stream);
                reference->gemm_pack(theirs.data(), source.ref(), k, n, kn ? n : k, layout, slow);
                if (status == FK_OK) status = table->gemm(out, a, packed, m, k, n, turned ? 1 : k, turned ? m : 1, ldo, bf16 | accumulate, stream);
                good(status, shape);
                reference->gemm(out.ref(), a.ref(), theirs.data(), m, k, n, turned ? 1 : k, turned ? m : 1, ldo, bf16 | accumulate, slow);
                const double bound = ((double)k + 2) * u * (bf16 ? 4 : 1) * std::max<double>((double)k, 1);
                if (m * n)
                    out.compare("out", shape, [&](size_t i) { return (int64_t)i % ldo < n ? bound : 0.0; });
                if (!kn && k * n) {
                    Floats back(k * n);
                    back.poison();
                    good(table->gemm_unpack(back, packed, k, n, k, bf16, stream), shape);
                    reference->gemm_unpack(back.ref(), theirs.data(), k, n, k, bf16, slow);
                    back.equal("unpack", shape);
                }
            }
    end();
}

static void quantised() {
    begin("quant_gemm, equal bits");
    const std::vector<int64_t> sizes = {1, 2, 5, 17, 31, 32, 33, 64, 97, 130, 300, 1056};
    for (int t = 0; t < (quick ? 60 : 400); t++) {
        const int64_t m = t % 41, k = sizes[(size_t)(t * 7) % sizes.size()], n = sizes[(size_t)(t * 3 + 1) % sizes.size()];
        const auto quant = (fk_quant)(t % 2);
        const std::string shape = named({m, k, n}) + " case " + std::to_string(t);
        Floats x(m * k), w(n * k, t % 13 ? 1 : 1e30f), out(m * n), back(n * k);
        if (t % 7 == 0 && n * k > 5) w.host[3] = INFINITY, w.host[(size_t)(n * k - 1)] = NAN, w.up();
        if (t % 11 == 0) std::fill(w.host.begin(), w.host.end(), 0.0f), w.up();
        if (t % 5 == 0 && m * k > 4) x.host[1] = NAN, x.up();
        const size_t bytes = fk_quant_bytes(k, n, quant), room = fk_quant_workspace(m, k);
        Floats packed((int64_t)(bytes + 3) / 4), workspace((int64_t)(room + 3) / 4);
        std::vector<char> theirs(bytes), beside(room);
        if (m * n) out.poison();
        fk_status status = table->quant_pack(packed.at(), w, k, n, k, quant, stream);
        if (status == FK_OK) status = table->quant_unpack(back, packed.at(), k, n, k, quant, stream);
        if (status == FK_OK) status = table->quant_gemm(out, x, packed.at(), m, k, n, k, n, quant, workspace.at(), room, stream);
        good(status, shape);
        reference->quant_pack(theirs.data(), w.ref(), k, n, k, quant, slow);
        reference->quant_unpack(back.ref(), theirs.data(), k, n, k, quant, slow);
        reference->quant_gemm(out.ref(), x.ref(), theirs.data(), m, k, n, k, n, quant, beside.data(), room, slow);
        back.equal("unpack", shape);
        out.equal("out", shape);
    }
    end();
}

static void groups() {
    begin("group_gemm, group_gemm_dw");
    const std::vector<int64_t> sizes = {1, 2, 7, 16, 33, 65, 130};
    for (int t = 0; t < (quick ? 20 : 120); t++) {
        const int64_t g = 1 + t % 5, k = sizes[(size_t)t % sizes.size()], n = sizes[(size_t)(t * 5 + 3) % sizes.size()];
        const int32_t bf16 = t % 2 ? FK_BF16 : 0, accumulate = t % 3 == 0 ? FK_ACCUMULATE : 0;
        std::vector<int32_t> cuts((size_t)g + 1);
        for (int64_t i = 0; i < g; i++) cuts[(size_t)i + 1] = cuts[(size_t)i] + (int32_t)((t * 7 + i * 13) % (t % 4 ? 40 : 150)) * ((t + i) % 4 != 0);
        const int64_t m = cuts[(size_t)g];
        const std::string shape = named({g, m, k, n}) + " case " + std::to_string(t);
        Ints starts(cuts);
        Floats source(g * k * n), a(m * k), out(m * n), packed(g * fk_packed_count(k, n)), rows(fk_packed_count(m, k)), dy(m * n), dw(g * n * k);
        std::vector<float> theirs(packed.host.size()), their_rows(rows.host.size());
        const auto layout = (fk_layout)(FK_NK | bf16);
        if (!accumulate) dw.poison();
        fk_status status = table->group_pack(packed, source, g, k * n, k, n, k, layout, stream);
        if (status == FK_OK) status = table->group_gemm(out, a, packed, starts, g, m, k, n, k, n, bf16 | accumulate, stream);
        if (status == FK_OK) status = table->group_pack_rows(rows, a, starts, g, m, k, k, bf16, stream);
        if (status == FK_OK) status = table->group_gemm_dw(dw, dy, rows, starts, g, n * k, m, n, k, n, k, bf16 | accumulate, stream);
        good(status, shape);
        reference->group_pack(theirs.data(), source.ref(), g, k * n, k, n, k, layout, slow);
        reference->group_gemm(out.ref(), a.ref(), theirs.data(), starts.ref(), g, m, k, n, k, n, bf16 | accumulate, slow);
        reference->group_pack_rows(their_rows.data(), a.ref(), starts.ref(), g, m, k, k, bf16, slow);
        reference->group_gemm_dw(dw.ref(), dy.ref(), their_rows.data(), starts.ref(), g, n * k, m, n, k, n, k, bf16 | accumulate, slow);
        out.compare("out", shape, [&](size_t) { return ((double)k + 2) * u * 4 * (double)k; });
        dw.compare("dw", shape, [&](size_t) { return ((double)m + 2) * u * 4 * (double)std::max<int64_t>(m, 1); });
    }
    end();
}

// -- layers ---------------------------------------------------------------------------------------------------------------------------------

static void layers() {
    const std::vector<int64_t> sizes = quick ? std::vector<int64_t>{0, 1, 17, 64, 257} : std::vector<int64_t>{0, 1, 2, 3, 5, 13, 16, 17, 31, 33, 65, 97, 257, 1500};
    const auto each = [&](std::function<void(int64_t, int64_t, const std::string &)> body) {
        for (const int64_t n : sizes)
            for (const int64_t d : sizes)
                if (n * d <= 100000) body(n, d, named({n, d}));
    };
    begin("rmsnorm");
    each([](int64_t n, int64_t d, const std::string &shape) {
        if (!d) return;
        Floats x(n * d), add(n * d), w(d), out(n * d), sum(n * d), rstd(n), dx(n * d), dw(d), dy(n * d);
        out.poison();
        const bool added = turn % 3;
        good(table->rmsnorm_fwd(out, sum, rstd, x, added ? add.at() : nullptr, w, n, d, 1e-5f, stream), shape);
        reference->rmsnorm_fwd(out.ref(), sum.ref(), rstd.ref(), x.ref(), added ? add.ref() : nullptr, w.ref(), n, d, 1e-5f, slow);
        // The mean of d squares, a square root, a division, two products.
        const double k = ((double)d + 8) * u;
        out.compare("out", shape, k), sum.equal("sum", shape), rstd.compare("rstd", shape, k);
        const int32_t adds = (int32_t)(turn / 2 % 2);
        good(table->rmsnorm_bwd(dx, dw, dy, sum, w, rstd, n, d, adds, stream), shape);
        const auto given = rstd.get();
        reference->rmsnorm_bwd(dx.ref(), dw.ref(), dy.ref(), sum.ref(), w.ref(), given.data(), n, d, adds, slow);
        double scale = 1;
        for (const float r : given) scale = std::max(scale, (double)r);
        // One row of one element has an rstd of hundreds: what is subtracted is that much larger than what is left.
        dx.compare("dx", shape, [&](size_t) { return 4 * k * scale * scale * scale; }), dw.compare("dw", shape, [&](size_t) { return ((double)n + 4) * u * 2 * scale * (double)(n + 1); });
    });
    end();
    begin("swiglu");
    each([](int64_t n, int64_t d, const std::string &shape) {
        Floats gu(n * 2 * d, 8), out(n * d), dy(n * d), dgu(n * 2 * d);
        out.poison();
        good(table->swiglu_fwd(out, gu, n, d, stream), shape);
        reference->swiglu_fwd(out.ref(), gu.ref(), n, d, slow);
        out.compare("out", shape, 64 * u);
        good(table->swiglu_bwd(dgu, out, dy, gu, n, d, stream), shape);
        reference->swiglu_bwd(dgu.ref(), out.ref(), dy.ref(), gu.ref(), n, d, slow);
        dgu.compare("dgu", shape, 64 * u);
    });
    end();
    begin("rope");
    each([](int64_t n, int64_t half, const std::string &shape) {
        if (!half || half > 300) return;
        const int64_t d = 2 * half, heads = 3, stride = heads * d + 1;
        std::vector<int32_t> where((size_t)n);
        for (size_t i = 0; i < where.size(); i++) where[i] = (int32_t)(i * 5 % 7);
        Ints position(where);
        Floats x(n * stride), cosines(7 * half), sines(7 * half);
        const auto layout = turn % 2 ? FK_ROPE_INTERLEAVED : FK_ROPE_HALF;
        const int32_t inverse = (int32_t)(turn / 2 % 2);
        good(table->rope(x, position, cosines, sines, n, heads, d, stride, layout, inverse, stream), shape);
        reference->rope(x.ref(), position.ref(), cosines.ref(), sines.ref(), n, heads, d, stride, layout, inverse, slow);
        x.compare("x", shape, 3 * u);
    });
    end();
    begin("embed, equal bits");
    each([](int64_t n, int64_t d, const std::string &shape) {
        const int64_t vocabulary = 11;
        std::vector<int32_t> which((size_t)n);
        for (size_t i = 0; i < which.size(); i++) which[i] = (int32_t)((i * 5 + i / 3) % vocabulary);
        Ints ids(which);
        Floats w(vocabulary * d), out(n * d), dw(vocabulary * d), dy(n * d);
        out.poison();
        good(table->embed_fwd(out, w, ids, n, d, vocabulary, stream), shape);
        reference->embed_fwd(out.ref(), w.ref(), ids.ref(), n, d, vocabulary, slow);
        out.equal("out", shape);
        good(table->embed_bwd(dw, dy, ids, n, d, vocabulary, stream), shape);
        reference->embed_bwd(dw.ref(), dy.ref(), ids.ref(), n, d, vocabulary, slow);
        dw.equal("dw", shape);
    });
    end();
    begin("logprob, cross_entropy");
    each([](int64_t n, int64_t v, const std::string &shape) {
        if (!v) return;
        std::vector<int32_t> which((size_t)n);
        for (size_t i = 0; i < which.size(); i++) which[i] = i % 3 ? (int32_t)((int64_t)i % v) : -1;
        Ints targets(which);
        Floats logp(n), logits(n * v, 20), weights(n);
        logp.poison();
        good(table->logprob(logp, logits, targets, n, v, stream), shape);
        reference->logprob(logp.ref(), logits.ref(), targets.ref(), n, v, slow);
        logp.compare("logp", shape, ((double)v + 8) * u);
        good(table->cross_entropy(logp, logits, targets, n, v, weights, stream), shape);
        reference->cross_entropy(logp.ref(), logits.ref(), targets.ref(), n, v, weights.ref(), slow);
        logits.compare("dlogits", shape, ((double)v + 8) * u);
    });
    end();
    for (const int32_t bf16 : {0, FK_BF16}) {
        begin(bf16 ? "linear_ce, bfloat16" : "linear_ce, float32");
        each([&](int64_t n, int64_t d, const std::string &shape) {
            if (!d || d > 100 || n > 600) return;
            const int64_t v = 37;
            std::vector<int32_t> which((size_t)n);
            for (size_t i = 0; i < which.size(); i++) which[i] = i % 3 ? (int32_t)((int64_t)i % v) : -1;
            Ints targets(which);
            const size_t room = fk_linear_ce_workspace(turn % 4 ? FK_CE_ROWS : 2 * FK_CE_ROWS, d, v);
            Floats w(v * d), nk(packed_floats(d, v, bf16)), kn(packed_floats(v, d, bf16)), x(n * d), logp(n), weights(n), dx(n * d), dw(v * d), workspace((int64_t)(room + 3) / 4);
            std::vector<float> their_nk(nk.host.size()), their_kn(kn.host.size());
            std::vector<char> beside(room);
            fk_status status = table->gemm_pack(nk, w, d, v, d, (fk_layout)(FK_NK | bf16), stream);
            if (status == FK_OK) status = table->gemm_pack(kn, w, v, d, d, (fk_layout)(FK_KN | bf16), stream);
            if (status == FK_OK) status = table->linear_ce(logp, dx, dw, x, nk, kn, targets, n, d, v, weights, bf16, workspace.at(), room, stream);
            good(status, shape);
            reference->gemm_pack(their_nk.data(), w.ref(), d, v, d, (fk_layout)(FK_NK | bf16), slow);
            reference->gemm_pack(their_kn.data(), w.ref(), v, d, d, (fk_layout)(FK_KN | bf16), slow);
            reference->linear_ce(logp.ref(), dx.ref(), dw.ref(), x.ref(), their_nk.data(), their_kn.data(), targets.ref(), n, d, v, weights.ref(), bf16, beside.data(), room, slow);
            // The softmax is rounded to bfloat16 before it is multiplied: where the two differ by less than one step of it, by one step at most.
            const double logit = ((double)d + (double)v + 8) * u * 4 * (double)d, step = bf16 ? 0x1p-8 : 0;
            logp.compare("logp", shape, logit), dx.compare("dx", shape, [&](size_t) { return logit + step + ((double)v + 2) * u * 4; });
            dw.compare("dw", shape, [&](size_t) { return (logit + step) * (double)(n + 1) + ((double)n + 2) * u * 4 * (double)(n + 1); });
        });
        end();
    }
    begin("axpby, fill, copies of columns, sums, adamw");
    each([](int64_t n, int64_t d, const std::string &shape) {
        const int64_t e = n * d;
        Floats x(e), y(e), out(e), p(e), m(e), v(e), g(e), sum(2 + 2 * fk_sumsq_partials(e)), columns(2 * d);
        for (float &value : v.host) value *= value;
        v.up();
        good(table->axpby(out, 2, x, 3, y, e, stream), shape);
        reference->axpby(out.ref(), 2, x.ref(), 3, y.ref(), e, slow);
        out.compare("axpby", shape, 4 * u);
        good(table->fill(out, 2.5f, e, stream), shape);
        reference->fill(out.ref(), 2.5f, e, slow);
        out.equal("fill", shape);
        for (int64_t part : {d, d / 2}) {
            good(table->copy_columns(out, x, n, part, d, d, stream), shape);
            reference->copy_columns(out.ref(), x.ref(), n, part, d, d, slow);
            out.equal("copy_columns", shape);
        }
        const fk_adamw step = {1e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.1f, 0.05f, 0.7f};
        good(table->adamw(p, m, v, g, e, &step, stream), shape);
        reference->adamw(p.ref(), m.ref(), v.ref(), g.ref(), e, &step, slow);
        p.compare("p", shape, 4 * u), m.compare("m", shape, 4 * u), v.compare("v", shape, 4 * u);
        if (sum.odd || columns.odd) return;  // doubles lie at multiples of eight bytes
        double mine = 0, theirs = 0;
        good(table->sumsq((double *)sum.at(), (double *)sum.at() + 1, x, e, stream), shape);
        must(table->copy(&mine, sum.at(), 8, stream), "copy");
        reference->sumsq(&theirs, nullptr, x.ref(), e, slow);
        if (fabs(mine - theirs) > 1e-13 * theirs) wrong("sumsq %s: %.17g, not %.17g", shape.c_str(), mine, theirs);
        std::vector<double> sums((size_t)d), wanted((size_t)d);
        good(table->column_sums((double *)columns.at(), x, n, d, stream), shape);
        must(table->copy(sums.data(), columns.at(), 8 * (size_t)d, stream), "copy");
        reference->column_sums(wanted.data(), x.ref(), n, d, slow);
        if (sums != wanted) wrong("column_sums %s: not the sums of doubles in order", shape.c_str());
    });
    end();
    begin("to_bf16, from_bf16, equal bits");
    each([](int64_t n, int64_t d, const std::string &shape) {
        const int64_t e = n * d;
        Floats x(e, 1e3f), half((e + 1) / 2), out(e);
        std::vector<uint16_t> theirs((size_t)e);
        fk_status status = table->to_bf16((uint16_t *)half.at(), x, e, stream);
        if (status == FK_OK) status = table->from_bf16(out, (const uint16_t *)half.at(), e, stream);
        good(status, shape);
        reference->to_bf16(theirs.data(), x.ref(), e, slow);
        reference->from_bf16(out.ref(), theirs.data(), e, slow);
        out.equal("out", shape);
    });
    end();
}

// -- experts --------------------------------------------------------------------------------------------------------------------------------

static void experts() {
    begin("routing and experts");
    const std::vector<int64_t> sizes = {1, 2, 5, 16, 33, 97, 300};
    for (int t = 0; t < (quick ? 30 : 160); t++) {
        const int64_t n = sizes[(size_t)t % sizes.size()] * (t % 17 ? 1 : 9), e = sizes[(size_t)(t * 5 + 2) % sizes.size()] + 1, k = 1 + t % std::min<int64_t>(e, 4), d = sizes[(size_t)(t * 3) % sizes.size()];
        const fk_route route = {e, k, t % 2 ? FK_SIGMOID : FK_SOFTMAX, t % 3 == 0, 1.5f, 0};
        const int64_t pairs = n * k;
        const std::string shape = named({n, e, k, d}) + " case " + std::to_string(t);
        const std::vector<int32_t> none((size_t)pairs);
        Ints choice(none), starts(std::vector<int32_t>((size_t)e + 1)), place(none), pair(none);
        Floats weights(pairs), probs(n * e), logits(n * e), bias(e), dweights(pairs), dlogits(n * e), balance(e);
        if (t % 4 == 0) {
            // Many equal scores: the lower index is chosen.
            for (float &x : logits.host) x = roundf(4 * x) / 4;
            logits.up();
        }
        float *const mine = t % 2 ? bias.at() : nullptr, *const theirs = t % 2 ? bias.ref() : nullptr;
        good(table->route_fwd(weights, choice, probs, logits, mine, n, &route, stream), shape);
        reference->route_fwd(weights.ref(), choice.ref(), probs.ref(), logits.ref(), theirs, n, &route, slow);
        choice.equal("choice", shape), weights.compare("weights", shape, ((double)e + 16) * u), probs.compare("probs", shape, ((double)e + 16) * u);
        good(table->route_sort(starts, place, pair, choice, n, &route, stream), shape);
        reference->route_sort(starts.ref(), place.ref(), pair.ref(), choice.ref(), n, &route, slow);
        starts.equal("starts", shape), place.equal("place", shape), pair.equal("pair", shape);
        good(table->route_bwd(dlogits, dweights, choice, probs, t % 2 ? nullptr : balance.at(), n, &route, stream), shape);
        reference->route_bwd(dlogits.ref(), dweights.ref(), choice.ref(), probs.ref(), t % 2 ? nullptr : balance.ref(), n, &route, slow);
        dlogits.compare("dlogits", shape, ((double)e + 32) * 4 * u * (double)e);
        if (pairs * d > 60000) continue;
        Floats x(n * d), y(pairs * d), out(n * d), add(n * d), gu(pairs * 2 * d), dgu(pairs * 2 * d), again(pairs * d), dh(pairs * d);
        good(table->expert_gather(y, x, pair, n, k, d, stream), shape);
        reference->expert_gather(y.ref(), x.ref(), pair.ref(), n, k, d, slow);
        y.equal("gather", shape);
        good(table->expert_combine(out, t % 2 ? add.at() : nullptr, y, t % 3 ? weights.at() : nullptr, place, n, k, d, stream), shape);
        reference->expert_combine(out.ref(), t % 2 ? add.ref() : nullptr, y.ref(), t % 3 ? weights.ref() : nullptr, place.ref(), n, k, d, slow);
        out.compare("combine", shape, ((double)e + 32) * 2 * u);
        good(table->expert_swiglu_bwd(dgu, again, dweights, dh, gu, weights, pair, pairs, d, stream), shape);
        reference->expert_swiglu_bwd(dgu.ref(), again.ref(), dweights.ref(), dh.ref(), gu.ref(), weights.ref(), pair.ref(), pairs, d, slow);
        dgu.compare("dgu", shape, ((double)e + 64) * 2 * u), again.compare("again", shape, ((double)e + 64) * 2 * u);
        dweights.compare("dweights", shape, [&](size_t) { return ((double)d + 16) * u * (double)d; });
    }
    end();
}

// -- attention ------------------------------------------------------------------------------------------------------------------------------

static void attention(int32_t flags) {
    const int64_t dims[] = {1, 2, 7, 16, 33, 64, 80, 128, 200, 256};
    const std::vector<std::vector<int32_t>> lengths = {{1}, {5, 1, 63, 0, 2}, {64, 65, 0, 3, 1}, {130, 17, 0, 0, 2}, {300}};
    begin(flags ? "attention, bfloat16" : "attention, float32");
    int number = 0;
    for (const int64_t d : dims)
        for (const auto &each : lengths)
            for (const int64_t group : {1, 3})
                for (const int64_t window : {0, 35, 70}) {
                    number++;
                    if (quick ? number % 13 : number % 3 && d > 64) continue;
                    std::vector<int32_t> cuts = {0};
                    for (const int32_t length : each) cuts.push_back(cuts.back() + length);
                    const int64_t n = cuts.back(), kv = 2, q = kv * group;
                    const fk_attn_shape shape = {n, (int64_t)each.size(), q, kv, d, q * d + 3, kv * d + 1, q * d + 2, window, 0.3f, flags};
                    const std::string name = named({n, q, d}) + " window " + std::to_string(window);
                    Ints cu(cuts);
                    Floats Q(n * shape.q_stride), K(n * shape.kv_stride), V(n * shape.kv_stride), out(n * shape.o_stride), lse(n * q);
                    Floats dq(n * shape.q_stride), dk(n * shape.kv_stride), dv(n * shape.kv_stride), delta(n * q), dout(n * shape.o_stride);
                    good(table->attn_fwd(out, lse, Q, K, V, cu, &shape, stream), name);
                    reference->attn_fwd(out.ref(), lse.ref(), Q.ref(), K.ref(), V.ref(), cu.ref(), &shape, slow);
                    // A score is a sum of d terms, and e to its power has its absolute error; then at most n terms are averaged.
                    const double score = ((double)d + 8) * u * 0.3 * (double)d, k = 4 * score + ((double)n + 16) * u;
                    // Rounded operands move a score by 2^-8 of its terms' magnitudes, root of d times in practice; probabilities are rounded once more.
                    const double loose = flags ? 0x1p-8 * (0.3 * sqrt((double)d) + 2) : 0;
                    out.compare("out", name, k + loose), lse.compare("lse", name, k + loose);
                    good(table->attn_bwd(dq, dk, dv, delta, dout, Q, K, V, out, lse, cu, &shape, stream), name);
                    reference->attn_bwd(dq.ref(), dk.ref(), dv.ref(), delta.ref(), dout.ref(), Q.ref(), K.ref(), V.ref(), out.ref(), lse.ref(), cu.ref(), &shape, slow);
                    const double slope = (k + loose) * (double)(flags ? 2 : d + 1) * (double)group;
                    dq.compare("dq", name, slope), dk.compare("dk", name, slope * 8), dv.compare("dv", name, slope * 8);
                }
    end();
}

static void paged() {
    const int64_t dims[] = {1, 2, 7, 16, 33, 64, 80, 128, 200, 256};
    begin("paged attention");
    for (const int64_t d : dims)
        for (const int64_t group : {1, 3, 9})
            for (const int64_t window : {0, 35, 400}) {
                if (quick && (d * group + window) % 3) continue;
                // Positions that one chunk of 256 holds, or several. The table of the first has room for one chunk, or for more: that must not show.
                const int64_t kv = 2, q = kv * group, block = 3, rows = 3, places = 700 / block + 1;
                std::vector<int32_t> blocks((size_t)(2 * places));
                for (size_t i = 0; i < blocks.size(); i++) blocks[i] = (int32_t)(blocks.size() - 1 - i);
                Ints map(blocks), row_of({0, 1, 1}), position({0, 255, 690});
                fk_paged_shape shape = {rows, q, kv, d, q * d + 1, kv * d + 2, q * d + 5, 2 * places, block, 2, places, window, 0.3f, 0};
                const std::string name = named({q, d}) + " window " + std::to_string(window);
                const double bound = 4 * ((double)d + 8) * u * 0.3 * (double)d + 700 * u;
                Floats Q(rows * shape.q_stride), out(rows * shape.o_stride), K(2 * places * block * kv * d), V(2 * places * block * kv * d);
                good(table->paged_attn(out, Q, K, V, map, row_of, position, &shape, stream), name);
                reference->paged_attn(out.ref(), Q.ref(), K.ref(), V.ref(), map.ref(), row_of.ref(), position.ref(), &shape, slow);
                out.compare("out", name, bound);

                const int64_t few = 250 / block + 1;
                std::vector<int32_t> some(blocks.begin(), blocks.begin() + few);
                some.insert(some.end(), blocks.begin() + places, blocks.begin() + places + few);
                Ints near_map(some), near({0, 249, 130});
                Floats wide(rows * shape.o_stride);
                good(table->paged_attn(wide, Q, K, V, map, row_of, near, &shape, stream), name);
                shape.places = few;
                good(table->paged_attn(out, Q, K, V, near_map, row_of, near, &shape, stream), name);
                const auto one = out.get(), more = wide.get();
                for (int64_t t = 0; t < rows; t++)
                    if (memcmp(&one[(size_t)(t * shape.o_stride)], &more[(size_t)(t * shape.o_stride)], (size_t)(q * d) * 4)) wrong("%s: room for more chunks shows", name.c_str());
                reference->paged_attn(out.ref(), Q.ref(), K.ref(), V.ref(), near_map.ref(), row_of.ref(), near.ref(), &shape, slow);
                out.compare("out of one chunk", name, bound);
                shape.places = places;

                Floats k(rows * shape.kv_stride), v(rows * shape.kv_stride);
                good(table->paged_store(K, V, k, v, map, row_of, position, &shape, stream), name);
                reference->paged_store(K.ref(), V.ref(), k.ref(), v.ref(), map.ref(), row_of.ref(), position.ref(), &shape, slow);
                K.equal("stored keys", name), V.equal("stored values", name);
            }
    end();
}

// -- promises -------------------------------------------------------------------------------------------------------------------------------

static void same(const char *what, const std::vector<float> &a, const std::vector<float> &b) {
    test.calls++;
    if (a.size() != b.size() || memcmp(a.data(), b.data(), a.size() * 4)) wrong("%s: not the same bits", what);
}

/// The first `rows` rows of a product with `m`, k in parts that end at `cut`.
static std::vector<float> product(int64_t rows, int64_t m, int64_t k, int64_t n, int32_t bf16, int64_t cut) {
    noise_state = 99;
    turn = 0;
    Floats a(600 * k), w(n * k), out(600 * n), packed(fk_packed_count(k, n));
    std::fill(out.host.begin(), out.host.end(), 0.0f), out.up();
    for (int64_t from = 0, to; from < k; from = to) {
        to = from == 0 && cut ? cut : k;
        must(table->gemm_pack(packed, w + from, to - from, n, k, (fk_layout)(FK_NK | bf16), stream), "pack");
        must(table->gemm(out, a + from, packed, m, to - from, n, k, 1, n, bf16 | FK_ACCUMULATE, stream), "gemm");
    }
    auto all = out.get();
    all.resize((size_t)(rows * n));
    return all;
}

static void promises() {
    begin("a row alone, among others, in parts");
    for (const int32_t bf16 : {0, FK_BF16})
        for (const int64_t k : {264, 135, 320}) {
            const int64_t n = 200, most = quick ? 150 : 600;
            for (const int64_t m : {1, 16, 20, 50, 150}) same(bf16 ? "bfloat16 among others" : "float32 among others", product(1, m, k, n, bf16, 0), product(1, most, k, n, bf16, 0));
            same("again", product(40, 40, k, n, bf16, 0), product(40, 40, k, n, bf16, 0));
            for (const int64_t cut : {64, 128}) same(bf16 ? "bfloat16 in parts" : "float32 in parts", product(150, 150, k, n, bf16, cut), product(150, 150, k, n, bf16, 0));
        }
    end();
    begin("the same calls again, on other numbers");
    {
        turn = 0;
        const int64_t n = 1000;
        Floats x(n), y(n);
        for (int round = 0; round < 6; round++) {
            for (float &value : x.host) value = noise();
            x.up();
            // The third round's rate is its own: words that were known change, and come back.
            for (int i = 0; i < 12; i++) {
                const float rate = round == 2 && i == 5 ? 0.125f : 0.5f;
                good(table->axpby(y, rate, x, 0.5f, y, n, stream), "axpby");
                reference->axpby(y.ref(), rate, x.ref(), 0.5f, y.ref(), n, slow);
            }
            same("after twelve calls", y.get(), y.host);
        }
    }
    end();
    begin("what does not fit is refused");
    {
        turn = 0;
        Floats x(64);
        Ints ids({0, 50, 1});
        const fk_attn_shape wide = {1, 1, 1, 1, FK_HEAD_MAX + 1, FK_HEAD_MAX + 1, FK_HEAD_MAX + 1, FK_HEAD_MAX + 1, 0, 1, 0};
        const struct { const char *what; fk_status status; } calls[] = {
            {"gemm with n < 0", table->gemm(x, x, x, 1, 1, -1, 1, 1, 1, 0, stream)}, {"gemm_pack with ld < k", table->gemm_pack(x, x, 4, 2, 3, FK_NK, stream)},
            {"rmsnorm with add and no sum", table->rmsnorm_fwd(x, nullptr, nullptr, x, x, x, 1, 4, 1e-5f, stream)}, {"rmsnorm of nothing", table->rmsnorm_fwd(x, nullptr, nullptr, x, nullptr, x, 1, 0, 1e-5f, stream)},
            {"rope of an odd width", table->rope(x, ids, x, x, 1, 1, 3, 3, FK_ROPE_HALF, 0, stream)}, {"attention of 577", table->attn_fwd(x, nullptr, x, x, x, ids, &wide, stream)},
            {"quant_gemm without room", table->quant_gemm(x, x, x, 1, 4, 1, 4, 1, FK_Q8, x, 3, stream)},
        };
        for (const auto &call : calls) {
            test.calls++;
            if (call.status != FK_BAD_SHAPE) wrong("%s: status %d", call.what, (int)call.status);
        }
        // An index is judged where it lies: at once by a processor, at the next sync by a GPU; and then all is well again.
        const auto judged = [&](const char *what, fk_status told) {
            test.calls++;
            const fk_status after = table->sync(stream);
            if (told != FK_BAD_SHAPE && after != FK_BAD_SHAPE) wrong("%s: status %d, then %d", what, (int)told, (int)after);
            if (table->sync(stream) != FK_OK) wrong("%s: trouble stays after it was told", what);
        };
        judged("an id outside its vocabulary", table->embed_fwd(x, x, ids, 3, 4, 11, stream));
        // Two rows of one head of four; what is wrong with the cuts of their sequences, the blocks (two of four positions) or the positions.
        const std::vector<int32_t> cuts[] = {{1, 2}, {0, 1}, {0, 3}, {0, 2, 1}, {0, -1, 2}, {0, 3, 2}};
        for (const auto &cut : cuts)
            for (const int32_t flags : {0, FK_BF16}) {
                Ints cu(cut);
                Floats out(8), lse(2), delta(2), dq(8), dk(8), dv(8), q(8);
                const fk_attn_shape shape = {2, (int64_t)cut.size() - 1, 1, 1, 4, 4, 4, 4, 0, 1, flags};
                judged("attention's cuts", table->attn_fwd(out, lse, q, q, q, cu, &shape, stream));
                judged("attention's cuts, backward", table->attn_bwd(dq, dk, dv, delta, q, q, q, q, out, lse, cu, &shape, stream));
            }
        const struct { const char *what; std::vector<int32_t> map, row_of, position; } paged[] = {
            {"a sequence that is not there", {0, 1}, {0, 1}, {0, 1}}, {"a negative sequence", {0, 1}, {-1, 0}, {0, 1}}, {"a negative position", {0, 1}, {0, 0}, {0, -1}},
            {"a position past the blocks", {0, 1}, {0, 0}, {0, 8}}, {"a block that is not there", {0, 2}, {0, 0}, {0, 5}}, {"a negative block", {0, -1}, {0, 0}, {0, 4}},
        };
        for (const auto &each : paged) {
            Ints map(each.map), row_of(each.row_of), position(each.position);
            Floats pool(32), values(32), rows(8), out(8);
            const fk_paged_shape shape = {2, 1, 1, 4, 4, 4, 4, 2, 4, 1, 2, 0, 1, 0};
            judged(each.what, table->paged_store(pool, values, rows, rows, map, row_of, position, &shape, stream));
            judged(each.what, table->paged_attn(out, rows, pool, values, map, row_of, position, &shape, stream));
        }
    }
    end();
}

int main(int count, char **words) {
    if (count < 2) {
        fprintf(stderr, "usage: check LIBRARY [--quick [PART…]]\n");
        return 64;
    }
    quick = count > 2 && !strcmp(words[2], "--quick");
    const struct { const char *name; void (*run)(); } parts[] = {
        {"matrices", [] { matrices(0), matrices(FK_BF16); }}, {"quantised", quantised}, {"groups", groups}, {"layers", layers}, {"experts", experts},
        {"attention", [] { attention(0), attention(FK_BF16); }}, {"paged", paged}, {"promises", promises},
    };
    for (int w = 3; w < count; w++)
        if (std::none_of(std::begin(parts), std::end(parts), [&](const auto &part) { return !strcmp(part.name, words[w]); })) {
            fprintf(stderr, "check: there is no part `%s`\n", words[w]);
            return 64;
        }
    if (!open_library(words[1])) {
        printf("0 passed, 0 failed, 1 skipped\n");
        return 0;
    }
    reference = fk_cpu_ops(FK_CPU_REFERENCE);
    must(reference->stream_open(&slow, 1, 0), "reference");
    for (const auto &part : parts)
        if (count < 4 || std::any_of(words + 3, words + count, [&](const char *word) { return !strcmp(word, part.name); })) part.run();
    table->stream_close(stream);
    reference->stream_close(slow);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
