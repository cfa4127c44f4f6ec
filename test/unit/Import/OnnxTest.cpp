//===- OnnxTest.cpp - Damaged ONNX files, values of inputs ----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Import/Onnx.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "onnx/onnx_pb.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include <gtest/gtest.h>
#include <random>

using namespace lathe;
using namespace mlir;

namespace {

onnx::TensorProto weight(const char *name, std::vector<int64_t> dims) {
  onnx::TensorProto tensor;
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  int64_t count = 1;
  for (int64_t d : dims) {
    tensor.add_dims(d);
    count *= d;
  }
  tensor.set_raw_data(std::string(4 * count, '\x3f'));
  return tensor;
}

void addValue(onnx::ValueInfoProto &value, const char *name, int32_t type,
              std::vector<int64_t> dims) {
  value.set_name(name);
  auto &tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  tensor.mutable_shape();
  for (int64_t d : dims) {
    auto &dim = *tensor.mutable_shape()->add_dim();
    if (d >= 0)
      dim.set_dim_value(d);
    else
      dim.set_dim_param("n");
  }
}

onnx::NodeProto &addNode(onnx::GraphProto &graph, const char *op,
                         std::vector<const char *> inputs, const char *output) {
  onnx::NodeProto &node = *graph.add_node();
  node.set_op_type(op);
  node.set_name(std::string("the_") + op);
  for (const char *input : inputs)
    node.add_input(input);
  node.add_output(output);
  return node;
}

void addInts(onnx::NodeProto &node, const char *name,
             std::vector<int64_t> values) {
  auto &a = *node.add_attribute();
  a.set_name(name);
  a.set_type(onnx::AttributeProto::INTS);
  for (int64_t v : values)
    a.add_ints(v);
}

/// A convolution, a reshape to a shape that is an input, a branch.
onnx::ModelProto example() {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto &graph = *model.mutable_graph();
  graph.set_name("g");
  addValue(*graph.add_input(), "x", onnx::TensorProto::FLOAT, {-1, 3, 8, 8});
  addValue(*graph.add_input(), "shape", onnx::TensorProto::INT64, {2});
  addValue(*graph.add_input(), "choice", onnx::TensorProto::BOOL, {});
  *graph.add_initializer() = weight("filter", {16, 3, 3, 3});
  *graph.add_initializer() = weight("bias", {16});
  addInts(addNode(graph, "Conv", {"x", "filter", "bias"}, "c"), "pads",
          {1, 1, 1, 1});
  addNode(graph, "Relu", {"c"}, "r");
  addNode(graph, "Reshape", {"r", "shape"}, "flat");
  onnx::NodeProto &branch = addNode(graph, "If", {"choice"}, "y");
  for (const char *name : {"then_branch", "else_branch"}) {
    auto &a = *branch.add_attribute();
    a.set_name(name);
    a.set_type(onnx::AttributeProto::GRAPH);
    addNode(*a.mutable_g(), name[0] == 't' ? "Neg" : "Softmax", {"flat"}, name);
    a.mutable_g()->add_output()->set_name(name);
  }
  graph.add_output()->set_name("y");
  return model;
}

class Onnx : public testing::Test {
protected:
  void SetUp() override {
    int fd;
    ASSERT_FALSE(llvm::sys::fs::createTemporaryFile("lathe", "onnx", fd, path));
    llvm::raw_fd_ostream(fd, /*shouldClose=*/true);
  }
  void TearDown() override { llvm::sys::fs::remove(path); }

  /// Null with at least one message, or a module.
  OwningOpRef<ModuleOp> import(StringRef bytes,
                               const OnnxImportOptions &options = {},
                               OnnxImportInfo *info = nullptr) {
    std::error_code error;
    llvm::raw_fd_ostream os(path, error);
    os << bytes;
    os.close();
    messages = 0;
    ScopedDiagnosticHandler handler(&context,
                                    [&](Diagnostic &) { ++messages; });
    OwningOpRef<ModuleOp> module = importOnnx(context, path, options, info);
    EXPECT_TRUE(module || messages);
    return module;
  }

  MLIRContext context{MLIRContext::Threading::DISABLED};
  llvm::SmallString<128> path;
  unsigned messages = 0;
};

TEST_F(Onnx, EveryTruncationIsRefused) {
  std::string bytes = example().SerializeAsString();
  ASSERT_TRUE(import(bytes));
  for (size_t length = 0; length < bytes.size(); length += 7)
    EXPECT_FALSE(import(StringRef(bytes).take_front(length))) << length;
}

TEST_F(Onnx, FlippedBitsNeverCrash) {
  std::string bytes = example().SerializeAsString();
  unsigned refused = 0, count = 0;
  for (size_t at = 0; at < bytes.size(); ++at) {
    // The weights' own bytes are not looked at.
    if (bytes[at] == '\x3f' && at % 16)
      continue;
    std::string flipped = bytes;
    flipped[at] ^= 1 << (at % 8);
    refused += !import(flipped);
    ++count;
  }
  EXPECT_GT(refused, count / 4);
}

TEST_F(Onnx, RandomDamageNeverCrashes) {
  std::string bytes = example().SerializeAsString();
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    std::string damaged = bytes;
    for (int i = 0; i < 8; ++i)
      damaged[random() % damaged.size()] = char(random());
    import(damaged);
  }
}

TEST_F(Onnx, AsksForValuesThatDecideSizes) {
  std::string bytes = example().SerializeAsString();
  OnnxImportInfo info;
  ASSERT_TRUE(import(bytes, {}, &info));
  EXPECT_EQ(info.valueInputs, std::vector<std::string>{"shape"});

  OnnxImportOptions options;
  std::vector<std::pair<std::string, unsigned>> asked;
  options.valueOf = [&](StringRef name,
                        unsigned index) -> std::optional<DenseElementsAttr> {
    asked.push_back({name.str(), index});
    return DenseElementsAttr::get(
        RankedTensorType::get({2}, IntegerType::get(&context, 64)),
        ArrayRef<int64_t>{-1, 64});
  };
  OwningOpRef<ModuleOp> module = import(bytes, options, &info);
  ASSERT_TRUE(module);
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].first, "shape");
  EXPECT_EQ(asked[0].second, 1u);
  std::string text;
  llvm::raw_string_ostream(text) << *module;
  EXPECT_EQ(text.find("dynamic_reshape"), std::string::npos);
  EXPECT_NE(text.find("lathe.reshape"), std::string::npos);
}

TEST_F(Onnx, ReadsTensors) {
  onnx::TensorProto tensor = weight("w", {3, 7});
  std::error_code error;
  llvm::raw_fd_ostream(path, error) << tensor.SerializeAsString();
  auto read = readOnnxTensor(path);
  ASSERT_TRUE(bool(read)) << llvm::toString(read.takeError());
  EXPECT_EQ(read->name, "w");
  EXPECT_EQ(read->tensor.shape(), ArrayRef<int64_t>({3, 7}));

  tensor.set_raw_data("short");
  llvm::raw_fd_ostream(path, error) << tensor.SerializeAsString();
  read = readOnnxTensor(path);
  ASSERT_FALSE(bool(read));
  EXPECT_NE(llvm::toString(read.takeError()).find("need 84 bytes"),
            std::string::npos);
}

} // namespace
