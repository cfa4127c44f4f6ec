"""A loss or a gradient that is not finite: the first op whose value is not, and
where it is in the model; the state before that step is kept."""

import json
import re
import shutil
import unittest

import numpy as np

import cli
from safetensors.numpy import load_file, save_file

EXAMPLES = 32


def model(body, parameters="", element="f32"):
    """A trainable model: @loss is `body`, which ends with the value %loss."""
    text = f"""lathe.parameter @w : tensor<4x3x{element}> {{init = #lathe.init<constant, 0.5>}}
{parameters}
func.func @loss(%x: tensor<?x4x{element}> {{lathe.name = "x", lathe.dims = ["batch", ""]}}) -> (tensor<{element}> {{lathe.name = "loss"}}) {{
  %w = lathe.get_parameter @w : tensor<4x3x{element}>
  %y = lathe.matmul %x, %w : (tensor<?x4x{element}>, tensor<4x3x{element}>) -> tensor<?x3x{element}>
{body}
  return %loss : tensor<{element}>
}}
"""
    return text.replace("!y", f"tensor<?x3x{element}>").replace("!s", f"tensor<{element}>")


MEAN = "  %loss = lathe.reduce_mean %z {axes = array<i64: 0, 1>, keepdims = false} : (!y) -> !s"


