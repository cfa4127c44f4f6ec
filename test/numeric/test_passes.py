"""What the graph passes make of a model computes what the model says: small
models against NumPy in double precision, in every form the passes give them."""

import json
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest

import numpy as np

BUILD = pathlib.Path(os.environ.get("LATHE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
LATHE = BUILD / "bin" / "lathe"
# Every pass on, one op per kernel, and only what correctness needs.
FORMS = {"optimized": [], "one op per kernel": ["--no-fuse"], "plain": ["--no-optimize"]}


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, value in tensors.items():
        size = value.size * 4
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for value in tensors.values():
            file.write(np.ascontiguousarray(value, np.float32).tobytes())


def conv(x, f, stride=1, pad=0, groups=1):
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(x, f.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    parts = [np.einsum("nchwij,ocij->nohw", w, g)
             for w, g in zip(np.split(windows, groups, 1), np.split(f, groups, 0))]
    return np.concatenate(parts, 1)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def erf(x):
    """Abramowitz and Stegun's series, summed until nothing changes (small x)."""
    total, term = np.zeros_like(x), x.copy()
    for n in range(200):
        total += term / (2 * n + 1)
        term = -term * x * x / (n + 1)
    return total * 2 / np.sqrt(np.pi)


class Passes(unittest.TestCase):
    def setUp(self):
        if not LATHE.exists():
            self.skipTest(f"{LATHE} is not built")
        self.random = np.random.default_rng(7)

    def tensor(self, *shape, low=-1.0, high=1.0):
        return self.random.uniform(low, high, shape).astype(np.float32)

    def check(self, text, inputs, weights, expected, tolerance=2e-5):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "model.mlir").write_text(text)
            write_safetensors(folder / "weights.safetensors", weights)
            command = [LATHE, "run", folder / "model.mlir", "--weights", folder / "weights.safetensors"]
            for name, value in inputs.items():
                np.save(folder / f"{name}.npy", value)
                command += ["--input", f"{name}={folder / name}.npy"]
            for form, options in FORMS.items():
                with self.subTest(form=form):
                    out = folder / form.replace(" ", "_")
                    done = subprocess.run([*command, *options, "--output-dir", out], capture_output=True, text=True)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    for name, value in expected.items():
                        found = np.load(out / f"{name}.npy")
                        self.assertEqual(found.shape, value.shape)
                        error = np.abs(found - value).max() / max(1.0, np.abs(value).max())
                        self.assertLess(error, tolerance, f"output '{name}'")

    def test_batch_norm_channels_last(self):
        """fold-batch-norm, layout, pack-weights, hoist-load."""
        weights = {"f": self.tensor(16, 3, 3, 3), "b": self.tensor(16), "g": self.tensor(16, 16, 1, 1),
                   "d": self.tensor(16, 1, 3, 3), "s": self.tensor(16), "t": self.tensor(16),
                   "m": self.tensor(16), "v": self.tensor(16, low=0.5, high=2.0), "c": self.tensor(16, 1, 1)}
        x = self.tensor(2, 3, 9, 8)
        names = "".join(f"lathe.parameter @{n} : tensor<{'x'.join(map(str, w.shape))}xf32>\n" for n, w in weights.items())
        gets = "".join(f"%{n} = lathe.get_parameter @{n} : tensor<{'x'.join(map(str, w.shape))}xf32>\n"
                       for n, w in weights.items())
        v = "tensor<16xf32>"
        t = "tensor<2x16x5x4xf32>"
        text = f"""{names}
func.func @main(%x: tensor<2x3x9x8xf32> {{lathe.name = "x"}}) -> (tensor<2x16xf32> {{lathe.name = "y"}}, {t} {{lathe.name = "z"}}) {{
{gets}
%0 = lathe.conv %x, %f, %b {{strides = array<i64: 2, 2>, pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>}} : (tensor<2x3x9x8xf32>, tensor<16x3x3x3xf32>, {v}) -> {t}
%1 = lathe.batch_norm %0, %s, %t, %m, %v {{epsilon = 1.0e-3 : f64}} : ({t}, {v}, {v}, {v}, {v}) -> {t}
%2 = lathe.relu %1 : ({t}) -> {t}
%3 = lathe.conv %2, %d {{groups = 16 : i64, pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>}} : ({t}, tensor<16x1x3x3xf32>) -> {t}
%4 = lathe.mul %3, %c : ({t}, tensor<16x1x1xf32>) -> {t}
%5 = lathe.conv %4, %g : ({t}, tensor<16x16x1x1xf32>) -> {t}
%6 = lathe.add %5, %c : ({t}, tensor<16x1x1xf32>) -> {t}
%7 = lathe.add %6, %2 : ({t}, {t}) -> {t}
%8 = lathe.batch_norm %7, %s, %t, %m, %v : ({t}, {v}, {v}, {v}, {v}) -> {t}
%9 = lathe.reduce_mean %8 {{axes = array<i64: 2, 3>}} : ({t}) -> tensor<2x16xf32>
return %9, %8 : tensor<2x16xf32>, {t}
}}
"""
        w = {n: a.astype(np.float64) for n, a in weights.items()}
        channel = lambda a: a.reshape(16, 1, 1)
        norm = lambda y, eps: (y - channel(w["m"])) / np.sqrt(channel(w["v"]) + eps) * channel(w["s"]) + channel(w["t"])
        y2 = np.maximum(norm(conv(x.astype(np.float64), w["f"], 2, 1) + channel(w["b"]), 1e-3), 0)
        y4 = conv(y2, w["d"], 1, 1, 16) * w["c"]
        z = norm(conv(y4, w["g"]) + w["c"] + y2, 1e-5)
        self.check(text, {"x": x}, weights, {"y": z.mean((2, 3)), "z": z})

    def test_stacked_layers(self):
        """Packing of stacked weights out of a loop, epilogues, rows."""
        weights = {"w": self.tensor(3, 40, 40) / 6, "b": self.tensor(3, 40)}
        x = self.tensor(5, 40)
        t = "tensor<5x40xf32>"
        text = f"""
lathe.parameter @w : tensor<3x40x40xf32>
lathe.parameter @b : tensor<3x40xf32>
func.func @main(%x: {t} {{lathe.name = "x"}}) -> ({t} {{lathe.name = "y"}}) {{
%w = lathe.get_parameter @w : tensor<3x40x40xf32>
%b = lathe.get_parameter @b : tensor<3x40xf32>
%y = lathe.scan init(%h = %x) inputs(%wi = %w, %bi = %b) : ({t}, tensor<3x40x40xf32>, tensor<3x40xf32>) -> {t} {{
  %0 = lathe.linear %h, %wi, %bi : ({t}, tensor<40x40xf32>, tensor<40xf32>) -> {t}
  %1 = lathe.gelu %0 : ({t}) -> {t}
  %2 = lathe.add %1, %h : ({t}, {t}) -> {t}
  %3 = lathe.softmax %2 : ({t}) -> {t}
  lathe.yield %3 : {t}
}}
return %y : {t}
}}
"""
        h = x.astype(np.float64)
        for w, b in zip(weights["w"].astype(np.float64), weights["b"].astype(np.float64)):
            y = h @ w.T + b
            h = softmax(y * 0.5 * (1 + erf(y / np.sqrt(2))) + h)
        self.check(text, {"x": x}, weights, {"y": h})

    def test_sums_over_a_scan(self):
        """sum-after-scan, pack-weights before a scan, simplify: pads that are a concat."""
        x, w, h = self.tensor(5, 3, 8), self.tensor(8, 8), self.tensor(3, 8)
        state, step, halves = "tensor<3x8xf32>", "tensor<8x8xf32>", "tensor<3x16xf32>"
        text = f"""
func.func @main(%x: tensor<5x3x8xf32> {{lathe.name = "x"}}, %w: {step} {{lathe.name = "w"}}, %h: {state} {{lathe.name = "h"}})
    -> ({state} {{lathe.name = "last"}}, tensor<16x8xf32> {{lathe.name = "product"}}, tensor<8xf32> {{lathe.name = "sum"}}) {{
  %zero = lathe.constant dense<0.0> : tensor<f32>
  %zeros = lathe.broadcast %zero {{shape = array<i64: 16, 8>}} : (tensor<f32>) -> tensor<16x8xf32>
  %one = lathe.constant dense<1.0> : tensor<f32>
  %ones = lathe.broadcast %one {{shape = array<i64: 8>}} : (tensor<f32>) -> tensor<8xf32>
  %r:3 = lathe.scan init(%c = %h, %p = %zeros, %s = %ones) inputs(%i = %x) {{reverse}}
      : ({state}, tensor<16x8xf32>, tensor<8xf32>, tensor<5x3x8xf32>) -> ({state}, tensor<16x8xf32>, tensor<8xf32>) {{
    %0 = lathe.linear %c, %w : ({state}, {step}) -> {state}
    %1 = lathe.add %0, %i : ({state}, {state}) -> {state}
    %g = lathe.tanh %1 : ({state}) -> {state}
    %2 = lathe.pad %g {{low = array<i64: 0, 8>, high = array<i64: 0, 0>}} : ({state}) -> {halves}
    %3 = lathe.pad %1 {{low = array<i64: 0, 0>, high = array<i64: 0, 8>}} : ({state}) -> {halves}
    %4 = lathe.add %2, %3 : ({halves}, {halves}) -> {halves}
    %5 = lathe.matmul %4, %i {{transpose_lhs}} : ({halves}, {state}) -> tensor<16x8xf32>
    %6 = lathe.add %p, %5 : (tensor<16x8xf32>, tensor<16x8xf32>) -> tensor<16x8xf32>
    %7 = lathe.reduce_sum %g {{axes = array<i64: 0>}} : ({state}) -> tensor<8xf32>
    %8 = lathe.add %s, %7 : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
    lathe.yield %g, %6, %8 : {state}, tensor<16x8xf32>, tensor<8xf32>
  }}
  return %r#0, %r#1, %r#2 : {state}, tensor<16x8xf32>, tensor<8xf32>
}}
"""
        product, total, last = np.zeros((16, 8)), np.ones(8), h.astype(np.float64)
        for i in x[::-1].astype(np.float64):
            sums = last @ w.T + i
            last = np.tanh(sums)
            product += np.concatenate([sums, last], 1).T @ i
            total += last.sum(0)
        self.check(text, {"x": x, "w": w, "h": h}, {}, {"last": last, "product": product, "sum": total})

    def test_spelled_out_attention(self):
        """recognize-attention, recognize-normalization, recognize-gelu, simplify."""
        weights = {"g": self.tensor(8), "b": self.tensor(8)}
        q, k, v = (self.tensor(2, 5, 3, 8) for _ in range(3))
        mask = np.where(self.random.uniform(size=(2, 1, 1, 5)) < 0.3, np.float32(-1e4), np.float32(0))
        s, h = "tensor<2x5x3x8xf32>", "tensor<2x3x5x8xf32>"
        p, r = "tensor<2x3x5x5xf32>", "tensor<2x3x5x1xf32>"
        text = f"""
lathe.parameter @g : tensor<8xf32>
lathe.parameter @b : tensor<8xf32>
func.func @main(%q: {s} {{lathe.name = "q"}}, %k: {s} {{lathe.name = "k"}}, %v: {s} {{lathe.name = "v"}},
                %m: tensor<2x1x1x5xf32> {{lathe.name = "m"}}) -> ({h} {{lathe.name = "y"}}) {{
%g = lathe.get_parameter @g : tensor<8xf32>
%b = lathe.get_parameter @b : tensor<8xf32>
%scale = lathe.constant dense<0.3> : tensor<f32>
%eps = lathe.constant dense<1.0e-5> : tensor<f32>
%one = lathe.constant dense<1.0> : tensor<f32>
%half = lathe.constant dense<0.5> : tensor<f32>
%root = lathe.constant dense<1.4142135> : tensor<f32>
%q1 = lathe.transpose %q {{permutation = array<i64: 0, 2, 1, 3>}} : ({s}) -> {h}
%k1 = lathe.transpose %k {{permutation = array<i64: 0, 2, 3, 1>}} : ({s}) -> tensor<2x3x8x5xf32>
%v1 = lathe.transpose %v {{permutation = array<i64: 0, 2, 1, 3>}} : ({s}) -> {h}
%0 = lathe.matmul %q1, %k1 : ({h}, tensor<2x3x8x5xf32>) -> {p}
%1 = lathe.mul %0, %scale : ({p}, tensor<f32>) -> {p}
%2 = lathe.add %1, %m : ({p}, tensor<2x1x1x5xf32>) -> {p}
%3 = lathe.softmax %2 : ({p}) -> {p}
%4 = lathe.matmul %3, %v1 : ({p}, {h}) -> {h}
%mean = lathe.reduce_mean %4 {{axes = array<i64: 3>, keepdims = true}} : ({h}) -> {r}
%d = lathe.sub %4, %mean : ({h}, {r}) -> {h}
%sq = lathe.mul %d, %d : ({h}, {h}) -> {h}
%var = lathe.reduce_mean %sq {{axes = array<i64: 3>, keepdims = true}} : ({h}) -> {r}
%ve = lathe.add %var, %eps : ({r}, tensor<f32>) -> {r}
%sd = lathe.sqrt %ve : ({r}) -> {r}
%n = lathe.div %d, %sd : ({h}, {r}) -> {h}
%ng = lathe.mul %n, %g : ({h}, tensor<8xf32>) -> {h}
%nb = lathe.add %ng, %b : ({h}, tensor<8xf32>) -> {h}
%5 = lathe.div %nb, %root : ({h}, tensor<f32>) -> {h}
%6 = lathe.erf %5 : ({h}) -> {h}
%7 = lathe.add %6, %one : ({h}, tensor<f32>) -> {h}
%8 = lathe.mul %nb, %7 : ({h}, {h}) -> {h}
%9 = lathe.mul %8, %half : ({h}, tensor<f32>) -> {h}
return %9 : {h}
}}
"""
        turn = lambda a: a.astype(np.float64).transpose(0, 2, 1, 3)
        y = softmax(turn(q) @ turn(k).swapaxes(2, 3) * 0.3 + mask) @ turn(v)
        d = y - y.mean(-1, keepdims=True)
        n = d / np.sqrt((d * d).mean(-1, keepdims=True) + 1e-5) * weights["g"] + weights["b"]
        self.check(text, {"q": q, "k": k, "v": v, "m": mask}, weights, {"y": n * 0.5 * (1 + erf(n / np.sqrt(2)))},
                   tolerance=1e-4)

    def test_rows(self):
        """Reductions over leading, middle and all dims with what stands around."""
        x = self.tensor(4, 7, 33)
        t = "tensor<4x7x33xf32>"
        text = f"""
func.func @main(%x: {t} {{lathe.name = "x"}}) -> ({t} {{lathe.name = "a"}}, tensor<7x33xf32> {{lathe.name = "b"}}, tensor<f32> {{lathe.name = "c"}}) {{
%0 = lathe.exp %x : ({t}) -> {t}
%1 = lathe.reduce_sum %0 {{axes = array<i64: 1>, keepdims = true}} : ({t}) -> tensor<4x1x33xf32>
%2 = lathe.div %0, %1 : ({t}, tensor<4x1x33xf32>) -> {t}
%3 = lathe.neg %2 : ({t}) -> {t}
%4 = lathe.reduce_max %3 {{axes = array<i64: 0>}} : ({t}) -> tensor<7x33xf32>
%5 = lathe.exp %4 : (tensor<7x33xf32>) -> tensor<7x33xf32>
%6 = lathe.mul %x, %x : ({t}, {t}) -> {t}
%7 = lathe.reduce_sum %6 {{axes = array<i64>}} : ({t}) -> tensor<f32>
%8 = lathe.sqrt %7 : (tensor<f32>) -> tensor<f32>
return %2, %5, %8 : {t}, tensor<7x33xf32>, tensor<f32>
}}
"""
        e = np.exp(x.astype(np.float64))
        a = e / e.sum(1, keepdims=True)
        expected = {"a": a, "b": np.exp((-a).max(0)), "c": np.sqrt((x.astype(np.float64) ** 2).sum())}
        self.check(text, {"x": x}, {"unused": self.tensor(1)}, expected)


if __name__ == "__main__":
    unittest.main()
