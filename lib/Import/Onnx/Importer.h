//===- Importer.h - A whole ONNX graph into a module ------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_IMPORT_ONNX_IMPORTER_H
#define LATHE_IMPORT_ONNX_IMPORTER_H

#include "ModelFile.h"
#include "Node.h"

#include "lathe/Import/Onnx.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/SetVector.h"

namespace lathe::onnx_import {

class Importer {
public:
  Importer(MLIRContext &context, ModelFile &file,
           const OnnxImportOptions &options)
      : context(context), file(file), options(options), b(&context) {}

  /// Null where something is not supported; `problems` says what.
  OwningOpRef<ModuleOp> run();

  struct Problem {
    std::string op, name, message;
    Location loc;
  };
  std::vector<Problem> problems;
  llvm::SetVector<StringRef> valueInputs; // views of the model's names
  bool random = false;

  //===--- for the control-flow functions
  //-----------------------------------===//
  /// Imports the nodes of `graph` at the builder's insertion point, in `scope`
  /// (whose inputs are set). Gives one value per graph output, or failure.
  FailureOr<SmallVector<Value>> importGraph(const onnx::GraphProto &graph,
                                            Scope &scope);
  FailureOr<SmallVector<Value>> importFunction(Node &call,
                                               const onnx::FunctionProto &f);
  /// The value `name` in `scope` or further out; null where there is none.
  Value lookup(StringRef name, Scope &scope);
  /// A tensor as a constant or, where large, as a parameter's value.
  FailureOr<Value> tensorValue(const onnx::TensorProto &tensor, StringRef name,
                               OpBuilder &builder, Location loc,
                               std::string &error);
  /// The number of a graph input among those that are fed.
  unsigned inputIndex(StringRef name) const;
  /// The block argument of @main behind a value, seen through ops.
  void noteValueInputs(Value v);

  MLIRContext &context;

private:
  LogicalResult importNode(const onnx::NodeProto &proto, Scope &scope);
  /// Whether a graph input is a weight (old models list their initializers).
  bool isWeight(StringRef name) const;
  LogicalResult addInputs(const onnx::GraphProto &graph, Scope &scope);
  void addProblem(Location loc, StringRef op, StringRef name,
                  const Twine &message);

  ModelFile &file;
  const OnnxImportOptions &options;
  OpBuilder b;
  OwningOpRef<ModuleOp> module;
  Block *entry = nullptr;
  SmallVector<std::string> inputNames; // by argument of @main
  SmallVector<DictionaryAttr> inputAttrs;
  llvm::StringMap<unsigned> symbols;
  llvm::StringSet<> initializerNames;
  unsigned depth = 0, nodes = 0;
  friend class Node;
};

} // namespace lathe::onnx_import

#endif // LATHE_IMPORT_ONNX_IMPORTER_H
