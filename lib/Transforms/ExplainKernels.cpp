//===- ExplainKernels.cpp - Why the kernels are what they are -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Transforms/ExplainKernels.h"

#include "dialects/Lathe/Lathe.h"
#include "lathe/Analysis/Cost.h"
#include "lathe/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

namespace lathe {
#define GEN_PASS_DEF_EXPLAINKERNELS
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

/// "model.mlir:12:3" or an imported node's name; empty where there is none.
static std::string getPlace(Location location) {
  std::string text;
  location->walk([&](Location part) {
    llvm::raw_string_ostream os(text);
    if (auto name = dyn_cast<NameLoc>(part))
      os << '"' << name.getName().getValue() << '"';
    else if (auto file = dyn_cast<FileLineColLoc>(part))
      os << file.getFilename().getValue() << ':' << file.getLine() << ':'
         << file.getColumn();
    else
      return WalkResult::advance();
    return WalkResult::interrupt();
  });
  return text;
}

static StringRef getString(DictionaryAttr entry, StringRef key) {
  auto text = entry.getAs<StringAttr>(key);
  return text ? text.getValue() : StringRef();
}

static StringRef getFunctionName(KernelOp kernel) {
  auto function = kernel->getParentOfType<func::FuncOp>();
  return function ? function.getName() : StringRef();
}

void lathe::printKernelsAsText(Operation *root, raw_ostream &os) {
  unsigned index = 0;
  root->walk([&](KernelOp kernel) {
    os << "kernel " << index++ << " \"" << kernel.getName() << "\" schedule "
       << kernel.getSchedule();
    if (auto tile = kernel->getAttrOfType<DenseI64ArrayAttr>("lathe.tile"))
      llvm::interleave(tile.asArrayRef(), os << " tile ", "x");
    if (StringRef function = getFunctionName(kernel); !function.empty())
      os << " in @" << function;
    Cost cost = getCost(kernel);
    os << ": " << cost.flops << " flops, " << cost.bytes << " bytes\n";
    for (Operation &op : kernel.getBody().front().without_terminator()) {
      if (op.hasTrait<OpTrait::ConstantLike>())
        continue;
      os << "  " << op.getName().getStringRef();
      llvm::interleaveComma(op.getResultTypes(), os << " ");
      if (std::string place = getPlace(op.getLoc()); !place.empty())
        os << " at " << place;
      os << "\n";
    }
    auto leftOut = kernel->getAttrOfType<ArrayAttr>("lathe.left_out");
    if (!leftOut)
      return;
    for (auto entry : leftOut.getAsRange<DictionaryAttr>()) {
      os << "  left out, " << getString(entry, "where")
         << " it: " << getString(entry, "op");
      if (StringRef name = getString(entry, "kernel"); !name.empty())
        os << " (in \"" << name << "\")";
      os << ": " << getString(entry, "why") << "\n";
    }
  });
}

void lathe::printKernelsAsJson(Operation *root, raw_ostream &os) {
  llvm::json::OStream json(os, /*IndentSize=*/2);
  json.arrayBegin();
  root->walk([&](KernelOp kernel) {
    json.objectBegin();
    json.attribute("name", kernel.getName());
    json.attribute("schedule", kernel.getSchedule());
    json.attribute("function", getFunctionName(kernel));
    Cost cost = getCost(kernel);
    json.attribute("flops", cost.flops);
    json.attribute("bytes", cost.bytes);
    json.attributeArray("ops", [&] {
      for (Operation &op : kernel.getBody().front().without_terminator())
        if (!op.hasTrait<OpTrait::ConstantLike>())
          json.object([&] {
            json.attribute("op", op.getName().getStringRef());
            json.attribute("at", getPlace(op.getLoc()));
          });
    });
    json.attributeArray("left_out", [&] {
      auto leftOut = kernel->getAttrOfType<ArrayAttr>("lathe.left_out");
      if (!leftOut)
        return;
      for (auto entry : leftOut.getAsRange<DictionaryAttr>())
        json.object([&] {
          for (NamedAttribute field : entry)
            if (auto text = dyn_cast<StringAttr>(field.getValue()))
              json.attribute(field.getName().strref(), text.getValue());
        });
    });
    json.objectEnd();
  });
  json.arrayEnd();
  os << "\n";
}

namespace {
class ExplainKernels : public lathe::impl::ExplainKernelsBase<ExplainKernels> {
  using ExplainKernelsBase::ExplainKernelsBase;

  void runOnOperation() override {
    if (json)
      printKernelsAsJson(getOperation(), llvm::outs());
    else
      printKernelsAsText(getOperation(), llvm::outs());
    markAllAnalysesPreserved();
  }
};
} // namespace
