//===- CudaBackend.cpp - A session on a CUDA device -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Everything a run needs is allocated and captured before the first one. A run
// copies the inputs to pinned memory, launches the graph of each segment of the
// plan (usually there is one), waits, and copies the outputs back.
//
// Two cases go without graphs: with a profile every launch is timed by events,
// and with LATHE_CUDA_SYNC=1 the host waits for every launch, so that an error
// on the device names its kernel.
//
//===----------------------------------------------------------------------===//

#include "../SessionBackend.h"
#include "DeviceModel.h"
#include "Issue.h"
#include "Library.h"
#include "Plan.h"
#include "lathe/Support/Error.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>
#include <deque>
#include <optional>

using namespace llvm;

namespace lathe {
using namespace cuda;

namespace {
class CudaBackend : public SessionBackend {
public:
  ~CudaBackend() override;
  Error prepare() override;
  Expected<StringRef> readPersistent(uint32_t buffer) override;
  Error run(ArrayRef<TensorView> inputs, ArrayRef<TensorView> outputs) override;

private:
  const DeviceModel &device() const { return *model->onDevice(); }
  const Driver &driver() const { return device().driver(); }
  Error placeBuffers();
  Error placeTensors();
  Error load();
  Error acquireWeights(ArrayRef<uint32_t> buffers);
  Error capture(std::vector<Node> &nodes);
  Error runNodes(const std::vector<Node> &nodes);
  Error runNode(const Node &node);
  Error readBack(const Window &window);
  Error wait();
  void noteWaits();

