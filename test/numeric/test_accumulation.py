"""lathe train --accumulate: where labels are ignored, the parts of a batch give
the mean of the batch."""

import json

import numpy as np
from safetensors.numpy import load_file

import cli

MODEL = """
lathe.parameter @w : tensor<5x8xf32> {init = #lathe.init<normal, 0.0, 0.2>}
func.func @loss(%x: tensor<?x8xf32> {lathe.name = "x", lathe.dims = ["batch", ""]},
                %y: tensor<?xi64> {lathe.name = "y", lathe.dims = ["batch"]}) -> (tensor<f32> {lathe.name = "loss"}) {
  %w = lathe.get_parameter @w : tensor<5x8xf32>
  %l = lathe.linear %x, %w : (tensor<?x8xf32>, tensor<5x8xf32>) -> tensor<?x5xf32>
  %ce = lathe.cross_entropy %l, %y {ignore_index = -100 : i64} : (tensor<?x5xf32>, tensor<?xi64>) -> tensor<f32>
  MORE
  return %loss : tensor<f32>
}
"""
PLAIN = MODEL.replace("MORE\n  return %loss", "return %ce")
# A term that is not over labels, as large in each part as in the batch.
DECAY = MODEL.replace("MORE", """%s = lathe.mul %w, %w : (tensor<5x8xf32>, tensor<5x8xf32>) -> tensor<5x8xf32>
  %n = lathe.reduce_mean %s {axes = array<i64>} : (tensor<5x8xf32>) -> tensor<f32>
  %loss = lathe.add %ce, %n : (tensor<f32>, tensor<f32>) -> tensor<f32>""")
# Whether the labels of a part count is drawn in the model; each that does costs
# log 5.
DRAWN = """
lathe.parameter @w : tensor<5x8xf32> {init = #lathe.init<zeros>}
func.func @loss(%x: tensor<?x8xf32> {lathe.name = "x", lathe.dims = ["batch", ""]},
                %y: tensor<?xi64> {lathe.name = "y", lathe.dims = ["batch"]},
                %key: tensor<2xi64> {lathe.name = "random_key"}) -> (tensor<f32> {lathe.name = "loss"}) {
  %w = lathe.get_parameter @w : tensor<5x8xf32>
  %l = lathe.linear %x, %w : (tensor<?x8xf32>, tensor<5x8xf32>) -> tensor<?x5xf32>
  %u = lathe.random_uniform %key {dtype = f32, shape = array<i64: 1>, stream = 0 : i64} : (tensor<2xi64>) -> tensor<1xf32>
  %half = lathe.constant dense<0.5> : tensor<f32>
  %keep = lathe.compare lt, %u, %half : (tensor<1xf32>, tensor<f32>) -> tensor<1xi1>
  %none = lathe.constant dense<-100> : tensor<i64>
  %t = lathe.select %keep, %y, %none : (tensor<1xi1>, tensor<?xi64>, tensor<i64>) -> tensor<?xi64>
  %loss = lathe.cross_entropy %l, %t {ignore_index = -100 : i64} : (tensor<?x5xf32>, tensor<?xi64>) -> tensor<f32>
  return %loss : tensor<f32>
}
"""
# Logits of 64 MiB in each part: lathe-chunk-losses takes them.
LARGE = """
lathe.parameter @w : tensor<2048x4xf32> {init = #lathe.init<normal, 0.0, 0.2>}
func.func @loss(%x: tensor<?x8192x4xf32> {lathe.name = "x", lathe.dims = ["batch", "", ""]},
                %y: tensor<?x8192xi64> {lathe.name = "y", lathe.dims = ["batch", ""]}) -> (tensor<f32> {lathe.name = "loss"}) {
  %w = lathe.get_parameter @w : tensor<2048x4xf32>
  %l = lathe.linear %x, %w : (tensor<?x8192x4xf32>, tensor<2048x4xf32>) -> tensor<?x8192x2048xf32>
  %loss = lathe.cross_entropy %l, %y {ignore_index = -100 : i64} : (tensor<?x8192x2048xf32>, tensor<?x8192xi64>) -> tensor<f32>
  return %loss : tensor<f32>
}
"""
LOOP = """
lathe.parameter @w : tensor<5x8xf32> {init = #lathe.init<normal, 0.0, 0.2>}
func.func @loss(%x: tensor<?x8xf32> {lathe.name = "x", lathe.dims = ["batch", ""]},
                %y: tensor<?xi64> {lathe.name = "y", lathe.dims = ["batch"]}) -> (tensor<f32> {lathe.name = "loss"}) {
  %w = lathe.get_parameter @w : tensor<5x8xf32>
  %0 = lathe.constant dense<0.0> : tensor<f32>
  %loss = lathe.scan init(%s = %0) {trip_count = 2 : i64} : (tensor<f32>) -> tensor<f32> {
    %l = lathe.linear %x, %w : (tensor<?x8xf32>, tensor<5x8xf32>) -> tensor<?x5xf32>
    %ce = lathe.cross_entropy %l, %y {ignore_index = -100 : i64} : (tensor<?x5xf32>, tensor<?xi64>) -> tensor<f32>
    %t = lathe.add %s, %ce : (tensor<f32>, tensor<f32>) -> tensor<f32>
    lathe.yield %t : tensor<f32>
  }
  return %loss : tensor<f32>
}
"""
# Labels that a state moves.
STATE = PLAIN.replace("lathe.parameter @w", "lathe.parameter @s : tensor<i64> {init = #lathe.init<zeros>, mutable}\nlathe.parameter @w").replace(
    "%l, %y {", "%l, %t {").replace("  %ce =", """  %s = lathe.get_parameter @s : tensor<i64>
  %one = lathe.constant dense<1> : tensor<i64>
  %u = lathe.sub %one, %s : (tensor<i64>, tensor<i64>) -> tensor<i64>
  lathe.set_parameter @s, %u : tensor<i64>
  %t = lathe.mul %y, %s : (tensor<?xi64>, tensor<i64>) -> tensor<?xi64>
  %ce =""")


