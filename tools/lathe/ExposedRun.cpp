//===- ExposedRun.cpp - Inner values of a running program -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ExposedRun.h"

#include "dialects/Lathe/Lathe.h"
#include "lathe/Pipelines/Training.h"
#include "lathe/Support/Error.h"

namespace lathe {

SmallVector<SmallVector<int64_t>> argumentShapes(func::FuncOp function) {
  SmallVector<SmallVector<int64_t>> shapes;
  for (Type type : function.getArgumentTypes())
    shapes.emplace_back(cast<RankedTensorType>(type).getShape());
  return shapes;
}

std::string formatIndex(ArrayRef<int64_t> index) {
  std::string text;
  for (int64_t i : index)
    text += (text.empty() ? "" : ",") + std::to_string(i);
  return "[" + text + "]";
}

/// A kernel has the places of all its ops: the first that is known.
static Location findFirst(Location loc) {
  if (auto fused = dyn_cast<FusedLoc>(loc)) {
    loc = UnknownLoc::get(loc.getContext());
    for (Location part : fused.getLocations())
      if (isa<UnknownLoc>(loc))
        loc = findFirst(part);
  }
  return loc;
}

std::string formatLocation(Location loc) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  findFirst(loc).print(stream);
  StringRef where = StringRef(text).trim();
  where.consume_front("loc(");
  where.consume_back(")");
  // A whole file: line 0 says nothing.
  where.consume_back(":0:0");
  return where == "unknown" ? "" : where.str();
}

std::string placeOf(Operation *op) {
  std::string where = formatLocation(op->getLoc());
  llvm::erase(where, '"');
  return where;
}

std::string describeOp(Operation *op) {
  std::string where = placeOf(op);
  std::string text = "'" + op->getName().getStringRef().str() + "'" +
                     (where.empty() ? "" : " at " + where);
  auto part = op->getAttrOfType<StringAttr>(kPartMark);
  return part && part == kBackwardPart ? text + " in the gradient" : text;
}

llvm::Expected<ExposedProgram>
ExposedProgram::create(ModuleOp module, StringRef entry,
                       ArrayRef<unsigned> wanted, ExposedForm form,
                       const CompileOptions &compile, WeightSource &weights,
                       const SessionOptions &options) {
  OwningOpRef<ModuleOp> copy(cast<ModuleOp>(module->clone()));
  auto function = copy->lookupSymbol<func::FuncOp>(entry);
  ExposedProgram result;
  result.ownResults = function.getNumResults();
  exposeValues(function, wanted, form);
  for (auto set : llvm::make_early_inc_range(
           function.getBody().front().getOps<SetParameterOp>()))
    set.erase();
  auto model = Model::fromModule(std::move(copy), entry);
  auto executable = std::make_shared<exec::Executable>();
  if (!model || failed(model->compile(argumentShapes(model->entry()), compile,
                                      *executable, nullptr)))
    return makeError("");
  if (llvm::Error error = verifyExecutable(*executable))
    return std::move(error);
  auto loaded = LoadedModel::load(std::move(executable));
  if (!loaded)
    return loaded.takeError();
  auto session = Session::create(*loaded, 0, weights, options);
  if (!session)
    return session.takeError();
  result.session = std::move(*session);
  return std::move(result);
}

llvm::Expected<ExposedRun> ExposedProgram::run(ArrayRef<TensorView> inputs) {
  auto outputs = session->run(inputs);
  if (!outputs)
    return outputs.takeError();
  ExposedRun result;
  for (auto [i, tensor] : llvm::enumerate(*outputs))
    (i < ownResults ? result.results : result.values)
        .push_back(std::move(tensor));
  return std::move(result);
}

llvm::Expected<ExposedRun>
runExposed(ModuleOp module, StringRef entry, ArrayRef<unsigned> wanted,
           ExposedForm form, const CompileOptions &compile,
           WeightSource &weights, const SessionOptions &session,
           ArrayRef<TensorView> inputs) {
  auto program = ExposedProgram::create(module, entry, wanted, form, compile,
                                        weights, session);
  if (!program)
    return program.takeError();
  return program->run(inputs);
}

} // namespace lathe
