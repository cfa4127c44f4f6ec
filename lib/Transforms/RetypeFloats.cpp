//===- RetypeFloats.cpp - One float type for a model ----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Transforms/RetypeFloats.h"

#include "dialects/Lathe/Lathe.h"
#include "lathe/Transforms/Passes.h"

#include "mlir/IR/AttrTypeSubElements.h"
#include "llvm/ADT/StringSwitch.h"

namespace lathe {
#define GEN_PASS_DEF_RETYPEFLOATS
#include "lathe/Transforms/Passes.h.inc"

LogicalResult retypeFloats(ModuleOp module, FloatType to) {
  AttrTypeReplacer replacer;
  replacer.addReplacement([&](FloatType) -> Type { return to; });
  auto round = [&](APFloat number) {
    bool losesInfo;
    number.convert(to.getFloatSemantics(), APFloat::rmNearestTiesToEven,
                   &losesInfo);
    return number;
  };
  using Result = std::optional<std::pair<Attribute, WalkResult>>;
  // Numbers are no tensors: an epsilon, a list of scales stays what it is.
  replacer.addReplacement([&](FloatAttr number) -> Result {
    return {{number, WalkResult::skip()}};
  });
  replacer.addReplacement([&](DenseArrayAttr numbers) -> Result {
    return {{numbers, WalkResult::skip()}};
  });
  replacer.addReplacement([&](DenseFPElementsAttr elements) -> Result {
    auto type = cast<ShapedType>(elements.getType()).clone(to);
    if (elements.isSplat())
      return {{DenseElementsAttr::get(type,
                                      round(elements.getSplatValue<APFloat>())),
               WalkResult::skip()}};
    SmallVector<APFloat> numbers;
    for (APFloat number : elements.getValues<APFloat>())
      numbers.push_back(round(number));
    return {{DenseElementsAttr::get(type, numbers), WalkResult::skip()}};
  });
  WalkResult walked = module.walk([&](ConstantOp op) {
    if (isa<FloatType>(op.getValue().getElementType()) &&
        !isa<DenseFPElementsAttr>(op.getValue())) {
      op.emitOpError("expected a constant in the text of the model, to give it "
                     "elements of type ")
          << to;
      return WalkResult::interrupt();
    }
    return WalkResult::advance();
  });
  if (walked.wasInterrupted())
    return failure();
  replacer.recursivelyReplaceElementsIn(module, /*replaceAttrs=*/true,
                                        /*replaceLocs=*/false,
                                        /*replaceTypes=*/true);
  return success();
}

namespace {
struct RetypeFloats : impl::RetypeFloatsBase<RetypeFloats> {
  using RetypeFloatsBase::RetypeFloatsBase;

  void runOnOperation() override {
    Builder builder(&getContext());
    Type type = llvm::StringSwitch<Type>(to)
                    .Case("f64", builder.getF64Type())
                    .Case("f32", builder.getF32Type())
                    .Case("f16", builder.getF16Type())
                    .Case("bf16", builder.getBF16Type())
                    .Default(Type());
    if (!type) {
      getOperation().emitError("expected f64, f32, f16 or bf16 in option 'to', "
                               "got '")
          << to << "'";
      return signalPassFailure();
    }
    if (failed(retypeFloats(getOperation(), cast<FloatType>(type))))
      signalPassFailure();
  }
};
} // namespace
} // namespace lathe
