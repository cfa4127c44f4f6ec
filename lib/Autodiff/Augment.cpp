//===- Augment.cpp - Images changed at random -----------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GraphMath.h"
#include "dialects/Lathe/Vjp.h"
#include "lathe/Autodiff/Passes.h"
#include "lathe/Autodiff/TrainStep.h"

#include "FindFunction.h"

namespace lathe {
#define GEN_PASS_DEF_AUGMENT
#include "lathe/Autodiff/Passes.h.inc"

namespace {
/// Streams of random numbers that no model uses by accident.
enum AugmentStream : int64_t {
  kRowStream = 0x6c61746865 << 2,
  kColumnStream,
  kFlipStream
};

/// Where height, width and channels of images are.
struct ImageDims {
  int64_t height, width;
  std::optional<int64_t> channels;
};

class Augmenter {
public:
  Augmenter(func::FuncOp loss, const TrainRecipe &recipe)
      : loss(loss), recipe(recipe), builder(loss.getContext()),
        math(builder, loss.getLoc()), b(builder, loss.getLoc()) {}
  LogicalResult run();

private:
  Value findKey();
  Value shiftOf(int64_t stream);
  Value changed(Value image);

  func::FuncOp loss;
  const TrainRecipe &recipe;
  OpBuilder builder;
  GraphMath math;
  VjpBuilder b;
  Value key;
  int64_t batch = 0;
};
} // namespace

/// [batch, H, W], [batch, C, H, W] or [batch, H, W, C] of bytes or floats. The
/// channels stand last where there are 4 at most and dim 1 is neither 1 nor 3.
static std::optional<ImageDims> findLayout(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !tensor.hasStaticShape() ||
      !(isa<FloatType>(tensor.getElementType()) ||
        tensor.getElementType().isInteger(8)))
    return std::nullopt;
  if (tensor.getRank() == 3)
    return ImageDims{1, 2, std::nullopt};
  if (tensor.getRank() != 4)
    return std::nullopt;
  int64_t second = tensor.getDimSize(1);
  if (tensor.getDimSize(3) <= 4 && second != 1 && second != 3)
    return ImageDims{1, 2, 3};
  return ImageDims{2, 3, 1};
}

/// The argument `random_key`, or a new one.
Value Augmenter::findKey() {
  for (unsigned i = 0; i < loss.getNumArguments(); ++i)
    if (auto name = loss.getArgAttrOfType<StringAttr>(i, "lathe.name");
        name && name.getValue() == "random_key")
      return loss.getArgument(i);
  unsigned index = loss.getNumArguments();
  loss.insertArgument(index, RankedTensorType::get({2}, builder.getI64Type()),
                      builder.getDictionaryAttr(builder.getNamedAttr(
                          "lathe.name", builder.getStringAttr("random_key"))),
                      loss.getLoc());
  return loss.getArgument(index);
}

/// [batch, 1, 1] of 0 to 2 * crop, each as likely as the others.
Value Augmenter::shiftOf(int64_t stream) {
  double most = 2.0 * recipe.augmentCrop;
  Value drawn = math.make<RandomUniformOp>(key, ArrayRef<int64_t>{batch, 1, 1},
                                           builder.getF32Type(), stream,
                                           APFloat(0.0), APFloat(most + 1));
  // Rounding could reach the end of the range.
  Value whole = math.min(math.make<FloorOp>(drawn), most);
  return math.to(whole, builder.getI64Type());
}

