"""lathe compensate: the weights against GPTQ written down in NumPy, the grid
they lie on against what --quantize makes of them, biases, loops over layers."""

import json
import unittest

import ml_dtypes
import numpy as np
from safetensors.numpy import load_file, save_file

import cli

PARTS = (1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65)

LINEAR = """
lathe.parameter @w : tensor<{n}x{k}xf32>
lathe.parameter @b : tensor<{n}xf32>
func.func @main(%x: tensor<?x{k}xf32> {{lathe.name = "x", lathe.dims = ["batch", ""]}}) -> (tensor<?x{n}xf32> {{lathe.name = "y"}}) {{
  %w = lathe.get_parameter @w : tensor<{n}x{k}xf32>
  %b = lathe.get_parameter @b : tensor<{n}xf32>
  %y = lathe.linear %x, %w, %b : (tensor<?x{k}xf32>, tensor<{n}x{k}xf32>, tensor<{n}xf32>) -> tensor<?x{n}xf32>
  return %y : tensor<?x{n}xf32>
}}
"""

# The same as an importer has it: [k, n], and the bias added behind it.
MATMUL = """
lathe.parameter @w : tensor<{k}x{n}xf32>
lathe.parameter @b : tensor<{n}xf32>
func.func @main(%x: tensor<?x{k}xf32> {{lathe.name = "x", lathe.dims = ["batch", ""]}}) -> (tensor<?x{n}xf32> {{lathe.name = "y"}}) {{
  %w = lathe.get_parameter @w : tensor<{k}x{n}xf32>
  %b = lathe.get_parameter @b : tensor<{n}xf32>
  %0 = lathe.matmul %x, %w : (tensor<?x{k}xf32>, tensor<{k}x{n}xf32>) -> tensor<?x{n}xf32>
  %y = lathe.add %b, %0 : (tensor<{n}xf32>, tensor<?x{n}xf32>) -> tensor<?x{n}xf32>
  return %y : tensor<?x{n}xf32>
}}
"""

# Layers of three products: of the carried value, of a value from outside of the loop, and of what the first gives, by a weight that is turned around.
LAYERS = """
lathe.parameter @w : tensor<3x32x32xf32> {key = "layer.{}.w"}
lathe.parameter @u : tensor<3x32x32xf32> {key = "layer.{}.u"}
lathe.parameter @v : tensor<3x32x32xf32> {key = "layer.{}.v"}
lathe.parameter @b : tensor<3x32xf32> {key = "layer.{}.b"}
func.func @main(%x: tensor<?x32xf32> {lathe.name = "x", lathe.dims = ["batch", ""]}) -> (tensor<?x32xf32> {lathe.name = "y"}) {
  %ws = lathe.get_parameter @w : tensor<3x32x32xf32>
  %us = lathe.get_parameter @u : tensor<3x32x32xf32>
  %vs = lathe.get_parameter @v : tensor<3x32x32xf32>
  %bs = lathe.get_parameter @b : tensor<3x32xf32>
  %y = lathe.scan init(%h = %x) inputs(%w = %ws, %u = %us, %v = %vs, %b = %bs)
      : (tensor<?x32xf32>, tensor<3x32x32xf32>, tensor<3x32x32xf32>, tensor<3x32x32xf32>, tensor<3x32xf32>) -> tensor<?x32xf32> {
    %0 = lathe.linear %h, %w, %b : (tensor<?x32xf32>, tensor<32x32xf32>, tensor<32xf32>) -> tensor<?x32xf32>
    %1 = lathe.linear %x, %u : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
    %2 = lathe.add %0, %1 : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32>
    %3 = lathe.tanh %2 : (tensor<?x32xf32>) -> tensor<?x32xf32>
    %4 = lathe.matmul %3, %v : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
    lathe.yield %4 : tensor<?x32xf32>
  }
  return %y : tensor<?x32xf32>
}
"""


def nearest(weight, group=32):
    """Four bits, each number by itself."""
    return gptq(weight, np.eye(weight.shape[1]), group, damping=0)


