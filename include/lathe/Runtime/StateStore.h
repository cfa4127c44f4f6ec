//===- StateStore.h - The mutable parameters of a model ---------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Tensors by name that programs read and write: trained weights, moments of an
// optimizer, statistics, counters. They live where the model runs, in host
// memory or on its CUDA device, for as long as the store does, and at one place
// each. Sessions of all programs of a model share one:
//
//   SessionOptions options;
//   options.states = StateStore::create(model);
//   auto train = Session::create(model, 0, weights, options);
//   auto eval = Session::create(model, 1, weights, options);
//
// The session that first knows a state fills it, from the weights files or its
// initializer, as parameters are. A run that fails may have written some states
// and not others; what indices of its inputs are wrong is found before the
// first is written.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_RUNTIME_STATESTORE_H
#define LATHE_RUNTIME_STATESTORE_H

#include "lathe/Support/Tensor.h"
#include "llvm/ADT/StringMap.h"

namespace lathe {

class LoadedModel;

/// What a program's signature says of a tensor.
struct TensorSpec {
  std::string name;
  DType dtype;
  Shape shape;
};

/// Not for several threads at once, nor while a session runs that uses it.
class StateStore {
public:
  /// In the memory that `model` computes in.
  static std::shared_ptr<StateStore> create(std::shared_ptr<LoadedModel> model);
  virtual ~StateStore();

  struct State {
    TensorSpec spec;
    /// Of the host or of the device; at least 64-byte aligned, and never moves.
    uint64_t address = 0, bytes = 0;
  };
  /// In the order in which sessions made them.
  const std::vector<State> &states() const { return list; }
  /// Null where there is none.
  const State *find(llvm::StringRef name) const;
  uint64_t totalBytes() const;

  /// A copy. Errors: no such state, a failure of the device.
  llvm::Expected<Tensor> get(llvm::StringRef name) const;
  /// Errors: no such state, another type or shape, a failure of the device.
  llvm::Error set(llvm::StringRef name, const TensorView &value);

  /// Makes a state; there must be none of the name. Errors: not enough memory.
  llvm::Error add(const TensorSpec &spec, const char *value);
  /// Whether `model` computes in the store's memory.
  virtual bool isFor(const LoadedModel &model) const = 0;

protected:
  /// 64-byte aligned, freed by the store's destructor.
  virtual llvm::Expected<uint64_t> allocate(uint64_t bytes,
                                            llvm::StringRef name) = 0;
  virtual llvm::Error read(char *to, uint64_t address,
                           uint64_t bytes) const = 0;
  virtual llvm::Error write(uint64_t address, const char *from,
                            uint64_t bytes) = 0;

private:
  std::vector<State> list;
  llvm::StringMap<size_t> places;
};

} // namespace lathe

#endif // LATHE_RUNTIME_STATESTORE_H
