// See FakeCuda.h.
#include "FakeCuda.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

using namespace lathe;
using namespace lathe::cuda;
using lathe::test::FakeCuda;

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT FakeCuda *fake_cuda() {
  static FakeCuda state;
  return &state;
}

namespace {
using Work = std::function<int()>;

struct FakeStream {
  std::vector<Work> queue;
  bool capturing = false;
  std::vector<Work> captured;
};
struct FakeGraph {
  std::vector<Work> work;
};
struct FakeEvent {
  double time = -1;
};

FakeCuda &fake() { return *fake_cuda(); }
int sticky = 0;
double now = 0; // goes up by one with every kernel: milliseconds
bool current = false;
FakeStream defaultStream;
std::map<uint64_t, size_t> deviceBlocks, hostBlocks;

void complain(const std::string &text) { fake().complaints += text + "\n"; }

int enter(const char *name) {
  ++fake().calls[name];
  auto found = fake().failures.find(name);
  if (found == fake().failures.end())
    return 0;
  int result = found->second;
  fake().failures.erase(found);
  return result;
}
#define ENTER(name)                                                            \
  if (int result = enter(name))                                                \
  return result
#define NEED_CONTEXT(name)                                                     \
  ENTER(name);                                                                 \
  if (!current)                                                                \
  return 201

bool inside(const std::map<uint64_t, size_t> &blocks, uint64_t at,
            size_t bytes) {
  auto it = blocks.upper_bound(at);
  if (it == blocks.begin())
    return false;
  --it;
  return at >= it->first && at + bytes <= it->first + it->second;
}

FakeStream &of(Stream stream) {
  return stream ? *reinterpret_cast<FakeStream *>(stream) : defaultStream;
}

/// Later, when the stream is waited for; now where memory may go away.
void submit(Stream stream, Work work) {
  FakeStream &s = of(stream);
  (s.capturing ? s.captured : s.queue).push_back(std::move(work));
}

int drain(FakeStream &stream) {
  for (Work &work : stream.queue)
    if (!sticky)
      sticky = work();
  stream.queue.clear();
  return sticky;
}

std::vector<FakeStream *> &allStreams() {
  static std::vector<FakeStream *> all = {&defaultStream};
  return all;
}

int copy(const char *what, uint64_t to, bool toDevice, uint64_t from,
         bool fromDevice, size_t bytes) {
  if (toDevice ? !inside(deviceBlocks, to, bytes) : false) {
    complain(std::string(what) + " writes to foreign device memory");
    return 1;
  }
  if (fromDevice ? !inside(deviceBlocks, from, bytes) : false) {
    complain(std::string(what) + " reads foreign device memory");
    return 1;
  }
  if (toDevice && fromDevice && to < from + bytes && from < to + bytes)
    complain(std::string(what) + " overlaps itself");
  std::memcpy(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from),
              bytes);
  return 0;
}
} // namespace

