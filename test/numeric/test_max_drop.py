"""lathe calibrate --max-drop: what is kept in floats, against models made so that
it is known which products must be."""

import json
import unittest

import numpy as np
from safetensors.numpy import save_file

import cli
import lathe
from test_calibrate import lines_of

# A classifier of three products, of which the second has weights with outliers. The
# first is as bad, but hardly anything is made of its result.
CLASSIFIER = """
lathe.parameter @n : tensor<32x16xf32>
lathe.parameter @a : tensor<32x16xf32>
lathe.parameter @b : tensor<32x32xf32>
lathe.parameter @c : tensor<8x32xf32>
func.func private @classify(%x: tensor<?x16xf32>) -> tensor<?x8xf32> {
  %n = lathe.get_parameter @n : tensor<32x16xf32>
  %a = lathe.get_parameter @a : tensor<32x16xf32>
  %b = lathe.get_parameter @b : tensor<32x32xf32>
  %c = lathe.get_parameter @c : tensor<8x32xf32>
  %0 = lathe.linear %x, %n : (tensor<?x16xf32>, tensor<32x16xf32>) -> tensor<?x32xf32>
  %little = lathe.constant dense<1.0e-9> : tensor<f32>
  %1 = lathe.mul %0, %little : (tensor<?x32xf32>, tensor<f32>) -> tensor<?x32xf32>
  %2 = lathe.linear %x, %a : (tensor<?x16xf32>, tensor<32x16xf32>) -> tensor<?x32xf32>
  %3 = lathe.add %1, %2 : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
  %4 = lathe.tanh %3 : (tensor<?x32xf32>) -> tensor<?x32xf32>
  %5 = lathe.linear %4, %b : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
  %6 = lathe.tanh %5 : (tensor<?x32xf32>) -> tensor<?x32xf32>
  %7 = lathe.linear %6, %c : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  return %7 : tensor<?x8xf32>
}
func.func @main(%x: tensor<?x16xf32> {lathe.name = "x", lathe.dims = ["batch", ""]}) -> (tensor<?x8xf32> {lathe.name = "logits"}) {
  %y = call @classify(%x) : (tensor<?x16xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
"""
LOSS = """
func.func @loss(%x: tensor<?x16xf32> {lathe.name = "x", lathe.dims = ["batch", ""]}, %class: tensor<?xi64> {lathe.name = "class", lathe.dims = ["batch"]})
    -> (tensor<f32> {lathe.name = "loss"}, tensor<?x8xf32> {lathe.name = "logits"}) {
  %y = call @classify(%x) : (tensor<?x16xf32>) -> tensor<?x8xf32>
  %loss = lathe.cross_entropy %y, %class {ignore_index = -1 : i64} : (tensor<?x8xf32>, tensor<?xi64>) -> tensor<f32>
  return %loss, %y : tensor<f32>, tensor<?x8xf32>
}
"""
TABLE = """
lathe.parameter @t : tensor<50x16xf32> {init = #lathe.init<normal, 0.0, 1.0>}
lathe.parameter @w : tensor<8x16xf32> {init = #lathe.init<normal, 0.0, 1.0>}
func.func @main(%x: tensor<?xi64> {lathe.name = "x"}) -> (tensor<?x8xf32> {lathe.name = "y"}) {
  %t = lathe.get_parameter @t : tensor<50x16xf32>
  %w = lathe.get_parameter @w : tensor<8x16xf32>
  %0 = lathe.embedding %t, %x : (tensor<50x16xf32>, tensor<?xi64>) -> tensor<?x16xf32>
  %1 = lathe.linear %0, %w : (tensor<?x16xf32>, tensor<8x16xf32>) -> tensor<?x8xf32>
  return %1 : tensor<?x8xf32>
}
"""
WEIGHTS = ("--weights", "w.safetensors")
SCHEMES = ("int8-dynamic", "int8-static", "int8-weights", "int4-weights")


