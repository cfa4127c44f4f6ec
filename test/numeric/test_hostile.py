"""What is wrong on purpose ends in a sentence and exit code 1: models that ask for
petabytes, loop for ever, nest without end or name files elsewhere, disks that are
full. Files damaged by chance are in test_bad_input.py."""

import json
import os
import pathlib
import resource
import struct
import subprocess
import tempfile
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import cli

PETA = 1 << 50
MLP = """
lathe.parameter @w : tensor<16x8xf32>
func.func @main(%x: tensor<?x8xf32> {lathe.name = "x", lathe.dims = ["batch", ""]}) -> (tensor<?x16xf32> {lathe.name = "y"}) {
  %w = lathe.get_parameter @w : tensor<16x8xf32>
  %0 = lathe.linear %x, %w : (tensor<?x8xf32>, tensor<16x8xf32>) -> tensor<?x16xf32>
  %1 = lathe.relu %0 : (tensor<?x16xf32>) -> tensor<?x16xf32>
  return %1 : tensor<?x16xf32>
}
"""


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def weight(dtype="F32", shape=(16, 8), size=512):
    return {"w": {"dtype": dtype, "shape": list(shape), "data_offsets": [0, size]}}


def npy(shape, descr="<f4", data=bytes(32)):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def onnx_model(op="Relu", weights=(), **attributes):
    """x [2, 32] and the weights into one node."""
    names = ["x"] + [w.name for w in weights]
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], name="node", **attributes)], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def external(location, offset=None, length=None):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[32, 16], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return onnx_model("MatMul", [tensor]).SerializeToString()


def damaged(data, positions, seed):
    """`data` cut short at `positions`, then with a bit flipped there."""
    random = np.random.Generator(np.random.Philox(seed))
    for at in positions:
        yield f"cut at {at}", data[:at]
    for at in positions:
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(random.integers(8))
        yield f"bit flipped at {at}", bytes(flipped)


