"""The nine light CNNs of the onnx package against their recorded outputs."""

import unittest

import numpy as np
import onnx
from onnx import numpy_helper

import lathe
import real_models as real

NAMES = (
    "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50",
    "shufflenet", "squeezenet", "vgg19", "zfnet512",
)


class LightCnns(unittest.TestCase):
    pass


def case(name):
    def test(self):
        path = real.packaged(f"onnx/backend/test/data/light/light_{name}.onnx")
        model = onnx.load(path)
        known = {init.name for init in model.graph.initializer}
        (value,) = (value for value in model.graph.input if value.name not in known)
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        # The input that the recorded outputs belong to.
        count = np.prod(shape)
        image = (np.arange(count).reshape(shape) / count).astype(np.float32)
        recorded = onnx.TensorProto()
        recorded.ParseFromString(path.with_name(path.stem + "_output_0.pb").read_bytes())
        outputs, _ = lathe.run(path, {value.name: image}, threads=2)
        (found,) = outputs.values()
        lathe.assert_close(found, numpy_helper.to_array(recorded), rtol=1e-3, atol=1e-7)

    return test


for name in NAMES:
    setattr(LightCnns, f"test_{name}", case(name))


if __name__ == "__main__":
    unittest.main()
