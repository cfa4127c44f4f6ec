//===- InputData.cpp - Tensors to feed a model -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "InputData.h"

#include "lathe/Support/Error.h"
#include "lathe/Support/Npy.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Path.h"

#include <random>
#include <set>

namespace lathe {

static constexpr const char *generators[] = {"random", "zeros", "ones", "iota"};

static bool isGenerator(StringRef text) {
  StringRef kind = text.split(':').first;
  return llvm::is_contained(generators, kind);
}

llvm::Expected<std::vector<NamedTensor>>
loadInputFiles(const std::vector<std::string> &specs) {
  std::vector<NamedTensor> result;
  std::set<std::string> named;
  auto isFirst = [&](StringRef name) {
    return named.insert(name.str()).second;
  };
  for (StringRef spec : specs) {
    if (!spec.contains('=') && spec.ends_with(".npz")) {
      auto arrays = readNpz(spec);
      if (!arrays)
        return arrays.takeError();
      for (NamedTensor &array : *arrays) {
        if (!isFirst(array.name))
          return makeError("input " + quote(array.name) + " is given twice");
        result.push_back(std::move(array));
      }
      continue;
    }
    auto [name, value] = spec.split('=');
    if (name.empty() || value.empty())
      return makeError("--input expects name=file.npy or name=random, got '" +
                       spec + "'");
    if (!isFirst(name))
      return makeError("input " + quote(name) + " is given twice");
    if (isGenerator(value))
      continue;
    auto tensor = readNpy(value);
    if (!tensor)
      return prefixError("input '" + name + "'", tensor.takeError());
    result.push_back({name.str(), std::move(*tensor)});
  }
  return result;
}

std::string unknownInput(StringRef name,
                         const std::vector<InputDeclaration> &declarations) {
  std::string text = "the model has no input " + quote(name) + "; it has";
  for (size_t i = 0; i < declarations.size(); ++i)
    text += (i ? ", " : " ") + quote(declarations[i].name);
  return declarations.empty() ? text + " none" : text;
}

static llvm::Error generate(StringRef spec, StringRef name, uint64_t seed,
                            const Tensor &tensor) {
  SmallVector<StringRef> parts;
  spec.split(parts, ':');
  DType type = tensor.dtype();
  bool isFloat = type == DType::F64 || type == DType::F32 ||
                 type == DType::F16 || type == DType::BF16;
  // Integers are 0 or 1: masks, flags and the ids of any table stay in range.
  double low = isFloat ? -1.0 : 0.0, high = isFloat ? 1.0 : 2.0;
  if (parts[0] == "random" && parts.size() == 3) {
    if (parts[1].getAsDouble(low) || parts[2].getAsDouble(high) ||
        !(low < high))
      return makeError("input '" + name +
                       "': expected random:LOW:HIGH with LOW < HIGH, got '" +
                       spec + "'");
  } else if (parts.size() != 1) {
    return makeError("input '" + name + "': cannot read '" + spec + "'");
  }
  // The standard fixes both the engine and the seeding, so that everybody gets
  // the same numbers for a seed.
  std::string seedText = (name + "#" + Twine(seed)).str();
  std::seed_seq sequence(seedText.begin(), seedText.end());
  std::mt19937_64 engine(sequence);
  char *out = static_cast<char *>(tensor.data());
  for (int64_t i = 0, e = tensor.numElements(); i < e;
       ++i, out += dtypeSize(type)) {
    double value = 0;
    if (parts[0] == "ones")
      value = 1;
    else if (parts[0] == "iota")
      value = double(i);
    else if (parts[0] == "random") {
      value = low + (high - low) * (double(engine() >> 11) * 0x1.0p-53);
      if (!isFloat)
        value = std::floor(value);
    }
    storeFromDouble(type, out, value);
  }
  return llvm::Error::success();
}

llvm::Expected<std::vector<Tensor>>
makeInputs(const exec::Program &program, const std::vector<std::string> &specs,
           std::vector<NamedTensor> files, uint64_t seed) {
  std::vector<InputDeclaration> declarations;
  for (const exec::Signature &input : program.inputs())
    declarations.push_back({input.name(), DType::F32, {}, {}});
  for (StringRef spec : specs) {
    StringRef name = spec.split('=').first;
    if (spec.contains('=') &&
        llvm::none_of(declarations, [&](auto &d) { return d.name == name; }))
      return makeError(unknownInput(name, declarations));
  }
  for (const NamedTensor &file : files)
    if (llvm::none_of(declarations,
                      [&](auto &d) { return d.name == file.name; }))
      return makeError(unknownInput(file.name, declarations));
  std::vector<Tensor> result;
  for (const exec::Signature &input : program.inputs()) {
    llvm::Expected<DType> dtype = fromElementType(input.type().element());
    if (!dtype)
      return dtype.takeError();
    ArrayRef<int64_t> shape(input.type().shape().data(),
                            input.type().shape_size());
    auto file = llvm::find_if(
        files, [&](const NamedTensor &t) { return t.name == input.name(); });
    if (file != files.end()) {
      if (file->tensor.dtype() != *dtype || file->tensor.shape() != shape)
        return makeError(
            "input " + quote(input.name()) + " is " +
            formatType(file->tensor.dtype(), file->tensor.shape()) +
            ", expected " + formatType(*dtype, shape));
      result.push_back(std::move(file->tensor));
      continue;
    }
    StringRef spec = "random";
    for (StringRef text : specs)
      if (text.split('=').first == input.name())
        spec = text.split('=').second;
    auto tensor = Tensor::create(*dtype, shape);
    if (!tensor)
      return prefixError("input " + quote(input.name()), tensor.takeError());
    if (llvm::Error error = generate(spec, input.name(), seed, *tensor))
      return std::move(error);
    result.push_back(std::move(*tensor));
  }
  return result;
}

} // namespace lathe
