//===- Interfaces.td - What a pass may ask an op ----------------*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Op knowledge lives in the op's family file and is reached through these
// interfaces. A pass asks; it never lists ops. No op is named here.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_INTERFACES_TD
#define LATHE_INTERFACES_TD

include "mlir/IR/OpBase.td"

// Why an interface and not a trait: gradients need code, and ops of other
// dialects must be able to attach it from outside.
def DifferentiableOpInterface : OpInterface<"DifferentiableOpInterface"> {
  let cppNamespace = "::lathe";
  let description = [{
    Reverse-mode derivative rule of an op. An op without it is an error that
    names the op when a gradient has to pass through.
  }];
  let methods = [
    InterfaceMethod<[{
        Builds the vector-Jacobian product. `cotangents` has one value per
        result, null where the result is inactive. Returns one value per
        operand, null where no gradient flows.
      }],
      "::mlir::FailureOr<::llvm::SmallVector<::mlir::Value>>", "buildVjp",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::ValueRange":$cotangents)>,
    InterfaceMethod<"Operands no gradient ever flows to (indices, masks, axes).",
      "bool", "isInactiveOperand", (ins "unsigned":$index), "",
      /*defaultImplementation=*/"return false;">,
    InterfaceMethod<[{
        The forward values the rule reads. Rematerialization decides from it
        which of them to keep and which to compute again.
      }],
      "::llvm::SmallVector<::mlir::Value>", "getSavedValues", (ins), "",
      /*defaultImplementation=*/"return {};">,
    InterfaceMethod<[{
        What the rule is the derivative of, where that is not the op itself
        (straight-through gradients): gradient checks take differences of it. One
        value per result; none where it is the op.
      }],
      "::llvm::SmallVector<::mlir::Value>", "buildSurrogate",
      (ins "::mlir::OpBuilder &":$builder), "",
      /*defaultImplementation=*/"return {};">,
  ];
}

// One kind, and the maps from the op's iteration space to its operands and
// results, are all fusion needs to know.
def FusibleOpInterface : OpInterface<"FusibleOpInterface"> {
  let cppNamespace = "::lathe";
  let description = [{
    How an op may share a kernel with its neighbours. An op without the
    interface is opaque: a kernel of its own.
  }];
  let methods = [
    InterfaceMethod<[{
        elementwise: one output element from one element of each operand;
        reduction: output dims are a subset of the iteration space;
        contraction: a multiply-accumulate with a tiled schedule of its own;
        view: moves no data, can be folded into an access map;
        opaque: a kernel of its own.
      }],
      "::lathe::FusionKind", "getFusionKind">,
    InterfaceMethod<[{
        One map per operand, then one per result, from the iteration space to
        the tensor's dims. Broadcast dims are constant 0. Empty where the op's
        accesses are not affine (opaque ops).
      }],
      "::llvm::SmallVector<::mlir::AffineMap>", "getFusionMaps", (ins), "",
      /*defaultImplementation=*/"return {};">,
  ];
}

// What lathe-layout asks. It weighs the answers over the whole graph and makes
// the copies; an op with none of these stays as it is.
def LayoutOpInterface : OpInterface<"LayoutOpInterface"> {
  let cppNamespace = "::lathe";
  let description = [{
    What a change of data layout means to an op. Sizes are static, but for
    getPreferredLayouts.
  }];
  let methods = [
    InterfaceMethod<[{
        Layouts of the first operand that `target` computes faster with, the best
        first. Empty for ops that do not mind, and for those that have theirs. Where
        sizes are open nobody reads the gain, which must not be computed of them.
      }],
      "::llvm::SmallVector<::lathe::LayoutPreference>", "getPreferredLayouts",
      (ins "::lathe::LayoutTarget":$target), "", "return {};">,
    InterfaceMethod<[{
        How operands and results are stored where `value`, one of them, is stored
        in `layout`; failure where the op cannot follow.
      }],
      "::mlir::FailureOr<::lathe::ValueLayouts>", "getLayouts",
      (ins "::mlir::Value":$value, "::mlir::AffineMap":$layout)>,
    InterfaceMethod<[{
        Called on a copy of the op whose operands and result types are stored as
        `layouts` says (an answer of getLayouts): brings the attributes into line.
      }],
      "void", "applyLayouts", (ins "const ::lathe::ValueLayouts &":$layouts), "",
      "">,
  ];
}

