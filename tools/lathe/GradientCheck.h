//===- GradientCheck.h - Gradients against central differences --*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_GRADIENTCHECK_H
#define LATHE_TOOLS_GRADIENTCHECK_H

#include "lathe/Autodiff/CheckCases.h"
#include "lathe/Pipelines/Compiler.h"
#include "lathe/Runtime/Session.h"

#include <random>

namespace lathe {

/// Tensors as numbers, one after the other.
using Numbers = std::vector<double>;

struct GradientCheckOptions {
  CompileOptions compile;
  uint64_t seed = 0;
  /// Values of arguments by name; the others are random.
  const std::vector<NamedTensor> *inputs = nullptr;
  /// Arguments are the weights and inputs of a model, not the operands of an
  /// op: drawn narrowly around 0, vectors around 1.
  bool isModel = false;
  /// Called now and then, to show progress.
  std::function<void()> tick = [] {};
};

/// |a - d| / (|d| + 0.1) for a gradient a and a difference d: at most 1e-6 is
/// 1e-6 relative or 1e-7 absolute.
constexpr double kGradientTolerance = 1e-6;

struct GradientCheckResult {
  double error = 0;
  std::string worst; ///< where it is: an argument and what it should be
  bool isWholeJacobian = true;
  int64_t inputs = 0, outputs = 0;
};

/// Compares vector-Jacobian products with central differences of the function,
/// both in f64 on the CPU, at a point where the function is smooth: element by
/// element up to 64 inputs, along random directions above; with every unit
/// cotangent up to 64 outputs, with random ones above. Differences are
/// extrapolated to step 0 (Ridders, "Accurate computation of F'(x) and
/// F'(x)F''(x)", 1982), which also tells whether the point is smooth.
class GradientChecker {
public:
  /// `check` has no `@vjp_grad` yet. Errors: a function that does not compile
  /// or run (a diagnostic was printed, where it is empty), no smooth point, or
  /// a value that is not finite at any.
  static llvm::Expected<std::unique_ptr<GradientChecker>>
  create(CheckCase &check, const GradientCheckOptions &options);

  /// Builds the gradient with `autograd`, compiles and compares it.
  llvm::Expected<GradientCheckResult> run(const GradientOptions &autograd);

private:
  using Point = std::vector<Tensor>;
  struct Direction {
    Numbers step; ///< over all float arguments
    std::vector<std::pair<double, Numbers>> slopes; ///< step size, differences
  };

  GradientChecker(CheckCase &check, const GradientCheckOptions &options)
      : check(check), options(options) {}
  llvm::Expected<std::unique_ptr<Session>> compile(StringRef function);
  llvm::Error findPoint();
  /// What is wrong with a value that is not finite; empty where all are.
  std::string notFinite(const Numbers &value);
  llvm::Error drawPoint(unsigned attempt);
  llvm::Expected<Numbers> forward(const Direction *direction, double factor);
  /// False where the function is not finite, or not smooth.
  llvm::Expected<bool> measure(double step);
  void chooseDirections();
  void chooseCotangents();
  /// The derivative of cotangent . f along a direction; none where differences
  /// do not agree.
  static std::optional<double> extrapolate(const Direction &direction,
                                           const Numbers &cotangent);

  CheckCase &check;
  const GradientCheckOptions options;
  func::FuncOp function;
  std::unique_ptr<Session> session;
  SmallVector<unsigned> arguments, results; ///< those of floats
  SmallVector<int64_t> sizes;               ///< of the arguments
  int64_t inputs = 0, outputs = 0;
  Point point;
  double gap = 0; ///< the distance of two values
  std::vector<Direction> directions;
  std::vector<Numbers> cotangents;
  std::vector<Numbers> expected; ///< by cotangent and direction
  std::mt19937_64 random;
};

} // namespace lathe

#endif // LATHE_TOOLS_GRADIENTCHECK_H
