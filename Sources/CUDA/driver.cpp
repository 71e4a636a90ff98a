// The GPU's side: the driver, found at run time, and through it streams, memory and launches.
//
// owns      contexts, streams, the store of freed memory, the fat binary's functions
// promises  without a driver or a GPU, stream_open says FK_DEVICE and nothing else happens; memory that was freed is kept for the next request
//           of its size on the same stream, so that a training step asks the driver for nothing
// never     links against CUDA: libcuda.so.1 is opened by name (CUDA Driver API 12.0 or later)
// flow      stream_open → primary context, fat binary → alloc, copy, launches in the order of the calls → sync
#include <dlfcn.h>
#include <stdlib.h>

#include <map>
#include <mutex>
#include <vector>

#include "simt.h"

extern "C" const unsigned char fk_fat_binary[];  // generated from table.cu

namespace {

// The driver's interface, as far as it is used: cuda.h names these, and their meaning has not moved since 12.0.
using Result = int;
using Device = int;
struct Context_;  struct Stream_;  struct Library_;  struct Kernel_;
using Context = Context_ *;
using Stream = Stream_ *;
using Library = Library_ *;
using Kernel = Kernel_ *;
using Address = unsigned long long;
constexpr int success = 0, out_of_memory = 2;
constexpr int attribute_processors = 16, attribute_major = 75;
constexpr int function_shared_most = 8;

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
            {(void **)&d.kernel_set, "cuKernelSetAttribute"}, {(void **)&d.launch, "cuLaunchKernel"},
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
};

namespace {

/// A thread that calls has no context of its own.
bool enter(fk_stream s) { return driver().set_current(s->context) == success; }

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
        if ((result = driver().stream_sync(s->stream)) != success) return result;
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
    void *trouble = nullptr;
    if (!enter(s) || driver().stream_create(&s->stream, 1 /* not ordered with the default stream */) != success ||
        driver().host_alloc(&trouble, sizeof(int32_t), 0) != success) {
        driver().release(s->device);
        delete s;
        return FK_DEVICE;
    }
    s->trouble = (int32_t *)trouble;
    *s->trouble = FK_OK;
    *out = s;
    return FK_OK;
}

void stream_close(fk_stream s) {
    if (enter(s)) {
        driver().stream_sync(s->stream);
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
    const fk_status status = status_of(driver().stream_sync(s->stream));
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
    if (driver().clear_async(address, 0, size, s->stream) != success) {
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

fk_status memory_copy(void *to, const void *from, size_t bytes, fk_stream s) {
    if (bytes == 0) return FK_OK;
    if (!enter(s)) return FK_DEVICE;
    const Result result = driver().copy_async((Address)to, (Address)from, bytes, s->stream);
    if (result != success) return status_of(result);
    return on_device(to, s) && on_device(from, s) ? FK_OK : status_of(driver().stream_sync(s->stream));
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
    return enter(s) ? status_of(driver().clear_async((Address)memory, 0, bytes, s->stream)) : FK_DEVICE;
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

fk_status fk_launch_bytes(fk_stream s, fk_kernel &kernel, int64_t x, int64_t y, size_t shared, const void *job, size_t) {
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
    void *arguments[] = {const_cast<void *>(job)};
    return status_of(driver().launch(function, (unsigned)x, (unsigned)y, 1, (unsigned)kernel.threads, 1, 1, (unsigned)shared, s->stream, arguments, nullptr));
}

const char *fk_backend_name() { return "cuda"; }
extern const fk_ops fk_memory_ops;
const fk_ops fk_memory_ops = {.device = 1, .stream_open = stream_open, .stream_close = stream_close, .sync = fk_sync_cuda, .alloc = memory_alloc, .release = memory_release, .copy = memory_copy};
