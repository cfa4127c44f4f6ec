//===- Report.cpp - What verbs print -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Report.h"

#include "lathe/Support/AtomicFile.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <numeric>

namespace lathe {

static void printValue(DType type, double value, llvm::raw_ostream &os) {
  if (isFloat(type))
    os << llvm::format("%.6g", value);
  else
    os << int64_t(value);
}

/// Rows in brackets, as NumPy prints them.
static void printWhole(const TensorView &tensor, llvm::raw_ostream &os) {
  llvm::ArrayRef<int64_t> shape = tensor.shape();
  const char *data = static_cast<const char *>(tensor.data());
  unsigned size = dtypeSize(tensor.dtype());
  std::function<void(size_t, int64_t)> print = [&](size_t dim, int64_t offset) {
    if (dim == shape.size()) {
      printValue(tensor.dtype(),
                 loadAsDouble(tensor.dtype(), data + offset * size), os);
      return;
    }
    int64_t stride = 1;
    for (size_t i = dim + 1; i < shape.size(); ++i)
      stride *= shape[i];
    os << '[';
    for (int64_t i = 0; i < shape[dim]; ++i) {
      if (i)
        os << (dim + 1 == shape.size() ? ", " : ",\n  ");
      print(dim + 1, offset + i * stride);
    }
    os << ']';
  };
  os << "  ";
  print(0, 0);
  os << "\n";
}

void printTensor(llvm::StringRef name, const TensorView &tensor,
                 llvm::raw_ostream &os) {
  os << name << ": " << formatType(tensor.dtype(), tensor.shape()) << "\n";
  int64_t count = tensor.numElements();
  if (count <= 64) {
    printWhole(tensor, os);
    return;
  }
  const char *data = static_cast<const char *>(tensor.data());
  unsigned size = dtypeSize(tensor.dtype());
  double low = INFINITY, high = -INFINITY, sum = 0;
  int64_t bad = 0, argmax = 0;
  for (int64_t i = 0; i < count; ++i) {
    double value = loadAsDouble(tensor.dtype(), data + i * size);
    if (!std::isfinite(value)) {
      ++bad;
      continue;
    }
    if (value > high)
      argmax = i;
    low = std::min(low, value);
    high = std::max(high, value);
    sum += value;
  }
  os << "  first";
  for (int64_t i = 0; i < 6; ++i) {
    os << ' ';
    printValue(tensor.dtype(), loadAsDouble(tensor.dtype(), data + i * size),
               os);
  }
  os << " ...\n";
  if (bad == count) {
    os << "  all " << count << " not finite\n";
    return;
  }
  os << "  min ";
  printValue(tensor.dtype(), low, os);
  os << ", max ";
  printValue(tensor.dtype(), high, os);
  os << llvm::format(" (at %lld), mean %.6g", (long long)argmax,
                     count > bad ? sum / double(count - bad) : 0.0);
  if (bad)
    os << ", " << bad << " not finite";
  os << "\n";
}

void printProfile(const exec::Executable &executable, const Profile &profile,
                  llvm::raw_ostream &os) {
  std::vector<size_t> order(profile.kernels.size());
  std::iota(order.begin(), order.end(), 0);
  llvm::sort(order, [&](size_t a, size_t b) {
    return profile.kernels[a].seconds > profile.kernels[b].seconds;
  });
  double total = 0;
  for (const Profile::Entry &entry : profile.kernels)
    total += entry.seconds;
  double runs = std::max<double>(1, profile.runs);
  os << "    ms/run  share  launches  GFLOP/s    GB/s  schedule      kernel\n";
  for (size_t index : order) {
    const Profile::Entry &entry = profile.kernels[index];
    if (!entry.launches)
      continue;
    const exec::Kernel &kernel = executable.kernels(index);
    double perLaunch = entry.seconds / entry.launches;
    os << llvm::format(
        "%10.4f %5.1f%% %9.0f %8.1f %7.1f  ", entry.seconds / runs * 1e3,
        total > 0 ? entry.seconds / total * 100 : 0, entry.launches / runs,
        kernel.flops() / perLaunch * 1e-9, kernel.bytes() / perLaunch * 1e-9);
    os << llvm::left_justify(kernel.schedule(), 13) << ' ' << kernel.name()
       << "\n";
  }
  os << llvm::format("%10.4f ms in kernels of %.4f ms per run\n",
                     total / runs * 1e3, profile.seconds / runs * 1e3);
}

void printKernels(const exec::Executable &executable, llvm::raw_ostream &os) {
  std::vector<uint64_t> launches(executable.kernels_size());
  std::function<void(const google::protobuf::RepeatedPtrField<exec::Step> &,
                     uint64_t)>
      count = [&](const auto &steps, uint64_t times) {
        for (const exec::Step &step : steps) {
          if (step.has_launch())
            launches[step.launch().kernel()] += times;
          if (step.has_loop())
            count(step.loop().body_steps(), times * step.loop().trip_count());
          if (step.has_if_step()) {
            count(step.if_step().then_steps(), times);
            count(step.if_step().else_steps(), times);
          }
          if (step.has_while_step())
            count(step.while_step().body_steps(), times);
        }
      };
  for (const exec::Program &program : executable.programs()) {
    count(program.load_steps(), 1);
    count(program.steps(), 1);
  }
  os << "launches  schedule      kernel (ops)\n";
  for (int i = 0; i < executable.kernels_size(); ++i) {
    const exec::Kernel &kernel = executable.kernels(i);
    os << llvm::format("%8llu  ", (unsigned long long)launches[i])
       << llvm::left_justify(kernel.schedule(), 13) << ' ' << kernel.name()
       << " (" << kernel.ops_size() << (kernel.ops_size() == 1 ? " op" : " ops")
       << ")\n";
  }
}

llvm::Error writeJson(llvm::StringRef path, const nlohmann::json &value) {
  // Names come from models and may hold any bytes.
  std::string text =
      value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) +
      "\n";
  return writeFileAtomically(path, llvm::StringRef(text));
}

} // namespace lathe
