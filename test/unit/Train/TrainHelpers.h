// Shared by the tests of lib/Train: data in memory and a program without a
// compiler.
#ifndef LATHE_TEST_UNIT_TRAIN_TRAINHELPERS_H
#define LATHE_TEST_UNIT_TRAIN_TRAINHELPERS_H

#include "TestHelpers.h"
#include "lathe/Train/Loop.h"

#include <functional>
#include <limits>

namespace lathe::test {

/// A data file that holds one array.
inline std::shared_ptr<const train::DataFile>
fileOf(Tensor values, std::string name = "", bool tokens = false) {
  auto file = std::make_shared<train::DataFile>();
  auto owner = std::make_shared<Tensor>(std::move(values));
  file->path = "memory.npy";
  file->tokens = tokens;
  file->arrays.push_back({std::move(name), owner->view()});
  file->keep.push_back(owner);
  return file;
}

/// [count, width] with 0, 1, 2, ...
inline Tensor countUp(DType type, llvm::ArrayRef<int64_t> shape) {
  Tensor result = must(Tensor::zeros(type, shape));
  for (int64_t i = 0; i < result.numElements(); ++i)
    storeFromDouble(type,
                    static_cast<char *>(result.data()) + i * dtypeSize(type),
                    static_cast<double>(i));
  return result;
}

inline std::vector<int64_t> integers(const TensorView &view) {
  std::vector<int64_t> result;
  for (int64_t i = 0; i < view.numElements(); ++i)
    result.push_back(static_cast<int64_t>(
        loadAsDouble(view.dtype(), static_cast<char *>(view.data()) +
                                       i * dtypeSize(view.dtype()))));
  return result;
}

/// State that depends on every batch, its order and the random key; nothing is
/// ever the same twice. The loss falls as 1 / step, or is what `losses` says.
class FakeProgram : public train::TrainProgram {
public:
  explicit FakeProgram(int64_t batch, int64_t width = 1) {
    specs = {{"x", DType::F32, {batch, width}},
             {"random_key", DType::I64, {2}}};
    stateSpecs = {{"w", DType::F64, {3}, "", true},
                  {"train.step", DType::I64, {}, "", false}};
    values.push_back(tensor<double>(DType::F64, {3}, {1, 2, 3}));
    values.push_back(tensor<int>(DType::I64, {}, {0}));
  }

  llvm::ArrayRef<TensorSpec> inputs() const override { return specs; }
  llvm::ArrayRef<TensorSpec> outputs() const override { return outputSpecs; }
  llvm::ArrayRef<train::StateSpec> states() const override {
    return stateSpecs;
  }

  llvm::Expected<train::Scalars>
  step(llvm::ArrayRef<TensorView> inputs) override {
    int64_t &count = values[1].as<int64_t>()[0];
    if (failAt && count + 1 == failAt)
      return llvm::createStringError("the power went out");
    ++count;
    auto w = values[0].as<double>();
    for (float x : inputs[0].as<float>()) {
      seen.push_back(static_cast<int64_t>(x));
      w[0] = w[0] * 1.0000001 + x * 0.1;
    }
    auto key = inputs[1].as<uint64_t>();
    w[1] = w[1] * 0.9 + static_cast<double>(key[0]) + 0.01 * key[1];
    w[2] += w[0] * w[1];
    if (spoilAt && count == spoilAt)
      w[1] = std::numeric_limits<double>::infinity();
    if (interruptAt && count == interruptAt)
      train::interruptTraining();
    train::Scalars scalars{{"loss", lossAt(count)}, {"learning_rate", 0.5}};
    if (scaleAfter)
      scalars.emplace_back("loss_scale", scaleAfter(count));
    return std::move(scalars);
  }

  llvm::Expected<Evaluation>
  evaluate(llvm::ArrayRef<TensorView> inputs) override {
    ++evaluations;
    int64_t count = values[1].as<int64_t>()[0];
    if (interruptInEvaluationAt && count == interruptInEvaluationAt)
      train::interruptTraining();
    Evaluation result;
    result.loss = lossAt(count);
    return std::move(result);
  }

  llvm::Expected<Tensor> state(size_t index) override {
    return Tensor::clone(values[index]);
  }
  llvm::Error setState(size_t index, const TensorView &value) override {
    auto copy = Tensor::clone(value);
    if (!copy)
      return copy.takeError();
    values[index] = std::move(*copy);
    return llvm::Error::success();
  }

  std::vector<double> w() const {
    return std::vector<double>(values[0].as<double>());
  }

  std::vector<TensorSpec> specs, outputSpecs;
  std::vector<train::StateSpec> stateSpecs;
  std::vector<Tensor> values;
  std::vector<int64_t> seen; ///< every example of every batch
  std::vector<double> losses;
  int64_t failAt = 0, interruptAt = 0, interruptInEvaluationAt = 0;
  int64_t spoilAt = 0; ///< the step that writes an infinity into w
  std::function<double(int64_t)> scaleAfter;
  int evaluations = 0;

private:
  double lossAt(int64_t count) const {
    return count > 0 && static_cast<size_t>(count) <= losses.size()
               ? losses[count - 1]
               : 1.0 / (count + 1);
  }
};

/// Loaders over the examples 0, 1, ..., count - 1 for a FakeProgram.
inline std::unique_ptr<train::Loader>
countingLoader(const FakeProgram &program, int64_t count,
               const train::LoaderOptions &options) {
  int64_t width = program.specs[0].shape[1];
  return must(train::Loader::create(
      must(train::Dataset::create(
          program.specs, {{"x", fileOf(countUp(DType::F32, {count, width}))}},
          {}, {})),
      options));
}

} // namespace lathe::test

#endif // LATHE_TEST_UNIT_TRAIN_TRAINHELPERS_H