def gptq(weight, moments, group=32, damping=0.01, bits=4):
    """[n, k]: Frantar et al. 2022, by the inverse Hessian itself instead of a factor of it. The largest weight of a group
    becomes the lowest integer; of several scales the one with the least error is taken."""
    n, k = weight.shape
    group = group or k
    high = 2 ** (bits - 1) - 1
    low = -high - 1 if bits == 4 else -high
    hessian = moments + np.eye(k) * damping * np.mean(np.diag(moments))
    result = np.zeros((n, k))
    for row in range(n):
        now = weight[row].astype(np.float64)
        inverse = np.linalg.inv(hessian)
        for begin in range(0, k, group):
            end = min(begin + group, k)
            extreme = begin + np.argmax(np.abs(now[begin:end]))
            pinned = low if bits == 4 or now[extreme] < 0 else high
            best = np.inf
            for part in PARTS if bits == 4 else (1,):
                scale = float(np.float32(now[extreme] * part / pinned))
                if bits == 4:
                    scale = float(ml_dtypes.bfloat16(scale))
                values, left, rounded, loss = now.copy(), inverse.copy(), [], 0
                for i in range(begin, end):
                    integer = pinned if i == extreme else np.clip(np.round(values[i] / scale), low, high)
                    rounded.append(np.float32(integer * scale))
                    error = (values[i] - rounded[-1]) / left[i, i]
                    loss += error * error * left[i, i]
                    values -= error * left[i]
                    left -= np.outer(left[:, i], left[i]) / left[i, i]
                if loss < best:
                    best, kept, chosen, after = loss, rounded, values, left
            result[row, begin:end] = kept
            now, inverse = chosen, after
    return result.astype(np.float32)


def product_error(weight, exact, x):
    return np.sum(((weight - exact).astype(np.float64) @ x.T.astype(np.float64)) ** 2)


