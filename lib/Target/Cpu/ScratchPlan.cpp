//===- ScratchPlan.cpp - Buffers of a kernel in its scratch ---------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ScratchPlan.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/MathExtras.h"

namespace lathe::cpu {

static constexpr int64_t alignment = 64;
/// Stands for all that is larger; the Runtime refuses far less. Sums of two do
/// not wrap.
static constexpr int64_t kTooMuch = int64_t(1) << 60;

namespace {
struct Buffer {
  memref::AllocOp op;
  int64_t bytes, first, last, offset = -1;
};
} // namespace

/// Positions of the first and last op of the body that touches `alloc` or a
/// view of it. Where the buffer is carried by a loop or leaves an op in another
/// way, it lives throughout.
static std::pair<int64_t, int64_t>
lifetime(memref::AllocOp alloc, Block *body,
         const DenseMap<Operation *, int64_t> &order) {
  int64_t last = order.size();
  int64_t first = last, end = 0;
  SmallVector<Value> worklist{alloc.getResult()};
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    for (Operation *user : value.getUsers()) {
      int64_t position = order.lookup(body->findAncestorOpInBlock(*user));
      first = std::min(first, position);
      end = std::max(end, position);
      if (isa<ViewLikeOpInterface>(user)) {
        llvm::append_range(worklist, user->getResults());
        continue;
      }
      bool escapes = user->getNumRegions() > 0 ||
                     user->hasTrait<OpTrait::IsTerminator>() ||
                     llvm::any_of(user->getResultTypes(),
                                  [](Type t) { return isa<MemRefType>(t); });
      if (escapes)
        return {0, last};
    }
  }
  return {first, end};
}

int64_t placeBuffersInScratch(func::FuncOp function) {
  Block *body = &function.getBody().front();
  DenseMap<Operation *, int64_t> order;
  for (Operation &op : *body)
    order.try_emplace(&op, order.size());
  SmallVector<Buffer> buffers;
  function.walk([&](memref::AllocOp op) {
    auto type = op.getType();
    unsigned bits = type.getElementTypeBitWidth();
    uint64_t bytes = llvm::divideCeil(bits, 8u);
    for (int64_t size : type.getShape())
      bytes = llvm::SaturatingMultiply<uint64_t>(bytes, size);
    bytes = std::min<uint64_t>(bytes, kTooMuch);
    auto [first, last] = lifetime(op, body, order);
    buffers.push_back({op, int64_t(bytes), first, last});
  });

  // Largest first, each at the lowest place that is free during its life.
  SmallVector<Buffer *> queue;
  for (Buffer &buffer : buffers)
    queue.push_back(&buffer);
  llvm::stable_sort(queue,
                    [](Buffer *a, Buffer *b) { return a->bytes > b->bytes; });
  int64_t total = 0;
  SmallVector<Buffer *> placed;
  for (Buffer *buffer : queue) {
    int64_t offset = 0;
    // `placed` is kept in the order of offsets.
    for (Buffer *other : placed) {
      bool meets = other->first <= buffer->last && buffer->first <= other->last;
      if (meets && offset + buffer->bytes > other->offset)
        offset = std::max<int64_t>(
            offset, llvm::alignTo(other->offset + other->bytes, alignment));
    }
    offset = std::min(offset, kTooMuch);
    buffer->offset = offset;
    placed.insert(llvm::upper_bound(placed, buffer,
                                    [](Buffer *a, Buffer *b) {
                                      return a->offset < b->offset;
                                    }),
                  buffer);
    total = std::max<int64_t>(total, offset + buffer->bytes);
  }

  OpBuilder builder = OpBuilder::atBlockBegin(body);
  Value scratch = function.getArgument(function.getNumArguments() - 3);
  for (Buffer &buffer : buffers) {
    Location loc = buffer.op.getLoc();
    Value offset = builder.create<arith::ConstantIndexOp>(loc, buffer.offset);
    Value view = builder.create<memref::ViewOp>(loc, buffer.op.getType(),
                                                scratch, offset, ValueRange{});
    buffer.op.replaceAllUsesWith(view);
    buffer.op.erase();
  }
  return llvm::alignTo(total, alignment);
}

} // namespace lathe::cpu
