"""Training with rounded products: what is lost by 4 bits is learnt back, and
training rounds as `lathe run --quantize` does."""

import gzip
import json
import pathlib
import unittest

import numpy as np

import cli
from lathe import MODELS

DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")


def idx(name, dims):
    with gzip.open(DATA / name) as file:
        return np.frombuffer(file.read(), dtype=np.uint8, offset=4 + 4 * dims)


class QuantizationAware(cli.CommandLine):
    def accuracy(self, weights, *options):
        self.works("run", MODELS / "fashion-mlp.mlir", "--weights", weights, "--input", "image=image.npy", "--output-dir", "out",
                   "--quiet", *options)
        return float((np.load(self.folder / "out/logits.npy").argmax(1) == self.labels).mean())

    def train(self, folder, *options):
        self.works("train", MODELS / "fashion-mlp.mlir", "--quiet", "--output-dir", folder, "--json", "figures.json", *options,
                   seconds=200)
        return json.loads((self.folder / "figures.json").read_text())["evaluation"]["accuracy"]

    def test_fashion_mlp(self):
        self.labels = idx("t10k-labels-idx1-ubyte.gz", 1)
        np.save(self.folder / "image.npy", idx("t10k-images-idx3-ubyte.gz", 3).reshape(-1, 28, 28))
        self.train("plain", "--epochs", "3")
        exact = self.accuracy("plain/best.safetensors")
        self.assertGreater(exact, 0.86)
        aware = self.train("aware", "--quantize", "int4-weights:128", "--weights", "plain/best.safetensors", "--epochs", "2",
                           "--learning-rate", "0.0005", "--warmup-steps", "0")
        found = self.accuracy("aware/best.safetensors", "--quantize", "int4-weights:128")
        self.assertGreater(found, exact - 0.005)
        # The same rounding in training and in runs; other bits are another model.
        self.assertAlmostEqual(found, aware, delta=0.0005)
        dynamic = self.train("dynamic", "--quantize", "int8-dynamic", "--weights", "plain/best.safetensors", "--steps", "20")
        self.assertAlmostEqual(self.accuracy("dynamic/best.safetensors", "--quantize", "int8-dynamic"), dynamic, delta=0.0005)

    def losses(self, folder, *options):
        """Of every step, with the same weights at the start and the same batches."""
        self.train(folder, "--steps", "120", "--log-every", "1", *options)
        lines = [json.loads(line) for line in (self.folder / folder / "log.jsonl").read_text().splitlines()]
        return np.array([line["loss"] for line in lines if "loss" in line])

    def test_float8(self):
        exact, rounded = self.losses("f32"), self.losses("fp8", "--quantize", "fp8")
        self.assertEqual(len(exact), 120)
        off = np.abs(rounded / exact - 1)
        print(f"fp8: loss {rounded[0]:.4f} to {rounded[-20:].mean():.4f}, f32 {exact[0]:.4f} to {exact[-20:].mean():.4f}, "
              f"off by {off.mean():.4f} on the average, {off.max():.4f} at most")
        self.assertLess(exact[-20:].mean(), 0.25 * exact[0])
        self.assertLess(rounded[-20:].mean(), 0.25 * rounded[0])
        # Of four digits rounding loses 1/16 at most and 2.6 % in the root of the mean square: 3.7 % of a product of two such
        # numbers. Sums of hundreds of them have no more, and a loss that is about as large as what moves it neither.
        self.assertLess(off.mean(), 0.037)
        self.assertLess(off.max(), 2 / 16)
        self.assertGreater(off.min(), 0)

    def test_wrong_schemes(self):
        done = self.lathe("train", MODELS / "fashion-mlp.mlir", "--quantize", "int3")
        self.assertEqual(done.returncode, 2)
        self.assertIn("expected int8, int8-dynamic, int8-static, int8-weights, int4-weights, fp8 or fp8-weights, got 'int3'", done.stderr)
        done = self.lathe("train", MODELS / "fashion-mlp.mlir", "--quantize", "int8-static", "--output-dir", "none")
        self.assertEqual(done.returncode, 2)
        self.assertIn("expected a scheme without ranges, such as int8-dynamic, got 'int8-static'", done.stderr)


if __name__ == "__main__":
    unittest.main()
