//===- Import.cpp - The public functions of the ONNX importer -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Import/Onnx.h"

#include "Importer.h"
#include "lathe/Support/Error.h"
#include "llvm/ADT/StringExtras.h"

namespace lathe {

Type toElementType(MLIRContext &context, DType type) {
  auto integer = [&](unsigned width, bool isUnsigned = false) -> Type {
    return IntegerType::get(&context, width,
                            isUnsigned ? IntegerType::Unsigned
                                       : IntegerType::Signless);
  };
  switch (type) {
  case DType::F64:
    return Float64Type::get(&context);
  case DType::F32:
    return Float32Type::get(&context);
  case DType::F16:
    return Float16Type::get(&context);
  case DType::BF16:
    return BFloat16Type::get(&context);
  case DType::I64:
    return integer(64);
  case DType::I32:
    return integer(32);
  case DType::I16:
    return integer(16);
  case DType::I8:
    return integer(8);
  case DType::I1:
    return integer(1);
  case DType::U64:
    return integer(64, true);
  case DType::U32:
    return integer(32, true);
  case DType::U16:
    return integer(16, true);
  case DType::U8:
    return integer(8, true);
  case DType::F8E4M3:
    return FloatType::getFloat8E4M3FN(&context);
  }
  llvm_unreachable("all element types are handled");
}

DenseElementsAttr toElementsAttr(MLIRContext &context, const TensorView &view) {
  auto type =
      RankedTensorType::get(view.shape(), toElementType(context, view.dtype()));
  int64_t count = view.numElements();
  if (count == 0)
    return DenseElementsAttr::get(type, ArrayRef<Attribute>());
  if (view.dtype() == DType::I1) {
    // MLIR packs Booleans into bits.
    SmallVector<bool> values;
    const char *bytes = static_cast<const char *>(view.data());
    for (int64_t i = 0; i < count; ++i)
      values.push_back(bytes[i] != 0);
    return DenseElementsAttr::get(type, values);
  }
  return DenseElementsAttr::getFromRawBuffer(
      type, ArrayRef<char>(view.rawBytes().data(), view.numBytes()));
}

llvm::Expected<NamedTensor> readOnnxTensor(StringRef path) {
  onnx::TensorProto proto;
  auto file = onnx_import::ModelFile::openTensor(path, proto);
  if (!file)
    return file.takeError();
  auto bytes = (*file)->locate(proto);
  if (!bytes)
    return prefixError(quote(path), bytes.takeError());
  auto tensor = Tensor::create(bytes->dtype, bytes->shape);
  if (!tensor)
    return tensor.takeError();
  memcpy(tensor->data(), bytes->bytes.data(), bytes->size);
  return NamedTensor{proto.name(), std::move(*tensor)};
}

OwningOpRef<ModuleOp> importOnnx(MLIRContext &context, StringRef path,
                                 const OnnxImportOptions &options,
                                 OnnxImportInfo *info) {
  context.loadDialect<LatheDialect, func::FuncDialect>();
  auto file = onnx_import::ModelFile::open(path);
  if (!file) {
    std::string message = llvm::toString(file.takeError());
    emitError(UnknownLoc::get(&context)) << message;
    if (info)
      info->unsupported.push_back(message);
    return nullptr;
  }
  // A value that becomes known may bring another one that has to be known; each
  // round adds one or more, or is the last.
  OnnxImportOptions known = options;
  auto run = [&] {
    auto importer =
        std::make_unique<onnx_import::Importer>(context, **file, known);
    OwningOpRef<ModuleOp> module = importer->run();
    return std::make_pair(std::move(importer), std::move(module));
  };
  auto [round, module] = run();
  while (options.valueOf && !round->valueInputs.empty()) {
    bool more = false;
    for (StringRef name : round->valueInputs)
      if (!known.values.count(name))
        if (std::optional<DenseElementsAttr> value =
                options.valueOf(name, round->inputIndex(name)))
          more |= known.values.try_emplace(name, *value).second;
    if (!more)
      break;
    std::tie(round, module) = run();
  }
  const onnx_import::Importer &importer = *round;
  if (info) {
    for (StringRef name : importer.valueInputs)
      info->valueInputs.push_back(name.str());
    info->files = (*file)->externalFiles();
    info->random = importer.random;
    for (const auto &problem : importer.problems) {
      std::string line = problem.op + ": " + problem.message;
      if (!llvm::is_contained(info->unsupported, line))
        info->unsupported.push_back(line);
    }
  }
  if (module)
    return std::move(module);
  if (importer.problems.empty())
    return nullptr; // the verifier has spoken
  // One error, one note per node; the ops themselves in the first line.
  llvm::SetVector<StringRef> ops;
  for (const auto &problem : importer.problems)
    ops.insert(problem.op);
  InFlightDiagnostic error = emitError(importer.problems.front().loc);
  size_t count = importer.problems.size();
  error << "cannot import " << quote(path) << ": " << count
        << (count == 1 ? " part is" : " parts are")
        << " not supported or not valid (" << llvm::join(ops, ", ") << ")";
  for (const auto &problem : importer.problems)
    error.attachNote(problem.loc)
        << problem.op << " " << quote(problem.name) << ": " << problem.message;
  return nullptr;
}

} // namespace lathe
