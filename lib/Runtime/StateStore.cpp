//===- StateStore.cpp - The mutable parameters of a model -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/StateStore.h"

#include "SessionBackend.h"
#include "lathe/Support/Error.h"

#include <cstring>

using namespace llvm;

namespace lathe {

namespace {
class HostStates : public StateStore {
public:
  bool isFor(const LoadedModel &model) const override {
    return !model.onDevice();
  }

protected:
  Expected<uint64_t> allocate(uint64_t bytes, StringRef name) override {
    Expected<Tensor> block = Tensor::create(DType::U8, int64_t(bytes));
    if (!block)
      return prefixError("state " + quote(name), block.takeError());
    blocks.push_back(std::move(*block));
    return reinterpret_cast<uint64_t>(blocks.back().data());
  }
  Error read(char *to, uint64_t address, uint64_t bytes) const override {
    if (bytes)
      std::memcpy(to, reinterpret_cast<const char *>(address), bytes);
    return Error::success();
  }
  Error write(uint64_t address, const char *from, uint64_t bytes) override {
    if (bytes)
      std::memcpy(reinterpret_cast<char *>(address), from, bytes);
    return Error::success();
  }

private:
  std::vector<Tensor> blocks;
};
} // namespace

StateStore::~StateStore() = default;

std::shared_ptr<StateStore>
StateStore::create(std::shared_ptr<LoadedModel> model) {
  if (model->onDevice())
    return makeDeviceStates(std::move(model));
  return std::make_shared<HostStates>();
}

const StateStore::State *StateStore::find(StringRef name) const {
  auto it = places.find(name);
  return it == places.end() ? nullptr : &list[it->second];
}

uint64_t StateStore::totalBytes() const {
  uint64_t total = 0;
  for (const State &state : list)
    total += state.bytes;
  return total;
}

static Error noSuchState(StringRef name) {
  return makeError("the model has no state {0}", quote(name));
}

Expected<Tensor> StateStore::get(StringRef name) const {
  const State *state = find(name);
  if (!state)
    return noSuchState(name);
  Expected<Tensor> tensor =
      Tensor::create(state->spec.dtype, state->spec.shape);
  if (!tensor)
    return prefixError("state " + quote(name), tensor.takeError());
  if (Error error = read(static_cast<char *>(tensor->data()), state->address,
                         state->bytes))
    return prefixError("state " + quote(name), std::move(error));
  return tensor;
}

Error StateStore::set(StringRef name, const TensorView &value) {
  const State *state = find(name);
  if (!state)
    return noSuchState(name);
  if (value.dtype() != state->spec.dtype ||
      value.shape() != ArrayRef<int64_t>(state->spec.shape))
    return makeError("state {0} is {1}, expected {2}", quote(name),
                     formatType(value.dtype(), value.shape()),
                     formatType(state->spec.dtype, state->spec.shape));
  if (Error error =
          write(state->address, static_cast<const char *>(value.data()),
                state->bytes))
    return prefixError("state " + quote(name), std::move(error));
  return Error::success();
}

Error StateStore::add(const TensorSpec &spec, const char *value) {
  Expected<uint64_t> bytes = checkedBytes(spec.shape, spec.dtype);
  if (!bytes)
    return prefixError("state " + quote(spec.name), bytes.takeError());
  Expected<uint64_t> address = allocate(*bytes, spec.name);
  if (!address)
    return address.takeError();
  if (Error error = write(*address, value, *bytes))
    return prefixError("state " + quote(spec.name), std::move(error));
  places[spec.name] = list.size();
  list.push_back({spec, *address, *bytes});
  return Error::success();
}

} // namespace lathe