class NotFinite(cli.CommandLine):
    def setUp(self):
        super().setUp()
        self.x = np.random.default_rng(3).uniform(0.5, 1, (EXAMPLES, 4)).astype(np.float32)
        self.save(self.x)

    def save(self, x):
        np.save(self.folder / "x.npy", x)

    def line_of(self, text, op):
        """'m.mlir:LINE:COLUMN' of the first line with the op."""
        for number, line in enumerate(text.splitlines(), 1):
            if op in line:
                return f"m.mlir:{number}:{line.index(op) + 1}"
        raise AssertionError(op)

    OPTIONS = ("--data", "x=x.npy", "--batch", "8", "--seed", "1", "--output-dir", "run", "--quiet",
               "--optimizer", "sgd", "--schedule", "constant", "--momentum", "0", "--weight-decay", "0")

    def fails(self, text, words, *options):
        self.write("m.mlir", text)
        done = self.refused(words, "train", "m.mlir", *self.OPTIONS, *options)
        return done.stderr

    def test_log_of_zero(self):
        text = model("  %a = lathe.relu %y : (!y) -> !y\n  %z = lathe.log %a : (!y) -> !y\n" + MEAN)
        self.x[17, :] = 0
        self.save(self.x)
        said = self.fails(text, r"the loss is -inf at step \d", "--learning-rate", "1e-6")
        self.assertIn(f"'lathe.log' at {self.line_of(text, 'lathe.log')} gives -inf at [", said)
        self.assertIn("in 3 of 24 elements, of 0", said)

    def test_zero_over_zero_is_where_nan_begins(self):
        text = model("  %d = lathe.sub %y, %y : (!y, !y) -> !y\n  %q = lathe.div %d, %d : (!y, !y) -> !y\n"
                     "  %z = lathe.exp %q : (!y) -> !y\n" + MEAN)
        said = self.fails(text, "the loss is nan at step 1 ")
        self.assertIn("; no update came before: it is the model, its initial weights or the data", said)
        self.assertIn(f"'lathe.div' at {self.line_of(text, 'lathe.div')} gives nan at [0,0], in 24 of 24 elements, of 0 and 0", said)

    def test_an_infinity_that_becomes_nan_is_where_it_begins(self):
        text = model("  %a = lathe.relu %y : (!y) -> !y\n  %l = lathe.log %a : (!y) -> !y\n"
                     "  %z = lathe.mul %a, %l : (!y, !y) -> !y\n" + MEAN)
        self.save(self.x * 0)
        said = self.fails(text, "the loss is nan at step 1 ")
        self.assertIn(f"'lathe.log' at {self.line_of(text, 'lathe.log')} gives -inf", said)

    def test_masks_and_what_is_not_used_are_not_blamed(self):
        """-inf in a mask and exp's overflow on the side that a select leaves out
        are no fault; the row that is masked everywhere is."""
        text = model("""  %mask = lathe.constant dense<[0.0, 0.0, 0xFF800000]> : tensor<3xf32>
  %all = lathe.constant dense<0xFF800000> : tensor<f32>
  %big = lathe.constant dense<1.0e9> : tensor<f32>
  %zero = lathe.constant dense<0.0> : tensor<f32>
  %far = lathe.mul %y, %big : (!y, !s) -> !y
  %e = lathe.exp %far : (!y) -> !y
  %no = lathe.compare lt, %y, %zero : (!y, !s) -> tensor<?x3xi1>
  %kept = lathe.select %no, %e, %y : (tensor<?x3xi1>, !y, !y) -> !y
  %m = lathe.add %kept, %mask : (!y, tensor<3xf32>) -> !y
  %p = lathe.softmax %m {axis = -1 : i64} : (!y) -> !y
  %n = lathe.add %p, %all : (!y, !s) -> !y
  %z = lathe.softmax %n {axis = -1 : i64} : (!y) -> !y
""" + MEAN)
        said = self.fails(text, "the loss is nan at step 1 ")
        second = [line for line in text.splitlines() if "lathe.softmax" in line][1]
        number = text.splitlines().index(second) + 1
        self.assertRegex(said, rf"at m.mlir:{number}:8 gives nan")

    def test_an_overflow_beside_a_mask(self):
        """The rows hold -inf on purpose, and inf by accident."""
        text = model("""  %open = lathe.constant dense<[true, true, false]> : tensor<3xi1>
  %none = lathe.constant dense<0xFF800000> : tensor<f32>
  %e = lathe.exp %y : (!y) -> !y
  %m = lathe.select %open, %e, %none : (tensor<3xi1>, !y, !s) -> !y
  %z = lathe.softmax %m {axis = -1 : i64} : (!y) -> !y
""" + MEAN)
        self.save(self.x * 1e4)
        said = self.fails(text, "the loss is nan at step 1 ")
        self.assertIn(f"'lathe.exp' at {self.line_of(text, 'lathe.exp')} gives inf at [0,0], in 24 of 24 elements, of ", said)

    def test_a_learning_rate_that_is_too_high(self):
        text = model("  %z = lathe.mul %y, %y : (!y, !y) -> !y\n" + MEAN)
        said = self.fails(text, r"the loss is inf at step (\d+) ", "--learning-rate", "1e6", "--epochs", "9")
        self.assertRegex(said, r"'lathe.(mul|reduce_mean)' at m.mlir:[67]:\d+ gives inf at \[")
        self.assertIn("a lower learning rate or gradient clipping may help", said)
        # The state before it is saved: what a training that ends there has.
        step = max(int(p.name[5:]) for p in (self.folder / "run").glob("step-*"))
        # It is finite, not good: the note says how large its weights are.
        weights = load_file(self.folder / f"run/step-{step}/model.safetensors")["w"]
        self.assertTrue(np.isfinite(weights).all())
        self.assertGreater(np.abs(weights).max(), 1e9)
        found = re.search(rf"the state before step {step + 1} is in 'run/step-{step}': all of it is finite, the loss of its last step "
                          r"was (\S+), its largest weight is (\S+), in 'w'\n", said)
        self.assertIsNotNone(found, said)
        self.assertAlmostEqual(float(found[2]) / float(np.abs(weights).max()), 1, delta=1e-3)
        self.assertGreater(float(found[1]), 1e9)
        self.assertIn(f" at step {step + 1} ", said)
        name = f"step-{step}/model.safetensors"
        shutil.move(self.folder / "run", self.folder / "failed")
        self.works("train", "m.mlir", *self.OPTIONS, "--learning-rate", "1e6", "--steps", step)
        self.assertEqual((self.folder / "run" / name).read_bytes(), (self.folder / "failed" / name).read_bytes())
        # The checkpoint before it is named.
        self.cleanup()
        said = self.fails(text, "the loss is inf", "--learning-rate", "1e6", "--epochs", "9", "--checkpoint-every", "1")
        self.assertRegex(said, rf"'run/step-{step}': all of it .*; the checkpoint before it is 'run/step-{step - 1}'")

    def test_a_gradient_that_is_not_finite(self):
        """sqrt is fine at 0, its derivative is not: the loss of this step is
        finite, and no parameter is spoilt unnoticed."""
        text = model("  %a = lathe.mul %y, %y : (!y, !y) -> !y\n  %z = lathe.sqrt %a : (!y) -> !y\n" + MEAN)
        self.save(self.x * 0)
        for options in ((), ("--clip-norm", "1"), ("--steps", "1")):
            with self.subTest(options):
                self.cleanup()
                said = self.fails(text, "lathe: error: the (loss|gradient_norm|parameter 'w')", *options)
                self.assertRegex(said, rf"'lathe.\w+' at {self.line_of(text, 'lathe.sqrt')} in the gradient gives (inf|nan)")
                self.assertIn("; it reaches the new value of 'w'", said)
                self.assertFalse((self.folder / "run/step-1").exists())

    def cleanup(self):
        shutil.rmtree(self.folder / "run", ignore_errors=True)

    def test_float16(self):
        """Overflow by the loss scale is normal; a loss that is not finite, and a
        gradient that is not at any scale, are reported."""
        good = model("  %z = lathe.mul %y, %y : (!y, !y) -> !y\n" + MEAN)
        self.write("m.mlir", good)
        self.works("train", "m.mlir", *self.OPTIONS, "--learning-rate", "1e-3", "--precision", "float16", "--initial-scale",
                   "1e12", "--epochs", "8", "--log-every", "1")
        log = [json.loads(line) for line in (self.folder / "run/log.jsonl").read_text().splitlines()]
        scales = [line["loss_scale"] for line in log if "loss_scale" in line]
        self.assertLess(scales[-1], 1e12)
        self.cleanup()
        self.save(self.x * 0)
        text = model("  %a = lathe.mul %y, %y : (!y, !y) -> !y\n  %z = lathe.sqrt %a : (!y) -> !y\n" + MEAN)
        said = self.fails(text, "the loss scale fell to .*: gradients overflow at any scale", "--epochs", "20", "--precision", "float16")
        self.assertRegex(said, rf"'lathe.\w+' at {self.line_of(text, 'lathe.sqrt')} in the gradient gives (inf|nan)")
        self.cleanup()
        text = model("  %z = lathe.log %y : (!y) -> !y\n" + MEAN)
        said = self.fails(text, "the loss is -inf at step 1 ", "--precision", "float16")
        self.assertIn(f"'lathe.log' at {self.line_of(text, 'lathe.log')} gives -inf", said)

    def test_nan_in_weights(self):
        body = "  %b = lathe.get_parameter @frozen : tensor<3xf32>\n  %z = lathe.add %y, %b : (!y, tensor<3xf32>) -> !y\n" + MEAN
        text = model(body, "lathe.parameter @frozen : tensor<3xf32> {init = #lathe.init<zeros>}")
        weights = {"w": np.ones((4, 3), np.float32), "frozen": np.zeros(3, np.float32)}
        weights["w"][2, 1] = np.nan
        save_file(weights, self.folder / "bad.safetensors")
        self.fails(text, r"the parameter 'w' holds nan at \[2,1\] before the first step", "--weights", "bad.safetensors")
        weights["w"][2, 1], weights["frozen"][2] = 1, np.nan
        save_file(weights, self.folder / "bad.safetensors")
        said = self.fails(text, "the loss is nan at step 1 ", "--weights", "bad.safetensors", "--freeze", "frozen")
        self.assertIn("the parameter 'frozen' holds nan at [2], in 1 of 3 elements", said)

    def test_in_a_loop(self):
        """The iteration is named; forward through time, and in an accumulated
        batch."""
        text = model("""  %h0 = lathe.constant dense<1.0> : tensor<3xf32>
  %t = lathe.reduce_mean %y {axes = array<i64: 0>, keepdims = false} : (!y) -> tensor<3xf32>
  %steps = lathe.get_parameter @steps : tensor<5xf32>
  %h = lathe.scan init(%c = %h0) inputs(%s = %steps) : (tensor<3xf32>, tensor<5xf32>) -> tensor<3xf32> {
    %a = lathe.mul %c, %s : (tensor<3xf32>, !s) -> tensor<3xf32>
    %b = lathe.mul %a, %t : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    lathe.yield %b : tensor<3xf32>
  }
  %loss = lathe.reduce_mean %h {axes = array<i64: 0>, keepdims = false} : (tensor<3xf32>) -> !s
""", "lathe.parameter @steps : tensor<5xf32> {init = #lathe.init<constant, 1.0e15>}")
        said = self.fails(text, "the loss is inf at step 1 ", "--freeze", "steps")
        self.assertIn(f"'lathe.mul' at {self.line_of(text, 'lathe.mul')} gives inf", said)
        self.assertIn("in iteration [2] of its loops", said)
        self.cleanup()
        said = self.fails(text, "the loss is inf at step 1 ", "--freeze", "steps", "--accumulate", "2")
        self.assertIn("in iteration [0,2] of its loops", said)

    def test_no_label_counts(self):
        """The mean of nothing is nan, as elsewhere; no learning rate helps there."""
        text = model("""  %loss = lathe.cross_entropy %y, %label {ignore_index = -100 : i64} : (!y, tensor<?xi64>) -> !s
""").replace('(%x: tensor<?x4xf32> {lathe.name = "x", lathe.dims = ["batch", ""]}) -> (tensor<f32> {lathe.name = "loss"})',
             '(%x: tensor<?x4xf32> {lathe.name = "x", lathe.dims = ["batch", ""]}, %label: tensor<?xi64> {lathe.name = "label", '
             'lathe.dims = ["batch"]}) -> (tensor<f32> {lathe.name = "loss"}, tensor<?x3xf32> {lathe.name = "logits"})').replace(
             "return %loss : tensor<f32>", "return %loss, %y : tensor<f32>, tensor<?x3xf32>")
        label = np.full(EXAMPLES, -100)
        np.save(self.folder / "label.npy", label)
        for options, count in (((), 8), (("--accumulate", "2"), 4), (("--precision", "float16"), 8)):
            with self.subTest(options):
                said = self.fails(text, "the loss is nan at step 1 ", "--data", "label=label.npy", *options)
                self.assertIn(f"'lathe.cross_entropy' at {self.line_of(text, 'lathe.cross_entropy')} gives nan", said)
                self.assertIn(f"; all {count} labels are -100, which the loss ignores, and the mean of nothing is nan: leave such "
                              "examples out, or take a larger --batch", said)
                self.assertNotIn("learning rate", said)
                self.cleanup()
        # Labels that do not count are no error among others, nor in figures.
        label[::8] = 1
        np.save(self.folder / "label.npy", label)
        done = self.works("train", "m.mlir", "--data", "x=x.npy", "--data", "label=label.npy", "--batch", "32", "--steps", "2",
                          "--eval", "x=x.npy", "--eval", "label=label.npy", "--json", "json")
        figures = json.loads((self.folder / "json").read_text())
        self.assertEqual(figures["classes"][1]["support"], int((label == 1).sum()), done.said)
        # Any other number beyond the classes is still refused.
        label[3] = -1
        np.save(self.folder / "label.npy", label)
        self.fails(text, "the data holds -1 in 'label.npy' at example 3, for the input 'label', where 0 to 2 are allowed",
                   "--data", "label=label.npy")

    def test_on_the_simulator(self):
        text = model("  %a = lathe.relu %y : (!y) -> !y\n  %z = lathe.log %a : (!y) -> !y\n" + MEAN)
        self.save(self.x * 0)
        said = self.fails(text, "the loss is -inf at step 1 ", "--target", "cuda-sim")
        self.assertIn(f"'lathe.log' at {self.line_of(text, 'lathe.log')} gives -inf at [0,0], in 24 of 24 elements, of 0", said)


if __name__ == "__main__":
    unittest.main()