def spread(size, count):
    """About `count` positions: the beginning densely, then evenly."""
    return sorted({*range(min(size, count // 2)), *np.linspace(0, size - 1, count // 2, dtype=int).tolist()})


class Weights(cli.CommandLine):
    def setUp(self):
        super().setUp()
        self.write("m.mlir", MLP)

    def test_missing_and_wrong(self):
        self.refused("1 parameters? without values, such as 'w'", "run", "m.mlir")
        self.refused("cannot open 'nowhere.safetensors'", "run", "m.mlir", "--weights", "nowhere.safetensors")
        self.refused("holds no .safetensors file", "run", "m.mlir", "--weights", ".")
        self.refused("not a safetensors file", "run", "m.mlir", "--weights", "m.mlir")
        for words, content in (
            (r"'w' is f32\[16,9\] in the file, expected f32\[16,8\]", safetensors(weight(shape=(16, 9), size=576), bytes(576))),
            (r"'w' is f16\[16,8\] in the file, expected f32\[16,8\]", safetensors(weight("F16", size=256), bytes(256))),
            (r"'w' is missing \(did you mean 'ww'\?\)", safetensors({"ww": weight()["w"]}, bytes(512))),
            (r"outside the 64 data bytes", safetensors(weight(shape=[PETA], size=4 * PETA), bytes(64))),
            (r"exceeds the format's limit", struct.pack("<Q", PETA) + bytes(100)),
            (r"w\.safetensors", b""),
        ):
            self.write("w.safetensors", content)
            self.refused(words, "run", "m.mlir", "--weights", "w.safetensors")



class Inputs(cli.CommandLine):
    EMBEDDING = """
    func.func @main(%t: tensor<10x4xf32> {lathe.name = "table"}, %i: tensor<?xi64> {lathe.name = "ids", lathe.dims = ["n"]})
        -> (tensor<?x4xf32> {lathe.name = "y"}) {
      %0 = lathe.embedding %t, %i : (tensor<10x4xf32>, tensor<?xi64>) -> tensor<?x4xf32>
      return %0 : tensor<?x4xf32>
    }"""

    def setUp(self):
        super().setUp()
        self.write("m.mlir", self.EMBEDDING)

    def save(self, name, array):
        np.save(self.folder / name, array)
        return f"ids={name}"

    def test_wrong_type_shape_and_file(self):
        for words, array in (
            (r"input 'ids' is f32\[3\], expected i64\[n\]", np.zeros(3, np.float32)),
            (r"input 'ids' is i32\[3\], expected i64\[n\]", np.zeros(3, np.int32)),
            (r"input 'ids' is i64\[3,1\], expected i64\[n\]", np.zeros((3, 1), np.int64)),
            (r"element type '<c8' is not supported", np.zeros(3, np.complex64)),
            (r"element type '<U1' is not supported", np.array(["a"])),
            (r"element type '>i8' is not supported", np.zeros(3, ">i8")),
        ):
            self.refused(words, "run", "m.mlir", "--input", self.save("a.npy", array))
        for words, content in (
            (f"takes {8 * PETA} bytes, but the file holds 32", npy(f"({PETA},)", "<i8")),
            ("too large for any memory", npy(f"({1 << 62}, {1 << 62})", "<i8")),
            ("expected a tuple of extents", npy("(-3,)", "<i8")),
            ("expected a tuple of extents", npy(f"({10**30},)", "<i8")),
            ("a.npy", b""),
            ("a.npy", b"\x89PNG\r\n\x1a\n" + bytes(100)),
        ):
            self.write("a.npy", content)
            self.refused(words, "run", "m.mlir", "--input", "ids=a.npy")
        self.refused("a.npy", "run", "m.mlir", "--input", "ids=nowhere/a.npy")
        os.mkdir(self.folder / "folder.npy")
        self.refused("folder.npy", "run", "m.mlir", "--input", "ids=folder.npy")

    def test_options(self):
        good = self.save("a.npy", np.zeros(3, np.int64))
        for words, *options in (
            ("has no input 'idz'; it has 'table', 'ids'", "--input", "idz=zeros"),
            ("input 'ids' is given twice", "--input", good, "--input", "ids=zeros"),
            ("expects name=file.npy", "--input", "ids"),
            ("no open size 'm'; it has 'n'", "--dim", "m=3"),
            ("expects name=N", "--dim", "n=-1"),
            ("expects name=N", "--dim", "n=99999999999999999999"),
            (f"not enough memory|too large", "--dim", f"n={PETA}"),
            ("too large for any memory", "--dim", f"n={1 << 62}"),
            ("LOW < HIGH", "--input", "ids=random:3:1"),
            ("which is no output", "--input", good, "--expect", "z=a.npy"),
            ("--expect expects name=file.npy", "--input", good, "--expect", "y"),
            ("cannot open 'nowhere.npy'", "--input", good, "--expect", "y=nowhere.npy"),
            (r"differ|is i64\[3\]|expected", "--input", good, "--expect", "y=a.npy"),
        ):
            with self.subTest(options=options):
                self.refused(words, "run", "m.mlir", *options)
        self.works("run", "m.mlir", "--input", good, "--threads", "100000")
        self.works("run", "m.mlir", "--dim", "n=0")

    def test_index_out_of_range(self):
        for index in (10, -11, 1 << 40, -(1 << 63)):
            self.refused(f"embedding.*found {index}, expected -10 to 9", "run", "m.mlir", "--input",
                         self.save("a.npy", np.array([1, index])))
        self.works("run", "m.mlir", "--input", self.save("a.npy", np.array([-10, 9])))

    def test_damaged(self):
        self.works("compile", "m.mlir", "--dim", "n=4", "-o", "m.lathe")
        np.savez_compressed(self.folder / "a.npz", ids=np.arange(4), table=np.ones((10, 4), np.float32))
        good = (self.folder / "a.npz").read_bytes()
        for what, content in damaged(good, spread(len(good), 40), 2):
            with self.subTest(what):
                self.write("a.npz", content)
                done = self.lathe("run", "m.lathe", "--input", "a.npz", "--quiet")
                if what.startswith("cut"):
                    self.assertEqual(done.returncode, 1, done.said)


class Onnx(cli.CommandLine):
    def test_hostile(self):
        huge = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[PETA, 16], raw_data=bytes(4096))
        overflow = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40, 1 << 40], raw_data=bytes(4096))
        negative = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-32, 16], raw_data=bytes(2048))
        for words, model in (
            (f"need {64 * PETA} bytes, the file has 4096", onnx_model("MatMul", [huge])),
            ("more elements than memory can hold", onnx_model("MatMul", [overflow])),
            ("w", onnx_model("MatMul", [negative])),
            ("Frobnicate 'node': the op is not supported", onnx_model("Frobnicate")),
        ):
            self.write("m.onnx", model.SerializeToString())
            self.refused(words, "run", "m.onnx")
        shape = [numpy_helper.from_array(np.array([PETA, 2, 32], np.int64), "w")]
        self.write("m.onnx", onnx_model("Expand", shape).SerializeToString())
        self.refused("not enough memory|too large", "run", "m.onnx")
        self.write("m.onnx", onnx_model("Reshape", [numpy_helper.from_array(np.array([5, 7], np.int64), "w")]).SerializeToString())
        self.refused("Reshape", "run", "m.onnx")

    def test_shape_of_gigantic_rank(self):
        graph = helper.make_graph(
            [helper.make_node("Reshape", ["x", "s"], ["y"])], "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, []), helper.make_tensor_value_info("s", TensorProto.INT64, [1 << 31])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
        self.write("m.onnx", helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
        self.refused("expected at most 1024 sizes", "info", "m.onnx")

    def one_node(self, op, x, opset=17, elements=TensorProto.FLOAT, outputs=("y",), **attributes):
        graph = helper.make_graph(
            [helper.make_node(op, ["x"], outputs, **attributes)], "g", [helper.make_tensor_value_info("x", elements, x)],
            [helper.make_tensor_value_info(name, elements, None) for name in outputs])
        self.write("m.onnx", helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString())

    def test_windows_and_blocks_beyond_all_bounds(self):
        for size in (1 << 62, 1 << 33):
            self.one_node("LRN", [1, 4, 8, 8], size=size)
            self.refused("expected|scratch bytes|not enough memory|do not fit", "run", "m.onnx")
        # With channels last, of a window over them only what covers the image counts.
        self.one_node("LRN", [1, 4, 8, 8], size=1 << 30)
        self.works("run", "m.onnx")
        for op, rank in (("AveragePool", 2), ("MaxPool", 2), ("AveragePool", 3), ("LpPool", 3)):
            for size in (1 << 62, 1 << 30):
                self.one_node(op, [1, 1] + [8] * rank, kernel_shape=[size] * rank, pads=[size - 1] * 2 * rank)
                self.refused("expected|scratch bytes|not enough memory|do not fit", "run", "m.onnx")
        for op in ("DepthToSpace", "SpaceToDepth"):
            for size in (1 << 33, 1 << 62, -1, 0):
                self.one_node(op, [1, 4, 8, 8], blocksize=size)
                self.refused(f"{op}.*the block's size", "run", "m.onnx")
            self.one_node(op, [4], blocksize=2)
            self.refused(f"{op}.*an image", "run", "m.onnx")

    def test_split_beyond_the_dim(self):
        for sizes in ([-4, 12], [1 << 62, 1 << 62], [4, 3], [4, 5]):
            self.one_node("Split", [8, 2], opset=11, outputs=("y", "z"), axis=0, split=sizes)
            self.refused("Split.*expected sizes", "run", "m.onnx")
        self.one_node("Split", [8, 2], opset=11, outputs=("y", "z"), axis=0, split=[8, 0])
        self.works("run", "m.onnx")

    def test_a_name_that_is_written_twice(self):
        for first, second in ((["y"], ["y"]), (["x"], ["y"]), (["w"], ["y"])):
            nodes = [helper.make_node("Relu", ["x"], first, name="first"), helper.make_node("Neg", ["x"], second, name="second")]
            graph = helper.make_graph(
                nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                [numpy_helper.from_array(np.ones(4, np.float32), "w")])
            self.write("m.onnx", helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
            self.refused("computes '[yxw]', which is there already", "run", "m.onnx")
        self.one_node("Split", [8, 2], opset=11, outputs=("y", "y"), axis=0, split=[4, 4])
        self.refused("computes 'y', which is there already", "run", "m.onnx")

    def test_functions_that_double(self):
        """28 functions, each of which calls the next twice."""
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
        functions = [
            helper.make_function("f", f"f{i}", ["a"], ["c"], [
                helper.make_node(f"f{i + 1}" if i < 27 else "Relu", [a], [b], domain="f" if i < 27 else "")
                for a, b in (("a", "b"), ("b", "c"))], opsets)
            for i in range(28)]
        graph = helper.make_graph(
            [helper.make_node("f0", ["x"], ["y"], domain="f")], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
        self.write("m.onnx", helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8).SerializeToString())
        self.refused("more than 262144 nodes", "info", "m.onnx")

    def test_recurrence_in_countless_directions(self):
        sizes = {"x": [3, 1, 2], "w": [1 << 40, 16, 2], "r": [1, 16, 4]}
        graph = helper.make_graph(
            [helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4)], "g",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in sizes.items()],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
        self.write("m.onnx", helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
        self.refused("LSTM.*do not fit its direction", "info", "m.onnx")

    def test_external_data_stays_in_its_folder(self):
        inside = self.folder / "model"
        inside.mkdir()
        secret = self.write("secret.bin", np.ones(512, np.float32).tobytes())
        (inside / "w.bin").write_bytes(np.ones(512, np.float32).tobytes())
        (inside / "link.bin").symlink_to(secret)
        (inside / "up").symlink_to(self.folder)
        for location in ("../secret.bin", "a/../../secret.bin", str(secret), "link.bin", "up/secret.bin", "", "/dev/zero", "nowhere.bin", "."):
            with self.subTest(location):
                self.write("model/m.onnx", external(location))
                self.refused("external data", "run", "model/m.onnx")
        for offset, length in ((PETA, 2048), (0, PETA), (1, 2048), (-1, 2048), ("many", None), (0, 4)):
            with self.subTest(offset=offset, length=length):
                self.write("model/m.onnx", external("w.bin", offset, length))
                self.refused("external data|initializer", "run", "model/m.onnx")
        self.write("model/m.onnx", external("w.bin", 0, 2048))
        self.works("run", "model/m.onnx", "--input", "x=ones")


class Models(cli.CommandLine):
    def test_no_model(self):
        png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256))
        for name, content in (
            ("noise", np.random.Generator(np.random.Philox(4)).bytes(5000)), ("empty", b""), ("picture", png),
            ("text", b"Dear reader, this is no model.\n"), ("nul", bytes(1000)), ("page", b"<html><body>404</body></html>"),
        ):
            for suffix in (".mlir", ".onnx", ".lathe", ".png", ""):
                self.write(name + suffix, content)
                for verb in ("run", "info") if suffix in (".mlir", ".onnx") else ("run",):
                    with self.subTest(name + suffix, verb=verb):
                        self.refused(name, verb, name + suffix)
        os.mkdir(self.folder / "folder.onnx")
        for verb in ("run", "compile", "info", "import", "bench"):
            self.refused("folder.onnx", verb, "folder.onnx")
            self.refused("nowhere.mlir", verb, "nowhere.mlir")
            self.refused("nowhere.onnx", verb, "nowhere.onnx")

    def test_no_file(self):
        """Devices are endless, and nobody may ever write into a pipe."""
        os.symlink("/dev/zero", self.folder / "zero.onnx")
        os.symlink("/dev/zero", self.folder / "zero.mlir")
        os.mkfifo(self.folder / "pipe")
        os.mkfifo(self.folder / "pipe.onnx")
        for name in ("/dev/zero", "zero.onnx", "zero.mlir", "pipe", "pipe.onnx"):
            for verb in ("run", "compile", "info", "import", "bench"):
                self.refused("is a device or a pipe, expected a file", verb, name, seconds=10)
            self.refused("is a device or a pipe, expected a file", "compile", name, "--emit", "lathe", seconds=10)
        done = subprocess.run(["bash", "-c", f"cat m.mlir | {cli.LATHE} run /dev/stdin"], cwd=self.folder, capture_output=True, text=True)
        self.assertIn("is a device or a pipe, expected a file", done.stderr)
        os.mkfifo(self.folder / "w.bin")
        self.write("m.onnx", external("w.bin"))
        self.refused("w.bin.*is a device or a pipe", "run", "m.onnx", seconds=10)

    def test_cut_and_changed_text(self):
        random = np.random.Generator(np.random.Philox(5))
        for at in range(0, len(MLP), 9):
            for text in (MLP[:at], MLP[:at] + "%(>-}9"[int(random.integers(6))] + MLP[at + 1 :]):
                self.write("m.mlir", text)
                self.lathe("info", "m.mlir")

    def function(self, body, inputs="%x: tensor<4xf32>", results="tensor<4xf32>"):
        self.write("m.mlir", f"func.func @main({inputs}) -> ({results}) {{\n{body}\n}}\n")

    def test_refused_text(self):
        relu = "%0 = lathe.relu %x : (tensor<4xf32>) -> tensor<4xf32>"
        for words, text in (
            ("lathe.frobnicate' is unknown", "func.func @main(%x: tensor<4xf32>) { %0 = lathe.frobnicate %x : (tensor<4xf32>) -> tensor<4xf32>\n return }"),
            ("unregistered dialect", 'func.func @main(%x: tensor<4xf32>) { %0 = "tosa.abs"(%x) : (tensor<4xf32>) -> tensor<4xf32>\n return }'),
            ("outside of a kernel", "func.func @main() -> tensor<4xf32> { %0 = tensor.empty() : tensor<4xf32>\n return %0 : tensor<4xf32> }"),
            ("no public function", "lathe.parameter @w : tensor<4xf32>"),
            ("entry function of one block", "func.func private @main(tensor<4xf32>)"),
            ("several public functions", "func.func @a() { return }\nfunc.func @b() { return }"),
            ("recursion", "func.func @main(%x: tensor<f32>) -> tensor<f32> { %0 = call @main(%x) : (tensor<f32>) -> tensor<f32>\n return %0 : tensor<f32> }"),
            ("must be a ranked tensor", "func.func @main(%x: tensor<*xf32>) { return }"),
            ("must be a ranked tensor", "func.func @main(%x: memref<4xf32>) { return }"),
            ("must be a ranked tensor", "func.func @main(%x: tensor<4xf32>) -> i32 { %0 = arith.constant 1 : i32\n return %0 : i32 }"),
            ("cannot be stored", "func.func @main(%x: tensor<4xi7>) { return }"),
            ("two inputs called", 'func.func @main(%x: tensor<f32> {lathe.name = "a"}, %y: tensor<f32> {lathe.name = "a"}) { return }'),
            ("two outputs called", 'func.func @main(%x: tensor<f32>) -> (tensor<f32> {lathe.name = "a"}, tensor<f32> {lathe.name = "a"}) { return %x, %x : tensor<f32>, tensor<f32> }'),
            ("expected sizes of -1 or more", "func.func @main(%x: tensor<4xf32>) -> tensor<?xf32> { %0 = lathe.reshape %x {shape = array<i64: -7>} : (tensor<4xf32>) -> tensor<?xf32>\n return %0 : tensor<?xf32> }"),
            ("2\\^63", f"lathe.parameter @w : tensor<{1 << 62}x16xf32> {{init = #lathe.init<zeros>}}\nfunc.func @main() {{ return }}"),
            ("nests brackets more than", "module {" * 20000 + "}" * 20000),
            ("nests brackets more than", "module attributes {a = " + "[" * 100000 + "]" * 100000 + "} {}"),
            ("nests brackets more than", "func.func @main(%x: " + "tuple<" * 50000 + "f32" + ">" * 50000 + ") { return }"),
        ):
            with self.subTest(text[:200]):
                self.write("m.mlir", text)
                self.refused(words, "run", "m.mlir")

    def test_memory(self):
        """Petabytes as the size of an input, a weight, a value in between, a constant, a result."""
        huge = f"tensor<{PETA}xf32>"
        for inputs, body, results in (
            (f"%x: {huge}", f"%0 = lathe.relu %x : ({huge}) -> {huge}\nreturn %0 : {huge}", huge),
            (f"%x: tensor<{1 << 62}x{1 << 62}xf32>", "return", ""),
            ("", f"%0 = lathe.constant dense<1.0> : {huge}\nreturn %0 : {huge}", huge),
            ("%x: tensor<f32>", f"%0 = lathe.broadcast %x {{shape = array<i64: {PETA}>}} : (tensor<f32>) -> {huge}\nreturn %0 : {huge}", huge),
            ("%x: tensor<4194304x1xf32>, %y: tensor<1x4194304xf32>",
             "%0 = lathe.matmul %x, %y : (tensor<4194304x1xf32>, tensor<1x4194304xf32>) -> tensor<4194304x4194304xf32>\n"
             "%1 = lathe.matmul %0, %x : (tensor<4194304x4194304xf32>, tensor<4194304x1xf32>) -> tensor<4194304x1xf32>\n"
             "return %1 : tensor<4194304x1xf32>", "tensor<4194304x1xf32>"),
        ):
            with self.subTest(body):
                self.function(body, inputs, results)
                self.refused("not enough memory|too large", "run", "m.mlir")
        self.write("m.mlir", f"lathe.parameter @w : {huge} {{init = #lathe.init<ones>}}\nfunc.func @main() -> tensor<f32> {{\n"
                   f"%w = lathe.get_parameter @w : {huge}\n%0 = lathe.reduce_max %w {{axes = array<i64: 0>}} : ({huge}) -> tensor<f32>\nreturn %0 : tensor<f32> }}")
        self.refused("not enough memory", "run", "m.mlir")

    def test_endless_loops(self):
        self.function("""
          %yes = lathe.constant dense<true> : tensor<i1>
          %r = lathe.while (%a = %x) : (tensor<4xf32>) -> tensor<4xf32> {
            lathe.yield %yes : tensor<i1>
          } do {
          ^bb0(%b: tensor<4xf32>):
            lathe.yield %b : tensor<4xf32>
          }
          return %r : tensor<4xf32>""")
        self.refused("given up after", "run", "m.mlir", seconds=100)
        self.function(f"""
          %r = lathe.scan init(%h = %x) {{trip_count = {PETA} : i64}} : (tensor<4xf32>) -> tensor<4xf32> {{
            %0 = lathe.neg %h : (tensor<4xf32>) -> tensor<4xf32>
            lathe.yield %0 : tensor<4xf32>
          }}
          return %r : tensor<4xf32>""")
        self.refused("loop of 1125899906842624 iterations", "run", "m.mlir")

    def test_a_loop_says_how_far_it_is(self):
        t = "tensor<400x400xf32>"
        self.function(f"""
          %yes = lathe.constant dense<true> : tensor<i1>
          %r = lathe.while (%a = %x) : ({t}) -> {t} {{
            lathe.yield %yes : tensor<i1>
          }} do {{
          ^bb0(%b: {t}):
            %0 = lathe.matmul %b, %x : ({t}, {t}) -> {t}
            lathe.yield %0 : {t}
          }}
          return %r : {t}""", f"%x: {t}", t)
        with self.assertRaises(subprocess.TimeoutExpired) as stopped:
            subprocess.run([cli.LATHE, "run", "m.mlir"], cwd=self.folder, capture_output=True, timeout=5,
                           env=os.environ | {"LATHE_CACHE_DIR": self.cache})
        self.assertRegex(stopped.exception.stderr.decode(), r"lathe.while at .m.mlir.:4:\d+, iterations: [1-9]\d*, 2 s")
        self.refused("lathe.while at .m.mlir.:4:.* is given up after 10 iterations", "run", "m.mlir", "--max-loop-iterations", "10")

    def test_windows_beyond_all_bounds(self):
        for size in (1 << 62, 1 << 31, 1 << 30):
            for op in ("avg_pool", "max_pool"):
                self.function(f"""
                  %0 = lathe.{op} %x {{kernel = array<i64: {size}, {size}>, pad_low = array<i64: {size - 1}, {size - 1}>,
                                        pad_high = array<i64: {size}, {size}>}} : (tensor<1x1x8x8xf32>) -> tensor<1x1x?x?xf32>
                  return %0 : tensor<1x1x?x?xf32>""", "%x: tensor<1x1x8x8xf32>", "tensor<1x1x?x?xf32>")
                self.refused("expected|scratch bytes|not enough memory", "run", "m.mlir")

    def test_deep_branches(self):
        """Each condition is a new one, so that nothing folds."""
        for depth in (20, 60, 200):
            inputs = ", ".join(f"%c{i}: tensor<i1>" for i in range(depth))
            text = f"func.func @main({inputs}, %x: tensor<f32>) -> tensor<f32> {{\n"
            for i in range(depth):
                text += f"%r{i} = lathe.if %c{i} : (tensor<i1>) -> tensor<f32> {{\n"
            text += "lathe.yield %x : tensor<f32>\n"
            for i in reversed(range(depth)):
                text += "} else {\n%z = lathe.neg %x : (tensor<f32>) -> tensor<f32>\nlathe.yield %z : tensor<f32>\n}\n"
                text += f"lathe.yield %r{i} : tensor<f32>\n" if i else f"return %r{i} : tensor<f32>\n}}\n"
            self.write("m.mlir", text)
            with self.subTest(depth):
                done = self.lathe("run", "m.mlir", "--input", "c0=ones")
                if depth == 20:
                    self.works("run", "m.mlir")

    def test_edge_sizes(self):
        """No elements, no dims, no inner dim: numbers, as NumPy has them."""
        out = lambda i: np.load(self.folder / "out" / f"output{i}.npy")
        self.function("""
          %0 = lathe.reduce_sum %x {axes = array<i64: 0>} : (tensor<0x4xf32>) -> tensor<4xf32>
          %1 = lathe.softmax %x {axis = 1 : i64} : (tensor<0x4xf32>) -> tensor<0x4xf32>
          %2 = lathe.reduce_max %x {axes = array<i64: 0, 1>} : (tensor<0x4xf32>) -> tensor<f32>
          %3 = lathe.matmul %a, %b : (tensor<3x0xf32>, tensor<0x5xf32>) -> tensor<3x5xf32>
          %4 = lathe.exp %s : (tensor<f32>) -> tensor<f32>
          return %0, %1, %2, %3, %4 : tensor<4xf32>, tensor<0x4xf32>, tensor<f32>, tensor<3x5xf32>, tensor<f32>""",
          "%x: tensor<0x4xf32>, %a: tensor<3x0xf32>, %b: tensor<0x5xf32>, %s: tensor<f32>",
          "tensor<4xf32>, tensor<0x4xf32>, tensor<f32>, tensor<3x5xf32>, tensor<f32>")
        self.works("run", "m.mlir", "--input", "input3=ones", "--output-dir", "out")
        np.testing.assert_array_equal(out(0), np.zeros(4))
        self.assertEqual(out(1).shape, (0, 4))
        self.assertEqual(out(2), -np.inf)
        np.testing.assert_array_equal(out(3), np.zeros((3, 5)))
        np.testing.assert_allclose(out(4), np.e, rtol=1e-6)

    def test_integer_division_by_zero(self):
        t = "tensor<4xi32>"
        self.function("\n".join(f"%{i} = lathe.{op} %x, %y : ({t}, {t}) -> {t}" for i, op in enumerate(("div", "mod", "rem")))
                      + f"\nreturn %0, %1, %2 : {t}, {t}, {t}", f"%x: {t}, %y: {t}", f"{t}, {t}, {t}")
        x, y = np.array([7, -(2**31), -7, 5], np.int32), np.array([0, -1, 2, 0], np.int32)
        np.save(self.folder / "x.npy", x)
        np.save(self.folder / "y.npy", y)
        self.works("run", "m.mlir", "--input", "input0=x.npy", "--input", "input1=y.npy", "--output-dir", "out")
        out = [np.load(self.folder / "out" / f"output{i}.npy").tolist() for i in range(3)]
        self.assertEqual(out, [[0, -(2**31), -3, 0], [0, 0, 1, 0], [0, 0, -1, 0]])

    def test_names_do_not_lead_out_of_the_folder(self):
        self.write("m.mlir", 'func.func @main(%x: tensor<f32>) -> (tensor<f32> {lathe.name = "../../y"}, tensor<f32> {lathe.name = ".."}) { return %x, %x : tensor<f32>, tensor<f32> }')
        self.works("run", "m.mlir", "--output-dir", "a/out")
        self.assertEqual(len(list((self.folder / "a" / "out").iterdir())), 2)
        self.assertEqual([path.name for path in (self.folder / "a").iterdir()], ["out"])


class Artifacts(cli.CommandLine):
    def setUp(self):
        super().setUp()
        self.write("m.mlir", MLP.replace("tensor<16x8xf32>\nfunc", "tensor<16x8xf32> {init = #lathe.init<normal, 0.0, 1.0>}\nfunc"))

    def test_damaged(self):
        self.works("compile", "m.mlir", "-o", "m.lathe")
        good = (self.folder / "m.lathe").read_bytes()
        for what, data in damaged(good, spread(len(good), 30), 6):
            with self.subTest(what):
                self.write("bad.lathe", data)
                self.refused("bad.lathe", "run", "bad.lathe")

    def small_disk(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="lathe-disk-"))
        self.addCleanup(os.rmdir, folder)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", folder], capture_output=True)
        if mounted.returncode:
            return None
        self.addCleanup(subprocess.run, ["umount", folder], check=True)
        (folder / "full").write_bytes(bytes(8192))
        return folder

    COMMANDS = (("compile", "m.mlir", "-o", "DISK/m.lathe"), ("compile", "m.mlir", "--emit", "llvm", "-o", "DISK/m.ll"),
                ("run", "m.mlir", "--dim", "batch=100", "--output-dir", "DISK"), ("run", "m.mlir", "--repeat", "900", "--json", "DISK/j.json"))

    def test_full_disk(self):
        disk = self.small_disk()
        if not disk:
            self.skipTest("a small file system cannot be mounted here")
        for command in self.COMMANDS:
            with self.subTest(command):
                self.refused("no space left on device", *(word.replace("DISK", str(disk)) for word in command))
                self.assertEqual(list(disk.iterdir()), [disk / "full"])
        # An artifact that was there before stays as it was.
        (disk / "full").write_bytes(bytes(4096))
        (disk / "m.lathe").write_bytes(b"before")
        self.refused("no space left", "compile", "m.mlir", "-o", disk / "m.lathe")
        self.assertEqual((disk / "m.lathe").read_bytes(), b"before")
        self.assertEqual(sorted(disk.iterdir()), [disk / "full", disk / "m.lathe"])
        # A cache that cannot be written is no reason to fail.
        cache, type(self).cache = self.cache, str(disk)
        self.addCleanup(setattr, type(self), "cache", cache)
        self.works("run", "m.mlir")

    def test_limited_file_size(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        os.mkdir(self.folder / "out")
        for command in self.COMMANDS:
            with self.subTest(command):
                self.refused("file too large", *(word.replace("DISK", "out") for word in command), "--no-cache", preexec_fn=limit)
                self.assertEqual(list((self.folder / "out").iterdir()), [])

    def test_no_place(self):
        for words, place in (("no space left", "/dev/full"), ("no such file", "nowhere/m.lathe"), ("is a folder", ".")):
            self.refused(words, "compile", "m.mlir", "-o", place)
            self.refused(words, "import", "m.mlir", "-o", place)
            self.refused(words, "info", "m.mlir", "--json", place)
        with open("/dev/full", "w") as full:
            done = subprocess.run([cli.LATHE, "import", self.folder / "m.mlir"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "^lathe: error: cannot write the output")


if __name__ == "__main__":
    unittest.main()
