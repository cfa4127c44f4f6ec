"""ResNet-50 (He et al. 2015, stride in the 3x3 convolution as torchvision has it)
with seeded weights, for Lathe and for ONNX Runtime.

  resnet50_onnx.py DIR [--size N] [--seed N]

writes DIR/resnet50.onnx, DIR/resnet50.safetensors with the same values under
torchvision's names, DIR/input.npy ([1, 3, size, size] float32) and ONNX
Runtime's answer DIR/logits.npy ([1, 1000]).
"""

import argparse
import pathlib

import numpy as np
import onnxruntime
from safetensors.numpy import save_file

from onnx_graph import FLOAT, Graph

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


def build(seed):
    """The graph and its parameters by name."""
    random = np.random.Generator(np.random.Philox(seed))
    parameters = {}
    graph = Graph("resnet50")

    def named(name, value):
        parameters[name] = value.astype(np.float32)
        return graph.parameter(name, parameters[name])

    def conv(x, name, outs, ins, kernel, stride=1):
        scale = np.sqrt(2.0 / (ins * kernel * kernel))  # He initialisation
        weight = random.standard_normal((outs, ins, kernel, kernel), np.float32) * scale
        return graph.op(
            "Conv", x, named(name + ".weight", weight),
            kernel_shape=[kernel, kernel], strides=[stride, stride], pads=[kernel // 2] * 4,
        )

    def norm(x, name, channels, gain=1.0):
        # Off the resting values, so that leaving one out shows; the gain keeps
        # the sum over sixteen blocks within a factor of ten.
        return graph.op(
            "BatchNormalization", x,
            named(name + ".weight", gain * random.uniform(0.8, 1.2, channels)),
            named(name + ".bias", random.uniform(-0.2, 0.2, channels)),
            named(name + ".running_mean", random.uniform(-0.2, 0.2, channels)),
            named(name + ".running_var", random.uniform(0.8, 1.2, channels)),
            epsilon=1e-5,
        )

    x = graph.input("input", FLOAT, ["batch", 3, "height", "width"])
    x = graph.op("Relu", norm(conv(x, "conv1", 64, 3, 7, 2), "bn1", 64))
    x = graph.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    ins = 64
    for stage, (width, blocks, first_stride) in enumerate(STAGES, 1):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}.", first_stride if block == 0 else 1
            y = graph.op("Relu", norm(conv(x, name + "conv1", width, ins, 1), name + "bn1", width))
            y = graph.op("Relu", norm(conv(y, name + "conv2", width, width, 3, stride), name + "bn2", width))
            y = norm(conv(y, name + "conv3", 4 * width, width, 1), name + "bn3", 4 * width, 0.4)
            if block == 0:
                x = norm(conv(x, name + "downsample.0", 4 * width, ins, 1, stride), name + "downsample.1", 4 * width, 0.7)
            ins = 4 * width
            x = graph.op("Relu", graph.op("Add", y, x))
    x = graph.op("Flatten", graph.op("GlobalAveragePool", x), axis=1)
    weight = random.standard_normal((1000, ins), np.float32) * np.sqrt(1.0 / ins)
    x = graph.op("Gemm", x, named("fc.weight", weight), named("fc.bias", random.uniform(-0.1, 0.1, 1000)), transB=1)
    graph.output("logits", x, FLOAT, ["batch", 1000])
    return graph, parameters


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    graph, parameters = build(args.seed)
    graph.save(args.dir / "resnet50.onnx")
    save_file(parameters, args.dir / "resnet50.safetensors", metadata={"format": "pt"})
    image = np.random.Generator(np.random.Philox(args.seed + 1)).standard_normal((1, 3, args.size, args.size), np.float32)
    session = onnxruntime.InferenceSession(args.dir / "resnet50.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"input": image})
    np.save(args.dir / "input.npy", image)
    np.save(args.dir / "logits.npy", logits)
    count = sum(array.size for array in parameters.values())
    print(f"resnet50_onnx: {count / 1e6:.1f} M values, logits from {logits.min():.2f} to {logits.max():.2f}, std {logits.std():.2f}")


if __name__ == "__main__":
    main()
