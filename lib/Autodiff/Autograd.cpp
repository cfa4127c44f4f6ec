//===- Autograd.cpp - The gradient of a function --------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The gradient function starts as a copy of the loss; its backward part is
// built behind it, in the same block, so that values need no bridge.
//
//===----------------------------------------------------------------------===//

#include "lathe/Autodiff/Autograd.h"

#include "Backward.h"
#include "dialects/Lathe/Vjp.h"
#include "lathe/Autodiff/Passes.h"

#include "mlir/IR/Iterators.h"

namespace lathe {
#define GEN_PASS_DEF_AUTOGRAD
#include "lathe/Autodiff/Passes.h.inc"

namespace {

/// What a gradient is asked of: a parameter's or an argument's value.
struct Source {
  Value value;
  ParameterOp parameter; ///< null for arguments
  unsigned argument = 0;
};

class GradientBuilder {
public:
  GradientBuilder(func::FuncOp function, const GradientOptions &options)
      : function(function), block(function.getBody().front()),
        options(options) {}

  LogicalResult run();

private:
  LogicalResult checkFunction();
  void collectSources();
  Activity findActivity();
  void addResult(Source source, Value gradient);

  func::FuncOp function;
  Block &block;
  const GradientOptions &options;
  SmallVector<Source> sources;
};

LogicalResult GradientBuilder::checkFunction() {
  auto type = function.getNumResults()
                  ? dyn_cast<RankedTensorType>(function.getResultTypes()[0])
                  : RankedTensorType();
  if (!type || type.getRank() != 0 || !isa<FloatType>(type.getElementType())) {
    InFlightDiagnostic error =
        function.emitError("expected a rank-0 float, the loss, as first "
                           "result of '@")
        << function.getSymName() << "', got ";
    if (type)
      return error << type;
    return error << "none";
  }
  WalkResult walked = function.walk([&](Operation *op) {
    if (isa<func::CallOp>(op)) {
      op->emitError("expected calls to be inlined before gradients are built: "
                    "lathe-specialize does it");
      return WalkResult::interrupt();
    }
    for (Type type : op->getResultTypes())
      if (auto shaped = dyn_cast<ShapedType>(type);
          shaped && !shaped.hasStaticShape()) {
        op->emitError("expected static shapes where gradients are built, got ")
            << type << ": lathe-specialize makes them so";
        return WalkResult::interrupt();
      }
    return WalkResult::advance();
  });
  return failure(walked.wasInterrupted());
}

void GradientBuilder::collectSources() {
  if (options.parameters) {
    auto module = function->getParentOfType<ModuleOp>();
    DenseMap<StringAttr, SmallVector<GetParameterOp>> reads;
    function.walk([&](GetParameterOp op) {
      reads[op.getNameAttr().getAttr()].push_back(op);
    });
    OpBuilder builder(function.getContext());
    for (auto parameter : module.getOps<ParameterOp>()) {
      auto type = cast<RankedTensorType>(parameter.getType());
      auto found = reads.find(parameter.getSymNameAttr());
      if (!parameter.isMutable() || found == reads.end() ||
          !isa<FloatType>(type.getElementType()))
        continue;
      // One value in front of all loops, which stands for the parameter. The
      // first op may be one of those that are erased.
      builder.setInsertionPointToStart(&block);
      Value value = builder.create<GetParameterOp>(
          found->second.front().getLoc(), type, parameter.getSymName());
      for (GetParameterOp read : found->second) {
        read.replaceAllUsesWith(value);
        read.erase();
      }
      sources.push_back({value, parameter, 0});
    }
  }
  if (options.inputs)
    for (BlockArgument argument : block.getArguments())
      if (isa<FloatType>(getElementTypeOrSelf(argument.getType())))
        sources.push_back({argument, {}, argument.getArgNumber()});
}

Activity GradientBuilder::findActivity() {
  SmallVector<Value> values;
  for (const Source &source : sources)
    values.push_back(source.value);
  return Activity(block, values, block.getTerminator()->getOperand(0));
}

void GradientBuilder::addResult(Source source, Value gradient) {
  Builder builder(function.getContext());
  SmallVector<NamedAttribute> attributes;
  std::string name;
  if (source.parameter) {
    StringRef symbol = source.parameter.getSymName();
    name = ("gradient_of." + symbol).str();
    attributes.push_back(builder.getNamedAttr(
        "lathe.gradient_of",
        FlatSymbolRefAttr::get(function.getContext(), symbol)));
  } else {
    auto given =
        function.getArgAttrOfType<StringAttr>(source.argument, "lathe.name");
    name = "gradient_of_input." +
           (given ? given.str() : std::to_string(source.argument));
    attributes.push_back(builder.getNamedAttr(
        "lathe.gradient_of_input", builder.getI64IntegerAttr(source.argument)));
  }
  // A gradient of a gradient, where the name is taken.
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    if (auto taken = function.getResultAttrOfType<StringAttr>(i, "lathe.name");
        taken && taken.getValue() == name) {
      name += "'";
      i = 0;
    }
  attributes.push_back(
      builder.getNamedAttr("lathe.name", builder.getStringAttr(name)));
  (void)function.insertResult(function.getNumResults(), gradient.getType(),
                              builder.getDictionaryAttr(attributes));
  Operation *end = block.getTerminator();
  end->insertOperands(end->getNumOperands(), gradient);
}

LogicalResult GradientBuilder::run() {
  if (failed(checkFunction()))
    return failure();
  // The results of a loss that is a gradient itself carry the old marks.
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    for (StringRef mark : {"lathe.gradient_of", "lathe.gradient_of_input"})
      function.removeResultAttr(i,
                                StringAttr::get(function.getContext(), mark));
  collectSources();
  if (failed(prepareForGradients(function, [&] { return findActivity(); })))
    return failure();
  if (options.beforeBackward)
    options.beforeBackward(function);
  Activity activity = findActivity();
  Operation *end = block.getTerminator();
  OpBuilder builder(end);
  VjpBuilder b(builder, end);
  Value loss = end->getOperand(0);
  Cotangents cotangents;
  cotangents.add(builder, loss, b.number(1.0, loss));
  {
    Backward backward(activity, options);
    if (failed(backward.run(block, cotangents, builder)))
      return failure();
  }
  for (const Source &source : sources) {
    Value gradient = cotangents.get(source.value);
    if (!gradient && source.parameter)
      continue;
    addResult(source, gradient ? gradient : b.zerosLike(source.value));
  }
  // Rules compute the gradients of all operands.
  function.walk<WalkOrder::PostOrder, ReverseIterator>([&](Operation *op) {
    if (op != function && isOpTriviallyDead(op))
      op->erase();
  });
  return success();
}

struct Autograd : impl::AutogradBase<Autograd> {
  using AutogradBase::AutogradBase;

