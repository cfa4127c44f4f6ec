"""lathe quantize-report: the signal-to-noise ratios of products against NumPy, and
whether it names what is worst: a weight with outliers, wrong ranges, the ranges of
another layer."""

import json
import unittest

import numpy as np
from safetensors.numpy import save_file

import cli
from test_calibrate import LOOPS, lines_of, linear

# Three products; the weights are such that the second is the worst.
CHAIN = """
lathe.parameter @a : tensor<32x16xf32>
lathe.parameter @b : tensor<32x32xf32>
lathe.parameter @c : tensor<8x32xf32>
func.func @main(%x: tensor<?x16xf32> {lathe.name = "x", lathe.dims = ["batch", ""]}) -> (tensor<?x8xf32> {lathe.name = "y"}) {
  %a = lathe.get_parameter @a : tensor<32x16xf32>
  %b = lathe.get_parameter @b : tensor<32x32xf32>
  %c = lathe.get_parameter @c : tensor<8x32xf32>
  %0 = lathe.linear %x, %a : (tensor<?x16xf32>, tensor<32x16xf32>) -> tensor<?x32xf32>
  %1 = lathe.tanh %0 : (tensor<?x32xf32>) -> tensor<?x32xf32>
  %2 = lathe.linear %1, %b : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
  %3 = lathe.tanh %2 : (tensor<?x32xf32>) -> tensor<?x32xf32>
  %4 = lathe.linear %3, %c : (tensor<?x32xf32>, tensor<8x32xf32>) -> tensor<?x8xf32>
  return %4 : tensor<?x8xf32>
}
"""


def rounded_weight(w):
    step = np.abs(w).max(1, keepdims=True) / 127
    return np.clip(np.rint(w / step), -127, 127) * step


def rounded(x, low, high):
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    step = (high - low) / 255
    zero = np.rint(-low / step)
    return (np.clip(np.rint(x / step) + zero, 0, 255) - zero) * step


def rounded_rows(x):
    return rounded(x, x.min(-1, keepdims=True), x.max(-1, keepdims=True))


def decibels(found, wanted):
    return 10 * np.log10(np.sum(np.square(wanted, dtype=np.float64)) / np.sum(np.square(found - wanted, dtype=np.float64)))


class Report(cli.CommandLine):
    def report(self, model, scheme, *options):
        done = self.works("quantize-report", model, "--weights", "w.safetensors", "--quantize", scheme, "--json", "j.json", *options)
        figures = json.loads((self.folder / "j.json").read_text())
        ratios = [one["alone_db"] for one in figures["products"] if one["alone_db"] is not None]
        self.assertEqual(ratios, sorted(ratios))
        self.assertIn("quantize-report: the worst product is " + figures["products"][0]["name"], done.stdout)
        self.rows = {(int(one["name"].split(":")[1]), one["layer"]): one for one in figures["products"]}
        self.outputs = figures["outputs"]
        return figures["products"][0]


