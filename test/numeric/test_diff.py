"""lathe diff: agrees where it should, and finds planted faults: an edited
kernel, a wrong derivative rule, a wrong pass, other weights."""

import json
import re
import unittest

import numpy as np
from safetensors.numpy import save_file

import cli
from test_memory import LOOP

# A linear layer with GELU, a loop with a product, a softmax with what stands
# around it, a branch.
MODEL = """lathe.parameter @w : tensor<16x8xf32> {init = #lathe.init<xavier_uniform>}
lathe.parameter @layers : tensor<3x16x16xf32> {init = #lathe.init<xavier_uniform>}
func.func private @net(%x: tensor<?x8xf32>) -> tensor<?x16xf32> {
  %w = lathe.get_parameter @w : tensor<16x8xf32>
  %0 = lathe.linear %x, %w : (tensor<?x8xf32>, tensor<16x8xf32>) -> tensor<?x16xf32>
  %1 = lathe.gelu %0 : (tensor<?x16xf32>) -> tensor<?x16xf32>
  %l = lathe.get_parameter @layers : tensor<3x16x16xf32>
  %h = lathe.scan init(%c = %1) inputs(%s = %l) : (tensor<?x16xf32>, tensor<3x16x16xf32>) -> tensor<?x16xf32> {
    %2 = lathe.linear %c, %s : (tensor<?x16xf32>, tensor<16x16xf32>) -> tensor<?x16xf32>
    %3 = lathe.tanh %2 : (tensor<?x16xf32>) -> tensor<?x16xf32>
    %4 = lathe.add %3, %c : (tensor<?x16xf32>, tensor<?x16xf32>) -> tensor<?x16xf32>
    lathe.yield %4 : tensor<?x16xf32>
  }
  %half = lathe.constant dense<0.5> : tensor<f32>
  %5 = lathe.mul %h, %half : (tensor<?x16xf32>, tensor<f32>) -> tensor<?x16xf32>
  %6 = lathe.softmax %5 {axis = -1 : i64} : (tensor<?x16xf32>) -> tensor<?x16xf32>
  return %6 : tensor<?x16xf32>
}
func.func @main(%x: tensor<?x8xf32> {lathe.name = "x", lathe.dims = ["batch", ""]}) -> (tensor<?x16xf32> {lathe.name = "y"}) {
  %y = call @net(%x) : (tensor<?x8xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}
func.func @loss(%x: tensor<?x8xf32> {lathe.name = "x", lathe.dims = ["batch", ""]}) -> (tensor<f32> {lathe.name = "loss"}) {
  %y = call @net(%x) : (tensor<?x8xf32>) -> tensor<?x16xf32>
  %sq = lathe.mul %y, %y : (tensor<?x16xf32>, tensor<?x16xf32>) -> tensor<?x16xf32>
  %loss = lathe.reduce_sum %sq {axes = array<i64: 0, 1>, keepdims = false} : (tensor<?x16xf32>) -> tensor<f32>
  return %loss : tensor<f32>
}
"""


def line_of(op, nth=0, text=MODEL):
    found = [(n, line) for n, line in enumerate(text.splitlines(), 1) if f"lathe.{op} " in line]
    return found[nth][0]