EXPORT int cuInit(unsigned) {
  ENTER("cuInit");
  return fake().devices ? 0 : 100;
}
EXPORT int cuDriverGetVersion(int *version) {
  ENTER("cuDriverGetVersion");
  *version = fake().driverVersion;
  return 0;
}
EXPORT int cuGetErrorName(int result, const char **text) {
  *text = result == 2     ? "CUDA_ERROR_OUT_OF_MEMORY"
          : result == 209 ? "CUDA_ERROR_NO_BINARY_FOR_GPU"
          : result == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS"
          : result == 701 ? "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"
                          : "CUDA_ERROR_FAKE";
  return 0;
}
EXPORT int cuGetErrorString(int result, const char **text) {
  *text = result == 2     ? "out of memory"
          : result == 209 ? "no kernel image is available"
          : result == 700 ? "an illegal memory access was encountered"
          : result == 701 ? "too many resources requested for launch"
                          : "a fake error";
  return 0;
}
EXPORT int cuDeviceGetCount(int *count) {
  ENTER("cuDeviceGetCount");
  *count = fake().devices;
  return 0;
}
EXPORT int cuDeviceGet(Device *device, int ordinal) {
  *device = ordinal + 10;
  return 0;
}
EXPORT int cuDeviceGetName(char *name, int length, Device) {
  std::strncpy(name, "Fake GPU", length);
  return 0;
}
EXPORT int cuDeviceGetAttribute(int *value, int attribute, Device) {
  *value = attribute == kComputeMajor       ? fake().major
           : attribute == kComputeMinor     ? fake().minor
           : attribute == kMaxDynamicShared ? 227 << 10
                                            : 4;
  return 0;
}
EXPORT int cuDeviceTotalMem_v2(size_t *bytes, Device) {
  *bytes = fake().memory;
  return 0;
}
EXPORT int cuDevicePrimaryCtxRetain(Context *context, Device) {
  ENTER("cuDevicePrimaryCtxRetain");
  ++fake().contexts;
  *context = reinterpret_cast<Context>(0x1234);
  return 0;
}
EXPORT int cuDevicePrimaryCtxRelease_v2(Device) {
  --fake().contexts;
  return 0;
}
EXPORT int cuCtxSetCurrent(Context context) {
  ENTER("cuCtxSetCurrent");
  current = context != nullptr;
  return 0;
}
EXPORT int cuMemGetInfo_v2(size_t *free, size_t *total) {
  NEED_CONTEXT("cuMemGetInfo_v2");
  *total = fake().memory;
  *free = fake().memory - fake().allocated;
  return 0;
}
EXPORT int cuMemAlloc_v2(DeviceAddress *address, size_t bytes) {
  NEED_CONTEXT("cuMemAlloc_v2");
  if (bytes == 0)
    return 1;
  if (bytes > fake().memory - fake().allocated)
    return 2;
  void *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  std::memset(memory, 0xA5, bytes); // nobody may count on zeros
  *address = reinterpret_cast<uint64_t>(memory);
  deviceBlocks[*address] = bytes;
  fake().allocated += bytes;
  ++fake().allocations;
  return 0;
}
EXPORT int cuMemFree_v2(DeviceAddress address) {
  NEED_CONTEXT("cuMemFree_v2");
  for (FakeStream *stream : allStreams())
    drain(*stream); // as the real one waits
  auto found = deviceBlocks.find(address);
  if (found == deviceBlocks.end()) {
    complain("cuMemFree of what is not allocated");
    return 1;
  }
  fake().allocated -= found->second;
  --fake().allocations;
  deviceBlocks.erase(found);
  std::free(reinterpret_cast<void *>(address));
  return 0;
}
EXPORT int cuMemAllocHost_v2(void **address, size_t bytes) {
  NEED_CONTEXT("cuMemAllocHost_v2");
  *address = std::calloc(bytes, 1);
  hostBlocks[reinterpret_cast<uint64_t>(*address)] = bytes;
  ++fake().allocations;
  return 0;
}
EXPORT int cuMemFreeHost(void *address) {
  NEED_CONTEXT("cuMemFreeHost");
  if (!hostBlocks.erase(reinterpret_cast<uint64_t>(address)))
    complain("cuMemFreeHost of what is not allocated");
  --fake().allocations;
  std::free(address);
  return 0;
}

EXPORT int cuMemcpyHtoDAsync_v2(DeviceAddress to, const void *from,
                                size_t bytes, Stream stream) {
  NEED_CONTEXT("cuMemcpyHtoDAsync_v2");
  uint64_t source = reinterpret_cast<uint64_t>(from);
  if (!inside(hostBlocks, source, bytes)) {
    // From pageable memory the real one returns after it has read it all.
    if (of(stream).capturing)
      complain("a capture copies from memory that is not pinned");
    return copy("cuMemcpyHtoDAsync", to, true, source, false, bytes);
  }
  submit(stream, [=] {
    return copy("cuMemcpyHtoDAsync", to, true, source, false, bytes);
  });
  return 0;
}
EXPORT int cuMemcpyDtoHAsync_v2(void *to, DeviceAddress from, size_t bytes,
                                Stream stream) {
  NEED_CONTEXT("cuMemcpyDtoHAsync_v2");
  if (!inside(hostBlocks, reinterpret_cast<uint64_t>(to), bytes))
    complain("a copy to memory that is not pinned");
  submit(stream, [=] {
    return copy("cuMemcpyDtoHAsync", reinterpret_cast<uint64_t>(to), false,
                from, true, bytes);
  });
  return 0;
}
EXPORT int cuMemcpyDtoDAsync_v2(DeviceAddress to, DeviceAddress from,
                                size_t bytes, Stream stream) {
  NEED_CONTEXT("cuMemcpyDtoDAsync_v2");
  submit(stream, [=] {
    return copy("cuMemcpyDtoDAsync", to, true, from, true, bytes);
  });
  return 0;
}
EXPORT int cuMemsetD8Async(DeviceAddress to, unsigned char value, size_t bytes,
                           Stream stream) {
  NEED_CONTEXT("cuMemsetD8Async");
  submit(stream, [=] {
    std::memset(reinterpret_cast<void *>(to), value, bytes);
    return 0;
  });
  return 0;
}

