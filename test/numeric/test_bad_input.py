"""Files and arguments that are wrong: a sentence and exit code 1, never a crash,
a hang or a half-written file."""

import concurrent.futures
import json
import os
import pathlib
import re
import resource
import signal
import struct
import subprocess
import tempfile
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import lathe

MODEL = """
lathe.parameter @weight : tensor<4x3xf32>
func.func @main(%x: tensor<2x4xf32> {lathe.name = "x"}) -> (tensor<2x3xf32> {lathe.name = "y"}) {
  %w = lathe.get_parameter @weight : tensor<4x3xf32>
  %y = lathe.matmul %x, %w : (tensor<2x4xf32>, tensor<4x3xf32>) -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}
"""


def onnx_model(nodes=None, external=None, dims=(4, 3), raw=None):
    """y = relu(x w) with w inside the file, or in the file EXTERNAL."""
    weight = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "w")
    if raw is not None:
        weight.raw_data = raw
    weight.dims[:] = dims
    if external is not None:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in external.items():
            weight.external_data.add(key=key, value=value)
    nodes = nodes or [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString()


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class BadInput(unittest.TestCase):
    SECONDS = 20

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.cache = str(self.folder / "cache")

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def array(self, name, array):
        np.save(self.folder / name, array)
        return self.folder / name

    def call(self, *words, limit=None):
        def set_limit():
            if limit is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.run(
            [str(word) for word in (lathe.LATHE, *words)], capture_output=True, text=True, errors="replace",
            timeout=60, env=os.environ | {"LATHE_CACHE_DIR": self.cache}, preexec_fn=set_limit)

    def assert_refused(self, *words, says="", **options):
        """Exit code 1 and a sentence that contains SAYS (any of several)."""
        done = self.call(*words, **options)
        self.assertEqual(done.returncode, 1, f"{done.stdout[-300:]}{done.stderr[-600:]}")
        self.assertRegex(done.stderr, "(?m)^lathe: error: ")
        said = [says] if isinstance(says, str) else says
        self.assertTrue(any(word in done.stderr for word in said), f"{said} expected in: {done.stderr[:600]}")
        self.assertNotIn("PLEASE submit a bug report", done.stderr)

    def survives(self, make, originals):
        """Every damaged file ends in exit code 0 or in a refusal."""
        def one(item):
            number, content = item
            path = self.file(f"damaged{number}{make.suffix}", content)
            done = self.call(*make(path))
            path.unlink()
            if done.returncode == 0:
                return None
            if done.returncode == 1 and re.search("^lathe: error: ", done.stderr, re.M):
                return None
            return f"number {number} ended with {done.returncode}: {done.stderr[-300:]}"

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            wrong = [answer for answer in pool.map(one, enumerate(originals)) if answer]
        self.assertEqual(wrong, [])

    @staticmethod
    def damaged(content, flips, cuts, seed):
        random = np.random.Generator(np.random.Philox(seed))
        for place in random.integers(0, len(content), flips):
            copy = bytearray(content)
            copy[place] ^= 1 << int(random.integers(8))
            yield bytes(copy)
        for length in random.integers(0, len(content), cuts):
            yield content[:length]

    # Files that are damaged anywhere.

    def test_damaged_onnx(self):
        def make(path):
            return "run", path, "--quiet"

        make.suffix = ".onnx"
        self.survives(make, self.damaged(onnx_model(), 150, 40, 1))

    def test_damaged_safetensors(self):
        model = self.file("model.mlir", MODEL)

        def make(path):
            return "run", model, "--weights", path, "--quiet"

        make.suffix = ".safetensors"
        whole = safetensors({"weight": {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]}}, bytes(48))
        self.assertEqual(self.call(*make(self.file("good.safetensors", whole))).returncode, 0)
        self.survives(make, self.damaged(whole, 100, 40, 2))

    def test_damaged_npy(self):
        model = self.file("model.onnx", onnx_model())

        def make(path):
            return "run", model, "--quiet", "--input", f"x={path}"

        make.suffix = ".npy"
        whole = self.array("whole.npy", np.ones((2, 4), np.float32)).read_bytes()
        self.assertEqual(self.call(*make(self.file("good.npy", whole))).returncode, 0)
        self.survives(make, self.damaged(whole, 100, 40, 3))

    def test_damaged_artifact(self):
        artifact = self.folder / "model.lathe"
        done = self.call("compile", self.file("model.onnx", onnx_model()), "-o", artifact)
        self.assertEqual(done.returncode, 0, done.stderr)
        whole = artifact.read_bytes()

        def make(path):
            return "info", path

        make.suffix = ".lathe"
        self.survives(make, self.damaged(whole, 60, 40, 4))
        self.assert_refused("run", self.file("half.lathe", whole[: len(whole) // 2]))

    # One mistake each.

    def test_not_a_model(self):
        for name, content in (
            ("empty.onnx", b""), ("noise.onnx", bytes(range(256)) * 9), ("text.mlir", "hello, world\n"),
            ("empty.lathe", b""), ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(50)), ("empty.mlir", ""),
        ):
            with self.subTest(name):
                self.assert_refused("run", self.file(name, content), says=name)
        self.assert_refused("run", self.folder / "missing.onnx", says="missing.onnx")
        self.assert_refused("run", self.folder, says=str(self.folder))

    def test_unknown_ops_are_all_named(self):
        nodes = [
            helper.make_node("Frobnicate", ["x"], ["a"], name="first"),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Twiddle", ["b"], ["y"], name="second", domain="com.example"),
        ]
        path = self.file("unknown.onnx", onnx_model(nodes))
        for name in ("Frobnicate", "Twiddle"):
            self.assert_refused("run", path, says=name)

    def test_unknown_op_in_mlir(self):
        self.assert_refused("run", self.file("a.mlir", MODEL.replace("lathe.matmul", "lathe.frobnicate")), says="frobnicate")

    def test_external_data_stays_in_its_folder(self):
        secret = self.file("secret.bin", np.arange(12, dtype=np.float32).tobytes())
        inside = self.folder / "inside"
        inside.mkdir()
        (inside / "link.bin").symlink_to(secret)
        (inside / "way").symlink_to(self.folder)
        for location in ("../secret.bin", str(secret), "link.bin", "way/secret.bin", "x/../../secret.bin", "", "nothing.bin", "."):
            with self.subTest(location):
                (inside / "model.onnx").write_bytes(onnx_model(external={"location": location}))
                self.assert_refused("run", inside / "model.onnx")
        (inside / "good.bin").write_bytes(secret.read_bytes())
        (inside / "model.onnx").write_bytes(onnx_model(external={"location": "good.bin"}))
        self.assertEqual(self.call("run", inside / "model.onnx").returncode, 0)
        for wrong in ({"offset": "40"}, {"offset": "-4"}, {"length": "4"}, {"offset": "9223372036854775807"}, {"length": "99999999999999"}):
            with self.subTest(wrong):
                (inside / "model.onnx").write_bytes(onnx_model(external={"location": "good.bin"} | wrong))
                self.assert_refused("run", inside / "model.onnx")

    def test_petabytes(self):
        huge = [1 << 28, 1 << 28]
        self.assert_refused("run", self.file("huge.onnx", onnx_model(dims=huge)))
        wraps = [1 << 32, 1 << 32, 1 << 2]
        self.assert_refused("run", self.file("wraps.onnx", onnx_model(dims=wraps, raw=b"")))
        self.assert_refused("run", self.file("huge.mlir", MODEL.replace("4x3xf32", "4x1000000000000000xf32").replace("2x3xf32", "2x1000000000000000xf32")))
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 1024), }".ljust(117) + b"\n"
        huge_npy = self.file("huge.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        self.assert_refused("run", self.file("m.onnx", onnx_model()), "--input", f"x={huge_npy}", says="huge.npy")
        fill = [
            helper.make_node("Constant", [], ["s"], value=numpy_helper.from_array(np.array(huge, np.int64))),
            helper.make_node("ConstantOfShape", ["s"], ["y"]),
        ]
        self.assert_refused("run", self.file("fill.onnx", onnx_model(fill)))

    def test_safetensors_rules(self):
        model = self.file("model.mlir", MODEL)
        good = {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]}
        cases = {
            "shape and size disagree": safetensors({"weight": good | {"data_offsets": [0, 44]}}, bytes(44)),
            "wrong shape for the model": safetensors({"weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}}, bytes(48)),
            "wrong type for the model": safetensors({"weight": {"dtype": "F64", "shape": [4, 3], "data_offsets": [0, 96]}}, bytes(96)),
            "overlap": safetensors({"weight": good, "b": {"dtype": "F32", "shape": [1], "data_offsets": [44, 48]}}, bytes(48)),
            "hole": safetensors({"weight": good, "b": {"dtype": "F32", "shape": [1], "data_offsets": [52, 56]}}, bytes(56)),
            "data left over": safetensors({"weight": good}, bytes(49)),
            "data missing": safetensors({"weight": good}, bytes(40)),
            "duplicate key": safetensors(b'{"weight":%s,"weight":%s}' % ((json.dumps(good).encode(),) * 2), bytes(48)),
            "header of petabytes": struct.pack("<Q", 1 << 50) + b"{}",
            "no header": b"\x01\x02",
            "not JSON": safetensors(b"weight: 4x3"),
            "another name": safetensors({"bias": good}, bytes(48)),
            "a negative offset": safetensors({"weight": good | {"data_offsets": [-48, 0]}}, bytes(48)),
            "shape overflows": safetensors({"weight": good | {"shape": [1 << 62, 1 << 62]}}, bytes(48)),
        }
        for name, content in cases.items():
            with self.subTest(name):
                path = self.file("w.safetensors", content)
                self.assert_refused("run", model, "--weights", path, says=("w.safetensors", "weight"))

    def test_weights_are_missing(self):
        model = self.file("model.mlir", MODEL)
        self.assert_refused("run", model, says="weight")
        self.assert_refused("run", model, "--weights", self.folder / "none.safetensors", says="none.safetensors")

    def test_wrong_inputs(self):
        model = self.file("model.onnx", onnx_model())
        for array in (np.ones((2, 5), np.float32), np.ones(8, np.float32), np.ones((2, 4), np.float64), np.ones((2, 4), np.int64), np.ones((0, 4), np.float32)):
            with self.subTest(array.dtype.name + str(array.shape)):
                self.assert_refused("run", model, "--input", f"x={self.array('x.npy', array)}", says="x")
        self.assert_refused("run", model, "--input", f"z={self.array('x.npy', np.ones((2, 4), np.float32))}", says="z")
        self.assert_refused("run", model, "--input", "x=nowhere.npy", says="nowhere.npy")
        self.assert_refused("run", model, "--dim", "nosuch=4", says="nosuch")
        objects = self.array("objects.npy", np.array([{"a": 1}], object))
        self.assert_refused("run", model, "--input", f"x={objects}", says="objects.npy")

    def test_an_expectation_that_is_wrong(self):
        model = self.file("model.onnx", onnx_model())
        x = self.array("x.npy", np.ones((2, 4), np.float32))
        right = self.array("right.npy", np.array([[18, 22, 26]] * 2, np.float32))
        wrong = self.array("wrong.npy", np.array([[18, 22, 26.1]] * 2, np.float32))
        self.assertEqual(self.call("run", model, "--input", f"x={x}", "--expect", f"y={right}").returncode, 0)
        self.assert_refused("run", model, "--input", f"x={x}", "--expect", f"y={wrong}", says="y")

    def test_full_disk(self):
        model = self.file("model.onnx", onnx_model())
        target = self.folder / "out" / "model.lathe"
        target.parent.mkdir()
        self.assert_refused("compile", model, "-o", target, "--no-cache", limit=100)
        self.assertEqual(list(target.parent.iterdir()), [])
        self.assert_refused("run", model, "--output-dir", self.folder / "arrays", "--no-cache", limit=100)
        self.assertEqual(list((self.folder / "arrays").iterdir()), [])
        self.assert_refused("compile", model, "-o", self.folder / "nowhere" / "model.lathe", says="nowhere")

    def test_full_disk_spares_the_old_file(self):
        model = self.file("model.onnx", onnx_model())
        target = self.file("model.lathe", "the old content")
        self.assert_refused("compile", model, "-o", target, "--no-cache", limit=100)
        self.assertEqual(target.read_text(), "the old content")

    def test_cache_that_cannot_be_written(self):
        model = self.file("model.onnx", onnx_model())
        self.cache = str(self.file("cache", "in the way"))
        self.assertEqual(self.call("run", model).returncode, 0)

    def test_damaged_cache(self):
        model = self.file("model.onnx", onnx_model())
        self.assertEqual(self.call("run", model).returncode, 0)
        entries = [path for path in pathlib.Path(self.cache).rglob("*") if path.is_file()]
        self.assertTrue(entries)
        for path in entries:
            path.write_bytes(path.read_bytes()[:100])
        self.assertEqual(self.call("run", model).returncode, 0)


if __name__ == "__main__":
    unittest.main()