class Diff(cli.CommandLine):
    def setUp(self):
        super().setUp()
        self.write("m.mlir", MODEL)

    SIZES = ("--dim", "batch=4")

    def agrees(self, *options):
        done = self.works("diff", "m.mlir", *self.SIZES, *options)
        match = re.search(r"diff: (\d+) values agree with (.*), largest difference", done.stdout)
        self.assertTrue(match, done.stdout)
        return int(match[1]), match[2]

    def differs(self, *options, file="m.mlir", sizes=SIZES):
        done = self.lathe("diff", file, *sizes, *options, "--json", "diff.json")
        self.assertEqual(done.returncode, 1, done.said + done.stdout)
        self.report = json.loads((self.folder / "diff.json").read_text())
        self.assertFalse(self.report["agree"])
        return done.stderr

    def test_the_same_in_every_way(self):
        # w, linear, gelu, layers, in the loop linear, tanh, add; its result,
        # mul, softmax.
        self.assertEqual(self.agrees(), (10, "no-optimize"))
        for way in ("no-fuse", "cuda-sim", "isa=sse", "cuda-sim,no-optimize"):
            self.assertEqual(self.agrees("--against", way), (10, way))
        self.agrees("--against", "threads=1", "--rtol", "0", "--atol", "0", "--threads", "2")
        self.assertEqual(self.agrees("--target", "cuda-sim"), (10, "cpu"))
        self.assertEqual(self.agrees("--entry", "loss")[0], 12)
        # By inputs and parameters; by inputs alone there are 42.
        self.assertEqual(self.agrees("--gradients")[0], 45)
        self.write("none.mlir", """func.func @loss(%x: tensor<4xf32>) -> tensor<f32> {
  %0 = lathe.sin %x : (tensor<4xf32>) -> tensor<4xf32>
  %1 = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<4xf32>) -> tensor<f32>
  return %1 : tensor<f32>
}
""")
        self.assertIn(" values agree with no-optimize", self.works("diff", "none.mlir", "--gradients").stdout)
        self.assertGreater(self.agrees("--gradients", "--target", "cuda-sim")[0], 30)
        self.assertIn("diff: no graph pass changes the answer", self.works("diff", "m.mlir", *self.SIZES, "--passes").stdout)
        np.save(self.folder / "x.npy", np.ones((3, 8), np.float32))
        self.works("diff", "m.mlir", "--input", "x=x.npy", "--json", "d.json")
        self.assertTrue(json.loads((self.folder / "d.json").read_text())["agree"])
        # Rounding is what a tolerance of nothing finds.
        self.assertIn("differs at [", self.differs("--against", "isa=sse", "--rtol", "0", "--atol", "0"))

    def test_an_edited_kernel(self):
        for pattern, right, wrong, op in (("*softmax*", "/ sum", "/ (1.01f * sum)", "softmax"),
                                          ("*tanh*", "tanhf(", "0.9f * tanhf(", "add")):
            with self.subTest(pattern):
                texts = self.folder / ("texts-" + op)
                self.works("compile", "m.mlir", *self.SIZES, "--emit", "cuda", "-o", texts)
                files = sorted(texts.glob(pattern + ".cu"))
                self.assertTrue(files, [p.name for p in texts.iterdir()])
                for path in files:
                    text = path.read_text()
                    self.assertIn(right, text)
                    path.write_text(text.replace(right, wrong))
                said = self.differs("--target", "cuda-sim", "--cuda-source-dir", texts.name)
                self.assertEqual(self.report["first"]["op"], "lathe." + op)
                self.assertIn(f"m.mlir:{line_of(op)}:", self.report["first"]["location"])
                self.assertRegex(said, rf"lathe: error: 'lathe.{op}' at m.mlir:\d+:\d+ differs at \[[\d,]+\]: \S+ here, \S+ with generated; "
                                 r"\d+ of \d+ elements differ; the kernel '\w+' computes it from 'lathe.")

    def test_a_wrong_derivative(self):
        for fault in ("sign:0", "sign:4", "drop-term:0"):
            with self.subTest(fault):
                said = self.differs("--gradients", "--plant", fault)
                self.assertIn(" in the gradient differs at [", said)
                self.assertNotIn("loss' differs", said)

    def test_a_wrong_pass(self):
        for name in ("lathe-simplify", "lathe-pack-weights", "lathe-merge-views"):
            with self.subTest(name):
                said = self.differs("--passes", "--plant", name)
                self.assertIn(f"the pass '{name}', number ", said)
                self.assertEqual(self.report["pass"], name)
                self.assertEqual(self.report["first"]["op"], "lathe.linear")
                self.assertIn(f":{line_of('linear')}:", self.report["first"]["location"])

    def test_what_is_computed_again(self):
        """As in a train step, unless told: the pass is among those that are
        looked at, and changes no bit."""
        exact = ("--gradients", "--rtol", "0", "--atol", "0")
        self.write("loop.mlir", LOOP)
        np.save(self.folder / "x.npy", np.ones((8, 32, 64), np.float32))
        done = self.works("train", "loop.mlir", "--data", "x=x.npy", "--batch", "8", "--steps", "1", "--no-metrics", "--explain")
        self.assertRegex(done.stdout, r"computed again for the backward part.*\n  lathe.exp at loop.mlir:8:")
        for options in (("--recompute", "1", "--against", "recompute=0"), ("--against", "recompute=4")):
            self.assertIn(" values agree with recompute=", self.works("diff", "loop.mlir", *exact, *options).stdout)
        planted = ("--gradients", "--passes", "--plant", "lathe-rematerialize")
        said = self.differs(*planted)
        self.assertIn("the pass 'lathe-rematerialize', number ", said)
        self.assertEqual(self.report["pass"], "lathe-rematerialize")
        self.differs(*planted, "--no-optimize", "--recompute", "1")
        for options in (("--no-optimize",), ("--recompute", "0")):
            self.assertIn("no graph pass changes", self.works("diff", "m.mlir", *self.SIZES, *planted, *options).stdout)
        self.refused("--against expects ", "diff", "m.mlir", "--against", "recompute=1")
        self.refused("--against expects ", "diff", "m.mlir", "--gradients", "--against", "recompute=5")

    def test_other_weights(self):
        self.write("other.mlir", MODEL)
        weights = {"w": np.ones((16, 8), np.float32), "layers": np.ones((3, 16, 16), np.float32)}
        save_file(weights, self.folder / "a.safetensors")
        weights["layers"] = weights["layers"].copy()
        weights["layers"][1, 2, 3] = 1.5
        save_file(weights, self.folder / "b.safetensors")
        self.agrees("--weights", "a.safetensors", "--against", "other.mlir", "--against-weights", "a.safetensors")
        said = self.differs("--weights", "a.safetensors", "--against", "other.mlir", "--against-weights", "b.safetensors")
        self.assertIn("'lathe.get_parameter'", said)
        self.assertIn("differs at [1,2,3]: 1 here, 1.5 with other.mlir; 1 of 768 elements differ", said)

    def test_files(self):
        """A compiled file has outputs alone; an ONNX file and what it becomes
        have all values."""
        self.works("compile", "m.mlir", *self.SIZES, "-o", "m.lathe")
        self.assertIn("diff: 1 output agrees with m.lathe, largest", self.works("diff", "m.mlir", *self.SIZES, "--against", "m.lathe").stdout)
        self.refused("a compiled one has no ops to look at", "diff", "m.lathe")
        # Sizes that were guessed are said once, and options of this side do not
        # count as the other's.
        self.works("compile", "m.mlir", "-o", "one.lathe")
        for against in ("no-optimize", "one.lathe"):
            done = self.works("diff", "m.mlir", "--target", "cpu", "--against", against)
            self.assertEqual(done.stderr.count("note:"), 1, done.said)
            self.assertIn("open size 'batch' of input 'x' is taken as 1", done.stderr)
        self.refused("a compiled file has outputs and no gradients", "diff", "m.mlir", "--gradients", "--against", "m.lathe")
        import onnx
        from onnx import TensorProto, helper, numpy_helper
        w = numpy_helper.from_array(np.random.default_rng(1).standard_normal((8, 4)).astype(np.float32), "w")
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["a"], "first"), helper.make_node("Relu", ["a"], ["b"], "second"),
             helper.make_node("Softmax", ["b"], ["y"], "third")], "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4])], [w])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), self.folder / "m.onnx")
        self.works("import", "m.onnx", "-o", "imported.mlir")
        done = self.works("diff", "m.onnx", "--against", "imported.mlir")
        self.assertRegex(done.stdout, r"diff: [3-9] values agree with imported.mlir")
        text = (self.folder / "imported.mlir").read_text()
        self.assertIn("lathe.relu", text)
        self.write("imported.mlir", text.replace("lathe.relu", "lathe.abs"))
        self.differs("--against", "imported.mlir", file="m.onnx", sizes=())

    def test_refusals(self):
        self.refused("--against expects cpu, cuda, .* got 'gpu'", "diff", "m.mlir", "--against", "gpu")
        self.write("n.mlir", "func.func @main(%z: tensor<4xf32> {lathe.name = \"z\"}) -> tensor<4xf32> {\n  return %z : tensor<4xf32>\n}\n")
        self.refused("--passes compares .*, expected no --against", "diff", "m.mlir", "--passes", "--against", "isa=sse")
        self.refused("--against-weights are those of a file", "diff", "m.mlir", "--against-weights", "w.safetensors")
        self.refused("has no input 'z'", "diff", "m.mlir", "--against", "n.mlir")
        self.refused("has no public function called 'loss'", "diff", "n.mlir", "--gradients")


if __name__ == "__main__":
    unittest.main()
