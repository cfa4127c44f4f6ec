"""Faults planted in the texts of products and attention, each caught by the
simulator or by the numbers. The sound text passes, so that it is the fault
that is caught."""

import unittest

import numpy as np

from cuda_text import Texts
from test_cuda_fragments import product

RACE = "without a barrier between|that nobody wrote"
GENERATOR = np.random.default_rng(7)


def attention(element):
    type = f"tensor<1x2x70x64x{element}>"
    return (
        f'func.func @main(%x: {type} {{lathe.name = "x"}}) -> ({type} {{lathe.name = "y"}}) {{\n'
        f"  %r = lathe.attention %x, %x, %x : ({type}, {type}, {type}) -> {type}\n  return %r : {type}\n}}\n")


def attention_gradients(element):
    """The sum of all three, of x as every operand."""
    type, rows = f"tensor<1x2x70x64x{element}>", "tensor<1x2x70xf32>"
    return (
        f'func.func @main(%x: {type} {{lathe.name = "x"}}, %s: {rows} {{lathe.name = "s"}}, %d: {rows} {{lathe.name = "d"}})'
        f' -> ({type} {{lathe.name = "y"}}) {{\n'
        f"  %r:3 = lathe.attention_backward %x, %x, %x, %x, %s, %d {{causal}} : ({', '.join([type] * 4)}, {rows}, {rows}) -> ({type}, {type}, {type})\n"
        f"  %0 = lathe.add %r#0, %r#1 : ({type}, {type}) -> {type}\n"
        f"  %1 = lathe.add %0, %r#2 : ({type}, {type}) -> {type}\n  return %1 : {type}\n}}\n")


