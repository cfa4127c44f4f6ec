"""The nine light CNNs of the onnx package: with their one constant for all
weights against their recorded outputs (which are 0.001 throughout for all but
one), and with seeded weights against ONNX Runtime."""

import unittest

import numpy as np
import onnx
from onnx import numpy_helper

import lathe
import real_models as real
from folders import oracle
from light_onnx import NAMES


def run_seeded(name, options=()):
    """Runs the model with seeded weights and compares; f32 sums in another
    order than ONNX Runtime's, through up to 121 layers."""
    folder = oracle(f"light-{name}")
    path = folder / f"{name}.onnx"
    model = onnx.load(path)
    outputs, _ = lathe.run(path, {model.graph.input[0].name: np.load(folder / "input.npy")}, threads=2, options=options)
    (found,) = outputs.values()
    expected = np.load(folder / "output.npy")
    # The worst seen is 1.5e-5 of the largest output, for 25088 products in a sum of vgg19.
    lathe.assert_close(found, expected, atol=5e-5 * np.abs(expected).max())


class LightCnns(unittest.TestCase):
    pass


def recorded(name):
    def test(self):
        path = real.packaged(f"onnx/backend/test/data/light/light_{name}.onnx")
        model = onnx.load(path)
        known = {init.name for init in model.graph.initializer}
        (value,) = (value for value in model.graph.input if value.name not in known)
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        # The input that the recorded outputs belong to.
        count = np.prod(shape)
        image = (np.arange(count).reshape(shape) / count).astype(np.float32)
        output = onnx.TensorProto()
        output.ParseFromString(path.with_name(path.stem + "_output_0.pb").read_bytes())
        outputs, _ = lathe.run(path, {value.name: image}, threads=2)
        (found,) = outputs.values()
        lathe.assert_close(found, numpy_helper.to_array(output), rtol=1e-3, atol=1e-7)

    return test


def seeded(name):
    def test(self):
        run_seeded(name)

    # Most of it is making and loading their 144 and 87 million weights.
    return lathe.slow(15)(test) if name in ("vgg19", "zfnet512") else test


for name in NAMES:
    setattr(LightCnns, f"test_{name}", recorded(name))
    setattr(LightCnns, f"test_{name}_seeded", seeded(name))


if __name__ == "__main__":
    unittest.main()
