//===- Verify.cpp - What the Runtime may rely on --------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyGrids.h"
#include "lathe/Executable/Executable.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/KeyPattern.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

using namespace llvm;

namespace lathe {

namespace {
using WeightList = google::protobuf::RepeatedPtrField<exec::Weight>;
using StepList = google::protobuf::RepeatedPtrField<exec::Step>;
// Products of two 64-bit numbers, and sums of a few of them, fit.
using Wide = __int128;

// Bounds on what no real model comes near, so that sums cannot overflow and a
// damaged number is told from a large one.
constexpr uint64_t kMaxBytes = uint64_t(1) << 47; // the x86-64 address space
constexpr uint64_t kMaxScratch = uint64_t(1) << 32;
constexpr int kMaxNesting = 64;
constexpr int64_t kMaxLayers = 1 << 20; // each has a key of its own

class ProgramVerifier {
public:
  ProgramVerifier(const exec::Executable &executable,
                  const exec::Program &program)
      : executable(executable), program(program) {}

  Error verify();

private:
  enum class Phase { Load, Run };
  Error signatures();
  Error weights();
  Error weights(const WeightList &list);
  Error embedded(const exec::Embedded &data, uint64_t bytes);
  Error prepared();
  Error buffers();
  Error step(const exec::Step &step);
  Error steps(const StepList &list);
  Error launch(const exec::Launch &launch);
  Error loop(const exec::Loop &loop);
  Error reference(const exec::BufferRef &ref, bool write, const char *role);
  Error condition(const exec::BufferRef &ref);

