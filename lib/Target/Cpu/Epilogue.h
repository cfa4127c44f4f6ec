//===- Epilogue.h - From accumulators to a kernel's outputs -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_EPILOGUE_H
#define LATHE_LIB_TARGET_CPU_EPILOGUE_H

#include "KernelFrame.h"

namespace lathe::cpu {

/// The elementwise ops behind an anchor, on vectors along the last coordinate.
/// The anchor's index space is given as row-major coordinates, products of
/// consecutive dims of its result: {batch, m, n}, {pixel, channel}.
class Epilogue {
public:
  /// That of the outputs made of the anchor's result number `result`. Fails
  /// with the reason in `whyNot` where a leaf or an output cannot be read or
  /// written in whole vectors of `width` along the last coordinate.
  static FailureOr<Epilogue> get(const KernelViews &views,
                                 ArrayRef<int64_t> coordinates, int64_t width,
                                 std::string &whyNot, unsigned result = 0);

  /// Whether nothing is made of the result.
  bool isEmpty() const { return outputs.empty(); }

  /// Whether it costs so little that it may be repeated for every register of a
  /// tile; else it is a loop over rows of a tile in memory.
  bool isCheap() const { return cost < kPolynomial; }

  /// Emits it for the vector `anchor` that starts at `coordinates`. `mask` (or
  /// null) says which lanes exist.
  void emitVector(ImplicitLocOpBuilder &b, const KernelFrame &function,
                  Value anchor, ArrayRef<Value> coordinates, Value mask) const;

  /// Fetches what emitTile will read and write for the same tile into the
  /// second-level cache, while the sums are made. (Rows are often 4 KiB apart,
  /// and would push each other out of the first one.)
  void emitFetch(ImplicitLocOpBuilder &b, const KernelFrame &function,
                 int64_t rows, int64_t vectors,
                 ArrayRef<Value> coordinates) const;

  /// Emits it for a tile of rows x vectors accumulators. `coordinates` are
  /// those of its first element; rows advance the last but one coordinate.
  /// `masks` has one entry per vector or none. `tile` is scratch for rows *
  /// vectors * width elements, used where the epilogue is not cheap.
  void emitTile(ImplicitLocOpBuilder &b, const KernelFrame &function,
                ArrayRef<Value> accumulators, int64_t rows, int64_t vectors,
                ArrayRef<Value> coordinates, ArrayRef<Value> masks,
                Value tile) const;

  /// The same for sums that are in `tile` already, from its row `first` on.
  void emitStoredTile(ImplicitLocOpBuilder &b, const KernelFrame &function,
                      Value tile, int64_t first, int64_t rows, int64_t vectors,
                      ArrayRef<Value> coordinates, ArrayRef<Value> masks) const;

private:
  /// What becomes a polynomial costs as many instructions.
  static constexpr int64_t kPolynomial = 20;
  static int64_t getCost(const Expr &expr);

  using Access = SmallVector<SmallVector<Factor>>;
  /// Vectors already read that hold for all rows, by leaf and last coordinate.
  using Cache = llvm::DenseMap<std::pair<const Expr *, Value>, Value>;

  bool addAccess(const Expr &leaf, const StridedView &view,
                 ArrayRef<int64_t> coordinates, std::string &whyNot);
  void emitOutputs(ImplicitLocOpBuilder &b, const KernelFrame &function,
                   Value anchor, ArrayRef<Value> coordinates, Value mask,
                   Cache &cache) const;
  Value emitExpr(ImplicitLocOpBuilder &b, const KernelFrame &function,
                 const Expr &expr, Value anchor, ArrayRef<Value> coordinates,
                 Value mask, Cache &cache) const;
  Value emitLeaf(ImplicitLocOpBuilder &b, const KernelFrame &function,
                 const Expr &leaf, ArrayRef<Value> coordinates, Value mask,
                 Cache &cache) const;
  Value emitIndex(ImplicitLocOpBuilder &b, const Access &access, int64_t offset,
                  ArrayRef<Value> coordinates) const;

  SmallVector<KernelOutput> outputs;
  /// Which output of the kernel each is.
  SmallVector<unsigned> places;
  llvm::DenseMap<const Expr *, Access> leafAccess;
  SmallVector<Access> outputAccess;
  int64_t width = 16;
  int64_t cost = 0;
};

/// The function of a kernel that is an anchor and an epilogue over the
/// coordinates `sizes`: Emitter(b, frame, shape, epilogue, features).emit()
/// fills it and returns the number of work items.
template <typename Emitter, typename Shape>
FailureOr<LoweredKernel>
emitAnchored(KernelOp kernel, const KernelViews &views, ModuleOp module,
             StringRef symbol, const CpuFeatures &features, const Shape &shape,
             ArrayRef<int64_t> sizes, std::string &whyNot) {
  FailureOr<Epilogue> epilogue =
      Epilogue::get(views, sizes, features.vectorWidth, whyNot);
  if (failed(epilogue))
    return failure();
  ImplicitLocOpBuilder b(kernel.getLoc(), kernel.getContext());
  KernelFrame frame =
      KernelFrame::create(b, kernel, module, symbol, views.constants);
  int64_t items = Emitter(b, frame, shape, *epilogue, features).emit();
  return frame.finish(b, items);
}

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_EPILOGUE_H
