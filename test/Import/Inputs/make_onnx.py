"""Writes the tiny ONNX files of the import tests: make_onnx.py NAME FILE."""

import os
import sys

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

F, I64, U8, B = T.FLOAT, T.INT64, T.UINT8, T.BOOL


def value(name, shape, dtype=F):
    return h.make_tensor_value_info(name, dtype, shape)


def weight(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def model(nodes, inputs, outputs, weights=(), opset=17, **more):
    graph = h.make_graph(nodes, "g", inputs, outputs, list(weights))
    opsets = [h.make_opsetid("", opset)] + more.pop("opsets", [])
    return h.make_model(graph, opset_imports=opsets, ir_version=8, **more)


def node(op, inputs, outputs, **attributes):
    name = attributes.pop("name", f"{op}_node")
    return h.make_node(op, inputs.split(), outputs.split(), name=name, **attributes)


def one(op, shapes, results=1, weights=(), opset=17, dtypes=None, out=F, **attributes):
    """A graph of one node; weights come behind the inputs."""
    names = [f"x{i}" for i in range(len(shapes))]
    outs = [f"y{i}" for i in range(results)]
    weights = [weight(f"w{i}", w) for i, w in enumerate(weights)]
    dtypes = dtypes or [F] * len(shapes)
    return model(
        [h.make_node(op, names + [w.name for w in weights], outs, name=f"{op}_node", **attributes)],
        [value(n, s, d) for n, s, d in zip(names, shapes, dtypes)],
        [value(o, None, out) for o in outs],
        weights,
        opset,
    )


def f32(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 8


def signature():
    return model(
        [node("Add", "ids scores", "sum")],
        [value("ids", ["batch", 3, "time"]), value("scores", ["batch", None, "?"])],
        [value("sum", None)],
    )


def weights():
    """Small: in the text. Large: parameters that point into the file."""
    return model(
        [node("MatMul", "x large", "a"), node("Add", "a small", "b"), node("Gather", "b main", "y", axis=1)],
        [value("x", [2, 32])],
        [value("y", None)],
        [
            weight("large", f32(32, 16)),
            weight("small", f32(16)),
            weight("main", np.arange(4, dtype=np.int64)),
        ],
    )


def old_weights():
    """IR version 3: initializers are graph inputs, too."""
    result = model(
        [node("Add", "x w", "y")], [value("x", [4]), value("w", [4])], [value("y", [4])], [weight("w", f32(4))], opset=9
    )
    result.ir_version = 3
    return result


def float_data():
    """Large packed typed fields point into the file, too."""
    tensor = h.make_tensor("w", F, [600], list(range(600)))
    assert not tensor.raw_data
    return model([node("Add", "x w", "y")], [value("x", [600])], [value("y", None)], [tensor])


def attention_mask():
    """A shape chain: nothing is constant before the sizes are."""
    return model(
        [
            node("Shape", "x", "s"),
            node("Gather", "s zero", "batch"),
            node("Unsqueeze", "batch axis", "b1"),
            node("Concat", "b1 rest", "target", axis=0),
            node("Reshape", "x target", "y"),
        ],
        [value("x", ["batch", 4, 6])],
        [value("y", None)],
        [
            weight("zero", np.int64(0)),
            weight("axis", np.array([0], np.int64)),
            weight("rest", np.array([-1], np.int64)),
        ],
    )


def static_chain():
    result = attention_mask()
    result.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 5
    return result


def softmax_old():
    return one("Softmax", [[2, 3, 4]], opset=11, axis=1)


def gemm():
    return model(
        [node("Gemm", "x w b", "y", transB=1), node("Gemm", "y v", "z", alpha=0.5)],
        [value("x", [2, 4])],
        [value("z", None)],
        [weight("w", f32(3, 4)), weight("b", f32(3)), weight("v", f32(3, 5))],
    )


def einsum():
    return one("Einsum", [[2, 3, 4], [2, 4, 5]], equation="bij,bjk->bik")


def conv_same():
    return one("Conv", [[1, 2, 5, "width"]], weights=[f32(3, 2, 3, 3)], auto_pad="SAME_UPPER", strides=[2, 2])


def pool():
    return one("MaxPool", [[1, 2, 6, 6]], results=2, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)


def nll_weighted():
    return one(
        "NegativeLogLikelihoodLoss", [[3, 5, 2], [3, 2], [5]], dtypes=[F, I64, F], ignore_index=-1, reduction="mean"
    )


def quantized():
    return one(
        "QuantizeLinear", [[2, 3], [3]], weights=[np.zeros(3, np.uint8)], out=U8, axis=1
    )


def dropout():
    return one("Dropout", [[2, 3]], results=2)


def if_constant():
    then = h.make_graph([node("Neg", "x", "t")], "then", [], [value("t", [2])])
    other = h.make_graph([node("Abs", "x", "e")], "else", [], [value("e", [2])])
    return model(
        [node("If", "c", "y", then_branch=then, else_branch=other)],
        [value("x", [2])],
        [value("y", [2])],
        [weight("c", np.array(False))],
    )


def if_open():
    result = if_constant()
    del result.graph.initializer[:]
    result.graph.input.append(value("c", [], B))
    return result


def loop_body(stacked):
    nodes = [node("Identity", "go", "go_out"), node("Add", "v x", "v_out")]
    outputs = [value("go_out", [], B), value("v_out", [2])]
    if stacked:
        nodes.append(node("Mul", "v_out v_out", "square"))
        outputs.append(value("square", [2]))
    return h.make_graph(nodes, "body", [value("i", [], I64), value("go", [], B), value("v", [2])], outputs)


def loop():
    return model(
        [node("Loop", "trips go start", "last all", body=loop_body(True))],
        [value("x", [2]), value("start", [2])],
        [value("last", [2]), value("all", None)],
        [weight("trips", np.int64(3)), weight("go", np.array(True))],
    )


def loop_open():
    return model(
        [node("Loop", "trips go start", "last", body=loop_body(False))],
        [value("x", [2]), value("start", [2]), value("trips", [], I64), value("go", [], B)],
        [value("last", [2])],
    )


def lstm():
    return one(
        "LSTM",
        [["time", 2, 3]],
        results=3,
        weights=[f32(1, 20, 3), f32(1, 20, 5), f32(1, 40)],
        hidden_size=5,
        direction="reverse",
    )


def adam():
    names = "rate step x g v h"
    return model(
        [node("Adam", names, "nx nv nh", domain="ai.onnx.preview.training", alpha=0.9, beta=0.99)],
        [value("rate", []), value("step", [], I64)] + [value(n, [3]) for n in "xgvh"],
        [value(n, None) for n in ("nx", "nv", "nh")],
        opsets=[h.make_opsetid("ai.onnx.preview.training", 1)],
    )


def function():
    body = h.make_function(
        "local",
        "Scale",
        ["v"],
        ["w"],
        [node("Add", "v v", "t"), h.make_node("LeakyRelu", ["t"], ["w"], name="inner")],
        [h.make_opsetid("", 17)],
        ["alpha"],
    )
    body.node[1].attribute.add(name="alpha", ref_attr_name="alpha", type=onnx.AttributeProto.FLOAT)
    return model(
        [node("Scale", "x", "y", domain="local", alpha=0.25)],
        [value("x", [2])],
        [value("y", None)],
        functions=[body],
        opsets=[h.make_opsetid("local", 1)],
    )


def unsupported():
    return model(
        [
            node("NonZero", "x", "nz", name="find"),
            node("Relu", "nz", "after"),
            node("Unique", "x", "u", name="first"),
            node("Abs", "x", "y"),
            node("Unique", "x", "u2", name="second"),
            node("Magic", "x", "m", name="spell", domain="com.example"),
        ],
        [value("x", [2, 2]), value("words", [2], T.STRING)],
        [value("y", None), value("after", None), value("u", None), value("u2", None), value("m", None)],
        opsets=[h.make_opsetid("com.example", 1)],
    )


def shape_mismatch():
    return model(
        [node("Add", "x w", "y", name="sum")], [value("x", [2, 3])], [value("y", None)], [weight("w", f32(4))]
    )


def undefined():
    return model([node("Add", "x nowhere", "y", name="sum")], [value("x", [2])], [value("y", None)])


def value_input():
    """The shape is an input: its value decides a size."""
    return model(
        [node("Reshape", "x shape", "y")],
        [value("x", [2, 3]), value("shape", [2], I64)],
        [value("y", None)],
    )


def no_rank():
    return one("Neg", [None])


def axes_input():
    return model(
        [node("ReduceSum", "x axes", "y")],
        [value("x", [2, 3]), value("axes", [1], I64)],
        [value("y", None)],
    )


def petabytes():
    tensor = T(name="w", data_type=F, dims=[1 << 20, 1 << 20, 1 << 10])
    tensor.raw_data = b"\0" * 4096
    return model([node("Add", "x w", "y")], [value("x", [1])], [value("y", None)], [tensor])


def overflow():
    tensor = T(name="w", data_type=F, dims=[1 << 62, 1 << 62])
    return model([node("Add", "x w", "y")], [value("x", [1])], [value("y", None)], [tensor])


def external(location, **entries):
    def make():
        tensor = T(name="w", data_type=F, dims=[512], data_location=T.EXTERNAL)
        for key, text in {"location": location, **entries}.items():
            tensor.external_data.add(key=key, value=str(text))
        return model([node("Add", "x w", "y")], [value("x", [512])], [value("y", None)], [tensor])

    return make


external_good = external("weights.bin", offset=64, length=2048)
external_up = external("../weights.bin")
external_hidden_up = external("sub/../../weights.bin")
external_absolute = external("/etc/passwd")
external_link = external("link.bin")
external_short = external("weights.bin", offset=1000)
external_length = external("weights.bin", length=4)
external_far = external("weights.bin", offset=2**64 - 8)
external_text = external("weights.bin", offset="many")
external_missing = external("nowhere.bin")


def field(number, payload):
    """A length-delimited field of protobuf's wire format."""
    size, length = [], len(payload)
    while length >= 0x80:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([number << 3 | 2, *size, length]) + payload


def nested():
    """Graphs in graphs in graphs: deeper than any stack."""
    graph = b""
    for _ in range(5000):  # graph.node.attribute.g
        graph = field(1, field(5, field(6, graph)))
    return b"\x08\x08" + field(7, graph) + field(8, b"\x10\x11")


def truncated():
    return weights().SerializeToString()[:1500]


def empty():
    return b""


def text():
    return b"this is not a model\n"


def no_graph():
    return onnx.ModelProto(ir_version=8).SerializeToString()


def main():
    name, path = sys.argv[1:]
    made = globals()[name]()
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(made if isinstance(made, bytes) else made.SerializeToString())


if __name__ == "__main__":
    main()