  const exec::Executable &executable;
  const exec::Program &program;
  Phase phase = Phase::Load;
  int nesting = 0;
  DenseMap<uint32_t, int64_t> openLoops; // id -> trip count
  DenseSet<uint32_t> seenLoops;
};
} // namespace

static Expected<uint64_t> typeBytes(const exec::TensorType &type) {
  Expected<DType> dtype = fromElementType(type.element());
  if (!dtype)
    return dtype.takeError();
  return checkedBytes(ArrayRef<int64_t>(type.shape().data(), type.shape_size()),
                      *dtype);
}

static bool inside(uint64_t offset, uint64_t bytes, uint64_t size) {
  return offset <= size && bytes <= size - offset;
}

Error ProgramVerifier::signatures() {
  for (const auto *list : {&program.inputs(), &program.outputs()}) {
    for (const exec::Signature &entry : *list) {
      Expected<uint64_t> bytes = typeBytes(entry.type());
      if (!bytes)
        return prefixError(quote(entry.name()), bytes.takeError());
    }
  }
  return Error::success();
}

Error ProgramVerifier::weights() {
  if (Error error = weights(program.weights()))
    return error;
  StringSet<> names;
  for (const exec::Weight &state : program.states())
    if (!names.insert(state.name()).second)
      return makeError("two states have the name {0}", quote(state.name()));
  return weights(program.states());
}

Error ProgramVerifier::weights(const WeightList &list) {
  for (const exec::Weight &weight : list) {
    Expected<uint64_t> bytes = typeBytes(weight.type());
    if (!bytes)
      return prefixError("parameter " + quote(weight.name()),
                         bytes.takeError());
    bool stacked = KeyPattern(weight.key()).isStacked();
    if (stacked && weight.type().shape_size() == 0)
      return makeError("parameter {0} is stacked but has rank 0",
                       quote(weight.name()));
    if (stacked && weight.type().shape(0) > kMaxLayers)
      return makeError("parameter {0} is stacked {1} deep",
                       quote(weight.name()), weight.type().shape(0));
    if (!weight.file().empty() && weight.file_bytes() != *bytes)
      return makeError("parameter {0} takes {1} bytes, but {2} are in {3}",
                       quote(weight.name()), *bytes, weight.file_bytes(),
                       quote(weight.file()));
    if (weight.has_embedded())
      if (Error error = embedded(weight.embedded(), *bytes))
        return prefixError("parameter " + quote(weight.name()),
                           std::move(error));
  }
  return Error::success();
}

Error ProgramVerifier::embedded(const exec::Embedded &data, uint64_t bytes) {
  if (data.offset() % 64 ||
      !inside(data.offset(), bytes, executable.data_bytes()))
    return makeError("{0} bytes at offset {1} of the data, which has {2}; "
                     "expected whole ones at a multiple of 64",
                     bytes, data.offset(), executable.data_bytes());
  return Error::success();
}

Error ProgramVerifier::prepared() {
  if (program.prepared().empty())
    return Error::success();
  if (program.load_steps_size())
    return makeError("there are load steps beside prepared weights");
  DenseSet<uint32_t> made;
  for (const exec::Prepared &one : program.prepared()) {
    if (one.buffer() >= static_cast<uint32_t>(program.buffers_size()) ||
        program.buffers(one.buffer()).kind() != exec::PERSISTENT ||
        !made.insert(one.buffer()).second)
      return makeError("prepared weights are for buffer {0}, expected a "
                       "persistent one, each once",
                       one.buffer());
    if (Error error =
            embedded(one.data(), program.buffers(one.buffer()).bytes()))
      return prefixError("prepared weights", std::move(error));
  }
  for (int i = 0; i < program.buffers_size(); ++i)
    if (program.buffers(i).kind() == exec::PERSISTENT &&
        program.buffers(i).bytes() && !made.contains(i))
      return makeError("nothing prepares buffer {0}", i);
  return Error::success();
}

Error ProgramVerifier::buffers() {
  if (program.arena_bytes() > kMaxBytes ||
      program.load_arena_bytes() > kMaxBytes)
    return makeError(
        "an arena of {0} bytes is larger than any memory",
        std::max(program.arena_bytes(), program.load_arena_bytes()));
  for (int i = 0; i < program.buffers_size(); ++i) {
    const exec::Buffer &buffer = program.buffers(i);
    auto typed = [&](int count, auto typeOf, const char *what) -> Error {
      if (buffer.index() >= static_cast<uint32_t>(count))
        return makeError("buffer {0} names {1} {2} of {3}", i, what,
                         buffer.index(), count);
      Expected<uint64_t> bytes = typeBytes(typeOf(buffer.index()));
      if (!bytes)
        return bytes.takeError();
      if (*bytes != buffer.bytes())
        return makeError("buffer {0} has {1} bytes, but {2} {3} has {4}", i,
                         buffer.bytes(), what, buffer.index(), *bytes);
      return Error::success();
    };
    auto placed = [&](uint64_t size, const char *what) -> Error {
      if (!inside(buffer.offset(), buffer.bytes(), size))
        return makeError("buffer {0} at offset {1} with {2} bytes exceeds the "
                         "{3} of {4}",
                         i, buffer.offset(), buffer.bytes(), what, size);
      return Error::success();
    };
    Error error = Error::success();
    switch (buffer.kind()) {
    case exec::INPUT:
      error = typed(
          program.inputs_size(),
          [&](uint32_t n) { return program.inputs(n).type(); }, "input");
      break;
    case exec::OUTPUT:
      error = typed(
          program.outputs_size(),
          [&](uint32_t n) { return program.outputs(n).type(); }, "output");
      break;
    case exec::WEIGHT:
      error = typed(
          program.weights_size(),
          [&](uint32_t n) { return program.weights(n).type(); }, "parameter");
      break;
    case exec::STATE:
      error = typed(
          program.states_size(),
          [&](uint32_t n) { return program.states(n).type(); }, "state");
      break;
    case exec::CONSTANT:
      error = placed(executable.constants().size(), "constants");
      break;
    case exec::ARENA:
      error = placed(program.arena_bytes(), "arena");
      break;
    case exec::LOAD_ARENA:
      error = placed(program.load_arena_bytes(), "load arena");
      break;
    case exec::PERSISTENT:
      if (buffer.bytes() > kMaxBytes)
        error = makeError("buffer {0} of {1} bytes is larger than any memory",
                          i, buffer.bytes());
      break;
    default:
      error = makeError("buffer {0} is of no known kind", i);
    }
    if (error)
      return error;
  }
  return Error::success();
}

Error ProgramVerifier::reference(const exec::BufferRef &ref, bool write,
                                 const char *role) {
  if (ref.buffer() >= static_cast<uint32_t>(program.buffers_size()))
    return makeError("the {0} names buffer {1} of {2}", role, ref.buffer(),
                     program.buffers_size());
  const exec::Buffer &buffer = program.buffers(ref.buffer());
  exec::BufferKind kind = buffer.kind();
  if (write &&
      (kind == exec::INPUT || kind == exec::WEIGHT || kind == exec::CONSTANT))
    return makeError("the {0} writes to buffer {1}, which is read-only", role,
                     ref.buffer());
  bool runOnly = kind == exec::INPUT || kind == exec::OUTPUT ||
                 kind == exec::ARENA || kind == exec::STATE;
  if (phase == Phase::Load ? runOnly : kind == exec::LOAD_ARENA)
    return makeError("the {0} uses buffer {1}, which does not exist {2}", role,
                     ref.buffer(),
                     phase == Phase::Load ? "at load" : "after load");
  // The window's lowest and highest start over all iterations.
  Wide low = ref.offset(), high = ref.offset();
  for (const exec::LoopTerm &term : ref.terms()) {
    auto found = openLoops.find(term.loop());
    if (found == openLoops.end())
      return makeError("the {0} names loop {1}, which is not around it", role,
                       term.loop());
    Wide last = std::max<int64_t>(found->second - 1, 0);
    Wide reach = last * term.stride();
    (reach < 0 ? low : high) += reach;
    // Each step stays far from overflow: two terms of one loop may cancel, but
    // no window of a real program leaves the address space in between.
    if (low < -Wide(kMaxBytes) || high > Wide(kMaxBytes))
      return makeError("the {0}'s window leaves the address space", role);
  }
  if (low < 0 || high + Wide(ref.bytes()) > Wide(buffer.bytes()))
    return makeError("the {0}'s window of {1} bytes at offset {2} leaves "
                     "buffer {3} of {4} bytes",
                     role, ref.bytes(), ref.offset(), ref.buffer(),
                     buffer.bytes());
  return Error::success();
}

Error ProgramVerifier::condition(const exec::BufferRef &ref) {
  if (ref.bytes() != 1)
    return makeError("a condition has {0} bytes, expected 1", ref.bytes());
  return reference(ref, /*write=*/false, "condition");
}

Error ProgramVerifier::launch(const exec::Launch &launch) {
  if (launch.kernel() >= static_cast<uint32_t>(executable.kernels_size()))
    return makeError("a step launches kernel {0} of {1}", launch.kernel(),
                     executable.kernels_size());
  for (const exec::BufferRef &ref : launch.inputs())
    if (Error error = reference(ref, /*write=*/false, "kernel input"))
      return error;
  for (const exec::BufferRef &ref : launch.outputs())
    if (Error error = reference(ref, /*write=*/true, "kernel output"))
      return error;
  return verifyTensorMaps(executable.kernels(launch.kernel()), launch);
}

Error ProgramVerifier::loop(const exec::Loop &loop) {
  if (loop.trip_count() < 0)
    return makeError("loop {0} runs {1} times", loop.id(), loop.trip_count());
  if (!seenLoops.insert(loop.id()).second)
    return makeError("two loops have the id {0}", loop.id());
  openLoops[loop.id()] = loop.trip_count();
  Error error = steps(loop.body_steps());
  openLoops.erase(loop.id());
  return error;
}

Error ProgramVerifier::step(const exec::Step &step) {
  switch (step.kind_case()) {
  case exec::Step::kLaunch:
    return launch(step.launch());
  case exec::Step::kCopy:
    if (step.copy().from().bytes() != step.copy().to().bytes())
      return makeError("a copy takes {0} bytes to {1}",
                       step.copy().from().bytes(), step.copy().to().bytes());
    if (Error error = reference(step.copy().from(), false, "copy's source"))
      return error;
    return reference(step.copy().to(), true, "copy's target");
  case exec::Step::kIfStep:
    if (Error error = condition(step.if_step().condition()))
      return error;
    if (Error error = steps(step.if_step().then_steps()))
      return error;
    return steps(step.if_step().else_steps());
  case exec::Step::kWhileStep:
    if (Error error = steps(step.while_step().condition_steps()))
      return error;
    if (Error error = condition(step.while_step().condition()))
      return error;
    return steps(step.while_step().body_steps());
  case exec::Step::kLoop:
    return loop(step.loop());
  case exec::Step::kCheck: {
    exec::ElementType type = step.check().element();
    if (type != exec::I64 && type != exec::I32)
      return makeError("a check reads elements that are neither i64 nor i32");
    if (step.check().values().bytes() % (type == exec::I64 ? 8 : 4))
      return makeError("a check's window of {0} bytes is no whole number of "
                       "elements",
                       step.check().values().bytes());
    return reference(step.check().values(), false, "check");
  }
  case exec::Step::KIND_NOT_SET:
    break;
  }
  return makeError("a step is of no known kind");
}

Error ProgramVerifier::steps(const StepList &list) {
  if (++nesting > kMaxNesting)
    return makeError("steps are nested more than {0} deep", kMaxNesting);
  for (const exec::Step &one : list)
    if (Error error = step(one))
      return error;
  --nesting;
  return Error::success();
}

Error ProgramVerifier::verify() {
  if (Error error = signatures())
    return error;
  if (Error error = weights())
    return error;
  if (Error error = buffers())
    return error;
  if (Error error = prepared())
    return error;
  phase = Phase::Load;
  if (Error error = steps(program.load_steps()))
    return error;
  phase = Phase::Run;
  return steps(program.steps());
}

/// What programs share must be the same thing to all of them.
static Error verifyStates(const exec::Executable &executable) {
  StringMap<std::string> states;
  for (const exec::Program &program : executable.programs())
    for (const exec::Weight &state : program.states()) {
      std::string what = state.SerializeAsString();
      if (states.try_emplace(state.name(), what).first->second != what)
        return makeError("two programs describe the state {0} differently",
                         quote(state.name()));
    }
  return Error::success();
}

static Error verifyKernel(const exec::Kernel &kernel, int objects) {
  std::string name = "kernel " + quote(kernel.name());
  if (kernel.object() >= static_cast<uint32_t>(objects))
    return makeError("{0} names object {1} of {2}", name, kernel.object(),
                     objects);
  if (kernel.symbol().empty())
    return makeError("{0} has no symbol", name);
  if (kernel.work_items() < 0)
    return makeError("{0} has {1} work items", name, kernel.work_items());
  if (kernel.scratch_bytes() > kMaxScratch)
    return makeError("{0} asks for {1} scratch bytes per thread", name,
                     kernel.scratch_bytes());
  return Error::success();
}

/// Steps count kernels, whichever code is taken.
static Error verifyMoreCode(const exec::Executable &executable,
                            const exec::CpuCode &code) {
  if (executable.target() != "cpu")
    return makeError("the target is {0}, expected 'cpu'",
                     quote(executable.target()));
  if (code.kernels_size() != executable.kernels_size())
    return makeError("it has {0} kernels, expected {1}", code.kernels_size(),
                     executable.kernels_size());
  for (const exec::Kernel &kernel : code.kernels()) {
    if (Error error = verifyKernel(kernel, code.objects_size()))
      return error;
    if (kernel.grids_size())
      return makeError("kernel {0} has grids", quote(kernel.name()));
  }
  return Error::success();
}

Error verifyExecutable(const exec::Executable &executable) {
  if (executable.data_bytes() > kMaxBytes)
    return makeError("{0} bytes of data are larger than any memory",
                     executable.data_bytes());
  if (executable.format_version() != kFormatVersion)
    return makeError("the compiled model has format version {0}, expected {1}; "
                     "compile it again",
                     executable.format_version(), kFormatVersion);
  for (const exec::Kernel &kernel : executable.kernels()) {
    if (Error error = verifyKernel(kernel, executable.objects_size()))
      return error;
    if (Error error = verifyGrids(executable, kernel))
      return error;
  }
  for (const exec::CpuCode &code : executable.more_code())
    if (Error error = verifyMoreCode(executable, code))
      return prefixError("code for " + quote(code.isa()), std::move(error));
  for (const exec::Program &program : executable.programs())
    if (Error error = ProgramVerifier(executable, program).verify())
      return prefixError("entry " + quote(program.entry()), std::move(error));
  return verifyStates(executable);
}

} // namespace lathe
