"""What a train step keeps or computes again: the same bits, in less memory, and
within --max-memory or not at all."""

import hashlib
import json
import pathlib
import re
import shutil
import unittest

import numpy as np

import cli

MODELS = pathlib.Path(__file__).resolve().parents[2] / "models"
MOST = 4  # CompileOptions::recompute
TEXT = ("--data", "tokens=book.txt", "--dim", "window=129", "--batch", "4")

# A loop over time: two values of each step are made of a third.
LOOP = """lathe.parameter @w : tensor<64x64xf32> {init = #lathe.init<normal, 0.0, 0.05>}
lathe.parameter @h0 : tensor<32x64xf32> {init = #lathe.init<normal, 0.0, 0.5>}
func.func @loss(%xs: tensor<8x32x64xf32> {lathe.name = "x"}) -> (tensor<f32> {lathe.name = "loss"}) {
  %w = lathe.get_parameter @w : tensor<64x64xf32>
  %h0 = lathe.get_parameter @h0 : tensor<32x64xf32>
  %r = lathe.scan init(%c = %h0) inputs(%x = %xs) : (tensor<32x64xf32>, tensor<8x32x64xf32>) -> tensor<32x64xf32> {
    %p = lathe.matmul %x, %w : (tensor<32x64xf32>, tensor<64x64xf32>) -> tensor<32x64xf32>
    %a = lathe.exp %p : (tensor<32x64xf32>) -> tensor<32x64xf32>
    %b = lathe.sigmoid %p : (tensor<32x64xf32>) -> tensor<32x64xf32>
    %e = lathe.mul %a, %b : (tensor<32x64xf32>, tensor<32x64xf32>) -> tensor<32x64xf32>
    %n = lathe.mul %c, %e : (tensor<32x64xf32>, tensor<32x64xf32>) -> tensor<32x64xf32>
    lathe.yield %n : tensor<32x64xf32>
  }
  %loss = lathe.reduce_mean %r {axes = array<i64>, keepdims = false} : (tensor<32x64xf32>) -> tensor<f32>
  return %loss : tensor<f32>
}
"""


