"""The same model, compiled in every way there is, gives the same numbers.

Models with seeded weights against NumPy in double precision, and
models/minilm.mlir with its real ones against ONNX Runtime; then without fusion,
without optimization and for older processors (the same within rounding), on any
number of threads and with sizes open or fixed (bit for bit the same)."""

import pathlib
import re

import numpy as np
from safetensors.numpy import save_file

import cli
import minilm_onnx
from folders import TOP, oracle

MODELS = pathlib.Path(__file__).resolve().parent / "models"


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def conv(x, w, stride=1, pad=0, dilation=1, groups=1):
    x = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    rows, columns = w.shape[2:]
    high = (x.shape[2] - (rows - 1) * dilation - 1) // stride + 1
    wide = (x.shape[3] - (columns - 1) * dilation - 1) // stride + 1
    parts = []
    for xs, ws in zip(np.split(x, groups, 1), np.split(w, groups, 0)):
        y = 0
        for i in range(rows):
            for j in range(columns):
                window = xs[:, :, i * dilation :, j * dilation :][:, :, ::stride, ::stride][:, :, :high, :wide]
                y = y + np.einsum("bchw,oc->bohw", window, ws[:, :, i, j])
        parts.append(y)
    return np.concatenate(parts, 1)


def gelu(x):
    # Abramowitz and Stegun's erf is not exact enough: by its integral.
    nodes, weights = np.polynomial.legendre.leggauss(40)
    z = x[..., None] / np.sqrt(2)
    erf = 2 / np.sqrt(np.pi) * (z * np.exp(-(((nodes + 1) / 2 * z) ** 2)) * weights / 2).sum(-1)
    return x / 2 * (1 + erf)