class Faults(unittest.TestCase):
    def check(self, model, skeleton, inputs, expected, tolerance, faults, arch="sm_80"):
        texts = Texts(model, arch)
        path = texts.find(skeleton)
        sound = path.read_text()
        # Of cp.async only what is waited for arrives; so the sound text first.
        for name, says, changes in [("nothing", None, []), *faults]:
            with self.subTest(fault=name):
                path.write_text(sound)
                texts.inline(skeleton, changes)
                outputs, error = texts.run(inputs)
                close = outputs is not None and np.allclose(outputs["y"].astype(np.float64), expected, tolerance, tolerance)
                if says is None:
                    self.assertTrue(close, f"{name}: {error}")
                elif says == "":
                    self.assertIsNone(error)
                    self.assertFalse(close, f"{name}: the numbers are right")
                else:
                    self.assertRegex(error or "", says, name)

    def test_products_on_cuda_cores(self):
        a, b = GENERATOR.standard_normal((70, 100), np.float32), GENERATOR.standard_normal((100, 50), np.float32)
        self.check(product(a.shape, b.shape, (70, 50), "f32"), "gemm_simt.cuh", {"x": a, "w": b}, a.astype(np.float64) @ b, 1e-4, [
            ("an index off by one", "beyond the end of input 0", [("return base + m * 100 + k;", "return base + m * 100 + k + 1;")]),
            ("no look at the edges", "beyond the end of input", [("return row < rows && k < kEnd ? from.at(batch, row, k) : nullptr;", "return from.at(batch, row, k);")]),
            ("no barrier before a strip is used", RACE, [("waitForCopies<stages - 2>();\n    // This strip is complete, and nobody reads the one before any more: its\n    // place is free for the strip that is stages - 1 ahead.\n    __syncthreads();", "waitForCopies<stages - 2>();")]),
            ("no wait for a strip", "that nobody wrote", [("waitForCopies<stages - 2>();", "")]),
            ("a barrier only half of the threads reach", "waits at another __syncthreads", [("    // This strip is complete", "    if (threadIdx.x < 32) __syncthreads();\n    // This strip is complete")]),
            ("an output nobody writes", "output 0", [("if (m < Shape::m && n < Shape::n)\n      epilogue", "if (m + 1 < Shape::m && n < Shape::n)\n      epilogue")]),
            ("vectors that are not aligned", "at once at", [("struct B {\n  using Element = float;\n  static constexpr bool alongK = false;\n  static constexpr int vector = 2;", "struct B {\n  using Element = float;\n  static constexpr bool alongK = false;\n  static constexpr int vector = 4;")]),
        ])

    def test_products_on_tensor_cores(self):
        a, b = (GENERATOR.standard_normal(shape, np.float32).astype(np.float16) for shape in ((70, 304), (304, 56)))
        self.check(product(a.shape, b.shape, (70, 56), "f16"), "gemm_mma.cuh", {"x": a, "w": b}, a.astype(np.float64) @ b.astype(np.float64), 4e-3, [
            ("a wrong swizzle", "", [("strip + place(row + nextRows * 8 + lane % 8,\n                                        step * 2 + nextK)", "strip + place(row + nextRows * 8 + lane % 8,\n                                        (step * 2 + nextK) ^ 1)")]),
            ("a wrong fragment layout", "", [("nextRows = isA ? matrix % 2 : matrix / 2;", "nextRows = isA ? matrix / 2 : matrix / 2;"), ("nextK = isA ? matrix / 2 : matrix % 2;", "nextK = isA ? matrix % 2 : matrix % 2;")]),
            ("no barrier before a strip is used", RACE, [("waitForCopies<stages - 2>();\n    // This strip is complete, and nobody reads the one before any more: its\n    // place is free for the strip that is stages - 1 ahead.\n    __syncthreads();", "waitForCopies<stages - 2>();")]),
            ("no barrier before the sums stand where strips were", RACE, [("waitForCopies<0>();\n  __syncthreads();\n  constexpr int pitch", "waitForCopies<0>();\n  constexpr int pitch")]),
            ("no wait for a strip", "that nobody wrote", [("waitForCopies<stages - 2>();", "")]),
        ])

    def test_products_by_warp_groups(self):
        a, b = (GENERATOR.standard_normal(shape, np.float32).astype(np.float16) for shape in ((1024, 324), (324, 2048)))
        self.check(product(a.shape, b.shape, (1024, 2048), "f16"), "gemm_wgmma.cuh", {"x": a, "w": b}, a.astype(np.float64) @ b.astype(np.float64), 6e-3, [
            ("no barrier before a strip is used", RACE, [("the last has been multiplied\n    // by all: its place is free for the strip that is stages - 2 ahead.\n    __syncthreads();", "")]),
            ("a strip that is not shown to wgmma", "without fence.proxy.async between", [("    showToWarpGroups();\n", "")]),
            ("sums that are not waited for", "", [("  waitForSums<0>();\n", "")]),
            ("a step of k as long as another type's", "", [("row * 128 + step * 32", "row * 128 + step * 16")]),
        ], "sm_90a")

    def test_running_sums(self):
        x = GENERATOR.standard_normal((3, 5000), np.float32)
        type = "tensor<3x5000xf32>"
        model = (
            f'func.func @main(%x: {type} {{lathe.name = "x"}}) -> ({type} {{lathe.name = "y"}}) {{\n'
            f"  %r = lathe.cumsum %x {{axis = 1 : i64}} : ({type}) -> {type}\n  return %r : {type}\n}}\n")
        self.check(model, "scan.cuh", {"x": x}, np.cumsum(x.astype(np.float64), 1), 1e-3, [
            ("no barrier before the sums of warps are read", RACE, [("ofWarp[thread / 32] = upTo;\n      __syncthreads();", "ofWarp[thread / 32] = upTo;")]),
            ("no barrier before the next chunk", RACE, [("// The next chunk writes to the same place.\n      __syncthreads();", "")]),
            ("a chunk that forgets those before it", "", [("sum = addUp(before, sum);", "")]),
            ("a look beyond the row's end", "beyond the end of|that nobody wrote", [("if (mine + i < Scan::length)\n        pack = ", "pack = ")]),
        ])

    def test_attention_on_cuda_cores(self):
        x = GENERATOR.standard_normal((1, 2, 70, 64), np.float32)
        self.check(attention("f32"), "attention_simt.cuh", {"x": x}, self.attend(x), 1e-4, [
            ("sums that are not scaled down", "", [("sums[i][c] *= factor;", "")]),
            ("no barrier before weights are used", RACE, [("    waitForCopies<0>();\n    __syncthreads();\n    if (firstKey", "    waitForCopies<0>();\n    if (firstKey")]),
        ])

    def test_attention_on_tensor_cores(self):
        x = GENERATOR.standard_normal((1, 2, 70, 64), np.float32).astype(np.float16)
        self.check(attention("f16"), "attention_mma.cuh", {"x": x}, self.attend(x), 4e-3, [
            ("weights as words of the wrong rows", "", [("packPair(low[2], low[3], T{})", "packPair(high[0], high[1], T{})"), ("packPair(high[0], high[1], T{}), packPair(high[2]", "packPair(low[2], low[3], T{}), packPair(high[2]")]),
            ("no barrier before keys are overwritten", RACE, [("    waitForCopies<0>();\n    __syncthreads();\n    if (firstKey", "    waitForCopies<0>();\n    if (firstKey")]),
        ])

    def check_gradients(self, element, skeleton, tolerance, faults):
        x = GENERATOR.standard_normal((1, 2, 70, 64), np.float32).astype(element) / 4
        wide = x.astype(np.float64)
        scores = wide @ wide.swapaxes(-1, -2) / 8
        scores = np.where(np.tri(70, dtype=bool), scores, -np.inf)
        saved = np.log(np.exp(scores).sum(-1))
        weights = np.exp(scores - saved[..., None])
        delta = (weights @ wide * wide).sum(-1)
        gradients = weights * (wide @ wide.swapaxes(-1, -2) - delta[..., None]) / 8
        expected = gradients @ wide + gradients.swapaxes(-1, -2) @ wide + weights.swapaxes(-1, -2) @ wide
        model = attention_gradients({"float32": "f32", "float16": "f16"}[element])
        inputs = {"x": x, "s": saved.astype(np.float32), "d": delta.astype(np.float32)}
        self.check(model, skeleton, inputs, expected, tolerance, [
            ("no barrier before columns are overwritten", RACE, [("// Nobody reads the columns before any more.\n      __syncthreads();", "")]),
            ("no barrier before columns are used", RACE, [("waitForCopies<0>();\n      __syncthreads();\n\n      float weights", "waitForCopies<0>();\n\n      float weights")]),
            ("columns that are not waited for", "that nobody wrote", [("waitForCopies<0>();\n      __syncthreads();\n\n      float weights", "__syncthreads();\n\n      float weights")]),
            ("gradients of queries that are not scaled", "", [("sums1, scale, place", "sums1, 1.0f, place")]),
            *faults], "sm_80")

    def test_gradients_on_cuda_cores(self):
        self.check_gradients("float32", "attention_backward_simt.cuh", 1e-4, [
            ("no delta", "", [("(inner[i][j] - getDelta<Shape>(saved, batch, query))", "inner[i][j]")]),
            ("no barrier before gradients are used", RACE, [("      __syncthreads();\n      multiplyValues", "      multiplyValues")])])

    def test_gradients_on_tensor_cores(self):
        self.check_gradients("float16", "attention_backward_mma.cuh", 4e-3, [
            ("no delta", "", [("(inner[j][i] - less)", "inner[j][i]")]),
            ("a strip that is not turned", "", [("alongK = !Operand::alongK", "alongK = Operand::alongK")]),
            ("words of the wrong rows", "", [("packPair(low[2], low[3], T{})", "packPair(high[0], high[1], T{})")])])

    @staticmethod
    def attend(x):
        x = x.astype(np.float64)
        weights = np.exp(x @ x.swapaxes(-1, -2) / 8)
        return weights / weights.sum(-1, keepdims=True) @ x


if __name__ == "__main__":
    unittest.main()
