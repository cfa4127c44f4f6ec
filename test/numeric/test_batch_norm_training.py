"""batch_norm_training against NumPy in double precision: PyTorch's definition,
with the running statistics it gives."""

import pathlib
import tempfile
import unittest

import numpy as np

from lathe import assert_close, run


def model(shape, axis, element, attributes):
    x = f"tensor<{'x'.join(map(str, shape))}x{element}>"
    p = f"tensor<{shape[axis]}x{element}>"
    names = ("scale", "bias", "mean", "variance")
    arguments = ", ".join([f'%x: {x} {{lathe.name = "x"}}', *(f'%{n}: {p} {{lathe.name = "{n}"}}' for n in names)])
    operands = ", ".join(f"%{n}" for n in ("x", *names))
    return f"""func.func @main({arguments}) -> ({x} {{lathe.name = "y"}}, {p} {{lathe.name = "m"}}, {p} {{lathe.name = "v"}}) {{
  %0, %1, %2 = lathe.batch_norm_training {operands} {{{attributes}}} : ({x}, {p}, {p}, {p}, {p}) -> ({x}, {p}, {p})
  return %0, %1, %2 : {x}, {p}, {p}
}}
"""


class BatchNormTraining(unittest.TestCase):
    def check(self, shape, axis, attributes, momentum=0.1, epsilon=1e-5, biased=False, options=(), dtype=np.float64, rtol=1e-12):
        random = np.random.default_rng(1)
        channels = shape[axis]
        inputs = {"x": 3 * random.normal(size=shape) + 1, "scale": random.normal(size=channels), "bias": random.normal(size=channels),
                  "mean": random.normal(size=channels), "variance": random.uniform(0.5, 2, size=channels)}
        inputs = {name: value.astype(dtype) for name, value in inputs.items()}
        axes = tuple(i for i in range(len(shape)) if i != axis % len(shape))
        x = inputs["x"].astype(np.float64)
        along = [1] * len(shape)
        along[axis] = channels
        mean, variance = x.mean(axes), x.var(axes)
        count = x.size // channels
        y = ((x - mean.reshape(along)) / np.sqrt(variance.reshape(along) + epsilon) * inputs["scale"].reshape(along)
             + inputs["bias"].reshape(along))
        kept = variance * (1 if biased else count / (count - 1))
        element = "f64" if dtype == np.float64 else "f32"
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.mlir"
            path.write_text(model(shape, axis, element, attributes))
            found, _ = run(path, inputs, options=options)
        expected = {"y": y, "m": (1 - momentum) * inputs["mean"] + momentum * mean,
                    "v": (1 - momentum) * inputs["variance"] + momentum * kept}
        for name, value in expected.items():
            assert_close(found[name], value.astype(dtype), rtol=rtol, atol=rtol, what=name)

    def test_images(self):
        self.check((4, 3, 5, 6), 1, "")

    def test_rows(self):
        self.check((9, 7), 1, "momentum = 0.3, epsilon = 0.01", momentum=0.3, epsilon=0.01)

    def test_channels_last_and_biased(self):
        self.check((2, 3, 4), -1, "axis = -1, biased", biased=True)

    def test_on_the_simulated_gpu(self):
        self.check((4, 3, 5, 6), 1, "", options=("--target", "cuda-sim"), dtype=np.float32, rtol=2e-5)


if __name__ == "__main__":
    unittest.main()
