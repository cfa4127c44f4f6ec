// verifyExecutable on what the targets cuda and cuda-sim add.
#include "ModelBuilder.h"

using namespace lathe;
using namespace lathe::test;

namespace {

Model gridModel() {
  Model m = addModel();
  m.exe->set_target("cuda");
  std::string code = "\x7f"
                     "ELF";
  code.resize(64);
  m.exe->mutable_objects(0)->set_code(code);
  for (exec::Kernel &kernel : *m.exe->mutable_kernels()) {
    exec::Grid *grid = kernel.add_grids();
    grid->set_symbol(kernel.symbol());
    grid->set_grid_x(4);
    grid->set_grid_y(1);
    grid->set_grid_z(1);
    grid->set_block_x(128);
    grid->set_block_y(1);
    grid->set_block_z(1);
  }
  return m;
}

/// The verifier's word after `change` of the first kernel's grid.
template <typename Change> std::string after(Change change) {
  Model m = gridModel();
  change(*m.exe->mutable_kernels(0)->mutable_grids(0));
  return message(verifyExecutable(*m.exe));
}

TEST(Grids, GoodOnesPass) {
  EXPECT_EQ(after([](exec::Grid &) {}), "");
  EXPECT_EQ(after([](exec::Grid &grid) {
              grid.set_grid_x(0x7FFFFFFF);
              grid.set_block_x(1024);
              grid.set_dynamic_shared_bytes(227 << 10);
            }),
            "");
  EXPECT_EQ(after([](exec::Grid &grid) { grid.set_grid_x(0); }), "");
  EXPECT_EQ(after([](exec::Grid &grid) { grid.set_cluster_x(4); }), "");
}

TEST(Grids, LimitsOfCuda) {
  auto refused = [](auto change, const char *part) {
    std::string text = after(change);
    EXPECT_NE(text.find("kernel 'kernel add', grid 'add'"), std::string::npos)
        << text;
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  refused([](exec::Grid &g) { g.set_grid_x(1u << 31); }, "grid_x");
  refused([](exec::Grid &g) { g.set_grid_y(0); }, "grid_y is 0");
  refused([](exec::Grid &g) { g.set_grid_z(65536); }, "grid_z is 65536");
  refused([](exec::Grid &g) { g.set_block_x(0); }, "block_x is 0");
  refused([](exec::Grid &g) { g.set_block_y(1025); }, "block_y");
  refused([](exec::Grid &g) { g.set_block_z(65); }, "block_z");
  refused([](exec::Grid &g) { g.set_block_y(16); }, "2048 threads");
  refused([](exec::Grid &g) { g.set_dynamic_shared_bytes(1 << 20); },
          "dynamic_shared_bytes");
  refused([](exec::Grid &g) { g.set_cluster_x(32); }, "cluster_x");
  refused([](exec::Grid &g) { g.set_cluster_x(3); }, "clusters of 3");
}

TEST(Grids, CodeAndSymbols) {
  Model m = gridModel();
  m.exe->mutable_kernels(1)->clear_grids();
  EXPECT_ERROR(verifyExecutable(*m.exe), "'kernel twice' has no grids");
  m = gridModel();
  m.exe->mutable_kernels(1)->mutable_grids(0)->clear_symbol();
  EXPECT_ERROR(verifyExecutable(*m.exe), "has a grid without a symbol");
  m = gridModel();
  m.exe->mutable_objects(0)->set_code("text");
  EXPECT_ERROR(verifyExecutable(*m.exe), "the code of kernel 'kernel add' is "
                                         "no ELF file");
  m = gridModel();
  m.exe->set_target("cpu");
  EXPECT_ERROR(verifyExecutable(*m.exe), "which the target 'cpu' does not run");
}

TEST(Grids, WorkItemsOfTheSimulator) {
  Model m = gridModel();
  m.exe->set_target("cuda-sim");
  for (int64_t good : {1, 4}) {
    for (exec::Kernel &kernel : *m.exe->mutable_kernels())
      kernel.set_work_items(good);
    EXPECT_EQ(message(verifyExecutable(*m.exe)), "");
  }
  m.exe->mutable_kernels(0)->set_work_items(5);
  EXPECT_ERROR(verifyExecutable(*m.exe),
               "has 5 work items, expected as many as blocks, 4, or 1");
  m.exe->mutable_kernels(0)->set_work_items(4);
  *m.exe->mutable_kernels(0)->add_grids() = m.exe->kernels(0).grids(0);
  EXPECT_ERROR(verifyExecutable(*m.exe), "has 4 work items");
}

TEST(Grids, TensorMaps) {
  auto with = [](auto change) {
    return after([&](exec::Grid &grid) {
      exec::TensorMap *map = grid.add_tensor_maps();
      map->set_argument(1);
      map->set_element(exec::F32);
      map->add_dims(4);
      map->add_dims(2);
      map->add_strides(16);
      map->add_box(4);
      map->add_box(2);
      map->set_swizzle(32);
      change(*map);
    });
  };
  auto refused = [&](auto change, const char *part) {
    std::string text = with(change);
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  EXPECT_EQ(with([](exec::TensorMap &) {}), "");
  refused([](exec::TensorMap &m) { m.clear_element(); }, "tensor map");
  refused([](exec::TensorMap &m) { m.clear_dims(); }, "0 dims");
  refused([](exec::TensorMap &m) { m.add_strides(16); }, "2 strides");
  refused([](exec::TensorMap &m) { m.set_dims(0, 0); }, "dim of 0");
  refused([](exec::TensorMap &m) { m.set_strides(0, 12); }, "stride of 12");
  refused([](exec::TensorMap &m) { m.set_box(1, 257); }, "box of 257");
  refused([](exec::TensorMap &m) { m.set_box(0, 3); }, "12 bytes wide");
  refused([](exec::TensorMap &m) { m.set_swizzle(16); }, "swizzle is 16");
  refused([](exec::TensorMap &m) { m.set_box(0, 16); }, "and its swizzle 32");
  // 32 bytes is what the argument has.
  refused([](exec::TensorMap &m) { m.set_dims(1, 3); },
          "leaves argument 1 of 32 bytes");
  refused([](exec::TensorMap &m) { m.set_strides(0, 32); },
          "leaves argument 1 of 32 bytes");
  refused([](exec::TensorMap &m) { m.set_offset(16); },
          "leaves argument 1 of 32 bytes");
  refused([](exec::TensorMap &m) { m.set_offset(8); }, "begins at byte 8");
  refused([](exec::TensorMap &m) { m.set_dims(1, uint64_t(1) << 32); },
          "leaves argument 1");
  refused([](exec::TensorMap &m) { m.set_argument(3); },
          "tensor map of argument 3, and a step gives it 3");
}

} // namespace
