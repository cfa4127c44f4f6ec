//===- Elementwise.td - Elementwise arithmetic, comparison, selection -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_ELEMENTWISE_TD
#define LATHE_ELEMENTWISE_TD

include "dialects/Lathe/LatheBase.td"

// Interface methods and inference of the three classes are shared templates in
// Elementwise.cpp; the meaning of each op is one row in the scalar table of
// lib/Conversion/LatheToLinalg/Elementwise.cpp.
class Lathe_ElementwiseOp<string mnemonic, list<Trait> traits = []> :
    Lathe_PureOp<mnemonic, !listconcat([Fusible, FollowsLayout, PartlyDifferentiable], traits)> {
  let hasFolder = 1;
}

class Lathe_UnaryOp<string mnemonic, Type type, string what, list<Trait> traits = []> :
    Lathe_ElementwiseOp<mnemonic, !listconcat([SameOperandsAndResultElementType], traits)> {
  let summary = what;
  let arguments = (ins type:$input);
  let results = (outs type:$result);
  let assemblyFormat = "$input attr-dict `:` functional-type($input, $result)";
}
class Lathe_FloatUnaryOp<string mnemonic, string what> :
    Lathe_UnaryOp<mnemonic, Lathe_FloatTensor, what>;

def ExpOp : Lathe_FloatUnaryOp<"exp", "e to the power x">;
def LogOp : Lathe_FloatUnaryOp<"log", "natural logarithm">;
def SqrtOp : Lathe_FloatUnaryOp<"sqrt", "square root">;
def RsqrtOp : Lathe_FloatUnaryOp<"rsqrt", "1 / sqrt(x)">;
def ReciprocalOp : Lathe_FloatUnaryOp<"reciprocal", "1 / x">;
def SinOp : Lathe_FloatUnaryOp<"sin", "sine">;
def CosOp : Lathe_FloatUnaryOp<"cos", "cosine">;
def TanOp : Lathe_FloatUnaryOp<"tan", "tangent">;
def AsinOp : Lathe_FloatUnaryOp<"asin", "arc sine">;
def AcosOp : Lathe_FloatUnaryOp<"acos", "arc cosine">;
def AtanOp : Lathe_FloatUnaryOp<"atan", "arc tangent">;
def SinhOp : Lathe_FloatUnaryOp<"sinh", "hyperbolic sine">;
def CoshOp : Lathe_FloatUnaryOp<"cosh", "hyperbolic cosine">;
def AsinhOp : Lathe_FloatUnaryOp<"asinh", "inverse hyperbolic sine">;
def AcoshOp : Lathe_FloatUnaryOp<"acosh", "inverse hyperbolic cosine">;
def AtanhOp : Lathe_FloatUnaryOp<"atanh", "inverse hyperbolic tangent">;
def TanhOp : Lathe_FloatUnaryOp<"tanh", "hyperbolic tangent">;
def ErfOp : Lathe_FloatUnaryOp<"erf", "Gauss error function">;
def SigmoidOp : Lathe_FloatUnaryOp<"sigmoid", "1 / (1 + exp(-x))">;
def SiluOp : Lathe_FloatUnaryOp<"silu", "x * sigmoid(x)">;
def SoftplusOp : Lathe_FloatUnaryOp<"softplus", "log(1 + exp(x)), without overflow">;
def FloorOp : Lathe_FloatUnaryOp<"floor", "largest integer not above x">;
def CeilOp : Lathe_FloatUnaryOp<"ceil", "smallest integer not below x">;
def RoundOp : Lathe_FloatUnaryOp<"round", "nearest integer, ties to even">;
def ReluOp : Lathe_UnaryOp<"relu", Lathe_NumericTensor, "max(x, 0)", [KeepsElements, Scalable]>;
def NegOp : Lathe_UnaryOp<"neg", Lathe_NumericTensor, "-x", [KeepsElements, Scalable]>;
def AbsOp : Lathe_UnaryOp<"abs", Lathe_NumericTensor, "|x|", [KeepsElements]>;
def SignOp : Lathe_UnaryOp<"sign", Lathe_NumericTensor, "-1, 0 or 1">;
def NotOp : Lathe_UnaryOp<"not", Lathe_IntTensor, "bitwise, and so logical, negation">;