class MaxDrop(cli.CommandLine):
    SECONDS = 15

    def setUp(self):
        super().setUp()
        random = np.random.Generator(np.random.Philox(21))
        self.w = {name: (random.standard_normal(shape) / np.sqrt(shape[1])).astype(np.float32)
                  for name, shape in (("n", (32, 16)), ("a", (32, 16)), ("b", (32, 32)), ("c", (8, 32)))}
        # Large weights for what is small: the steps are theirs.
        self.w["n"][:, 5] *= 300
        self.w["b"][:, 3] *= 100
        self.w["a"][3] /= 100
        save_file(self.w, self.folder / "w.safetensors")
        self.write("model.mlir", CLASSIFIER + LOSS)
        self.write("unlabelled.mlir", CLASSIFIER)
        self.x = random.standard_normal((640, 16)).astype(np.float32)
        self.x[:, 5] /= 300
        # What the model itself says, but for every tenth label, and what does not count.
        self.logits = self.forward(self.x)
        self.labels = self.logits.argmax(1)
        self.labels[::10] = (self.labels[::10] + 1) % 8
        self.labels[5::64] = -1
        np.save(self.folder / "x.npy", self.x[:128])
        np.save(self.folder / "more.npy", self.x[128:])
        np.save(self.folder / "labels.npy", self.labels[128:])
        self.lines = lines_of(CLASSIFIER, "linear")

    def forward(self, x):
        w = {name: value.astype(np.float64) for name, value in self.w.items()}
        return np.tanh(np.tanh(x @ w["a"].T + 1e-9 * (x @ w["n"].T)) @ w["b"].T) @ w["c"].T

    def name_of(self, index):
        [name] = [name for name in self.products if name.split(":")[1] == str(self.lines[index])]
        return name

    def calibrate(self, model, scheme, drop, *options):
        """Figures of the search; the products that the file keeps."""
        self.said = self.works("calibrate", model, *WEIGHTS, "--data", "x=x.npy", "--quantize", scheme, "--max-drop", drop,
                               "-o", "r.json", "--json", "j.json", *options).stdout
        found = json.loads((self.folder / "j.json").read_text())["max_drop"]
        self.products = [row["name"] for row in found["products"]]
        return found, json.loads((self.folder / "r.json").read_text()).get("keep", [])

    def run_on(self, model, x, *options):
        np.save(self.folder / "in.npy", x)
        self.works("run", model, *WEIGHTS, "--input", "x=in.npy", "--output-dir", "out", *options)
        return np.load(self.folder / "out" / "logits.npy")

    def accuracy(self, *options):
        """Of the 512 examples to judge by, with the ranges of the last calibration."""
        logits = self.run_on("model.mlir", self.x[128:], *options)
        counted = self.labels[128:] >= 0
        return 100 * (logits.argmax(1) == self.labels[128:])[counted].mean()

    def test_accuracy(self):
        evaluation = ("--eval", "x=more.npy", "--eval", "class=labels.npy")
        for scheme in SCHEMES:
            with self.subTest(scheme):
                found, kept = self.calibrate("model.mlir", scheme, "1.5%", *evaluation)
                self.assertEqual((found["metric"], found["samples"], found["allowed"]), ("accuracy", 512, 1.5))
                self.assertAlmostEqual(found["floats"], self.accuracy(), delta=0.01)
                # b, and not n, although it is the worst or the second worst by itself.
                self.assertEqual({self.name_of(0), self.name_of(2)}, set(self.products[:2]))
                self.assertIn(self.name_of(2), kept)
                self.assertNotIn(self.name_of(0), kept)
                if scheme in ("int8-dynamic", "int8-weights"):
                    self.assertEqual(kept, [self.name_of(2)])
                    self.assertNotIn(self.name_of(3), kept)
                self.assertEqual(found["kept"], kept)
                self.assertLess(found["quantized"], found["floats"] - 1.5)
                self.assertGreaterEqual(found["chosen"], found["floats"] - 1.5)
                self.assertLessEqual(found["evaluations"], 7)
                # The figures are those of runs with the file, and without what it keeps.
                options = ("--quantize", scheme, "--ranges", "r.json")
                self.assertAlmostEqual(found["chosen"], self.accuracy(*options), delta=0.01)
                self.assertRegex(self.said, rf"{kept[0]} +linear .* kept\n")
                self.assertRegex(self.said, rf"max-drop: accuracy of logits over 512 examples is .* with {len(kept)} of 4 products in floats; 1.5 points less are allowed")
                ranges = json.loads((self.folder / "r.json").read_text())
                del ranges["keep"]
                self.write("all.json", json.dumps(ranges))
                self.assertAlmostEqual(found["quantized"], self.accuracy("--quantize", scheme, "--ranges", "all.json"), delta=0.01)
                # Option and file add up: without the last one all is floats but what hardly counts.
                file = self.run_on("model.mlir", self.x[:8], *options)
                both = self.run_on("model.mlir", self.x[:8], *options, "--keep", self.name_of(3))
                named = [word for name in [self.name_of(3), *kept] for word in ("--keep", name)]
                alone = self.run_on("model.mlir", self.x[:8], "--quantize", scheme, "--ranges", "all.json", *named)
                np.testing.assert_array_equal(both, alone)
                if self.name_of(3) not in kept:
                    self.assertFalse(np.array_equal(both, file))

    def test_nothing_need_be_kept(self):
        found, kept = self.calibrate("model.mlir", "int8-weights", "100%", "--eval", "x=more.npy", "--eval", "class=labels.npy")
        self.assertEqual((kept, found["evaluations"], found["chosen"]), ([], 1, found["quantized"]))
        self.assertNotIn("kept", self.said)

    def test_what_the_user_keeps(self):
        _, kept = self.calibrate("model.mlir", "int8-weights", "1.5", "--eval", "x=more.npy", "--eval", "class=labels.npy",
                                 "--keep", f"model.mlir:{self.lines[2]}:*")
        self.assertEqual(kept, [f"model.mlir:{self.lines[2]}:*"])

    def test_without_labels(self):
        # Rows whose largest logit is another one.
        found, kept = self.calibrate("model.mlir", "int8-weights", "2%", "--eval", "x=more.npy")
        self.assertEqual((found["metric"], found["floats"], kept), ("agreement", 100, [self.name_of(2)]))
        wanted = self.run_on("model.mlir", self.x[128:])
        rounded = self.run_on("model.mlir", self.x[128:], "--quantize", "int8-weights", "--ranges", "r.json")
        self.assertAlmostEqual(found["chosen"], 100 * (rounded.argmax(1) == wanted.argmax(1)).mean(), delta=0.01)
        found, kept = self.calibrate("model.mlir", "int8-weights", "0.5%", "--eval", "x=more.npy", "--metric", "cosine")
        self.assertEqual((found["metric"], found["output"], kept), ("cosine", "logits", [self.name_of(2)]))
        rounded = self.run_on("model.mlir", self.x[128:], "--quantize", "int8-weights", "--ranges", "r.json")
        cosine = (rounded * wanted).sum(1) / np.linalg.norm(rounded, axis=1) / np.linalg.norm(wanted, axis=1)
        self.assertAlmostEqual(found["chosen"], 100 * cosine.mean(), delta=0.001)
        # A model without @loss takes labels, too; what is not used for calibration is judged by.
        np.savez(self.folder / "all.npz", x=self.x, label=self.labels % 8)
        self.works("calibrate", "unlabelled.mlir", *WEIGHTS, "--data", "all.npz", "--quantize", "int8-weights", "--max-drop", "1.5",
                   "-o", "r.json", "--json", "j.json", "--samples", "512")
        found = json.loads((self.folder / "j.json").read_text())
        self.assertEqual((found["samples"], found["max_drop"]["samples"], found["max_drop"]["metric"]), (320, 320, "accuracy"))
        self.assertEqual(len(found["max_drop"]["kept"]), 1)

    def test_few_evaluations(self):
        # Too few to find out that the first need not be kept.
        found, kept = self.calibrate("model.mlir", "int8-weights", "1.5", "--eval", "x=more.npy", "--eval", "class=labels.npy",
                                     "--max-evaluations", "2")
        self.assertEqual((len(kept), found["evaluations"]), (4, 2))
        self.assertGreaterEqual(found["chosen"], found["floats"] - 1.5)

    def test_refusals(self):
        def refused(words, *options, model="model.mlir", data=("--data", "x=x.npy")):
            self.refused(words, "calibrate", model, *WEIGHTS, *data, "-o", "none.json", *options)
            self.assertFalse((self.folder / "none.json").exists())
        limit = ("--quantize", "int8", "--max-drop", "1%")
        refused("expected --quantize with the scheme that --max-drop is for", "--max-drop", "1%")
        for text in ("much", "-1%", "101", "", "%", "nan"):
            done = self.lathe("calibrate", "model.mlir", "--data", "x=x.npy", "--quantize", "int8", f"--max-drop={text}")
            self.assertEqual(done.returncode, 2, done.said)
            self.assertRegex(done.stderr, "--max-drop: expected a percentage from 0 to 100, got|--max-drop", done.said)
        refused("expected --data to hold some of it out: all inputs are made up", *limit, data=("--input", "x=random"))
        refused("expected data for more than one batch of 128 examples, to hold some out, got 128", *limit, "--batch", "128")
        refused("--metric accuracy expects labels of shape \\[32\\], such as --data label=FILE; there are none for the output 'logits'",
                *limit, "--metric", "accuracy")
        refused("no.npy", *limit, "--eval", "x=no.npy")
        refused("the model has no input 'z'; it has 'x'", *limit, "--eval", "z=x.npy")
        np.save(self.folder / "labels.npy", self.labels[128:] + 1)
        refused("a label is 8, where 0 to 7 are expected", *limit, "--eval", "x=more.npy", "--eval", "class=labels.npy")
        np.save(self.folder / "labels.npy", self.labels[128:] * 0 - 1)
        refused("no label counts: all are -1, which the loss ignores", *limit, "--eval", "x=more.npy", "--eval", "class=labels.npy")
        np.save(self.folder / "labels.npy", self.labels[:7])
        refused("differ in number: 512 and 7", *limit, "--eval", "x=more.npy", "--eval", "class=labels.npy")
        np.save(self.folder / "odd.npy", self.x[:, :15])
        refused("odd.npy|\\[640,15\\]|15", *limit, "--eval", "x=odd.npy")
        # Tables stay in 8 bits.
        self.write("table.mlir", TABLE)
        np.save(self.folder / "ids.npy", np.arange(640) % 50)
        save_file(self.w | {"t": self.x[:50], "w": self.x[50:58]}, self.folder / "w.safetensors")
        refused("with 1 products in floats, which is all, the cosine is 99.9[0-9]* %, still 0.00[0-9]* points less than in floats, where --max-drop "
                "allows 0: what is left are tables of embeddings", "--quantize", "int8-weights", "--max-drop", "0", model="table.mlir",
                data=("--data", "x=ids.npy"))
        refused("no product is quantized by 'int8-weights'", "--quantize", "int8-weights", "--max-drop", "0", "--keep", "*",
                model="table.mlir", data=("--data", "x=ids.npy"))

    def test_files(self):
        self.calibrate("model.mlir", "int8-static", "1.5", "--eval", "x=more.npy", "--eval", "class=labels.npy")
        ranges = json.loads((self.folder / "r.json").read_text())
        for keep, words in (("model.mlir:1:1", "expected 'keep' to be a list of names"), ([3], "expected names of products in 'keep', got 3"),
                            ({"a": 1}, "expected 'keep' to be a list"), (["model.mlir:1:1"], "'keep' of the ranges in 'w.json': no product is called 'model.mlir:1:1'")):
            self.write("w.json", json.dumps(ranges | {"keep": keep}))
            for verb in (("run", "model.mlir", "--input", "x=x.npy"), ("compile", "model.mlir", "-o", "m.lathe", "--dim", "batch=2")):
                self.refused(words, *verb, *WEIGHTS, "--quantize", "int8-static", "--ranges", "w.json")


if __name__ == "__main__":
    unittest.main()
