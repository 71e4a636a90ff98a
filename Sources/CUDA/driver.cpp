// The GPU's side: the driver, found at run time, and through it streams, memory and launches.
//
// owns      contexts, streams, the store of freed memory, the fat binary's functions, what waits to be launched
// promises  without a driver or a GPU, stream_open says FK_DEVICE and nothing else happens; memory that was freed is kept for the next request
//           of its size on the same stream, so that a training step asks the driver for nothing; work runs in the order of the calls, and work
//           that was given before in the same words, as a step of decoding is, goes to the device as one graph
// never     links against CUDA: libcuda.so.1 is opened by name (CUDA Driver API 12.0 or later)
// flow      stream_open → primary context, fat binary → alloc, copy, launches wait → a copy to or from the host, a sync, or many: flush → sync
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "simt.h"

extern "C" const unsigned char fk_fat_binary[];  // generated from table.cu

namespace {

// The driver's interface, as far as it is used: cuda.h names these, and their meaning has not moved since 12.0.
using Result = int;
using Device = int;
struct Context_;  struct Stream_;  struct Library_;  struct Kernel_;  struct Graph_;  struct Steps_;
using Context = Context_ *;
using Stream = Stream_ *;
using Library = Library_ *;
using Kernel = Kernel_ *;
using Graph = Graph_ *;
using Steps = Steps_ *;  // CUgraphExec
using Address = unsigned long long;
constexpr int success = 0, out_of_memory = 2;
constexpr int attribute_processors = 16, attribute_major = 75;
constexpr int function_shared_most = 8, capture_of_this_thread = 1;

/// CUlaunchConfig with one CUlaunchAttribute.
struct Attribute { int which, unused, value[16]; };
struct Launch {
    unsigned x, y, z, threads_x, threads_y, threads_z, shared;
    Stream stream;
    Attribute *attributes;
    unsigned count;
};
constexpr int programmatic = 6;  // a kernel may start before the one before it ends: it waits by itself (fk_begin)

struct Driver {
    Result (*init)(unsigned);
    Result (*device_get)(Device *, int);
    Result (*device_attribute)(int *, int, Device);
    Result (*retain)(Context *, Device);
    Result (*release)(Device);
    Result (*set_current)(Context);
    Result (*stream_create)(Stream *, unsigned);
    Result (*stream_destroy)(Stream);
    Result (*stream_sync)(Stream);
    Result (*mem_alloc)(Address *, size_t);
    Result (*mem_free)(Address);
    Result (*host_alloc)(void **, size_t, unsigned);
    Result (*host_free)(void *);
    Result (*copy_async)(Address, Address, size_t, Stream);
    Result (*clear_async)(Address, unsigned char, size_t, Stream);
    Result (*library_load)(Library *, const void *, void *, void **, unsigned, void *, void **, unsigned);
    Result (*library_kernel)(Kernel *, Library, const char *);
    Result (*kernel_set)(int, int, Kernel, Device);
    Result (*map_encode)(void *, int, unsigned, void *, const unsigned long long *, const unsigned long long *, const unsigned *, const unsigned *, int, int, int, int);
    Result (*launch)(Kernel, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Stream, void **, void **);
    Result (*launch_with)(const struct Launch *, Kernel, void **, void **);
    Result (*capture_begin)(Stream, int);
    Result (*capture_end)(Stream, Graph *);
    Result (*graph_instantiate)(Steps *, Graph, unsigned long long);
    Result (*graph_destroy)(Graph);
    Result (*steps_launch)(Steps, Stream);
    Result (*steps_destroy)(Steps);
    Library library;
    bool usable;
};

const Driver &driver() {
    static const Driver opened = [] {
        Driver d = {};
        void *handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
        if (!handle) return d;
        const struct { void **to; const char *name; } names[] = {
            {(void **)&d.init, "cuInit"}, {(void **)&d.device_get, "cuDeviceGet"}, {(void **)&d.device_attribute, "cuDeviceGetAttribute"},
            {(void **)&d.retain, "cuDevicePrimaryCtxRetain"}, {(void **)&d.release, "cuDevicePrimaryCtxRelease_v2"}, {(void **)&d.set_current, "cuCtxSetCurrent"},
            {(void **)&d.stream_create, "cuStreamCreate"}, {(void **)&d.stream_destroy, "cuStreamDestroy_v2"}, {(void **)&d.stream_sync, "cuStreamSynchronize"},
            {(void **)&d.mem_alloc, "cuMemAlloc_v2"}, {(void **)&d.mem_free, "cuMemFree_v2"}, {(void **)&d.host_alloc, "cuMemHostAlloc"},
            {(void **)&d.host_free, "cuMemFreeHost"}, {(void **)&d.copy_async, "cuMemcpyAsync"}, {(void **)&d.clear_async, "cuMemsetD8Async"},
            {(void **)&d.library_load, "cuLibraryLoadData"}, {(void **)&d.library_kernel, "cuLibraryGetKernel"},
            {(void **)&d.kernel_set, "cuKernelSetAttribute"}, {(void **)&d.launch, "cuLaunchKernel"}, {(void **)&d.launch_with, "cuLaunchKernelEx"}, {(void **)&d.capture_begin, "cuStreamBeginCapture_v2"},
            {(void **)&d.capture_end, "cuStreamEndCapture"}, {(void **)&d.graph_instantiate, "cuGraphInstantiateWithFlags"}, {(void **)&d.graph_destroy, "cuGraphDestroy"},
            {(void **)&d.steps_launch, "cuGraphLaunch"}, {(void **)&d.steps_destroy, "cuGraphExecDestroy"},
        };
        for (const auto &each : names)
            if (!(*each.to = dlsym(handle, each.name))) return d;
        d.map_encode = (decltype(d.map_encode))dlsym(handle, "cuTensorMapEncodeTiled");  // since 12.0 too, and only sm_90 asks for it
        d.usable = d.init(0) == success && d.library_load(&d.library, fk_fat_binary, nullptr, nullptr, 0, nullptr, nullptr, 0) == success;
        return d;
    }();
    return opened;
}

fk_status status_of(Result result) { return result == success ? FK_OK : result == out_of_memory ? FK_MEMORY : FK_DEVICE; }

/// Sizes are rounded up, an eighth at most, so that a store of few sizes serves many requests.
size_t size_class(size_t bytes) {
    size_t step = 256;
    while (step * 8 < bytes) step *= 2;
    return (bytes + step - 1) / step * step + (bytes ? 0 : step);
}

/// What waits: a launch, or without a function a copy on the device, or without a source either a clearing. It has no holes, and jobs have none
/// (table.cu sees to it): equal work has equal bytes.
struct Work {
    Kernel function;
    unsigned x, y, threads, shared;
    Address to, from;
    size_t bytes;  // of the copy or clearing; of the job, which lies at `from` in `jobs`
};
static_assert(sizeof(Work) == 8 + 16 + 16 + 8);

/// Work that was given twice, ready to be given again.
struct Known {
    std::vector<uint8_t> words;
    Steps steps;
    uint64_t last_use;
};

constexpr size_t most_waiting = 256, fewest_in_a_graph = 8, most_graphs = 256, most_seen = 4096, staging_bytes = 1 << 20, staged_most = 64 << 10;

}  // namespace

