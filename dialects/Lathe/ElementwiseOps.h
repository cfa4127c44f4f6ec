//===- ElementwiseOps.h - The list of elementwise ops -----------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For the family's own two files: an op that is missing here does not link.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_ELEMENTWISEOPS_H
#define LATHE_DIALECT_ELEMENTWISEOPS_H

#include "dialects/Lathe/Lathe.h"

// clang-format off
#define LATHE_ELEMENTWISE_OPS(X) \
  X(ExpOp) X(LogOp) X(SqrtOp) X(RsqrtOp) X(ReciprocalOp) \
  X(SinOp) X(CosOp) X(TanOp) X(AsinOp) X(AcosOp) \
  X(AtanOp) X(SinhOp) X(CoshOp) X(AsinhOp) X(AcoshOp) \
  X(AtanhOp) X(TanhOp) X(ErfOp) X(SigmoidOp) X(SiluOp) \
  X(SoftplusOp) X(FloorOp) X(CeilOp) X(RoundOp) X(ReluOp) \
  X(NegOp) X(AbsOp) X(SignOp) X(NotOp) X(GeluOp) \
  X(IsNanOp) X(IsInfOp) X(AddOp) X(SubOp) X(MulOp) \
  X(DivOp) X(PowOp) X(MaxOp) X(MinOp) X(RemOp) \
  X(ModOp) X(AndOp) X(OrOp) X(XorOp) X(ShlOp) \
  X(ShrOp) X(CompareOp) X(SelectOp) X(CastOp)
// clang-format on

#endif // LATHE_DIALECT_ELEMENTWISEOPS_H
