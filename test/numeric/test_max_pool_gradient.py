"""max_pool_gradient against NumPy: ties, NaN, rests behind the last window."""

import pathlib
import tempfile
import unittest

import numpy as np

from lathe import assert_close, run


def expected(x, g, kernel):
    """Each window's element of g at the first of its maxima; x and g have channels first."""
    out = np.zeros(x.shape, g.dtype)
    for n, c, i, j in np.ndindex(g.shape):
        window = x[n, c, i * kernel[0]:(i + 1) * kernel[0], j * kernel[1]:(j + 1) * kernel[1]]
        if not np.isnan(window).any():
            a, b = np.unravel_index(np.argmax(window), window.shape)
            out[n, c, i * kernel[0] + a, j * kernel[1] + b] = g[n, c, i, j]
        else:
            out[n, c, i * kernel[0], j * kernel[1]] = g[n, c, i, j]
    return out


class MaxPoolGradient(unittest.TestCase):
    def check(self, shape, kernel, last=False, options=(), threads=1):
        random = np.random.default_rng(2)
        x = random.integers(0, 4, size=shape).astype(np.float32)  # many ties
        x[0, 0, 0, 0] = np.nan
        g = random.normal(size=(*shape[:2], shape[2] // kernel[0], shape[3] // kernel[1])).astype(np.float32)
        wanted = expected(x, g, kernel)
        order = (0, 2, 3, 1) if last else (0, 1, 2, 3)
        x, g = np.ascontiguousarray(x.transpose(order)), np.ascontiguousarray(g.transpose(order))
        types = ["tensor<" + "x".join(map(str, a.shape)) + "xf32>" for a in (x, g)]
        text = f"""func.func @main(%x: {types[0]} {{lathe.name = "x"}}, %g: {types[1]} {{lathe.name = "g"}}) -> ({types[0]} {{lathe.name = "dx"}}) {{
  %0 = lathe.max_pool_gradient %x, %g {{kernel = array<i64: {kernel[0]}, {kernel[1]}>, layout = {int(last)} : i32}} : ({types[0]}, {types[1]}) -> {types[0]}
  return %0 : {types[0]}
}}
"""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.mlir"
            path.write_text(text)
            found, _ = run(path, {"x": x, "g": g}, options=options, threads=threads)
        assert_close(found["dx"], wanted.transpose(order), what="dx")

    def test_channels_first(self):
        self.check((2, 3, 8, 6), (2, 2))

    def test_rest(self):
        self.check((1, 2, 7, 8), (2, 3))

    def test_channels_last(self):
        self.check((2, 20, 6, 4), (2, 2), last=True)
        self.check((2, 20, 7, 9), (3, 2), last=True, threads=2)

    def test_on_the_simulated_gpu(self):
        self.check((2, 20, 6, 5), (2, 2), last=True, options=("--target", "cuda-sim"))
        self.check((1, 2, 6, 8), (3, 2), options=("--target", "cuda-sim"))


if __name__ == "__main__":
    unittest.main()
