// Simulated kernels as steps of a program.
#include "../../ModelBuilder.h"
#include "SimKernel.h"
#include "lathe/Runtime/Session.h"

using namespace lathe;
using namespace lathe::test;

namespace {
// out[i] = values[index[i]]: whether it is in bounds depends on the run.
TEST_F(SimTest, AFaultEndsTheRunAndNotTheSession) {
  for (unsigned threads : {1, 2}) {
    std::vector<float> values(1024), result(1024);
    std::vector<int> index(1024);
    SimKernel kernel(R"(#include "lathe/sim.cuh"
__global__ void k(const float *values, const int *index, float *out) {
  int i = blockIdx.x * 256 + threadIdx.x;
  out[i] = values[index[i]];
})");
    kernel.input(values).input(index).output(result).launch(4, 256);
    Model m;
    m.exe->set_target("cuda-sim");
    m.exe->mutable_objects(0)->set_code(kernel.object());
    uint32_t gather = m.kernel("run", 4);
    exec::Grid *grid = m.exe->mutable_kernels(gather)->add_grids();
    grid->set_symbol("k");
    grid->set_grid_x(4);
    grid->set_block_x(256);
    for (auto set : {&exec::Grid::set_grid_y, &exec::Grid::set_grid_z,
                     &exec::Grid::set_block_y, &exec::Grid::set_block_z})
      (grid->*set)(1);
    uint32_t a = m.input("values", DType::F32, {1024});
    uint32_t b = m.input("index", DType::I32, {1024});
    uint32_t middle = m.arena(4096);
    uint32_t out = m.output("out", DType::F32, {1024});
    m.launch(m.steps(), gather, {a, b}, {middle});
    m.launch(m.steps(), gather, {middle, b}, {out});
    ASSERT_EQ(message(verifyExecutable(*m.exe)), "");
    WeightSource none;
    SessionOptions options;
    options.threads = threads;
    auto session =
        must(Session::create(must(LoadedModel::load(m.exe)), 0, none, options));
    Tensor in = must(Tensor::zeros(DType::F32, {1024}));
    Tensor at = must(Tensor::zeros(DType::I32, {1024}));
    for (int i = 0; i < 1024; ++i) {
      in.as<float>()[i] = i;
      at.as<int32_t>()[i] = i ^ 5;
    }
    for (int round = 0; round < 2; ++round) {
      EXPECT_EQ(must(session->run({in, at}))[0].as<float>()[700], 700);
      at.as<int32_t>()[3] = 1024;
      EXPECT_ERROR(
          session->run({in, at}),
          "kernel 'test', block (0,0,0), thread (3,0,0): reads 4 bytes "
          "beyond the end of input 0 (4096 bytes) at t.cu:4");
      at.as<int32_t>()[3] = 6;
    }
  }
}
} // namespace
