"""A compiled model and the files it came from: the cache sees every one of them
change, and an artifact takes its weights from the file it was compiled from alone."""

import os
import shutil
import unittest

import numpy as np
from onnx import TensorProto, helper

import cli


def model(weight, node="node", location=None):
    """y = x w; w in the model, or in the file LOCATION."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=weight.shape)
    if location is None:
        tensor.raw_data = weight.tobytes()
    else:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name=node)], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, weight.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [tensor])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


SMALL, LARGE = np.ones((4, 3), np.float32), np.ones((32, 16), np.float32)  # a constant; a parameter that stays in its file


class Sources(cli.CommandLine):
    def sum(self, *arguments, cwd=None):
        """What `lathe run` gives for an x of ones."""
        if cwd:
            self.folder, before = cwd, self.folder
            self.addCleanup(setattr, self, "folder", before)
        self.works("run", *arguments, "--input", "x=ones", "--output-dir", "out", "--quiet")
        return float(np.load(self.folder / "out" / "y.npy").sum())

    def test_cache_sees_external_data_change(self):
        for weight in (SMALL, LARGE):
            with self.subTest(weight.shape):
                self.write("m.onnx", model(weight, location="w.bin"))
                path = self.write("w.bin", weight.tobytes())
                self.assertEqual(self.sum("m.onnx"), weight.sum())
                # The same size and time: the content counts.
                times = (os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns)
                path.write_bytes((weight * 3).tobytes())
                os.utime(path, ns=times)
                self.assertEqual(self.sum("m.onnx"), 3 * weight.sum())
                self.assertEqual(self.sum("m.onnx"), 3 * weight.sum())

    def test_cache_knows_from_where_a_model_was_named(self):
        for number in (1, 2):
            folder = self.folder / str(number) / "model"
            (folder / "data").mkdir(parents=True)
            (folder / "data" / "w.bin").write_bytes((LARGE * number).tobytes())
            (folder / "m.onnx").write_bytes(model(LARGE, location="data/w.bin"))
        top = self.folder
        self.assertEqual(self.sum("model/m.onnx", cwd=top / "1"), 512)
        self.assertEqual(self.sum("m.onnx", cwd=top / "1" / "model"), 512)
        self.assertEqual(self.sum("model/m.onnx", cwd=top / "2"), 1024)
        self.assertEqual(self.sum(top / "1" / "model" / "m.onnx", cwd=top / "2"), 512)

    def test_cache_sees_the_weights_of_a_text_change(self):
        self.write("m.mlir", """
            lathe.parameter @w : tensor<32x16xf32> {file = "w.bin", file_offset = 0 : i64, file_bytes = 2048 : i64}
            func.func @main(%x: tensor<1x32xf32> {lathe.name = "x"}) -> (tensor<1x16xf32> {lathe.name = "y"}) {
              %w = lathe.get_parameter @w : tensor<32x16xf32>
              %y = lathe.matmul %x, %w : (tensor<1x32xf32>, tensor<32x16xf32>) -> tensor<1x16xf32>
              return %y : tensor<1x16xf32>
            }""")
        for factor in (1, 2):
            self.write("w.bin", (LARGE * factor).tobytes())
            self.assertEqual(self.sum("m.mlir"), 512 * factor)

    def test_an_unchanged_model_comes_from_the_cache(self):
        self.write("w.bin", SMALL.tobytes())
        self.write("m.onnx", model(SMALL, location="w.bin"))
        self.sum("m.onnx", "--json", "a.json")
        self.sum("m.onnx", "--json", "b.json")
        self.assertIn('"from_cache": false', (self.folder / "a.json").read_text())
        self.assertIn('"from_cache": true', (self.folder / "b.json").read_text())

    def test_artifact_refuses_another_file_as_its_weights(self):
        self.write("w.onnx", model(LARGE))
        self.works("compile", "w.onnx", "-o", "w.lathe")
        self.assertEqual(self.sum("w.lathe"), 512)
        for other in (model(LARGE, node="a node of a longer name"), model(LARGE * 2)):
            self.write("w.onnx", other)
            self.refused("'w.onnx' is not the file that the model was compiled from: parameter 'w' has other bytes", "run", "w.lathe")
        self.write("w.onnx", model(LARGE)[:2000])
        self.refused("lies at .* of 'w.onnx', which has 2000 bytes", "run", "w.lathe")
        self.write("w.onnx", model(LARGE))
        self.assertEqual(self.sum("w.lathe"), 512)

    def test_artifact_finds_the_model_beside_it(self):
        inside = self.folder / "inside"
        inside.mkdir()
        (inside / "w.onnx").write_bytes(model(LARGE))
        self.works("compile", "inside/w.onnx", "-o", "inside/w.lathe")
        self.assertEqual(self.sum("w.lathe", cwd=inside), 512)
        shutil.move(inside, inside.parent / "elsewhere")
        self.folder = inside.parent
        self.assertEqual(self.sum("elsewhere/w.lathe"), 512)


if __name__ == "__main__":
    unittest.main()