EXPORT int cuModuleLoadData(Module *module, const void *image) {
  NEED_CONTEXT("cuModuleLoadData");
  std::string expected = "\x7f"
                         "ELF" +
                         fake().magic;
  // Real cubins are taken, too: nothing here runs them.
  if (std::memcmp(image, expected.data(), expected.size()) &&
      fake().magic != "any")
    return 209;
  ++fake().modules;
  *module = reinterpret_cast<Module>(0x77);
  return 0;
}
EXPORT int cuModuleUnload(Module) {
  --fake().modules;
  return 0;
}
EXPORT int cuModuleGetFunction(Function *function, Module, const char *name) {
  NEED_CONTEXT("cuModuleGetFunction");
  auto found = fake().kernels.find(name);
  if (found == fake().kernels.end())
    return 500;
  *function = reinterpret_cast<Function>(&*found);
  return 0;
}
EXPORT int cuFuncSetAttribute(Function function, int attribute, int value) {
  NEED_CONTEXT("cuFuncSetAttribute");
  if (attribute == kMaxDynamicSharedBytes)
    fake().sharedBytes[function] = value;
  return 0;
}
EXPORT int cuLaunchKernelEx(const LaunchConfig *config, Function function,
                            void **parameters, void **) {
  NEED_CONTEXT("cuLaunchKernelEx");
  if (config->sharedBytes > 48 << 10 &&
      fake().sharedBytes[function] < static_cast<int>(config->sharedBytes))
    return 1;
  auto *entry =
      reinterpret_cast<std::pair<const std::string, FakeCuda::Kernel> *>(
          function);
  // The values are taken now, as the real one does.
  struct Values {
    std::vector<TensorMap> storage;
    std::vector<void *> pointers;
  };
  auto values = std::make_shared<Values>();
  size_t pointers = entry->second.pointers;
  values->storage.resize(pointers + entry->second.tensorMaps);
  for (size_t i = 0; i < values->storage.size(); ++i) {
    std::memcpy(&values->storage[i], parameters[i],
                i < pointers ? 8 : sizeof(TensorMap));
    values->pointers.push_back(&values->storage[i]);
  }
  LaunchConfig copy = *config;
  auto attributes = std::make_shared<std::vector<LaunchAttribute>>(
      config->attributes, config->attributes + config->attributeCount);
  submit(config->stream, [=]() mutable {
    ++fake().launches;
    ++now;
    copy.attributes = attributes->data();
    return entry->second.run(values->pointers.data(), copy);
  });
  return 0;
}

