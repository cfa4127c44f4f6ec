"""A light CNN of the onnx package with seeded weights, for Lathe and for ONNX Runtime.

  light_onnx.py DIR NAME [--seed N]

The package's nine models have one constant for all weights: whatever goes in,
every class comes out at 0.001, and nearly every mistake would pass. Here the
same graphs get random weights, scaled so that values keep their size through
the layers. Writes DIR/NAME.onnx, DIR/input.npy and ONNX Runtime's answer
DIR/output.npy.
"""

import argparse
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

import real_models as real

NAMES = (
    "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50",
    "shufflenet", "squeezenet", "vgg19", "zfnet512",
)
# More values than this are a prime number of them, over and over, so that the
# file of a model with 144 million weights stays small.
LARGE, POOL = 4_000_000, 1_000_003


def uses(graph, name):
    """The ops that read a parameter and which operand it is, seen through ops that change its shape."""
    for node in graph.node:
        if name in node.input:
            if node.op_type in ("Unsqueeze", "Reshape"):
                yield from uses(graph, node.output[0])
            else:
                yield node.op_type, list(node.input).index(name)


def draw(random, use, shape):
    """Values for a parameter in its role; None for what is no weight."""
    op, operand = use
    if op in ("Conv", "Gemm") and operand == 1:
        spread = np.sqrt(2.0 / np.prod(shape[1:]))  # He initialisation
        count = np.prod(shape)
        values = random.standard_normal(count if count <= LARGE else POOL, np.float32) * spread
        return values.reshape(shape) if count <= LARGE else values
    low, high = {("BatchNormalization", 1): (0.8, 1.2), ("BatchNormalization", 4): (0.8, 1.2), ("Mul", 1): (0.8, 1.2)}.get(
        use, (-0.2, 0.2))
    return random.uniform(low, high, shape)


def repeated(name, shape):
    """Nodes that make the parameter of its first POOL values."""
    count = int(np.prod(shape))
    constants = {"reps": [-(-count // POOL)], "begin": [0], "end": [count], "shape": shape}
    for key, value in constants.items():
        yield helper.make_node("Constant", [], [f"{name}_{key}"], value=numpy_helper.from_array(np.array(value, np.int64)))
    yield helper.make_node("Tile", [f"{name}_pool", f"{name}_reps"], [f"{name}_tiled"])
    yield helper.make_node("Slice", [f"{name}_tiled", f"{name}_begin", f"{name}_end"], [f"{name}_flat"])
    yield helper.make_node("Reshape", [f"{name}_flat", f"{name}_shape"], [name])


def seed_weights(model, random):
    graph = model.graph
    known = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    parameters = {node.output[0]: known[node.input[0]].tolist() for node in graph.node if node.op_type == "ConstantOfShape"}
    shapes = {node.input[0] for node in graph.node if node.op_type == "ConstantOfShape"}
    parameters |= {name: list(value.shape) for name, value in known.items() if value.dtype == np.float32}
    inputs = [value for value in graph.input if value.name not in known]
    kept = [value for value in graph.initializer if value.name not in shapes and value.name not in parameters]
    first = []
    for name, shape in sorted(parameters.items()):
        use = next(uses(graph, name), None)
        if not use:
            continue
        values = draw(random, use, shape).astype(np.float32)
        if values.size != np.prod(shape):
            first += repeated(name, shape)
            name += "_pool"
        kept.append(numpy_helper.from_array(values, name))
    nodes = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    for field, values in ((graph.input, inputs), (graph.initializer, kept), (graph.node, first + nodes)):
        del field[:]
        field.extend(values)
    return inputs[0]


def soften(model, image):
    """Scales what goes into the softmax, which else would give one class everything."""
    softmax = next((node for node in model.graph.node if node.op_type == "Softmax"), None)
    if softmax is None:
        return
    logits = softmax.input[0]
    model.graph.output.append(helper.make_empty_tensor_value_info(logits))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (values,) = session.run([logits], {session.get_inputs()[0].name: image})
    del model.graph.output[-1]
    model.graph.initializer.append(numpy_helper.from_array(np.float32(2 / values.std()), "logits_scale"))
    place = list(model.graph.node).index(softmax)
    model.graph.node.insert(place, helper.make_node("Mul", [logits, "logits_scale"], ["softened"]))
    softmax.input[0] = "softened"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    model = onnx.load(real.packaged(f"onnx/backend/test/data/light/light_{args.name}.onnx"))
    # Slice takes its bounds as inputs from operator set 10 on.
    model.opset_import[0].version = max(model.opset_import[0].version, 10)
    random = np.random.Generator(np.random.Philox(args.seed))
    value = seed_weights(model, random)
    image = random.standard_normal([dim.dim_value for dim in value.type.tensor_type.shape.dim], np.float32)
    soften(model, image)
    onnx.save(model, args.dir / f"{args.name}.onnx")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {value.name: image})
    np.save(args.dir / "input.npy", image)
    np.save(args.dir / "output.npy", output)
    print(f"light_onnx: {args.name}, outputs from {output.min():.3g} to {output.max():.3g}, std {output.std():.3g}")


if __name__ == "__main__":
    main()