def data(rows, k, seed=0):
    """Correlated, with a mean; eighths, so that sums of products are exact in f32."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, k // 4)) @ random.normal(size=(k // 4, k)) + random.normal(size=(rows, k)) + random.normal(size=k)
    return (np.round(8 * x) / 8).astype(np.float32)


class WithModel(cli.CommandLine):
    def run_model(self, weights, *options):
        self.works("run", "model.mlir", "--weights", weights, "--input", "x=x.npy", "--output-dir", "out", *options)
        return np.load(self.folder / "out" / "y.npy")


class Compensation(WithModel):
    def compensate(self, text, weights, x, *options, scheme="int4-weights"):
        """The new weights, and the figures."""
        self.write("model.mlir", text)
        save_file(weights, self.folder / "w.safetensors")
        np.save(self.folder / "x.npy", x)
        self.works("compensate", "model.mlir", "--weights", "w.safetensors", "--data", "x=x.npy", "--quantize", scheme,
                   "-o", "new.safetensors", "--json", "f.json", *options)
        return load_file(self.folder / "new.safetensors"), json.loads((self.folder / "f.json").read_text())

    def judge(self, found, exact, x, group=32, bits=4):
        """Equal to the reference but for a number at the middle of two."""
        moments = 2 * x.T.astype(np.float64) @ x
        wanted = gptq(exact, moments, group, bits=bits)
        self.assertGreater(np.mean(np.isclose(found, wanted, rtol=1e-6, atol=1e-9)), 0.99)
        best = product_error(wanted, exact, x)
        self.assertLess(abs(product_error(found, exact, x) - best), 0.02 * best)
        if bits == 4:
            self.assertLess(product_error(found, exact, x), 0.7 * product_error(nearest(exact, group), exact, x))

    def test_against_numpy(self):
        random = np.random.default_rng(1)
        # The last group is not full.
        n, k = 24, 80
        x = data(256, k)
        weights = {"w": random.normal(size=(n, k)).astype(np.float32), "b": random.normal(size=n).astype(np.float32)}
        for scheme, group, bits in (("int4-weights", 32, 4), ("int4-weights:64", 64, 4), ("int8-weights", 0, 8), ("int8-dynamic", 0, 8)):
            with self.subTest(scheme):
                new, figures = self.compensate(LINEAR.format(n=n, k=k), weights, x, "--keep-biases", scheme=scheme)
                self.judge(new["w"], weights["w"], x, group, bits)
                np.testing.assert_array_equal(new["b"], weights["b"])
                (product,) = figures["products"]
                self.assertLess(abs(product["compensated"] - product_error(new["w"], weights["w"], x)), 1e-3 * product["compensated"])

    def test_a_wrong_axis_is_found(self):
        """What would come out if the sums of the data were in another order than the weights, or errors went to the wrong rows."""
        random = np.random.default_rng(2)
        x, exact = data(256, 64), random.normal(size=(64, 64)).astype(np.float32)
        moments = 2 * x.T.astype(np.float64) @ x
        for wrong in (gptq(exact, moments[::-1, ::-1]), gptq(exact.T, moments).T, nearest(exact)):
            with self.assertRaises(AssertionError):
                self.judge(wrong, exact, x)
        self.judge(gptq(exact, moments), exact, x)

    def test_rounding_again_changes_nothing(self):
        random = np.random.default_rng(3)
        n, k = 40, 112
        x = data(64, k)
        weights = {"w": random.normal(size=(n, k)).astype(np.float32), "b": random.normal(size=n).astype(np.float32)}
        # A group of zeros, one of a single number, one of numbers that are nearly nothing.
        weights["w"][0, :32] = 0
        weights["w"][1, :32] = 0
        weights["w"][1, 5] = 3
        weights["w"][2, :] *= 1e-30
        for scheme in ("int4-weights", "int4-weights:64", "int4-weights:128", "int8-weights", "int8-weights:32"):
            with self.subTest(scheme):
                self.compensate(LINEAR.format(n=n, k=k), weights, x, scheme=scheme)
                exact = self.run_model("new.safetensors")
                rounded = self.run_model("new.safetensors", "--quantize", scheme)
                np.testing.assert_allclose(rounded, exact, rtol=1e-5, atol=1e-5)
                # The old ones do change.
                self.assertGreater(np.abs(self.run_model("w.safetensors", "--quantize", scheme) - self.run_model("w.safetensors")).max(), 1e-3)

    def test_biases(self):
        random = np.random.default_rng(4)
        n, k = 24, 64
        x = data(256, k) + 2
        weights = {"w": random.normal(size=(n, k)).astype(np.float32), "b": random.normal(size=n).astype(np.float32)}
        for text, options in ((LINEAR, []), (LINEAR, ["--keep-weights"]), (MATMUL, [])):
            with self.subTest(options):
                if text == MATMUL:
                    weights["w"] = np.ascontiguousarray(weights["w"].T)
                new, figures = self.compensate(text.format(n=n, k=k), weights, x, *options)
                self.assertTrue(figures["products"][0]["bias_corrected"])
                if options:
                    np.testing.assert_array_equal(new["w"], weights["w"])
                exact = self.run_model("w.safetensors").mean(0)
                np.testing.assert_allclose(self.run_model("new.safetensors", "--quantize", "int4-weights").mean(0), exact, atol=0.02 if options else 1e-3)
                self.assertGreater(np.abs(self.run_model("w.safetensors", "--quantize", "int4-weights").mean(0) - exact).max(), 0.1)

    def test_layers(self):
        """Each layer by the data that reaches it, in all orders; weights [k, n], too."""
        random = np.random.default_rng(5)
        x = data(128, 32)
        weights = {f"layer.{i}.{name}": random.normal(size=(32, 32) if name != "b" else 32).astype(np.float32) / 4 for i in range(3) for name in "wuvb"}

        def walk(now, each):
            h = x
            for i in range(3):
                z = np.tanh(h @ now[f"layer.{i}.w"].T + now[f"layer.{i}.b"] + x @ now[f"layer.{i}.u"].T)
                each(i, h, z)
                h = z @ now[f"layer.{i}.v"]
            return h

        for order in ("together", "layers", "products"):
            with self.subTest(order):
                new, figures = self.compensate(LAYERS, weights, x, "--order", order, "--keep-biases")
                self.assertEqual([p["layers"] for p in figures["products"]], [3, 3, 3])
                self.assertEqual(figures["refused"], {})

                def check(i, h, z):
                    for name, inputs in (("w", h), ("u", x), ("v", z)):
                        exact, found = weights[f"layer.{i}.{name}"], new[f"layer.{i}.{name}"]
                        if name == "v":
                            exact, found = exact.T, found.T
                        wanted = gptq(exact, 2 * inputs.T.astype(np.float64) @ inputs)
                        # Sums that are not exact move numbers at the middle of two, and what comes behind them.
                        self.assertGreater(np.mean(np.isclose(found, wanted, rtol=1e-5, atol=1e-7)), 0.9, (order, i, name))

                if order == "together":
                    walk(weights, check)
                elif order == "products":
                    walk(new, check)
                error = np.abs(walk(new, lambda *_: None) - walk(weights, lambda *_: None)).mean()
                plain = {key: value if key.endswith("b") else nearest(value.T).T if key.endswith("v") else nearest(value) for key, value in weights.items()}
                self.assertLess(error, 0.7 * np.abs(walk(plain, lambda *_: None) - walk(weights, lambda *_: None)).mean())


class Smoothing(WithModel):
    """lathe calibrate --smooth: the divisors, and what they are good for."""

    def calibrate(self, text, weights, x, *options):
        self.write("model.mlir", text)
        save_file(weights, self.folder / "w.safetensors")
        np.save(self.folder / "x.npy", x)
        self.works("calibrate", "model.mlir", "--weights", "w.safetensors", "--data", "x=x.npy", "-o", "r.json", *options)
        return json.loads((self.folder / "r.json").read_text())["sites"]

    def divisors(self, x, weights, alpha):
        most = np.abs(x).max(0) ** alpha / np.max([np.abs(w).max(0) for w in weights], 0) ** (1 - alpha)
        return most / np.exp(np.log(most).mean())

    def test_layers(self):
        """Each layer has divisors of its own; a value from outside of the loop meets the weights of all."""
        random = np.random.default_rng(6)
        x = data(128, 32)
        weights = {f"layer.{i}.{name}": random.normal(size=(32, 32) if name != "b" else 32).astype(np.float32) / 4 for i in range(3) for name in "wuvb"}
        sites = self.calibrate(LAYERS, weights, x, "--smooth", "0.7")
        by_line = {int(name.split(":")[1]): site for name, site in sites.items()}
        self.assertEqual(len(by_line), 3)
        carried, outside, inner = (by_line[line] for line in sorted(by_line))
        h = x
        for i in range(3):
            w, u, v, b = (weights[f"layer.{i}.{name}"] for name in "wuvb")
            z = np.tanh(h @ w.T + b + x @ u.T)
            wanted = self.divisors(h, [w], 0.7)
            np.testing.assert_allclose(carried["smooth"][i], wanted, rtol=1e-4)
            np.testing.assert_allclose(carried["high"][i], (h / wanted).max(), rtol=1e-3)
            np.testing.assert_allclose(carried["low"][i], (h / wanted).min(), rtol=1e-3)
            np.testing.assert_allclose(inner["smooth"][i], self.divisors(z, [v.T], 0.7), rtol=1e-4)
            np.testing.assert_allclose(outside["smooth"][i], self.divisors(x, [weights[f"layer.{n}.u"] for n in range(3)], 0.7), rtol=1e-4)
            # A layer's divisors are no other's.
            self.assertGreater(np.abs(np.array(carried["smooth"][i]) - self.divisors(h, [v.T], 0.7)).max(), 0.01)
            h = z @ v

    def test_channels_of_large_numbers(self):
        random = np.random.default_rng(7)
        n, k = 24, 64
        x = data(256, k)
        x[:, 3] *= 64
        weights = {"w": random.normal(size=(n, k)).astype(np.float32), "b": random.normal(size=n).astype(np.float32)}
        # So that it does not outweigh the others.
        weights["w"][:, 3] /= 64
        text = LINEAR.format(n=n, k=k)
        errors = []
        for options in ([], ["--smooth", "0.8"]):
            self.calibrate(text, weights, x, *options)
            exact = self.run_model("w.safetensors")
            for scheme in ("int8-static", "int8-dynamic"):
                found = self.run_model("w.safetensors", "--quantize", scheme, "--ranges", "r.json")
                errors.append(np.abs(found - exact).mean() / np.abs(exact).mean())
        print(f"smoothing: static {errors[0]:.4f} to {errors[2]:.4f}, dynamic {errors[1]:.4f} to {errors[3]:.4f}")
        self.assertLess(errors[2], errors[0] / 4)
        self.assertLess(errors[3], errors[1] / 4)


if __name__ == "__main__":
    unittest.main()