struct fk_stream_state {
    Device device;
    Context context;
    Stream stream;
    int processors, major;
    int32_t *trouble;  // the host's memory, which the device can write
    std::multimap<size_t, Address> free;
    std::map<Address, size_t> taken;
    Address scratch;
    size_t scratch_bytes;
    std::vector<Work> waiting;
    std::vector<uint8_t> jobs;
    std::map<uint64_t, Known> known;
    std::set<uint64_t> seen;  // hashes of work that was given once
    uint64_t flushes;
    uint8_t *staging;  // the host's memory, pinned: small copies to the device leave from here, and nobody waits for them
    size_t staged;
};

namespace {

/// A thread that calls has no context of its own.
bool enter(fk_stream s) { return driver().set_current(s->context) == success; }

Result launch(const Work &work, fk_stream s) {
    void *arguments[] = {s->jobs.data() + work.from};
    if (s->major < 9) return driver().launch(work.function, work.x, work.y, 1, work.threads, 1, 1, work.shared, s->stream, arguments, nullptr);
    Attribute early = {programmatic, 0, {1}};
    const Launch how = {work.x, work.y, 1, work.threads, 1, 1, work.shared, s->stream, &early, 1};
    return driver().launch_with(&how, work.function, arguments, nullptr);
}

Result issue(fk_stream s) {
    for (const Work &each : s->waiting) {
        const Result result = each.function ? launch(each, s)
                              : each.from   ? driver().copy_async(each.to, each.from, each.bytes, s->stream)
                                            : driver().clear_async(each.to, 0, each.bytes, s->stream);
        if (result != success) return result;
    }
    return success;
}

uint64_t hash_of(const std::vector<uint8_t> &words) {
    uint64_t hash = words.size();
    for (size_t i = 0; i + 8 <= words.size(); i += 8) {
        uint64_t word;
        memcpy(&word, &words[i], 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}

/// What waits, as one graph; nothing of it has run then.
Result capture(fk_stream s, Steps *out) {
    Graph graph = nullptr;
    Result result = driver().capture_begin(s->stream, capture_of_this_thread);
    if (result != success) return result;
    result = issue(s);
    const Result ended = driver().capture_end(s->stream, &graph);
    if (result == success) result = ended;
    if (result == success) result = driver().graph_instantiate(out, graph, 0);
    if (graph) driver().graph_destroy(graph);
    return result;
}

/// Gives what waits to the device. Work whose words are new goes piece by piece; the second time it becomes a graph, since then a third is likely.
Result give(fk_stream s) {
    if (s->waiting.size() < fewest_in_a_graph) return issue(s);
    std::vector<uint8_t> words(s->waiting.size() * sizeof(Work) + s->jobs.size());
    memcpy(words.data(), s->waiting.data(), s->waiting.size() * sizeof(Work));
    memcpy(words.data() + s->waiting.size() * sizeof(Work), s->jobs.data(), s->jobs.size());
    const uint64_t hash = hash_of(words);
    auto found = s->known.find(hash);
    if (found != s->known.end() && found->second.words != words) return issue(s);
    if (found == s->known.end()) {
        if (!s->seen.erase(hash)) {
            if (s->seen.size() >= most_seen) s->seen.clear();
            s->seen.insert(hash);
            return issue(s);
        }
        Steps steps = nullptr;
        if (capture(s, &steps) != success) return issue(s);
        if (s->known.size() >= most_graphs) {
            const auto oldest = std::min_element(s->known.begin(), s->known.end(), [](const auto &a, const auto &b) { return a.second.last_use < b.second.last_use; });
            // It may be running still.
            if (const Result result = driver().stream_sync(s->stream); result != success) return result;
            driver().steps_destroy(oldest->second.steps);
            s->known.erase(oldest);
        }
        found = s->known.emplace(hash, Known{std::move(words), steps, 0}).first;
    }
    found->second.last_use = ++s->flushes;
    return driver().steps_launch(found->second.steps, s->stream);
}

Result flush(fk_stream s) {
    const Result result = s->waiting.empty() ? success : give(s);
    s->waiting.clear();
    s->jobs.clear();
    return result;
}

/// Puts work behind what waits.
Result wait(const Work &work, fk_stream s) {
    s->waiting.push_back(work);
    return s->waiting.size() < most_waiting ? success : flush(s);
}

Result finish(fk_stream s) {
    const Result result = flush(s);
    return result == success ? driver().stream_sync(s->stream) : result;
}

Result take(Address *out, size_t bytes, fk_stream s) {
    const auto found = s->free.find(bytes);
    if (found != s->free.end()) {
        *out = found->second;
        s->free.erase(found);
        return success;
    }
    Result result = driver().mem_alloc(out, bytes);
    if (result == out_of_memory && !s->free.empty()) {
        // What is kept may be what is missing; nothing that runs may still use it.
        if ((result = finish(s)) != success) return result;
        for (const auto &[size, address] : s->free) driver().mem_free(address);
        s->free.clear();
        result = driver().mem_alloc(out, bytes);
    }
    return result;
}

fk_status stream_open(fk_stream *out, int32_t, int32_t index) {
    if (!driver().usable) return FK_DEVICE;
    auto s = new fk_stream_state{};
    if (driver().device_get(&s->device, index) != success || driver().device_attribute(&s->major, attribute_major, s->device) != success || s->major < 8 ||
        driver().device_attribute(&s->processors, attribute_processors, s->device) != success || driver().retain(&s->context, s->device) != success) {
        delete s;
        return FK_DEVICE;
    }
    void *pinned = nullptr;
    if (!enter(s) || driver().stream_create(&s->stream, 1 /* not ordered with the default stream */) != success ||
        driver().host_alloc(&pinned, staging_bytes + 64, 0) != success) {
        driver().release(s->device);
        delete s;
        return FK_DEVICE;
    }
    s->trouble = (int32_t *)pinned;
    s->staging = (uint8_t *)pinned + 64;
    *s->trouble = FK_OK;
    *out = s;
    return FK_OK;
}

void stream_close(fk_stream s) {
    if (enter(s)) {
        finish(s);
        for (const auto &[hash, known] : s->known) driver().steps_destroy(known.steps);
        for (const auto &[size, address] : s->free) driver().mem_free(address);
        for (const auto &[address, size] : s->taken) driver().mem_free(address);
        if (s->scratch) driver().mem_free(s->scratch);
        driver().host_free(s->trouble);
        driver().stream_destroy(s->stream);
    }
    driver().release(s->device);
    delete s;
}

}  // namespace

fk_status fk_sync_cuda(fk_stream s) {
    if (!enter(s)) return FK_DEVICE;
    const fk_status status = status_of(finish(s));
    const fk_status trouble = (fk_status)*(volatile int32_t *)s->trouble;
    *s->trouble = FK_OK;
    return status != FK_OK ? status : trouble;
}

namespace {

fk_status memory_alloc(void **out, size_t bytes, fk_stream s) {
    if (!enter(s)) return FK_DEVICE;
    const size_t size = size_class(bytes);
    Address address = 0;
    const Result result = take(&address, size, s);
    if (result != success) return status_of(result);
    if (wait({.to = address, .bytes = size}, s) != success) {
        s->free.emplace(size, address);
        return FK_DEVICE;
    }
    s->taken.emplace(address, size);
    *out = (void *)address;
    return FK_OK;
}

void memory_release(void *memory, fk_stream s) {
    const auto found = s->taken.find((Address)memory);
    if (found == s->taken.end()) return;
    // The next to take it uses it after everything given to the stream so far.
    s->free.emplace(found->second, found->first);
    s->taken.erase(found);
}

bool on_device(const void *p, fk_stream s) {
    const auto after = s->taken.upper_bound((Address)p);
    if (after == s->taken.begin()) return false;
    const auto found = std::prev(after);
    return (Address)p < found->first + found->second;
}

/// A small copy to the device: its bytes are the caller's again at once.
fk_status stage(Address to, const void *from, size_t bytes, fk_stream s) {
    Result result = flush(s);
    if (result == success && s->staged + bytes > staging_bytes) {
        result = driver().stream_sync(s->stream);
        s->staged = 0;
    }
    if (result != success) return status_of(result);
    memcpy(s->staging + s->staged, from, bytes);
    result = driver().copy_async(to, (Address)(s->staging + s->staged), bytes, s->stream);
    s->staged += (bytes + 15) / 16 * 16;
    return status_of(result);
}

fk_status memory_copy(void *to, const void *from, size_t bytes, fk_stream s) {
    if (bytes == 0) return FK_OK;
    if (!enter(s)) return FK_DEVICE;
    const bool out = on_device(from, s);
    if (on_device(to, s)) {
        if (out) return status_of(wait({.to = (Address)to, .from = (Address)from, .bytes = bytes}, s));
        if (bytes <= staged_most) return stage((Address)to, from, bytes, s);
    } else if (!out) {
        memcpy(to, from, bytes);
        return FK_OK;
    }
    Result result = flush(s);
    if (result == success) result = driver().copy_async((Address)to, (Address)from, bytes, s->stream);
    return status_of(result == success ? driver().stream_sync(s->stream) : result);
}

}  // namespace

fk_status fk_scratch(void **out, fk_stream s, size_t bytes) {
    if (s->scratch_bytes < bytes) {
        if (!enter(s)) return FK_DEVICE;
        // Launches under way may still read the old piece: it goes back to the store, whose next user comes after them.
        if (s->scratch) s->free.emplace(s->scratch_bytes, s->scratch);
        s->scratch = 0;
        s->scratch_bytes = 0;
        const size_t size = size_class(bytes + bytes / 4);
        const Result result = take(&s->scratch, size, s);
        if (result != success) return status_of(result);
        s->scratch_bytes = size;
    }
    *out = (void *)s->scratch;
    return FK_OK;
}
int32_t *fk_trouble(fk_stream s) { return s->trouble; }
fk_status fk_clear(void *memory, size_t bytes, fk_stream s) {
    if (bytes == 0) return FK_OK;
    return enter(s) ? status_of(wait({.to = (Address)memory, .bytes = bytes}, s)) : FK_DEVICE;
}
int fk_processors(fk_stream s) { return s->processors; }
int fk_major(fk_stream s) { return s->major; }
bool fk_has_engine(fk_stream s) { return s->major >= 9 && driver().map_encode; }

fk_status fk_map_rows(fk_tensor_map *out, const void *base, int64_t rows, int64_t columns, int64_t stride, int32_t box_rows, int32_t box_columns) {
    if (!driver().map_encode) return FK_UNSUPPORTED;
    constexpr int bfloat16 = 9, swizzle_128 = 3, promote_256 = 3;
    const unsigned long long extents[] = {(unsigned long long)columns, (unsigned long long)rows}, strides[] = {(unsigned long long)stride * 2};
    const unsigned box[] = {(unsigned)box_columns, (unsigned)box_rows}, steps[] = {1, 1};
    return status_of(driver().map_encode(out, bfloat16, 2, const_cast<void *>(base), extents, strides, box, steps, 0, swizzle_128, promote_256, 0));
}

fk_status fk_launch_bytes(fk_stream s, fk_kernel &kernel, int64_t x, int64_t y, size_t shared, const void *job, size_t bytes) {
    if (x <= 0 || y <= 0) return FK_OK;
    if (x > 0x7fffffff || y > 65535) return FK_BAD_SHAPE;
    if (!enter(s)) return FK_DEVICE;
    static std::mutex lookup;
    Kernel function;
    {
        const std::lock_guard<std::mutex> held(lookup);
        if (!kernel.function && driver().library_kernel((Kernel *)&kernel.function, driver().library, kernel.name) != success) return FK_UNSUPPORTED;
        function = (Kernel)kernel.function;
        if (shared > (48u << 10) && kernel.shared < shared) {
            if (driver().kernel_set(function_shared_most, (int)shared, function, s->device) != success) return FK_UNSUPPORTED;
            kernel.shared = shared;
        }
    }
    const size_t at = s->jobs.size();
    s->jobs.resize(at + (bytes + 15) / 16 * 16);  // what fills a job up is zero
    memcpy(&s->jobs[at], job, bytes);
    return status_of(wait({function, (unsigned)x, (unsigned)y, (unsigned)kernel.threads, (unsigned)shared, 0, at, bytes}, s));
}

const char *fk_backend_name() { return "cuda"; }
extern const fk_ops fk_memory_ops;
const fk_ops fk_memory_ops = {.device = 1, .stream_open = stream_open, .stream_close = stream_close, .sync = fk_sync_cuda, .alloc = memory_alloc, .release = memory_release, .copy = memory_copy};
