"""NVRTC takes every tile of every skeleton, with operands in both orders and
with odd sizes, for three architectures, without a warning and without a
spilled register."""

import pathlib
import re
import subprocess
import tempfile
import unittest

import lathe
from test_cuda_contraction import Program, tensor

import numpy as np


SUMS = {"i8": "i32", "ui8": "i32", "f8E4M3FN": "f32"}


def make_program():
    program = Program(np.random.default_rng(0))
    # Only the types matter: no numbers are made.
    program.input = lambda shape, element: declare(program, shape, element)

    def matmul(m, k, n, element, swap_a=False, swap_b=False, right=None):
        a, b = ([k, m] if swap_a else [m, k]), ([n, k] if swap_b else [k, n])
        flags = [name for name, on in (("transpose_lhs", swap_a), ("transpose_rhs", swap_b)) if on]
        right = right or element
        operands = [(program.input(a, element), tensor(a, element)), (program.input(b, right), tensor(b, right))]
        result = tensor([m, n], SUMS.get(element, element))
        program.results.append((program.op("matmul", operands, result, f"{{{', '.join(flags)}}}" if flags else ""), result))

    def weight_only(m, k, n, element, axis, swap_b=False):
        b = [n, k] if swap_b else [k, n]
        operands = [(program.input(shape, type), tensor(shape, type)) for shape, type in ((b, "i8"), (b[axis:axis + 1], element), (b[axis:axis + 1], "i8"))]
        weight = program.op("dequantize", operands, tensor(b, element), f"{{axis = {axis} : i64}}"), tensor(b, element)
        operands, result = [(program.input([m, k], element), tensor([m, k], element)), weight], tensor([m, n], element)
        program.results.append((program.op("matmul", operands, result, "{transpose_rhs}" if swap_b else ""), result))

    def nibbles(m, k, n, scales):
        """As lathe-pack-weights lays weights of 4 bits."""
        packed, scale = [-(-n // 32), -(-k // 2), 32], [-(-n // 32), -(-k // 64), 32]
        operands = [(program.input(shape, element), tensor(shape, element)) for shape, element in (([m, k], "f32"), (packed, "ui8"), (scale, scales))]
        program.results.append((program.op("packed_matmul", operands, tensor([m, n], "f32"), f"{{n = {n} : i64, group = 64 : i64}}"), tensor([m, n], "f32")))

    def attention(element, depth, causal):
        shape, mask = [2, 4, 300, depth], [2, 1, 300, 300]
        q = (program.input(shape, element), tensor(shape, element))
        operands = [q, q, q, (program.input(mask, "i1"), tensor(mask, "i1"))]
        program.results.append((program.op("attention", operands, q[1], "{causal}" if causal else ""), q[1]))

    def conv(channels, filters, size, kernel, stride, element):
        image, weight = [2, channels, size, size], [filters, channels, kernel, kernel]
        out = tensor([2, filters, (size - 1) // stride + 1, (size - 1) // stride + 1], SUMS.get(element, element))
        pads = ", ".join(f"{name} = array<i64: {value}, {value}>" for name, value in (
            ("strides", stride), ("pad_low", kernel // 2), ("pad_high", kernel // 2)))
        operands = [(program.input(image, element), tensor(image, element)), (program.input(weight, element), tensor(weight, element))]
        program.results.append((program.op("conv", operands, out, f"{{{pads}}}"), out))

    for element in ("f32", "f64", "bf16", "i8"):
        for m, k, n in ((4096, 1024, 4096), (1024, 256, 1024), (512, 512, 512), (64, 200, 64)):
            matmul(m, k, n, element, False, True)
            matmul(m, k, n, element, True, False)
        matmul(1, 999, 333, element)
        matmul(129, 77, 515, element, True, True)
    for left, right in (("ui8", "i8"), ("i8", "ui8"), ("ui8", "ui8")):
        matmul(4096, 1024, 4096, left, False, True, right)
        matmul(129, 77, 515, left, True, False, right)
    for m, k, n in ((4096, 1024, 4096), (512, 512, 512), (1, 999, 333)):
        matmul(m, k, n, "f8E4M3FN", False, True)
        matmul(m, k, n, "f8E4M3FN", True, False)
    for m, k, n in ((4096, 1024, 4096), (1, 4096, 4096), (129, 77, 515)):
        nibbles(m, k, n, "bf16")
    nibbles(129, 77, 515, "f32")
    for element in ("f32", "f16", "bf16"):
        weight_only(4096, 1024, 4096, element, 0, True)
        weight_only(1, 4096, 4096, element, 0, True)
        weight_only(512, 512, 512, element, 1)
        weight_only(129, 77, 515, element, 1, True)
    for element in ("f16", "i32", "i64"):
        matmul(512, 512, 512, element, False, True)
    matmul(4096, 1024, 4096, "f16", True, True)
    matmul(1, 4096, 4096, "f32", False, True)
    # By TMA, with k in parts, and in tiles of 128 x 128.
    matmul(505, 2056, 1032, "bf16")
    matmul(1104, 328, 1304, "f16", True, True)
    for element in ("f32", "f16", "bf16"):
        for depth in (20, 64, 128):
            attention(element, depth, depth != 64)
    for element in ("f32", "bf16", "ui8", "f8E4M3FN"):
        conv(64, 128, 56, 3, 1, element)
        conv(3, 64, 223, 7, 2, element)
        conv(256, 64, 14, 1, 1, element)
    return program.text()


def declare(program, shape, element):
    name = f"x{len(program.arguments)}"
    program.arguments.append((name, None, tensor(shape, element)))
    return f"%{name}"


class Cubins(unittest.TestCase):
    def test_no_warning_and_no_spill(self):
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder) / "model.mlir"
            model.write_text(make_program())
            for arch in ("sm_80", "sm_90a", "sm_100"):
                with self.subTest(arch=arch):
                    done = subprocess.run(
                        [lathe.LATHE, "compile", model, "--emit", "cubin", "--arch", arch], capture_output=True, text=True, timeout=500)
                    if done.returncode and "libnvrtc" in done.stderr:
                        self.skipTest("no NVRTC")
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertRegex(done.stdout, rf"cubin: \d+ kernels for {arch}, 0 warnings, 0 spills", done.stdout + done.stderr)
                    skeletons = re.findall(r"(?m)(contraction|convolution|attention) +\w+$", done.stdout)
                    self.assertGreater(len(skeletons), 50)
                    # Shared memory that tiles of gemm_tma.cuh take.
                    boxes = re.findall(r"(?m)^ +(\d+) +(?:231488|231520) +0 ", done.stdout)
                    self.assertEqual(len(boxes), 5 if arch == "sm_90a" else 0, done.stdout)


if __name__ == "__main__":
    unittest.main()
