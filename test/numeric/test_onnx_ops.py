"""ONNX ops that no backend case proves: their outputs are random, or there is no case."""

import pathlib
import tempfile
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper

import lathe


TRAINING = "ai.onnx.preview.training"


def run(nodes, inputs, outputs):
    """A model of `nodes` on `inputs`; `outputs` are names of f32 values."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in inputs.items()]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "ops", values, results)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.onnx"
        opsets = [helper.make_opsetid("", 15), helper.make_opsetid(TRAINING, 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets), path)
        return lathe.run(path, inputs)[0]


class OnnxOps(unittest.TestCase):
    def test_global_lp_pool(self):
        x = np.random.Generator(np.random.Philox(3)).normal(size=(2, 3, 5, 4)).astype(np.float32)
        nodes = [helper.make_node("GlobalLpPool", ["x"], [f"p{p}"], p=p) for p in (1, 2, 3)]
        found = run(nodes, {"x": x}, ["p1", "p2", "p3"])
        for p in (1, 2, 3):
            expected = (np.abs(x.astype(np.float64)) ** p).sum((2, 3), keepdims=True) ** (1 / p)
            lathe.assert_close(found[f"p{p}"], expected.astype(np.float32), rtol=1e-5, what=f"p = {p}")

    def test_gradient(self):
        """y = sum((tanh(x w))^2 / 2) s: by x and w, which the node reads; by x where
        it is given other values of x and s; and by w of a derivative's square."""
        random = np.random.Generator(np.random.Philox(5))
        x, w, other = (random.normal(size=shape).astype(np.float32) for shape in ((3, 4), (4, 2), (3, 4)))
        s, factor = np.float32(0.75), np.float32(-2)

        def gradient(inputs, outputs, y, xs, zs=None):
            more = {"zs": zs} if zs else {}
            return helper.make_node("Gradient", inputs, outputs, domain=TRAINING, xs=xs, y=y, **more)

        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["p"]),
            helper.make_node("Tanh", ["p"], ["t"]),
            helper.make_node("Mul", ["t", "t"], ["t2"]),
            helper.make_node("ReduceSum", ["t2"], ["sum"], keepdims=0),
            helper.make_node("Mul", ["sum", "s"], ["y"]),
            gradient(["x", "w"], ["dx", "dw"], "y", ["x", "w"]),
            gradient(["other", "factor"], ["moved"], "y", ["x"], ["s"]),
            helper.make_node("Mul", ["dx", "dx"], ["dx2"]),
            helper.make_node("ReduceSum", ["dx2"], ["norm"], keepdims=0),
            gradient(["w"], ["second"], "norm", ["w"]),
        ]
        inputs = {"x": x, "w": w, "s": s, "other": other, "factor": factor}
        found = run(nodes, inputs, ["y", "dx", "dw", "moved", "second"])

        def by_x(x, w, s):
            t = np.tanh(x @ w)
            return s * 2 * t * (1 - t * t) @ w.T

        x, w, other = (array.astype(np.float64) for array in (x, w, other))
        t = np.tanh(x @ w)
        second, step = np.zeros_like(w), 1e-5
        for at in np.ndindex(w.shape):  # central differences
            moved = np.zeros_like(w)
            moved[at] = step
            second[at] = ((by_x(x, w + moved, s) ** 2).sum() - (by_x(x, w - moved, s) ** 2).sum()) / (2 * step)
        expected = {"y": s * (t * t).sum(), "dx": by_x(x, w, s), "dw": x.T @ (s * 2 * t * (1 - t * t)),
                    "moved": by_x(other, w, factor), "second": second}
        for name, value in expected.items():
            lathe.assert_close(found[name], np.asarray(value, np.float32), rtol=1e-4, atol=1e-5, what=name)

    def test_gradient_refuses(self):
        """Names that nothing computes, and constants, through which folding would cut."""
        def refuse(words, **attributes):
            nodes = [helper.make_node("Constant", [], ["c"], value_float=3.0), helper.make_node("Mul", ["x", "c"], ["y"]),
                     helper.make_node("Gradient", ["x"], ["d"], domain=TRAINING, **attributes)]
            with self.assertRaisesRegex(AssertionError, words):
                run(nodes, {"x": np.float32(2)}, ["d"])

        refuse("nothing in front of the node computes 'z'", xs=["x"], y="z")
        refuse("nothing in front of the node computes 'z'", xs=["z"], y="y")
        refuse("'c' is a constant, which is not supported", xs=["c"], y="y")
        refuse("expected an input for each name in xs and zs, got 1 for 2", xs=["x"], zs=["c"], y="y")

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