/// Each image is read at its own offset of the padded one, and from right to
/// left where it is flipped: one gather over the pixels.
Value Augmenter::changed(Value image) {
  auto type = cast<RankedTensorType>(image.getType());
  ImageDims layout = *findLayout(type);
  int64_t crop = recipe.augmentCrop;
  int64_t height = type.getDimSize(layout.height);
  int64_t width = type.getDimSize(layout.width);
  batch = type.getDimSize(0);
  SmallVector<int64_t> border(type.getRank(), 0);
  border[layout.height] = border[layout.width] = crop;
  Value padded = image;
  if (crop)
    padded = math.make<PadOp>(image, Value(), border, border);

  Type i64 = builder.getI64Type();
  Value row = math.make<IotaOp>(ArrayRef<int64_t>{1, height, 1}, 1, i64);
  Value column = math.make<IotaOp>(ArrayRef<int64_t>{1, 1, width}, 2, i64);
  if (recipe.augmentFlip) {
    Value drawn = math.make<RandomUniformOp>(
        key, ArrayRef<int64_t>{batch, 1, 1}, builder.getF32Type(), kFlipStream,
        APFloat(0.0), APFloat(1.0));
    Value isFlipped =
        math.compare(ComparePredicate::lt, drawn, math.like(0.5, drawn));
    column = math.select(isFlipped, math.rsub(width - 1, column), column);
  }
  if (crop) {
    row = math.add(row, shiftOf(kRowStream));
    column = math.add(column, shiftOf(kColumnStream));
  }
  Value pixel = math.add(math.mul(row, double(width + 2 * crop)), column);
  int64_t pixels = height * width;
  int64_t from = (height + 2 * crop) * (width + 2 * crop);
  pixel = b.broadcast(pixel, {batch, height, width});

  SmallVector<int64_t> source = {batch, from}, index = {batch, pixels};
  int64_t axis = 1;
  if (layout.channels == 1) {
    source.insert(source.begin() + 1, type.getDimSize(1));
    index.insert(index.begin() + 1, 1);
    axis = 2;
  } else if (layout.channels) {
    source.push_back(type.getDimSize(3));
    index.push_back(1);
  }
  pixel = b.reshape(pixel, index);
  if (layout.channels) {
    index[*layout.channels == 1 ? 1 : 2] = type.getDimSize(*layout.channels);
    pixel = b.broadcast(pixel, index);
  }
  Value result =
      math.make<GatherElementsOp>(b.reshape(padded, source), pixel, axis);
  return b.reshape(result, type.getShape());
}

LogicalResult Augmenter::run() {
  SmallVector<unsigned> images;
  for (auto [i, type] : llvm::enumerate(loss.getArgumentTypes()))
    if (findLayout(type))
      images.push_back(i);
  if (images.size() != 1) {
    InFlightDiagnostic diagnostic =
        loss.emitError(
            "expected one input of images to augment, [batch, H, W], "
            "[batch, C, H, W] or [batch, H, W, C] of bytes or "
            "floats, got ")
        << images.size();
    return diagnostic;
  }
  Value image = loss.getArgument(images[0]);
  auto type = cast<RankedTensorType>(image.getType());
  ImageDims layout = *findLayout(type);
  int64_t height = type.getDimSize(layout.height);
  int64_t width = type.getDimSize(layout.width);
  if (recipe.augmentCrop >= std::min(height, width)) {
    InFlightDiagnostic diagnostic =
        loss.emitError("expected --augment crop=N with N below the image's ")
        << height << " rows and " << width << " columns, got "
        << recipe.augmentCrop;
    return diagnostic;
  }
  SmallVector<OpOperand *> uses;
  for (OpOperand &use : image.getUses())
    uses.push_back(&use);
  key = findKey();
  builder.setInsertionPointToStart(&loss.getBody().front());
  Value now = changed(image);
  for (OpOperand *use : uses)
    use->set(now);
  return success();
}

LogicalResult augment(func::FuncOp loss, const TrainRecipe &recipe) {
  if (!recipe.augmentFlip && recipe.augmentCrop == 0)
    return success();
  return Augmenter(loss, recipe).run();
}

namespace {
class Augment : public impl::AugmentBase<Augment> {
  using AugmentBase::AugmentBase;

  void runOnOperation() override {
    func::FuncOp loss = findFunction(getOperation(), function);
    if (!loss)
      return signalPassFailure();
    TrainRecipe recipe;
    recipe.augmentFlip = flip;
    recipe.augmentCrop = crop;
    if (failed(augment(loss, recipe)))
      signalPassFailure();
  }
};
} // namespace

} // namespace lathe
