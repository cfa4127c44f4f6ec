"""ONNX ops that no backend case proves: their outputs are random, or there is no case."""

import pathlib
import tempfile
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper

import lathe


def run(nodes, inputs, outputs):
    """A model of `nodes` on `inputs`; `outputs` are names of f32 values."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in inputs.items()]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "ops", values, results)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)]), path)
        return lathe.run(path, inputs)[0]


class OnnxOps(unittest.TestCase):
    def test_global_lp_pool(self):
        x = np.random.Generator(np.random.Philox(3)).normal(size=(2, 3, 5, 4)).astype(np.float32)
        nodes = [helper.make_node("GlobalLpPool", ["x"], [f"p{p}"], p=p) for p in (1, 2, 3)]
        found = run(nodes, {"x": x}, ["p1", "p2", "p3"])
        for p in (1, 2, 3):
            expected = (np.abs(x.astype(np.float64)) ** p).sum((2, 3), keepdims=True) ** (1 / p)
            lathe.assert_close(found[f"p{p}"], expected.astype(np.float32), rtol=1e-5, what=f"p = {p}")

    def test_random(self):
        """Range, mean and deviation of 65536 numbers, within five deviations of
        what an exact generator's mean would have; streams differ, runs do not."""
        chance = np.full((256, 256), 0.3, np.float32)
        nodes = [
            helper.make_node("RandomUniform", [], ["uniform"], shape=[256, 256], low=-1.0, high=3.0),
            helper.make_node("RandomUniformLike", ["chance"], ["uniform_like"], low=-1.0, high=3.0),
            helper.make_node("RandomNormal", [], ["normal"], shape=[256, 256], mean=1.0, scale=2.0),
            helper.make_node("RandomNormalLike", ["chance"], ["normal_like"], mean=1.0, scale=2.0),
            helper.make_node("Bernoulli", ["chance"], ["bernoulli"]),
        ]
        names = [node.output[0] for node in nodes]
        found, again = (run(nodes, {"chance": chance}, names) for _ in range(2))
        for name in names:
            values = found[name].astype(np.float64)
            mean, deviation = {"u": (1, 4 / 12**0.5), "n": (1, 2), "b": (0.3, 0.21**0.5)}[name[0]]
            self.assertEqual(values.shape, (256, 256))
            self.assertLess(abs(values.mean() - mean), 5 * deviation / 256, name)
            self.assertLess(abs(values.std() - deviation), 0.02 * deviation, name)
            np.testing.assert_array_equal(found[name], again[name])
        for name in ("uniform", "uniform_like"):
            self.assertTrue((found[name] >= -1).all() and (found[name] < 3).all(), name)
        self.assertEqual(set(np.unique(found["bernoulli"])), {0, 1})
        for one, other in (("uniform", "uniform_like"), ("normal", "normal_like")):
            self.assertLess(abs(np.corrcoef(found[one].ravel(), found[other].ravel())[0, 1]), 5 / 256)


if __name__ == "__main__":
    unittest.main()
