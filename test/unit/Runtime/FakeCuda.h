// A driver without a device, for tests: a shared library that exports what the
// Runtime needs of libcuda.so.1. Device memory is host memory, kernels are host
// functions that a test registers by name, and a stream does nothing before
// somebody waits for it, so that a missing wait shows.
//
// The library is opened twice: by the Runtime through LATHE_LIBCUDA, and by the
// test to reach `fake_cuda`.
#ifndef LATHE_TEST_UNIT_RUNTIME_FAKECUDA_H
#define LATHE_TEST_UNIT_RUNTIME_FAKECUDA_H

#include "lathe/Runtime/CudaDriver.h"

#include <functional>
#include <map>
#include <string>

namespace lathe::test {

struct FakeCuda {
  /// Gets pointers to copies of its parameters. A result other than 0 is
  /// reported where the stream is waited for, and stays.
  struct Kernel {
    size_t pointers = 0;   // parameters of eight bytes
    size_t tensorMaps = 0; // of 128, after them
    std::function<int(void **parameters, const cuda::LaunchConfig &config)> run;
  };

  std::map<std::string, Kernel> kernels;
  std::map<std::string, int> calls; // by symbol: "cuMemAlloc_v2"
  /// A symbol and the error that its next call gives.
  std::map<std::string, int> failures;
  std::map<cuda::Function, int> sharedBytes; // asked for beyond 48 KiB

  int driverVersion = 13000;
  int devices = 1;
  int major = 9, minor = 0;
  size_t memory = size_t(1) << 30;
  /// Code that does not begin with "\x7f" "ELF" and then this is refused.
  std::string magic = "FAKE";

  size_t allocated = 0;   // device bytes
  size_t allocations = 0; // device and pinned blocks that are alive
  size_t streams = 0, graphs = 0, modules = 0, events = 0, contexts = 0;
  int launches = 0;       // kernels that ran, in graphs and out of them
  std::string complaints; // misuse: foreign memory, leaks, wrong order
};

} // namespace lathe::test

/// The one and only.
extern "C" lathe::test::FakeCuda *fake_cuda();

#endif // LATHE_TEST_UNIT_RUNTIME_FAKECUDA_H