  // What frees memory must go before the streams and the model.
  Stream stream = nullptr;
  DeviceBlock arena, loadArena, persistent, scratch, tensors;
  std::vector<DeviceBlock> weightBlocks; // by weight
  std::deque<std::string> downloads;     // what readPersistent gave
  PinnedBlock pinned;                    // inputs, outputs, a value read back
  std::vector<uint64_t> inputOffsets, outputOffsets; // in `pinned`
  uint64_t readBackOffset = 0;
  Uploader uploader;
  Plan plan;
  std::optional<Issuer> issuer;
};

uint64_t aligned(uint64_t bytes) { return alignTo(bytes, kDeviceAlignment); }
} // namespace

std::unique_ptr<SessionBackend> makeCudaBackend() {
  return std::make_unique<CudaBackend>();
}

static void destroyGraphs(const Driver &driver, std::vector<Node> &nodes) {
  for (Node &node : nodes) {
    if (node.graph)
      (void)driver.graphExecDestroy(node.graph);
    node.graph = nullptr;
    for (std::vector<Node> &body : node.bodies)
      destroyGraphs(driver, body);
  }
}

CudaBackend::~CudaBackend() {
  if (!stream)
    return;
  consumeError(device().enter());
  (void)driver().streamSynchronize(stream);
  destroyGraphs(driver(), plan.nodes);
  issuer.reset();
  consumeError(uploader.finish());
  (void)driver().streamDestroy(stream);
  // Blocks give their memory back in their own destructors: the device stays
  // current in this thread.
}

Error CudaBackend::prepare() {
  if (Error error = device().enter())
    return error;
  notes.insert(notes.end(), device().notes().begin(), device().notes().end());
  if (Error error =
          driver().check(driver().streamCreate(&stream, /*non-blocking*/ 1),
                         "cannot create a stream"))
    return error;
  issuer.emplace(device(), executable(), stream);
  if (Error error = placeBuffers())
    return error;
  if (Error error = load())
    return error;
  loadArena.reset();
  plan = Plan::make(*program, program->steps(), maxWhileIterations);
  plan.addTransfers(*program);
  issuer->loops.assign(plan.loopSlots, 0);
  noteWaits();
  bool oneByOne = environment("LATHE_CUDA_SYNC") == "1";
  issuer->synchronous = oneByOne;
  if (profiling)
    issuer->profile = &profile;
  else if (!oneByOne)
    return capture(plan.nodes);
  return Error::success();
}

/// The command says where the host stays in the way.
void CudaBackend::noteWaits() {
  std::string text;
  for (auto [count, what] :
       {std::pair(plan.ifs, "if"), std::pair(plan.whiles, "while"),
        std::pair(plan.checks, "check of indices")})
    if (count)
      text +=
          formatv("{0}{1} {2}", text.empty() ? "" : ", ", count, what).str();
  if (!text.empty())
    notes.push_back("the host waits for the device within a run, for these "
                    "steps: " +
                    text);
}

Error CudaBackend::placeBuffers() {
  uint64_t persistentBytes = 0, scratchBytes = 0, weightBytes = 0;
  for (const exec::Buffer &buffer : program->buffers())
    if (buffer.kind() == exec::PERSISTENT)
      persistentBytes += aligned(buffer.bytes());
  for (const exec::Kernel &kernel : executable().kernels())
    scratchBytes = std::max<uint64_t>(scratchBytes, kernel.scratch_bytes());
  WeightUses uses(*program);
  std::vector<bool> counted(program->weights_size());
  for (uint32_t number : uses.run) {
    const exec::Buffer &buffer = program->buffers(number);
    if (buffer.kind() != exec::WEIGHT || counted[buffer.index()])
      continue;
    counted[buffer.index()] = true;
    weightBytes += buffer.bytes();
  }
  memory.arena = program->arena_bytes();
  memory.persistent = persistentBytes;
  memory.weights = weightBytes;
  memory.scratch = scratchBytes;

  // One sentence before the first allocation rather than one in the middle.
  size_t free = 0, total = 0;
  if (Error error = driver().check(driver().memGetInfo(&free, &total),
                                   "cannot ask for the free memory"))
    return error;
  uint64_t needed =
      memory.arena + memory.persistent + memory.weights + memory.scratch;
  if (needed > free)
    return makeError("the model needs {0} bytes on {1} ({2} of weights, {3} of "
                     "prepared weights, {4} of intermediate values, {5} of "
                     "scratch), and {6} are free",
                     needed, quote(device().device().name), memory.weights,
                     memory.persistent, memory.arena, memory.scratch, free);
  const Driver &d = driver();
  if (Error error = arena.allocate(d, program->arena_bytes(), "the arena"))
    return error;
  if (Error error =
          loadArena.allocate(d, program->load_arena_bytes(), "a load arena"))
    return error;
  if (Error error = persistent.allocate(d, persistentBytes, "prepared weights"))
    return error;
  if (Error error = scratch.allocate(d, scratchBytes, "scratch"))
    return error;
  if (Error error = placeTensors())
    return error;
  weightBlocks.resize(program->weights_size());

  std::vector<DeviceAddress> &buffers = issuer->buffers;
  issuer->scratch = scratch.address();
  buffers.resize(program->buffers_size());
  DeviceAddress next = persistent.address();
  for (int i = 0; i < program->buffers_size(); ++i) {
    const exec::Buffer &buffer = program->buffers(i);
    switch (buffer.kind()) {
    case exec::CONSTANT:
      buffers[i] = device().constants() + buffer.offset();
      break;
    case exec::ARENA:
      buffers[i] = arena.address() + buffer.offset();
      break;
    case exec::LOAD_ARENA:
      buffers[i] = loadArena.address() + buffer.offset();
      break;
    case exec::PERSISTENT:
      buffers[i] = next;
      next += aligned(buffer.bytes());
      break;
    case exec::STATE:
      buffers[i] = addressOfState(buffer);
      break;
    case exec::INPUT:
      buffers[i] = tensors.address() + inputOffsets[buffer.index()];
      break;
    case exec::OUTPUT:
      buffers[i] = tensors.address() + outputOffsets[buffer.index()];
      break;
    default:
      break; // WEIGHT comes later
    }
  }
  return Error::success();
}

/// Inputs and outputs lie alike in device memory and in pinned memory, where a
/// value that is read back has its place, too.
Error CudaBackend::placeTensors() {
  uint64_t bytes = 0;
  for (auto [specs, offsets] :
       {std::pair(&inputs, &inputOffsets), std::pair(&outputs, &outputOffsets)})
    for (const TensorSpec &spec : *specs) {
      Expected<uint64_t> size = checkedBytes(spec.shape, spec.dtype);
      if (!size)
        return size.takeError();
      offsets->push_back(bytes);
      bytes += aligned(*size);
    }
  readBackOffset = bytes;
  if (Error error = tensors.allocate(driver(), bytes, "inputs and outputs"))
    return error;
  if (Error error =
          pinned.allocate(driver(), bytes + largestReadBack(*program)))
    return error;
  issuer->inputs.clear();
  for (uint64_t offset : inputOffsets)
    issuer->inputs.push_back(pinned.data() + offset);
  for (uint64_t offset : outputOffsets)
    issuer->outputs.push_back(pinned.data() + offset);
  return Error::success();
}

Error CudaBackend::acquireWeights(ArrayRef<uint32_t> buffers) {
  for (uint32_t number : buffers) {
    const exec::Buffer &buffer = program->buffers(number);
    if (buffer.kind() != exec::WEIGHT)
      continue;
    DeviceBlock &block = weightBlocks[buffer.index()];
    if (!block.address()) {
      const std::string &name = program->weights(buffer.index()).name();
      Expected<char *> host = weights.acquire(buffer.index(), *pool);
      if (!host)
        return host.takeError();
      if (Error error = block.allocate(driver(), buffer.bytes(),
                                       "parameter " + quote(name)))
        return error;
      if (Error error = uploader.upload(block.address(), *host, buffer.bytes()))
        return error;
      weights.release(buffer.index());
    }
    issuer->buffers[number] = block.address();
  }
  return Error::success();
}

Error CudaBackend::load() {
  uploader.start(driver(), stream);
  WeightUses uses(*program);
  for (int i = 0; i < program->load_steps_size(); ++i) {
    if (Error error = acquireWeights(uses.loadSteps[i]))
      return error;
    Plan::Steps one;
    *one.Add() = program->load_steps(i);
    plan = Plan::make(*program, one, maxWhileIterations);
    issuer->loops.assign(plan.loopSlots, 0);
    Error error = runNodes(plan.nodes);
    if (!error)
      error = wait();
    plan = Plan();
    if (error)
      return prefixError("preparing the weights", std::move(error));
    for (uint32_t number : uses.loadSteps[i])
      if (const exec::Buffer &buffer = program->buffers(number);
          buffer.kind() == exec::WEIGHT && uses.lastUse[buffer.index()] == i)
        weightBlocks[buffer.index()].reset();
  }
  for (const exec::Prepared &prepared : program->prepared()) {
    Expected<StringRef> bytes = preparedBytes(prepared);
    if (!bytes)
      return bytes.takeError();
    if (Error error = uploader.upload(issuer->buffers[prepared.buffer()],
                                      bytes->data(), bytes->size()))
      return error;
  }
  if (Error error = acquireWeights(uses.run))
    return error;
  return uploader.finish();
}

Expected<StringRef> CudaBackend::readPersistent(uint32_t buffer) {
  if (Error error = device().enter())
    return std::move(error);
  std::string &bytes =
      downloads.emplace_back(program->buffers(buffer).bytes(), '\0');
  if (Error error = driver().check(
          driver().memcpyToHost(bytes.data(), issuer->buffers[buffer],
                                bytes.size(), stream),
          "cannot read the prepared weights"))
    return std::move(error);
  if (Error error = wait())
    return std::move(error);
  return StringRef(bytes);
}

Error CudaBackend::capture(std::vector<Node> &nodes) {
  for (Node &node : nodes) {
    for (std::vector<Node> &body : node.bodies)
      if (Error error = capture(body))
        return error;
    if (!node.isFixed() || node.ops.empty())
      continue;
    // Only calls of this thread could disturb the capture.
    constexpr int kThreadLocal = 1;
    if (Error error =
            driver().check(driver().streamBeginCapture(stream, kThreadLocal),
                           "cannot begin a CUDA graph"))
      return error;
    Error error = issuer->issue(node.ops);
    Graph graph = nullptr;
    Result result = driver().streamEndCapture(stream, &graph);
    auto destroy = make_scope_exit([&] {
      if (graph)
        (void)driver().graphDestroy(graph);
    });
    if (error)
      return error;
    if (result == kSuccess)
      result = driver().graphInstantiate(&node.graph, graph, /*flags=*/0);
    if (result == kSuccess)
      result = driver().graphUpload(node.graph, stream);
    if (Error failed = driver().check(
            result,
            formatv("cannot make a CUDA graph of {0} steps", node.ops.size())))
      return failed;
  }
  return wait();
}

Error CudaBackend::wait() {
  Result result = driver().streamSynchronize(stream);
  if (result == kSuccess)
    return Error::success();
  return makeError("{0} failed on the device: {1}; with LATHE_CUDA_SYNC=1 in "
                   "the environment the error names the kernel",
                   quote(program->entry()), driver().describe(result));
}

/// The window's bytes at `readBackOffset` of the pinned memory.
Error CudaBackend::readBack(const Window &window) {
  if (Error error =
          driver().check(driver().memcpyToHost(pinned.data() + readBackOffset,
                                               issuer->addressOf(window),
                                               window.bytes, stream),
                         "cannot read a value back"))
    return error;
  return wait();
}

Error CudaBackend::runNodes(const std::vector<Node> &nodes) {
  for (const Node &node : nodes)
    if (Error error = runNode(node))
      return error;
  return Error::success();
}

Error CudaBackend::runNode(const Node &node) {
  const char *value = pinned.data() + readBackOffset;
  switch (node.kind) {
  case Node::Segment:
    if (node.graph)
      return driver().check(driver().graphLaunch(node.graph, stream),
                            "cannot launch a CUDA graph");
    return issuer->issue(node.ops);
  case Node::Loop:
    if (uint64_t(node.tripCount) > maxWhileIterations)
      return tooManyIterations(node.tripCount, maxWhileIterations);
    for (int64_t i = 0; i < node.tripCount; ++i) {
      issuer->loops[node.slot] = node.reverse ? node.tripCount - 1 - i : i;
      if (Error error = runNodes(node.bodies[0]))
        return error;
    }
    return Error::success();
  case Node::If:
    if (Error error = readBack(node.window))
      return error;
    return runNodes(node.bodies[*value ? 0 : 1]);
  case Node::While:
    for (uint64_t i = 0;; ++i) {
      if (Error error = runNodes(node.bodies[0]))
        return error;
      if (Error error = readBack(node.window))
        return error;
      if (!*value)
        return Error::success();
      if (i == maxWhileIterations)
        return givenUpAfter(i);
      if (Error error = runNodes(node.bodies[1]))
        return error;
    }
  case Node::Check:
    if (node.window.bytes)
      if (Error error = readBack(node.window))
        return error;
    return checkWindow(value, node.window.bytes, *node.check);
  }
  llvm_unreachable("all kinds of nodes are above");
}

Error CudaBackend::run(ArrayRef<TensorView> inputs,
                       ArrayRef<TensorView> outputs) {
  if (Error error = device().enter())
    return error;
  for (const auto &[window, check] : plan.hostChecks) {
    const exec::Buffer &buffer = program->buffers(window.buffer);
    const char *base =
        buffer.kind() == exec::INPUT
            ? static_cast<const char *>(inputs[buffer.index()].data())
            : executable().constants().data() + buffer.offset();
    if (Error error = checkWindow(base + window.offset, window.bytes, *check))
      return error;
  }
  for (size_t i = 0; i < inputs.size(); ++i)
    if (uint64_t bytes = inputs[i].numBytes())
      std::memcpy(issuer->inputs[i], inputs[i].data(), bytes);
  Error error = runNodes(plan.nodes);
  // Nothing may be under way when the caller's next run fills the inputs.
  Error waiting = wait();
  if (error) {
    consumeError(std::move(waiting));
    return error;
  }
  if (waiting)
    return waiting;
  for (size_t i = 0; i < outputs.size(); ++i)
    if (uint64_t bytes = outputs[i].numBytes())
      std::memcpy(outputs[i].data(), issuer->outputs[i], bytes);
  return issuer->collectProfile();
}

} // namespace lathe
