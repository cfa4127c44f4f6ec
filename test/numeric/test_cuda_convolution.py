"""Convolutions of the CUDA targets, run on cuda-sim, against NumPy in f64:
random sizes, strides, dilations, padding and groups, in one to three dims."""

import unittest

import numpy as np

from test_cuda_contraction import epilogue, random_products, tensor, wide


def convolve(x, w, strides, dilations, low, high, groups):
    """Place by place of the window."""
    rank = x.ndim - 2
    kernel = w.shape[2:]
    x = np.pad(x, [(0, 0), (0, 0), *zip(low, high)])
    out = [(x.shape[2 + d] - (kernel[d] - 1) * dilations[d] - 1) // strides[d] + 1 for d in range(rank)]
    result = np.zeros((x.shape[0], w.shape[0], *out), x.dtype)
    inside, outside = w.shape[1], w.shape[0] // groups
    for group in range(groups):
        image = x[:, group * inside:(group + 1) * inside]
        filters = w[group * outside:(group + 1) * outside]
        for place in np.ndindex(*kernel):
            window = tuple(
                slice(p * dilations[d], p * dilations[d] + (out[d] - 1) * strides[d] + 1, strides[d]) for d, p in enumerate(place))
            result[:, group * outside:(group + 1) * outside] += np.einsum(
                "ni...,oi->no...", image[(slice(None), slice(None), *window)], filters[(slice(None), slice(None), *place)])
    return result


def add_convolution(program, rng, element):
    rank = int(rng.choice([1, 2, 2, 2, 3]))
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    images = int(rng.integers(1, 4))
    inside, outside = int(rng.integers(1, 12)), int(rng.integers(8, 40))
    if rng.integers(4) == 0:  # a window of one element is a plain product
        kernel, strides, dilations, low, high = [1] * rank, [1] * rank, [1] * rank, [0] * rank, [0] * rank
        spatial = [int(rng.integers(1, 16)) for _ in range(rank)]
    else:
        kernel = [int(rng.integers(1, 5)) for _ in range(rank)]
        strides = [int(rng.integers(1, 4)) for _ in range(rank)]
        dilations = [int(rng.integers(1, 3)) for _ in range(rank)]
        low = [int(rng.integers(0, 3)) for _ in range(rank)]
        high = [int(rng.integers(0, 3)) for _ in range(rank)]
        spatial = [
            max(1, (kernel[d] - 1) * dilations[d] + 1 - low[d] - high[d]) + int(rng.integers(0, [80, 16, 8][rank - 1])) for d in range(rank)]
    shape, filters = [images, groups * inside, *spatial], [groups * outside, inside, *kernel]
    (x, image), (w, weight) = program.input(shape, element), program.input(filters, element)
    expected = convolve(wide(image), wide(weight), strides, dilations, low, high, groups)
    operands = [(x, tensor(shape, element)), (w, tensor(filters, element))]
    if rng.integers(2):
        b, bias = program.input([filters[0]], element)
        operands.append((b, tensor([filters[0]], element)))
        expected = expected + wide(bias).reshape(-1, *[1] * rank)
    lists = {"strides": strides, "dilations": dilations, "pad_low": low, "pad_high": high}
    attributes = ", ".join(f"{name} = array<i64: {', '.join(map(str, values))}>" for name, values in lists.items())
    result = list(expected.shape)
    value = program.op("conv", operands, tensor(result, element), f"{{{attributes}, groups = {groups} : i64}}")
    value, expected = epilogue(program, rng, value, result, element, expected)
    program.output(value, result, element, expected)


@random_products(add_convolution, 16, {"f32": [1000, 1001, 1002], "f64": [1010], "bf16": [1020], "f16": [1030], "i32": [1040]})
class Convolutions(unittest.TestCase):
    SECONDS = 30

    pass


if __name__ == "__main__":
    unittest.main()