  void runOnOperation() override {
    auto loss = getOperation().lookupSymbol<func::FuncOp>(function);
    if (!loss || loss.isExternal()) {
      getOperation().emitError("expected a function '@")
          << function << "' to differentiate";
      return signalPassFailure();
    }
    GradientOptions options;
    options.parameters = wrt == "parameters" || wrt == "both";
    options.inputs = wrt == "inputs" || wrt == "both";
    if (!options.parameters && !options.inputs) {
      getOperation().emitError("expected parameters, inputs or both in option "
                               "'wrt', got '")
          << wrt << "'";
      return signalPassFailure();
    }
    if (failed(buildGradient(loss, options)))
      signalPassFailure();
  }
};

} // namespace

FailureOr<func::FuncOp> buildGradient(func::FuncOp loss,
                                      const GradientOptions &options) {
  if (!llvm::hasSingleElement(loss.getBody()))
    return loss.emitError("expected a function of one block to differentiate");
  std::string name = (loss.getSymName() + "_grad").str();
  auto module = loss->getParentOfType<ModuleOp>();
  auto declared = module.lookupSymbol<func::FuncOp>(name);
  if (declared && !declared.isExternal())
    return declared.emitError("expected no '@")
           << name << "' beside the function that is differentiated";
  OpBuilder builder(loss->getContext());
  builder.setInsertionPointAfter(loss);
  auto gradient = cast<func::FuncOp>(builder.clone(*loss));
  gradient.setSymName(name);
  if (failed(GradientBuilder(gradient, options).run())) {
    gradient.erase();
    return failure();
  }
  if (declared) {
    if (declared.getFunctionType() != gradient.getFunctionType()) {
      declared.emitError("expected '@")
          << name << "' declared as " << gradient.getFunctionType() << ", got "
          << declared.getFunctionType();
      gradient.erase();
      return failure();
    }
    gradient.setVisibility(declared.getVisibility());
    declared.erase();
  }
  return gradient;
}

} // namespace lathe