def GeluOp : Lathe_ElementwiseOp<"gelu", [SameOperandsAndResultElementType]> {
  let summary = "Gaussian error linear unit";
  let description = [{
    Exact: `x/2 * (1 + erf(x/sqrt(2)))`. With `tanh`:
    `x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))`.
  }];
  let arguments = (ins Lathe_FloatTensor:$input, UnitAttr:$tanh);
  let results = (outs Lathe_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` functional-type($input, $result)";
}

class Lathe_FloatPredicateOp<string mnemonic, string what> : Lathe_ElementwiseOp<mnemonic> {
  let summary = what;
  let arguments = (ins Lathe_FloatTensor:$input);
  let results = (outs Lathe_BoolTensor:$result);
  let assemblyFormat = "$input attr-dict `:` functional-type($input, $result)";
}
def IsNanOp : Lathe_FloatPredicateOp<"is_nan", "whether x is not a number">;
def IsInfOp : Lathe_FloatPredicateOp<"is_inf", "whether x is plus or minus infinity">;

class Lathe_BinaryOp<string mnemonic, Type type, string what, list<Trait> traits = []> :
    Lathe_ElementwiseOp<mnemonic, !listconcat([SameOperandsAndResultElementType], traits)> {
  let summary = what;
  let arguments = (ins type:$lhs, type:$rhs);
  let results = (outs type:$result);
}
def AddOp : Lathe_BinaryOp<"add", Lathe_NumericTensor, "a + b", [Commutative, Scalable]>;
def SubOp : Lathe_BinaryOp<"sub", Lathe_NumericTensor, "a - b", [Scalable]>;
def MulOp : Lathe_BinaryOp<"mul", Lathe_NumericTensor, "a * b", [Commutative, Scalable]>;
def DivOp : Lathe_BinaryOp<"div", Lathe_NumericTensor,
                           "a / b; integers truncate toward zero, x / 0 is 0">;
def PowOp : Lathe_BinaryOp<"pow", Lathe_NumericTensor, "a to the power b">;
def MaxOp : Lathe_BinaryOp<"max", Lathe_NumericTensor, "the larger; NaN wins", [Commutative, KeepsElements, Scalable]>;
def MinOp : Lathe_BinaryOp<"min", Lathe_NumericTensor, "the smaller; NaN wins", [Commutative, KeepsElements, Scalable]>;
def RemOp : Lathe_BinaryOp<"rem", Lathe_NumericTensor,
                           "remainder with the sign of a (C's fmod); x rem 0 is 0 for integers">;
def ModOp : Lathe_BinaryOp<"mod", Lathe_NumericTensor,
                           "remainder with the sign of b (Python's %); x mod 0 is 0 for integers">;
def AndOp : Lathe_BinaryOp<"and", Lathe_IntTensor, "bitwise and", [Commutative]>;
def OrOp : Lathe_BinaryOp<"or", Lathe_IntTensor, "bitwise or", [Commutative]>;
def XorOp : Lathe_BinaryOp<"xor", Lathe_IntTensor, "bitwise exclusive or", [Commutative]>;
def ShlOp : Lathe_BinaryOp<"shl", Lathe_IntTensor,
                           "shift left; shifts of the width or more give 0">;
def ShrOp : Lathe_BinaryOp<"shr", Lathe_IntTensor,
                           "shift right, arithmetic for signed types">;

def CompareOp : Lathe_ElementwiseOp<"compare"> {
  let summary = "elementwise comparison";
  let description = "Comparisons with NaN are false, except `ne`.";
  let arguments = (ins Lathe_ComparePredicate:$predicate, Lathe_OrderedTensor:$lhs,
                       Lathe_OrderedTensor:$rhs);
  let results = (outs Lathe_BoolTensor:$result);
  let assemblyFormat = [{
    $predicate `,` $lhs `,` $rhs attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def SelectOp : Lathe_ElementwiseOp<"select", [KeepsElements]> {
  let summary = "on_true where condition, else on_false";
  let arguments = (ins Lathe_BoolTensor:$condition, Lathe_Tensor:$on_true, Lathe_Tensor:$on_false);
  let results = (outs Lathe_Tensor:$result);
  let hasVerifier = 1;
}

def CastOp : Lathe_ElementwiseOp<"cast"> {
  let summary = "conversion to another element type";
  let description = [{
    Float to integer truncates toward zero and saturates, NaN gives 0; to `i1`
    tests for not zero; integers wrap; floats round to nearest even.
  }];
  let arguments = (ins Lathe_Tensor:$input, TypeAttr:$dtype);
  let results = (outs Lathe_Tensor:$result);
  let assemblyFormat = "$input `to` $dtype attr-dict `:` functional-type($input, $result)";
}

#endif // LATHE_ELEMENTWISE_TD
