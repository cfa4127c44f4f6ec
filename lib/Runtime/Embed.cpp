//===- Embed.cpp - A session's weights, to stand in a compiled model ------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SessionBackend.h"
#include "lathe/Support/Tensor.h"
#include "llvm/Support/MathExtras.h"

using namespace llvm;

namespace lathe {

namespace {
/// Places pieces one behind the other, each at a multiple of 64 bytes.
class Layout {
public:
  explicit Layout(std::vector<StringRef> &pieces) : pieces(pieces) {}

  void add(StringRef bytes, exec::Embedded &where) {
    static constexpr char kZeros[64] = {};
    if (uint64_t gap = alignTo(offset, 64) - offset) {
      pieces.push_back(StringRef(kZeros, gap));
      offset += gap;
    }
    where.set_offset(offset);
    where.set_digest(MappedFile::digestOf(bytes));
    pieces.push_back(bytes);
    offset += bytes.size();
  }

private:
  uint64_t offset = 0;
  std::vector<StringRef> &pieces;
};
} // namespace

/// A buffer that nothing names any more.
static void retire(exec::Buffer &buffer) {
  buffer.Clear();
  buffer.set_kind(exec::PERSISTENT);
}

Error Session::embedWeights(exec::Program &program,
                            std::vector<StringRef> &pieces) {
  Layout layout(pieces);
  WeightUses uses(*backend->program);
  int atRuns = program.load_steps_size();
  program.clear_load_steps();
  program.clear_load_arena_bytes();
  program.clear_prepared();

  // The weights that runs read stay, under new numbers.
  std::vector<int> kept(program.weights_size(), -1);
  google::protobuf::RepeatedPtrField<exec::Weight> weights;
  for (int i = 0; i < program.weights_size(); ++i) {
    if (uses.lastUse[i] != atRuns)
      continue;
    Expected<char *> bytes = backend->weights.acquire(i, *backend->pool);
    if (!bytes)
      return bytes.takeError();
    kept[i] = weights.size();
    exec::Weight &weight = *weights.Add();
    weight = program.weights(i);
    weight.clear_file();
    weight.clear_file_offset();
    weight.clear_file_bytes();
    weight.clear_file_digest();
    Expected<DType> dtype = fromElementType(weight.type().element());
    if (!dtype)
      return dtype.takeError();
    Expected<uint64_t> size =
        checkedBytes(ArrayRef<int64_t>(weight.type().shape().data(),
                                       weight.type().shape_size()),
                     *dtype);
    if (!size)
      return size.takeError();
    layout.add(StringRef(*bytes, *size), *weight.mutable_embedded());
  }
  *program.mutable_weights() = std::move(weights);

  for (int i = 0; i < program.buffers_size(); ++i) {
    exec::Buffer &buffer = *program.mutable_buffers(i);
    switch (buffer.kind()) {
    case exec::WEIGHT:
      if (kept[buffer.index()] < 0)
        retire(buffer);
      else
        buffer.set_index(kept[buffer.index()]);
      break;
    case exec::LOAD_ARENA:
      retire(buffer);
      break;
    case exec::PERSISTENT: {
      if (buffer.bytes() == 0)
        break;
      Expected<StringRef> bytes = backend->readPersistent(i);
      if (!bytes)
        return bytes.takeError();
      exec::Prepared &prepared = *program.add_prepared();
      prepared.set_buffer(i);
      layout.add(*bytes, *prepared.mutable_data());
      break;
    }
    default:
      break;
    }
  }
  return Error::success();
}

} // namespace lathe
