"""Writes a tree of four backend cases: make_cases.py FOLDER."""

import pathlib
import sys

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper


def case(folder, op, inputs, outputs, shape=None):
    shapes = [list(x.shape) for x in inputs]
    graph = h.make_graph(
        [h.make_node(op, [f"x{i}" for i in range(len(inputs))], ["y"], name="it")],
        "g",
        [h.make_tensor_value_info(f"x{i}", h.np_dtype_to_tensor_dtype(x.dtype), s) for i, (x, s) in enumerate(zip(inputs, shapes))],
        [h.make_tensor_value_info("y", T.FLOAT, None)],
    )
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    data = folder / "test_data_set_0"
    data.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    for kind, arrays in (("input", inputs), ("output", outputs)):
        for i, array in enumerate(arrays):
            (data / f"{kind}_{i}.pb").write_bytes(numpy_helper.from_array(array, f"x{i}").SerializeToString())


def main():
    root = pathlib.Path(sys.argv[1])
    x = np.arange(6, dtype=np.float32).reshape(2, 3) - 2
    case(root / "node/test_abs", "Abs", [x], [np.abs(x)])
    case(root / "node/test_neg", "Neg", [x], [-x])
    # The shape is an input: it has to be known before the program is compiled.
    case(root / "node/test_reshape", "Reshape", [x, np.array([3, -1])], [x.reshape(3, 2)])
    case(root / "node/test_nonzero", "NonZero", [x], [np.array(np.nonzero(x))])


main()
