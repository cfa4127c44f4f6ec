//===- LatheBase.td - The dialect, its attributes and op base classes -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_BASE_TD
#define LATHE_BASE_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "lathe/Interfaces/Interfaces.td"

def Lathe_Dialect : Dialect {
  let name = "lathe";
  let cppNamespace = "::lathe";
  let summary = "Models as tensor programs";
  let description = [{
    One small dialect on ranked tensors: primitives, plus composites that
    deserve a name. Conventions that hold for every op:

    - Sizes that a user leaves open are `?`. Result types follow from operands
      and attributes (`InferTypeOpInterface`); a written type may be less
      precise than the inferred one, never contradict it.
    - **Broadcasting is NumPy's and implicit** in elementwise ops: operands are
      aligned at the last dimension and size 1 stretches. No other op
      broadcasts, except the batch dims of `matmul`.
    - Element types never convert implicitly: `lathe.cast` does.
    - Axes may be negative (counted from the end), as in NumPy.
    - `tensor<i1>` is a Boolean; unsigned integers are `ui8` ... `ui64`.
    - Integer arithmetic wraps; division truncates; x / 0 is 0. Indices out of
      range are refused by the Runtime, and clamped inside a kernel.
  }];
  let useDefaultAttributePrinterParser = 1;
  let hasConstantMaterializer = 1;
  // Each in the file of its family: what registers all ops in one file takes
  // longer to compile than any other.
  let extraClassDeclaration = [{
    void addElementwiseOps();
    void addReductionOps();
    void addContractionOps();
    void addAttentionOps();
    void addConvolutionOps();
    void addShapeOps();
    void addIndexingOps();
    void addNormalizationOps();
    void addLossOps();
    void addRandomOps();
    void addQuantizationOps();
    void addParameterOps();
    void addControlOps();
    void addGradientOps();
  }];
  // Types of stored numbers are the quant dialect's.
  let dependentDialects = ["::mlir::func::FuncDialect", "::mlir::quant::QuantizationDialect"];
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

// What can be stored and moved.
def Lathe_Tensor : RankedTensorOf<[F64, F32, F16, BF16, F8E4M3FN, I64, I32, I16,
                                   I8, I1, UI64, UI32, UI16, UI8]>;
// What can be compared: no arithmetic but that of products takes 8-bit floats.
def Lathe_OrderedTensor : RankedTensorOf<[F64, F32, F16, BF16, I64, I32, I16, I8,
                                          I1, UI64, UI32, UI16, UI8]>;
def Lathe_FloatTensor : RankedTensorOf<[F64, F32, F16, BF16]>;
def Lathe_IntTensor : RankedTensorOf<[I64, I32, I16, I8, I1,
                                      UI64, UI32, UI16, UI8]>;
def Lathe_NumericTensor : RankedTensorOf<[F64, F32, F16, BF16, I64, I32, I16,
                                          I8, UI64, UI32, UI16, UI8]>;
// What stands for other numbers by a scale.
def Lathe_QuantizedTensor : RankedTensorOf<[I64, I32, I16, I8, I1, UI64, UI32,
                                            UI16, UI8, F8E4M3FN]>;
// Operands of products.
def Lathe_FactorTensor : RankedTensorOf<[F64, F32, F16, BF16, F8E4M3FN, I64, I32,
                                         I16, I8, UI64, UI32, UI16, UI8]>;
def Lathe_BoolTensor : RankedTensorOf<[I1]>;
def Lathe_IndexTensor : RankedTensorOf<[I64, I32]>;

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

def Lathe_ComparePredicate : I32EnumAttr<"ComparePredicate", "comparison", [
    I32EnumAttrCase<"eq", 0>, I32EnumAttrCase<"ne", 1>, I32EnumAttrCase<"lt", 2>,
    I32EnumAttrCase<"le", 3>, I32EnumAttrCase<"gt", 4>, I32EnumAttrCase<"ge", 5>]> {
  let cppNamespace = "::lathe";
}
def Lathe_PadMode : I32EnumAttr<"PadMode", "what stands in the padding", [
    I32EnumAttrCase<"constant", 0>, I32EnumAttrCase<"reflect", 1>,
    I32EnumAttrCase<"edge", 2>, I32EnumAttrCase<"wrap", 3>]> {
  let cppNamespace = "::lathe";
}
def Lathe_ScatterMode : I32EnumAttr<"ScatterMode", "how an update meets the old value", [
    I32EnumAttrCase<"assign", 0>, I32EnumAttrCase<"add", 1>, I32EnumAttrCase<"mul", 2>,
    I32EnumAttrCase<"min", 3>, I32EnumAttrCase<"max", 4>]> {
  let cppNamespace = "::lathe";
}
def Lathe_LossReduction : I32EnumAttr<"LossReduction", "how per-element losses combine", [
    I32EnumAttrCase<"none", 0>, I32EnumAttrCase<"mean", 1>, I32EnumAttrCase<"sum", 2>]> {
  let cppNamespace = "::lathe";
}
def Lathe_ResizeMode : I32EnumAttr<"ResizeMode", "interpolation", [
    I32EnumAttrCase<"nearest", 0>, I32EnumAttrCase<"linear", 1>, I32EnumAttrCase<"cubic", 2>]> {
  let cppNamespace = "::lathe";
}
def Lathe_CoordinateMode : I32EnumAttr<"CoordinateMode", "output to input coordinate", [
    I32EnumAttrCase<"half_pixel", 0>, I32EnumAttrCase<"pytorch_half_pixel", 1>,
    I32EnumAttrCase<"align_corners", 2>, I32EnumAttrCase<"asymmetric", 3>,
    I32EnumAttrCase<"tf_crop_and_resize", 4>]> {
  let cppNamespace = "::lathe";
}
def Lathe_NearestMode : I32EnumAttr<"NearestMode", "rounding of the nearest coordinate", [
    I32EnumAttrCase<"round_prefer_floor", 0>, I32EnumAttrCase<"round_prefer_ceil", 1>,
    I32EnumAttrCase<"floor", 2>, I32EnumAttrCase<"ceil", 3>]> {
  let cppNamespace = "::lathe";
}
// Where the channel dim of images stands: N C spatial..., or N spatial... C.
def Lathe_ImageLayout : I32EnumAttr<"ImageLayout", "where the channels stand", [
    I32EnumAttrCase<"channels_first", 0>, I32EnumAttrCase<"channels_last", 1>]> {
  let cppNamespace = "::lathe";
}
// Where the heads of attention stand: batch, head, row, place in the head; or
// batch, row, head, place, as projections give and take them.
def Lathe_HeadLayout : I32EnumAttr<"HeadLayout", "where the heads stand", [
    I32EnumAttrCase<"heads_second", 0>, I32EnumAttrCase<"heads_third", 1>]> {
  let cppNamespace = "::lathe";
}
def Lathe_InitializerKind : I32EnumAttr<"InitializerKind", "how a parameter starts", [
    I32EnumAttrCase<"zeros", 0>, I32EnumAttrCase<"ones", 1>, I32EnumAttrCase<"constant", 2>,
    I32EnumAttrCase<"uniform", 3>, I32EnumAttrCase<"normal", 4>,
    I32EnumAttrCase<"truncated_normal", 5>, I32EnumAttrCase<"xavier_uniform", 6>,
    I32EnumAttrCase<"xavier_normal", 7>, I32EnumAttrCase<"kaiming_uniform", 8>,
    I32EnumAttrCase<"kaiming_normal", 9>]> {
  let cppNamespace = "::lathe";
}

class Lathe_Attr<string name, string attrMnemonic> : AttrDef<Lathe_Dialect, name> {
  let mnemonic = attrMnemonic;
}

def Lathe_InitializerAttr : Lathe_Attr<"Initializer", "init"> {
  let summary = "how a parameter starts where no weights file binds it";
  let description = [{
    `#lathe.init<normal, 0.0, 0.02>`: kind and up to two numbers: constant(value),
    uniform(low, high), normal(mean, stddev), truncated_normal(mean, stddev, cut
    at two stddevs); the others derive their range from the shape.
  }];
  let parameters = (ins EnumParameter<Lathe_InitializerKind>:$kind,
                        OptionalParameter<"::mlir::FloatAttr">:$a,
                        OptionalParameter<"::mlir::FloatAttr">:$b);
  let assemblyFormat = "`<` $kind (`,` $a^ (`,` $b^)?)? `>`";
}

//===----------------------------------------------------------------------===//
// Op base classes
//===----------------------------------------------------------------------===//

// Every op prints as `lathe.op operands {attributes} : (operand types) -> result types`
// unless it has one operand and a result of the same type.
class Lathe_Op<string mnemonic, list<Trait> traits = []> :
    Op<Lathe_Dialect, mnemonic, traits> {
  code commonDeclaration = [{
    static bool isCompatibleReturnTypes(::mlir::TypeRange inferred,
                                        ::mlir::TypeRange written) {
      return ::lathe::areCompatibleTypes(inferred, written);
    }
  }];
  let extraClassDeclaration = commonDeclaration;
}

// An op without side effects whose result types are inferred.
class Lathe_PureOp<string mnemonic, list<Trait> traits = []> :
    Lathe_Op<mnemonic, !listconcat([Pure, InferTypeOpAdaptor], traits)> {
  let assemblyFormat = "operands attr-dict `:` functional-type(operands, results)";
}

def Fusible : DeclareOpInterfaceMethods<FusibleOpInterface, ["getFusionMaps"]>;
def FusibleKindOnly : DeclareOpInterfaceMethods<FusibleOpInterface>;
def Differentiable : DeclareOpInterfaceMethods<DifferentiableOpInterface>;
// The same for ops with operands of floats that no gradient flows to.
def PartlyDifferentiable :
    DeclareOpInterfaceMethods<DifferentiableOpInterface, ["isInactiveOperand"]>;
// The same, checked against what the rule is the derivative of.
def StraightThrough :
    DeclareOpInterfaceMethods<DifferentiableOpInterface, ["isInactiveOperand", "buildSurrogate"]>;
def Quantizable : DeclareOpInterfaceMethods<QuantizableOpInterface>;
def Scalable : DeclareOpInterfaceMethods<ScalableOpInterface>;
// Ops that choose or move elements, which lathe-precision may round on either
// side.
def KeepsElements : NativeOpTrait<"KeepsElements"> {
  let cppNamespace = "::lathe";
}
def TrainingForm : DeclareOpInterfaceMethods<TrainingOpInterface>;
def Decomposable : DeclareOpInterfaceMethods<DecomposableOpInterface>;
// The same with another form for gradients.
def GradientComposite :
    DeclareOpInterfaceMethods<DecomposableOpInterface, ["decomposeForGradient"]>;
// Ops that follow a layout, without and with attributes to change, and those
// that have a preference.
def FollowsLayout : DeclareOpInterfaceMethods<LayoutOpInterface>;
def AdaptsToLayout : DeclareOpInterfaceMethods<LayoutOpInterface, ["applyLayouts"]>;
def PrefersLayout :
    DeclareOpInterfaceMethods<LayoutOpInterface, ["getPreferredLayouts", "applyLayouts"]>;

#endif // LATHE_BASE_TD