def cnn(p, image):
    x = conv(image, p["stem"], stride=2, pad=1) + p["stem.bias"][:, None, None]
    scale = p["gamma"] / np.sqrt(p["variance"] + 1e-5)
    x = (x - p["mean"][:, None, None]) * scale[:, None, None] + p["beta"][:, None, None]
    x = np.maximum(x, 0)
    x = silu(conv(x, p["depthwise"], pad=1, groups=16)) + x
    b, c, h, w = x.shape
    x = x.reshape(b, c, h // 2, 2, w // 2, 2).max((3, 5))
    x = gelu(conv(x, p["grouped"], groups=2))
    x = np.maximum(conv(x, p["dilated"], pad=2, dilation=2) + x, 0)
    return {"scores": softmax(x.mean((2, 3)) @ p["head"].T)}


def decoder(p, ids):
    def norm(x, scale):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * scale

    batch, length = ids.shape
    x = p["words"][ids]
    for layer in range(2):
        n = norm(x, p["norm"][layer])

        def heads(name, count):
            return (n @ p[name][layer].T).reshape(batch, length, count, 12).swapaxes(1, 2)

        q, k, v = heads("query", 4), heads("key", 2).repeat(2, 1), heads("value", 2).repeat(2, 1)
        scores = q @ k.swapaxes(2, 3) / np.sqrt(12)
        scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
        x = x + (softmax(scores) @ v).swapaxes(1, 2).reshape(batch, length, 48) @ p["mix"][layer].T
        n = norm(x, p["norm"][layer])
        x = x + (silu(n @ p["gate"][layer].T) * (n @ p["up"][layer].T)) @ p["down"][layer].T
    return {"logits": x @ p["words"].T}


def lstm(p, x, h, c):
    states = []
    for step in x:
        i, f, g, o = np.split(step @ p["w"].T + p["b"] + h @ p["r"].T, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return {"states": np.array(states), "last": h}


class Equivalence(cli.CommandLine):
    SECONDS = 20

    def setUp(self):
        super().setUp()
        self.random = np.random.Generator(np.random.Philox(17))
        self.weights_file = "weights.safetensors"

    def model(self, name, fixed, **sizes):
        """The model's text with `sizes` in it, or open."""
        text = (MODELS / f"{name}.mlir.in").read_text()
        words = sorted(sizes, key=len, reverse=True)
        file = f"{name}-{'fixed' if fixed else 'open'}.mlir"
        self.write(file, re.sub(rf"\$({'|'.join(words)})", lambda m: str(sizes[m[1]]) if fixed else "?", text))
        return file

    def weights(self, name):
        """A value for every parameter; the reference works in double precision."""
        text = (MODELS / f"{name}.mlir.in").read_text()
        values = {}
        for parameter, shape in re.findall(r"lathe\.parameter @([\w.]+) : tensor<([\dx]+)xf32>", text):
            shape = [int(size) for size in shape.split("x")]
            if parameter in ("gamma", "variance", "norm"):
                value = self.random.uniform(0.5, 1.5, shape)
            else:
                value = self.random.normal(size=shape) / np.sqrt(shape[-1] if len(shape) < 4 else np.prod(shape[1:]))
            values[parameter] = value.astype(np.float32)
        save_file(values, self.folder / "weights.safetensors")
        return {key: value.astype(np.float64) for key, value in values.items()}

    def run_model(self, file, folder, *options):
        self.works("run", file, "--weights", self.weights_file, "--output-dir", folder, "--quiet",
                   *self.inputs, *options)
        return {path.stem: path.read_bytes() for path in (self.folder / folder).iterdir()}

    def close(self, found, expected, why):
        self.assertEqual(found.keys(), expected.keys())
        for name in expected:
            a, b = (np.load(self.folder / folder / f"{name}.npy") for folder in (why, "open"))
            if a.dtype.kind == "f":
                scale = max(1.0, np.abs(b).max())
                self.assertLess(np.abs(a - b).max() / scale, 1e-5, f"{why}: {name}")
            else:
                np.testing.assert_array_equal(a, b, why)

    def check(self, name, reference, dims, sizes, inputs):
        values = self.weights(name)
        wide = {key: a.astype(np.float64) if a.dtype.kind == "f" else a for key, a in inputs.items()}
        self.check_forms(self.model(name, False, **sizes), self.model(name, True, **sizes), dims, inputs,
                         reference(values, **wide), 2e-5)

    def check_forms(self, opened, fixed, dims, inputs, answers, tolerance):
        """`opened` gives `answers` within `tolerance`, and all forms the same."""
        self.inputs = []
        for key, array in inputs.items():
            np.save(self.folder / f"in-{key}.npy", array)
            self.inputs += ["--input", f"{key}=in-{key}.npy"]
        first = self.run_model(opened, "open")
        for key, expected in answers.items():
            found = np.load(self.folder / "open" / f"{key}.npy")
            scale = max(1.0, np.abs(expected).max())
            self.assertEqual(found.shape, expected.shape)
            self.assertLess(np.abs(found - expected).max() / scale, tolerance, f"{key} against its reference")
        # Bit for bit.
        for threads in (1, 2, 3):
            self.assertEqual(self.run_model(opened, f"threads{threads}", "--threads", threads), first, f"{threads} threads")
        self.assertEqual(self.run_model(fixed, "fixed"), first, "fixed sizes")
        self.works("compile", opened, *dims, "-o", "model.lathe")
        self.assertEqual(self.run_model("model.lathe", "compiled"), first, "compiled to a file")
        # Within rounding.
        for why, *options in (("unfused", "--no-fuse"), ("plain", "--no-optimize"), ("avx2", "--isa", "avx2"), ("sse", "--isa", "sse")):
            found = self.run_model(opened, why, *options)
            self.close(found, first, why)
            self.assertEqual(self.run_model(opened, why + "1", "--threads", 1, *options), found, why)

    def test_cnn(self):
        self.check("cnn", cnn, ["--dim", "batch=2", "--dim", "height=24", "--dim", "width=40"],
                   dict(B=2, H=24, W=40, H2=12, W2=20, H4=6, W4=10),
                   {"image": self.random.normal(size=(2, 3, 24, 40)).astype(np.float32)})

    def test_decoder(self):
        self.check("decoder", decoder, ["--dim", "batch=2", "--dim", "sequence=19"], dict(B=2, S=19),
                   {"ids": self.random.integers(0, 50, (2, 19))})

    def test_lstm(self):
        draw = lambda *shape: self.random.normal(size=shape).astype(np.float32)
        self.check("lstm", lstm, ["--dim", "time=7", "--dim", "batch=3"], dict(T=7, B=3),
                   {"x": draw(7, 3, 20), "h": draw(3, 24), "c": draw(3, 24)})

    def test_minilm(self):
        """Three sentences of different lengths, padded."""
        case = oracle("minilm") / "batch"
        inputs = {key: np.load(case / f"{key}.npy")[:3] for key in ("input_ids", "attention_mask", "token_type_ids")}
        answers = {key: np.load(case / f"{key}.npy")[:3] for key in ("last_hidden_state", "sentence_embedding")}
        self.weights_file = minilm_onnx.find_model() / "model.safetensors"
        text = (TOP / "models" / "minilm.mlir").read_text()
        batch, sequence = inputs["input_ids"].shape
        self.write("open.mlir", text)
        text = text.replace("tensor<?x?xi64>", f"tensor<{batch}x{sequence}xi64>")
        self.write("fixed.mlir", text.replace(', lathe.dims = ["batch", "sequence"]', ""))
        self.check_forms("open.mlir", "fixed.mlir", ["--dim", f"batch={batch}", "--dim", f"sequence={sequence}"],
                         inputs, answers, 1e-4)


if __name__ == "__main__":
    cli.unittest.main()