class Memory(cli.CommandLine):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(7)
        self.write("book.txt", rng.integers(32, 127, 9000, dtype=np.uint8).tobytes())
        np.save(self.folder / "image.npy", rng.integers(0, 256, (40, 28, 28), dtype=np.uint8))
        np.save(self.folder / "label.npy", rng.integers(0, 10, 40))

    def command(self, model, name, *options):
        return ("train", MODELS / f"{model}.mlir", "--recipe", "none", "--quiet", "--no-metrics", "--seed", "3", "--steps",
                "5", "--output-dir", name, "--save", f"{name}.safetensors", "--json", f"{name}.json", *options)

    def train(self, model, name, *options):
        """The weights' digest and the bytes that a step takes."""
        self.works(*self.command(model, name, *options), seconds=120)
        figures = json.loads((self.folder / f"{name}.json").read_text())
        digest = hashlib.sha256((self.folder / f"{name}.safetensors").read_bytes()).hexdigest()
        return digest, figures["step_memory"]

    def check(self, model, levels, *data):
        kept, memory = self.train(model, "keep", *data, "--recompute", "0")
        found = {}
        for level in levels:
            digest, found[level] = self.train(model, f"level{level}", *data, "--recompute", level)
            self.assertEqual(digest, kept, f"{model}: other bits at --recompute {level}")
        return memory, found

    def test_layers_take_less_and_give_the_same_bits(self):
        keep, found = self.check("char-gpt", (1, 2, MOST), *TEXT)
        self.assertLess(found[1]["values"], 0.95 * keep["values"])
        self.assertLess(found[MOST]["values"], 0.5 * keep["values"])
        for figures in found.values():
            self.assertEqual(figures["states"], keep["states"])
            self.assertEqual(figures["total"], sum(figures.values()) - figures["total"])

    def test_time_steps_take_less_and_give_the_same_bits(self):
        keep, found = self.check("char-lstm", (1, MOST), *TEXT)
        self.assertLess(found[1]["values"], keep["values"])

    def test_dropout_and_batch_norm_give_the_same_bits(self):
        self.check("fashion-cnn", (1, MOST), "--data", "image=image.npy", "--data", "label=label.npy", "--batch", "8")

    def test_a_limit_is_kept_or_what_is_missing_is_said(self):
        keep, memory = self.train("char-gpt", "keep", *TEXT, "--recompute", "0")
        limit = int(memory["total"] * 0.8)
        digest, fitted = self.train("char-gpt", "fit", *TEXT, "--max-memory", limit)
        self.assertEqual(digest, keep)
        self.assertLessEqual(fitted["total"], limit)

        done = self.lathe(*self.command("char-gpt", "no", *TEXT, "--max-memory", "16M"))
        self.assertEqual(done.returncode, 1, done.said)
        said = re.search(r"char-gpt\.mlir.*: the training needs at least ([\d.]+) MiB, ([\d.]+) MiB more than --max-memory allows, "
                         r"with all computed again that can be; 15\.\d MiB of it are parameters and the optimizer's state, "
                         r"[\d.]+ \w+ evaluation: a smaller --batch needs less, and so does --accumulate", done.stderr)
        self.assertIsNotNone(said, done.said)
        self.assertAlmostEqual(float(said[1]) - float(said[2]), 16, delta=0.11)

    def test_without_optimization_all_is_kept_unless_asked_for(self):
        self.write("m.mlir", LOOP)
        np.save(self.folder / "x.npy", np.ones((16, 32, 64), np.float32))

        def values(*options):
            shutil.rmtree(self.folder / "out", ignore_errors=True)
            self.works("train", "m.mlir", "--data", "x=x.npy", "--batch", "8", "--steps", "1", "--quiet", "--no-metrics", "--output-dir", "out",
                       "--json", "m.json", *options)
            figures = json.loads((self.folder / "m.json").read_text())["step_memory"]
            return figures["values"], figures["total"]

        plain, total = values("--no-optimize")
        self.assertEqual(values("--no-optimize", "--recompute", "0")[0], plain)
        less = values("--no-optimize", "--recompute", "1")[0]
        self.assertLess(less, plain)
        self.assertLess(values("--no-optimize", "--max-memory", total - 1)[0], plain)
        # And with it the default is 1.
        self.assertEqual(values()[0], values("--recompute", "1")[0])
        self.assertLess(values()[0], values("--recompute", "0")[0])

    def test_the_timeline_adds_up(self):
        done = self.works(*self.command("char-gpt", "run", *TEXT, "--explain"), seconds=120)
        figures = json.loads((self.folder / "run.json").read_text())["step_memory"]
        total, values = re.match(r"memory of a train step: ([\d.]+) MiB = ([\d.]+) MiB values in between \+ ", done.stdout).groups()
        self.assertAlmostEqual(float(total), figures["total"] / 2**20, delta=0.051)
        self.assertAlmostEqual(float(values), figures["values"] / 2**20, delta=0.051)
        self.assertEqual(done.stdout.count("<- peak"), 1)
        unit = {"B": 1, "KiB": 2**10, "MiB": 2**20}
        rows = re.findall(r"(?m)^  step +\d+ +([\d.]+) (\w+)  #*(?: <- peak)?$", done.stdout)
        peak = max(float(value) * unit[name] for value, name in rows)
        # Blocks are placed by lifetime: no less than what is alive, and little more.
        self.assertLess(peak, figures["values"] * 1.01)
        self.assertGreater(peak, figures["values"] * 0.8)
        alive = re.findall(r"(?m)^ +([\d.]+) (\w+)  (?:steps|in) \d+ ", done.stdout)
        self.assertAlmostEqual(sum(float(value) * unit[name] for value, name in alive), peak, delta=0.02 * peak)
        self.assertRegex(done.stdout, r"matmul\w* at .*char-gpt\.mlir:\d+:\d+\n")
        self.assertRegex(done.stdout, r"computed again for the backward part, with [\d.]+ million operations: [\d.]+ MiB less")
        self.assertRegex(done.stdout, r"(?m)^  lathe\.sub at .*char-gpt\.mlir:\d+:\d+$")

    def test_sizes_that_mean_nothing_are_refused(self):
        for text, words in (("12X", "expected a size such as 512M or 2G, got '12X'"), ("0", "expected a size above 0"),
                            ("-1", "expected a size such as 512M"), ("1.5G", "expected a size such as 512M"),
                            ("99999999999999999999G", "expected a size below 16 million TiB"),
                            ("17000000T", "expected a size below 16 million TiB"), ("", "expected a value, got nothing")):
            done = self.lathe("train", MODELS / "char-gpt.mlir", f"--max-memory={text}")
            self.assertEqual(done.returncode, 2, done.said)
            self.assertIn(f"--max-memory", done.stderr)
            self.assertIn(words, done.stderr)
        for level in ("5", "-1", "much"):
            done = self.lathe("train", MODELS / "char-gpt.mlir", f"--recompute={level}")
            self.assertEqual(done.returncode, 2, done.said)


if __name__ == "__main__":
    unittest.main()