EXPORT int cuStreamCreate(Stream *stream, unsigned) {
  NEED_CONTEXT("cuStreamCreate");
  auto *made = new FakeStream();
  allStreams().push_back(made);
  ++fake().streams;
  *stream = reinterpret_cast<Stream>(made);
  return 0;
}
EXPORT int cuStreamDestroy_v2(Stream stream) {
  FakeStream *gone = &of(stream);
  if (!gone->queue.empty())
    complain("a stream with work is destroyed");
  auto &all = allStreams();
  all.erase(std::find(all.begin(), all.end(), gone));
  delete gone;
  --fake().streams;
  return 0;
}
EXPORT int cuStreamSynchronize(Stream stream) {
  NEED_CONTEXT("cuStreamSynchronize");
  if (of(stream).capturing)
    return 900;
  return drain(of(stream));
}
EXPORT int cuStreamBeginCapture_v2(Stream stream, int) {
  NEED_CONTEXT("cuStreamBeginCapture_v2");
  of(stream).capturing = true;
  return 0;
}
EXPORT int cuStreamEndCapture(Stream stream, Graph *graph) {
  NEED_CONTEXT("cuStreamEndCapture");
  FakeStream &s = of(stream);
  if (!s.capturing)
    return 901;
  s.capturing = false;
  auto *made = new FakeGraph{std::move(s.captured)};
  s.captured.clear();
  ++fake().graphs;
  *graph = reinterpret_cast<Graph>(made);
  return 0;
}
EXPORT int cuGraphInstantiateWithFlags(GraphExec *exec, Graph graph,
                                       unsigned long long) {
  NEED_CONTEXT("cuGraphInstantiateWithFlags");
  ++fake().graphs;
  *exec = reinterpret_cast<GraphExec>(
      new FakeGraph(*reinterpret_cast<FakeGraph *>(graph)));
  return 0;
}
EXPORT int cuGraphUpload(GraphExec, Stream) {
  NEED_CONTEXT("cuGraphUpload");
  return 0;
}
EXPORT int cuGraphLaunch(GraphExec exec, Stream stream) {
  NEED_CONTEXT("cuGraphLaunch");
  auto *graph = reinterpret_cast<FakeGraph *>(exec);
  submit(stream, [graph] {
    for (Work &work : graph->work)
      if (int result = work())
        return result;
    return 0;
  });
  return 0;
}
EXPORT int cuGraphExecDestroy(GraphExec exec) {
  delete reinterpret_cast<FakeGraph *>(exec);
  --fake().graphs;
  return 0;
}
EXPORT int cuGraphDestroy(Graph graph) {
  delete reinterpret_cast<FakeGraph *>(graph);
  --fake().graphs;
  return 0;
}
EXPORT int cuEventCreate(Event *event, unsigned) {
  NEED_CONTEXT("cuEventCreate");
  ++fake().events;
  *event = reinterpret_cast<Event>(new FakeEvent());
  return 0;
}
EXPORT int cuEventDestroy_v2(Event event) {
  delete reinterpret_cast<FakeEvent *>(event);
  --fake().events;
  return 0;
}
EXPORT int cuEventRecord(Event event, Stream stream) {
  NEED_CONTEXT("cuEventRecord");
  submit(stream, [event] {
    reinterpret_cast<FakeEvent *>(event)->time = now;
    return 0;
  });
  return 0;
}
EXPORT int cuEventSynchronize(Event) {
  NEED_CONTEXT("cuEventSynchronize");
  for (FakeStream *stream : allStreams())
    drain(*stream);
  return sticky;
}
EXPORT int cuEventElapsedTime(float *milliseconds, Event start, Event end) {
  NEED_CONTEXT("cuEventElapsedTime");
  double from = reinterpret_cast<FakeEvent *>(start)->time;
  double to = reinterpret_cast<FakeEvent *>(end)->time;
  if (from < 0 || to < 0)
    return 600;
  *milliseconds = to - from;
  return 0;
}
EXPORT int cuTensorMapEncodeTiled(TensorMap *map, int type, uint32_t rank,
                                  void *address, const uint64_t *dims,
                                  const uint64_t *, const uint32_t *box,
                                  const uint32_t *, int, int swizzle, int,
                                  int) {
  NEED_CONTEXT("cuTensorMapEncodeTiled");
  uint64_t at = reinterpret_cast<uint64_t>(address);
  if (at % 16)
    return 1;
  *map = {{at, uint64_t(type), rank, dims[0], box[0], uint64_t(swizzle)}};
  return 0;
}
/// Forgets everything; what still lives is a leak.
EXPORT void fake_cuda_reset() {
  fake() = FakeCuda();
  sticky = 0;
  now = 0;
}