class Chain(Report):
    SECONDS = 4

    def setUp(self):
        super().setUp()
        random = np.random.Generator(np.random.Philox(11))
        self.x = random.standard_normal((48, 16)).astype(np.float32)
        self.w = {name: (random.standard_normal(shape) / np.sqrt(shape[1])).astype(np.float32)
                  for name, shape in (("a", (32, 16)), ("b", (32, 32)), ("c", (8, 32)))}
        self.w["b"][:, 3] *= 60  # an outlier in every channel
        self.write("chain.mlir", CHAIN)
        np.save(self.folder / "x.npy", self.x)
        save_file(self.w, self.folder / "w.safetensors")
        self.lines = lines_of(CHAIN, "linear")

    def check(self, scheme, activation, weight, *options):
        """Alone by NumPy; within, of the whole chain."""
        worst = self.report("chain.mlir", scheme, "--data", "x=x.npy", "--batch", "16", *options)
        x = within = self.x
        for line, name in zip(self.lines, "abc"):
            w = self.w[name]
            wanted = linear(x, w)
            found = linear(activation(x, name), weight(w))
            within = linear(activation(within, name), weight(w))
            row = self.rows[line, 0]
            # The second tanh is often 1 or -1, half way between two numbers: a bit
            # of f32 decides which one it becomes.
            self.assertAlmostEqual(row["alone_db"], decibels(found, wanted), delta=1 if name == "c" else 0.3, msg=name)
            self.assertAlmostEqual(row["within_db"], decibels(within, wanted), delta=1.5, msg=name)
            x, within = np.tanh(wanted), np.tanh(within)
        self.assertAlmostEqual(self.outputs["y"], row["within_db"], delta=1e-6)
        return worst

    def test_against_numpy(self):
        worst = self.check("int8-weights", lambda x, _: x, rounded_weight)
        self.assertIn(f"chain.mlir:{self.lines[1]}:", worst["name"])
        # Weights alone cost less than weights and activations.
        weights = {key: row["alone_db"] for key, row in self.rows.items()}
        self.check("int8-dynamic", lambda x, _: rounded_rows(x), rounded_weight)
        for key, row in self.rows.items():
            self.assertLess(row["alone_db"], weights[key])

    def test_static(self):
        self.works("calibrate", "chain.mlir", "--weights", "w.safetensors", "--data", "x=x.npy", "-o", "r.json")
        ranges = json.loads((self.folder / "r.json").read_text())
        by_name = {name: site for name, site in zip("abc", ranges["sites"].values())}

        def activation(x, name):
            return rounded(x, by_name[name]["low"][0], by_name[name]["high"][0])
        self.check("int8-static", activation, rounded_weight, "--ranges", "r.json")
        # A planted fault: too narrow for the last one.
        for field in ("low", "high"):
            by_name["c"][field] = [by_name["c"][field][0] / 20]
        (self.folder / "r.json").write_text(json.dumps(ranges))
        worst = self.check("int8-static", activation, rounded_weight, "--ranges", "r.json")
        self.assertIn(f"chain.mlir:{self.lines[2]}:", worst["name"])
        self.assertLess(worst["alone_db"], 3)

    def test_keeping_the_worst_helps_most(self):
        worst = self.report("chain.mlir", "int8-weights", "--data", "x=x.npy")["name"]
        before = self.outputs["y"]
        gains = {}
        for row in list(self.rows.values()):
            self.report("chain.mlir", "int8-weights", "--data", "x=x.npy", "--keep", row["name"])
            gains[row["name"]] = self.outputs["y"] - before
        self.assertEqual(max(gains, key=gains.get), worst, gains)
        self.assertGreater(gains[worst], 3)

    def test_refusals(self):
        self.refused("expected --quantize with the scheme", "quantize-report", "chain.mlir", "--data", "x=x.npy")
        self.refused("--quantize int8-static takes --ranges FILE", "quantize-report", "chain.mlir", "--data", "x=x.npy", "--quantize", "int8-static")
        self.write("bad.json", '{"format": "lathe-ranges", "version": 1, "sites": {"x": {"low": [2], "high": [1]}}}')
        self.refused("cannot read the ranges 'bad.json': site 'x': expected 'low' to be at most 'high', got 2 and 1",
                     "quantize-report", "chain.mlir", "--data", "x=x.npy", "--quantize", "int8-static", "--ranges", "bad.json")
        self.write("other.json", '{"format": "lathe-ranges", "version": 1, "sites": {"x": {"low": [1], "high": [1]}}}')
        self.refused("are of another model", "quantize-report", "chain.mlir", "--data", "x=x.npy", "--quantize", "int8-static", "--ranges", "other.json")
        # A file for ranges that is none: damaged at every place.
        self.works("calibrate", "chain.mlir", "--weights", "w.safetensors", "--data", "x=x.npy", "-o", "r.json")
        text = (self.folder / "r.json").read_bytes()
        for at in range(0, len(text), len(text) // 12):
            self.write("cut.json", text[:at])
            self.refused("cannot read the ranges 'cut.json'", "quantize-report", "chain.mlir", "--data", "x=x.npy",
                         "--weights", "w.safetensors", "--quantize", "int8", "--ranges", "cut.json")


class Layers(Report):
    SECONDS = 4

    def setUp(self):
        super().setUp()
        random = np.random.Generator(np.random.Philox(12))
        self.write("loops.mlir", LOOPS)
        w = random.standard_normal((3, 4, 4)).astype(np.float32) * np.float32([1, 8, 1])[:, None, None]
        save_file({"w": w, "u": random.standard_normal((4, 4)).astype(np.float32)}, self.folder / "w.safetensors")
        np.savez(self.folder / "d.npz", x=random.standard_normal((32, 4)).astype(np.float32),
                 t=random.standard_normal((32, 5, 4)).astype(np.float32))
        self.works("calibrate", "loops.mlir", "--weights", "w.safetensors", "--data", "d.npz", "-o", "r.json")

    def ratios(self, ranges):
        self.report("loops.mlir", "int8-static", "--data", "d.npz", "--ranges", ranges)
        return {(name, layer): row["alone_db"] for (name, layer), row in self.rows.items()}

    def test_ranges_of_the_wrong_layer_cost(self):
        right = self.ratios("r.json")
        lines = lines_of(LOOPS, "linear")
        # Two calls of one op share a line; the others have a row per layer.
        self.assertEqual(sorted(right), sorted([(lines[0], 0), *((line, layer) for line in lines[1:] for layer in range(3))]))
        self.assertGreater(min(right.values()), 25)
        ranges = json.loads((self.folder / "r.json").read_text())
        for site in ranges["sites"].values():
            for field in ("low", "high", "magnitude"):
                site[field] = site[field][1:] + site[field][:1]
        (self.folder / "shifted.json").write_text(json.dumps(ranges))
        shifted = self.ratios("shifted.json")
        self.assertLess(min(shifted.values()), min(right.values()) - 10)
        # What is the same in each layer does not mind.
        self.assertAlmostEqual(shifted[lines[2], 1], right[lines[2], 1], delta=1e-6)


if __name__ == "__main__":
    unittest.main()