def ScalableOpInterface : OpInterface<"ScalableOpInterface"> {
  let cppNamespace = "::lathe";
  let description = [{
    An op whose one result takes a positive factor from its operands:
    f(c x) = c f(x), apart from how it is rounded.
  }];
  let methods = [
    InterfaceMethod<[{
        Sets of operands, the one to prefer first: multiplying all of a set, and no
        other operand, multiplies the result.
      }],
      "::llvm::SmallVector<::llvm::SmallVector<unsigned, 2>>", "getScalableOperands",
      (ins)>,
    InterfaceMethod<[{
        Whether it costs less to compute the op twice, with the factor and without,
        than to store a result that others read, too.
      }],
      "bool", "isCheapToRepeat", (ins), "", "return false;">,
  ];
}

// Passes decide where numbers are quantized; what an op does with quantized
// operands is known to the op alone. A refusal says why in `whyNot`.
def QuantizableOpInterface : OpInterface<"QuantizableOpInterface"> {
  let cppNamespace = "::lathe";
  let description = [{
    An op, of static sizes, that can be computed on operands of few bits: sums of
    products, which are exact in integers.
  }];
  let methods = [
    InterfaceMethod<[{
        Operands that may be quantized; none, with a reason, where this op has none
        (its elements are integers, say).
      }],
      "::llvm::SmallVector<::lathe::QuantizableOperand>", "getQuantizableOperands",
      (ins "::std::string &":$whyNot)>,
    InterfaceMethod<[{
        Builds the op on `operands`, one for each of getQuantizableOperands() and
        all of 8-bit integers: the sum in i32, minus the zero points' part, times
        the scales, plus what else the op adds. One value per result, of exactly
        the result types.
      }],
      "::mlir::FailureOr<::llvm::SmallVector<::mlir::Value>>", "buildQuantized",
      (ins "::mlir::OpBuilder &":$builder,
           "::llvm::ArrayRef<::lathe::QuantizedOperand>":$operands,
           "::std::string &":$whyNot)>,
  ];
}

def DecomposableOpInterface : OpInterface<"DecomposableOpInterface"> {
  let cppNamespace = "::lathe";
  let description = "A composite op in terms of smaller ops.";
  let methods = [
    InterfaceMethod<[{
        Builds the decomposition at the builder's insertion point and returns
        one value per result, of exactly the result types. May assume static
        shapes: it runs after specialization.
      }],
      "::mlir::FailureOr<::llvm::SmallVector<::mlir::Value>>", "decompose",
      (ins "::mlir::OpBuilder &":$builder)>,
    InterfaceMethod<[{
        The same where a gradient has to pass through the op, which has no rule:
        an op that has one, and that also gives what the rule needs.
      }],
      "::mlir::FailureOr<::llvm::SmallVector<::mlir::Value>>",
      "decomposeForGradient", (ins "::mlir::OpBuilder &":$builder), "",
      "return $_op.decompose(builder);">,
  ];
}

def TrainingOpInterface : OpInterface<"TrainingOpInterface"> {
  let cppNamespace = "::lathe";
  let description = [{
    An op that does in training what it does not outside of it.
  }];
  let methods = [
    InterfaceMethod<[{
        Builds what stands for the op outside of training, and returns one value
        per result, of exactly the result types.
      }],
      "::llvm::SmallVector<::mlir::Value>", "buildInference",
      (ins "::mlir::OpBuilder &":$builder)>,
  ];
}

#endif // LATHE_INTERFACES_TD