class Accumulation(cli.CommandLine):
    SECONDS = 12

    def train(self, text, x, y, parts, *options, rate="0.3"):
        """The losses of the steps, and the weights after them."""
        self.write("m.mlir", text)
        np.save(self.folder / "x.npy", x)
        np.save(self.folder / "y.npy", y)
        name = f"run{len(list(self.folder.iterdir()))}"
        self.works("train", "m.mlir", "--data", "x=x.npy", "--data", "y=y.npy", "--batch", len(x), "--steps", "4", "--log-every", "1", "--optimizer", "sgd",
                   "--learning-rate", rate, "--accumulate", parts, "--output-dir", name, "--save", f"{name}.safetensors", "--seed", "2", *options)
        lines = map(json.loads, (self.folder / name / "log.jsonl").read_text().splitlines())
        return [line["loss"] for line in lines if "loss" in line], load_file(self.folder / f"{name}.safetensors")["w"]

    def same(self, text, x, y, parts, rtol, *options):
        losses, weights = self.train(text, x, y, 1, *options)
        for count in parts:
            with self.subTest(parts=count):
                found, w = self.train(text, x, y, count, *options)
                self.assertEqual(len(found), 4)
                np.testing.assert_allclose(found, losses, rtol=rtol)
                np.testing.assert_allclose(w, weights, rtol=rtol, atol=rtol * np.abs(weights).max())

    def batch(self, counted):
        """16 examples; of each four as many labels count as `counted` says. The
        order of a batch is drawn, and another one in each epoch."""
        rng = np.random.default_rng(4)
        y = rng.integers(0, 5, 16)
        for part, number in enumerate(counted):
            y[4 * part + number:4 * part + 4] = -100
        return rng.standard_normal((16, 8)).astype(np.float32), y

    def test_parts_with_unequal_counts(self):
        self.same(PLAIN, *self.batch((4, 1, 2, 3)), (2, 4), 1e-5)
        self.same(DECAY, *self.batch((4, 1, 2, 3)), (2, 4), 1e-5)

    def test_parts_in_which_no_label_counts(self):
        self.same(PLAIN, *self.batch((0, 0, 3, 0)), (4, 8, 16), 1e-5)
        x, y = self.batch((0, 0, 0, 0))
        for parts in (1, 2):
            self.refused("the loss is nan at step 1", "train", "m.mlir", "--data", "x=x.npy", "--data", self.labels(y), "--batch", "16",
                         "--accumulate", parts, "--output-dir", "none")

    def labels(self, y):
        np.save(self.folder / "none.npy", y)
        return "y=none.npy"

    def test_with_float16(self):
        self.same(PLAIN, *self.batch((4, 0, 2, 1)), (4,), 3e-3, "--precision", "float16", "--initial-scale", "256")

    def test_without_all_logits(self):
        rng = np.random.default_rng(5)
        x, y = rng.standard_normal((2, 8192, 4)).astype(np.float32), rng.integers(0, 2048, (2, 8192))
        y[0, 300:] = -100
        self.same(LARGE, x, y, (2,), 2e-5)
        y[0] = -100
        self.same(LARGE, x, y, (2,), 2e-5)
        said = self.works("compile", "m.mlir", "--train", "--dim", "batch=1", "--emit", "lathe").stdout
        self.assertIn("linear_cross_entropy", said)

    def test_labels_that_the_model_draws(self):
        """The labels of a part are counted as it then draws them."""
        x, y = self.batch((4, 4, 4, 4))
        losses, _ = self.train(DRAWN, x, y, 4, rate="1e-30")
        np.testing.assert_allclose(losses, np.log(5), rtol=1e-6)

    def test_what_has_no_mean_of_the_batch(self):
        x, y = self.batch((4, 1, 2, 3))
        self.train(LOOP, x, y, 1)
        self.refused("ignores labels inside of a loop or a branch, so that its mean over a batch is not that of the batch's parts: expected no accumulation, "
                     "got 2 parts", "train", "m.mlir", "--data", "x=x.npy", "--data", "y=y.npy", "--batch", "16", "--accumulate", "2")
        self.train(STATE, x, y, 1)
        self.refused("is a state of which labels are made, and it changes from part to part: expected no accumulation, got 2 parts", "train", "m.mlir",
                     "--data", "x=x.npy", "--data", "y=y.npy", "--batch", "16", "--accumulate", "2", "--output-dir", "state")


if __name__ == "__main__":
    import unittest

    unittest.main()
