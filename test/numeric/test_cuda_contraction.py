"""Matrix products of the CUDA targets, run on cuda-sim, against NumPy in f64:
random shapes with odd sizes, sizes 0 and 1, transposed and broadcast operands,
every element type, epilogues."""

import pathlib
import re
import subprocess
import tempfile
import unittest

import numpy as np

import lathe

SEED = 20240607
# f32 sums of k products; 16-bit results are rounded, and once more by an
# epilogue.
TOLERANCE = {"f64": (1e-12, 1e-12), "f32": (2e-5, 2e-5), "f16": (2e-3, 2e-3), "bf16": (1.6e-2, 1.6e-2)}
DTYPE = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "i32": np.int32, "i64": np.int64, "i8": np.int8}


def tensor(shape, element):
    return f"tensor<{''.join(f'{size}x' for size in shape)}{element}>"


class Program:
    """A function of many products, compiled and run at once."""

    def __init__(self, rng):
        self.rng, self.arguments, self.lines, self.results, self.expected = rng, [], [], [], []

    def input(self, shape, element):
        """bf16 stands in files as f32 and is cast in the model."""
        name = f"x{len(self.arguments)}"
        stored = "f32" if element == "bf16" else element
        if element in ("i8", "i32", "i64"):
            value = self.rng.integers(-100, 100, shape).astype(DTYPE[element]) << (8 if element == "i32" else 0)
        else:
            value = self.rng.standard_normal(shape).astype(DTYPE[stored])
            if element == "bf16":
                value = (value.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        self.arguments.append((name, value, tensor(shape, stored)))
        if stored == element:
            return f"%{name}", value
        self.lines.append(f"%{name}_ = lathe.cast %{name} to {element} : ({tensor(shape, stored)}) -> {tensor(shape, element)}")
        return f"%{name}_", value

    def op(self, text, operands, result, attributes=""):
        name = f"%v{len(self.lines)}"
        types = ", ".join(type for _, type in operands)
        self.lines.append(f"{name} = lathe.{text} {', '.join(value for value, _ in operands)} {attributes} : ({types}) -> {result}")
        return name

    def output(self, value, shape, element, expected):
        if element == "bf16":
            value = self.op("cast", [(value, tensor(shape, "bf16"))], tensor(shape, "f32"), "to f32")
        self.results.append((value, tensor(shape, "f32" if element == "bf16" else element)))
        self.expected.append((element, expected))

    def text(self):
        arguments = ", ".join(f'%{name}: {type} {{lathe.name = "{name}"}}' for name, _, type in self.arguments)
        results = ", ".join(f'{type} {{lathe.name = "y{i:03}"}}' for i, (_, type) in enumerate(self.results))
        body = "".join(f"  {line}\n" for line in self.lines)
        values = ", ".join(value for value, _ in self.results)
        types = ", ".join(type for _, type in self.results)
        return f"func.func @main({arguments}) -> ({results}) {{\n{body}  return {values} : {types}\n}}\n"

    def check(self, skeletons="gemm", arch="sm_90a", options=()):
        """Runs it, and sees to it that each product has its skeleton; returns the
        texts."""
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder) / "products.mlir"
            model.write_text(self.text())
            outputs, _ = lathe.run(
                model, {name: value for name, value, _ in self.arguments}, options=["--target", "cuda-sim", "--arch", arch, *options])
            texts = subprocess.run(
                [lathe.LATHE, "compile", model, "--emit", "cuda", "--arch", arch, *options], capture_output=True, text=True, timeout=300, check=True).stdout
        assert len(outputs) == len(self.expected)
        for text in re.split(r"\n(?=// \w+_[0-9a-f]{6}\n)", texts):
            if re.search(r"//   lathe\.(?:matmul|linear|conv|attention) ", text) and not re.search(r"// out0: (?:\d+x)*0x", text):
                assert re.search(rf'#include "lathe/(?:{skeletons})_', text), f"a product without a skeleton:\n{text}"
        for i, (element, expected) in enumerate(self.expected):
            found = outputs[f"y{i:03}"]
            if element in TOLERANCE:
                rtol, atol = TOLERANCE[element]
                # An error is as large as what was added up, not as the sum.
                scale = max(1.0, float(np.sqrt(np.mean(np.square(expected)))) if expected.size else 1.0)
                lathe.assert_close(found.astype(np.float64), expected, rtol, atol * scale, f"{element} product {i}: {self.results[i]}")
            else:
                lathe.assert_close(found, expected.astype(found.dtype), what=f"{element} product {i}: {self.results[i]}")
        return texts


def to_tf32(value):
    """To the nearest number with 10 bits behind the leading one, ties away from zero."""
    mantissa, exponent = np.frexp(value.astype(np.float64))
    return np.ldexp(np.copysign(np.floor(np.abs(mantissa) * 2**11 + 0.5), mantissa), exponent - 11)


def wide(value):
    return value.astype(np.int64 if value.dtype.kind == "i" else np.float64)


def wrapped(value, element):
    """Integers wrap around in their type."""
    return value.astype(DTYPE[element]).astype(np.int64) if element[0] == "i" else value


def pick_size(rng, largest=150):
    kind = rng.integers(5)
    if kind == 0:
        return int(rng.integers(1, 4))
    if kind == 1:
        return int(8 * rng.integers(1, max(2, largest // 8)))
    return int(rng.integers(1, largest))


def epilogue(program, rng, value, shape, element, expected):
    """A few elementwise ops with operands of several shapes."""
    type, expected = tensor(shape, element), wrapped(expected, element)
    for _ in range(int(rng.integers(0, 3))):
        kind = rng.integers(4)
        if kind == 0:
            value, expected = program.op("relu", [(value, type)], type), np.maximum(expected, 0)
        elif kind == 1:
            value, expected = program.op("neg", [(value, type)], type), -expected
        else:
            size = [size if rng.integers(2) else 1 for size in shape]
            if kind == 2:
                size = size[len(size) - 1:]
            other, numbers = program.input(size, element)
            value = program.op("add", [(value, type), (other, tensor(size, element))], type)
            expected = expected + wide(numbers)
        expected = wrapped(expected, element)
    return value, expected


def add_matmul(program, rng, element):
    rank = int(rng.integers(0, 3))
    batch = [int(rng.integers(1, 4)) for _ in range(rank)]
    m, n, k = pick_size(rng), pick_size(rng), pick_size(rng, 300)
    if rng.integers(20) == 0:
        m, n, k = [size if rng.integers(2) else 0 for size in (m, n, k)]
    swap_a, swap_b = bool(rng.integers(2)), bool(rng.integers(2))

    def side(rows, columns):
        own = [size if rng.integers(4) else 1 for size in batch]
        own = own[int(rng.integers(0, rank + 1)):] if rank and rng.integers(3) == 0 else own
        return [*own, rows, columns]

    a, b = side(k, m) if swap_a else side(m, k), side(n, k) if swap_b else side(k, n)
    (x, left), (y, right) = program.input(a, element), program.input(b, element)
    expected = np.matmul(wide(left.swapaxes(-1, -2) if swap_a else left), wide(right.swapaxes(-1, -2) if swap_b else right))
    shape = list(expected.shape)
    flags = [name for name, on in (("transpose_lhs", swap_a), ("transpose_rhs", swap_b)) if on]
    value = program.op(
        "matmul", [(x, tensor(a, element)), (y, tensor(b, element))], tensor(shape, element), "{" + ", ".join(flags) + "}" if flags else "")
    value, expected = epilogue(program, rng, value, shape, element, expected)
    program.output(value, shape, element, expected)


def add_linear(program, rng, element):
    lead = [int(rng.integers(1, 5)) for _ in range(int(rng.integers(0, 3)))]
    n, k = pick_size(rng), pick_size(rng, 300)
    if rng.integers(8) == 0:
        k = int(rng.integers(1000, 3000))
    (x, left), (w, weight) = program.input([*lead, k], element), program.input([n, k], element)
    operands = [(x, tensor([*lead, k], element)), (w, tensor([n, k], element))]
    expected = wide(left) @ wide(weight).T
    if rng.integers(2):
        b, bias = program.input([n], element)
        operands.append((b, tensor([n], element)))
        expected = expected + wide(bias)
    shape = [*lead, n]
    value = program.op("linear", operands, tensor(shape, element))
    value, expected = epilogue(program, rng, value, shape, element, expected)
    program.output(value, shape, element, expected)


def random_products(add, count, seeds):
    """Gives a class a test per element type: for each of its seeds, a program of
    `count` products that `add` makes."""
    def test(element):
        def run(self):
            for seed in seeds[element]:
                rng = np.random.default_rng([SEED, seed])
                program = Program(rng)
                for _ in range(count):
                    add(program, rng, element)
                with np.errstate(over="ignore"):
                    program.check()
        return run

    def decorate(tests):
        for element in seeds:
            setattr(tests, f"test_{element}", test(element))
        return tests

    return decorate


def add_product(program, rng, element):
    (add_linear if rng.integers(3) == 0 else add_matmul)(program, rng, element)


@random_products(add_product, 24, {
    "f32": [0, 1, 2], "f64": [10], "f16": [20], "bf16": [30], "i32": [40], "i64": [50]})
class Contractions(unittest.TestCase):
    SECONDS = 40

    def test_warp_groups(self):
        """Shapes that are large enough for wgmma, with operands in both orders,
        whose lines are no multiples of 16 bytes, which TMA could read."""
        rng = np.random.default_rng([SEED, 70])
        program = Program(rng)
        for element, swap_a, swap_b in (("f16", False, True), ("f16", True, False), ("bf16", True, True)):
            m, n, k = 1100, 2052, 132
            a, b = ([k, m] if swap_a else [m, k]), ([n, k] if swap_b else [k, n])
            (x, left), (y, right) = program.input(a, element), program.input(b, element)
            flags = [name for name, on in (("transpose_lhs", swap_a), ("transpose_rhs", swap_b)) if on]
            value = program.op("matmul", [(x, tensor(a, element)), (y, tensor(b, element))], tensor([m, n], element), f"{{{', '.join(flags)}}}")
            expected = wide(left.T if swap_a else left) @ wide(right.T if swap_b else right)
            program.output(value, [m, n], element, expected)
        texts = program.check()
        self.assertEqual(texts.count('#include "lathe/gemm_wgmma.cuh"'), 3)

    def test_tf32(self):
        """Operands are rounded, sums are not: against rounded operands f32's tolerance holds. Against f32, what is
        documented: 2^-10 of the products' sizes, and no error would mean that nothing was rounded."""
        program, bounds = Program(np.random.default_rng([SEED, 80])), []
        for m, n, k, swap_a, swap_b in ((130, 70, 33, False, False), (64, 200, 136, True, True), (17, 24, 2048, False, True), (256, 128, 64, True, False)):
            a, b = ([k, m] if swap_a else [m, k]), ([n, k] if swap_b else [k, n])
            (x, left), (y, right) = program.input(a, "f32"), program.input(b, "f32")
            flags = [name for name, on in (("transpose_lhs", swap_a), ("transpose_rhs", swap_b)) if on]
            value = program.op(
                "matmul", [(x, tensor(a, "f32")), (y, tensor(b, "f32"))], tensor([m, n], "f32"), f"{{{', '.join(flags)}}}" if flags else "")
            left, right = left.T if swap_a else left, right.T if swap_b else right
            rounded, exact = to_tf32(left) @ to_tf32(right), wide(left) @ wide(right)
            program.output(value, [m, n], "f32", rounded)
            bounds.append(np.abs(rounded - exact) / (np.abs(wide(left)) @ np.abs(wide(right))))
        texts = program.check(options=["--precision", "tf32"])
        self.assertNotIn("gemm_simt", texts)
        for bound in bounds:
            self.assertTrue(1e-5 < bound.max() < 2**-10, bound.max())

    def test_tiles_that_the_user_chose(self):
        for element, arch, tile, text in (
                ("f32", "sm_80", "16x64x16x2", "SimtTile<16, 64, 16, 4, 4, 2>"),
                ("f32", "sm_80", "128x128x8x4x3", "SimtTile<128, 128, 8, 8, 8, 4>"),
                ("f16", "sm_80", "128x64x64x2", "MmaTile<128, 64, 32, 32, 2>"),
                ("f16", "sm_80", "32x32x64x6x4", "MmaTile<32, 32, 16, 16, 6>"),
                ("i8", "sm_80", "64x64x128x3x2", "MmaTile<64, 64, 32, 32, 3>"),
                ("f16", "sm_90a", "256x128x64x3x2", "TmaTile<256, 3>"),
                ("f16", "sm_90a", "128x128x64x2", "TmaTile<128, 2>")):
            with self.subTest(element=element, tile=tile):
                program, result = Program(np.random.default_rng([SEED, 90])), "i32" if element == "i8" else element
                (x, left), (y, right) = program.input([150, 400], element), program.input([400, 136], element)
                value = program.op("matmul", [(x, tensor([150, 400], element)), (y, tensor([400, 136], element))], tensor([150, 136], result))
                program.output(value, [150, 136], result, wrapped(wide(left) @ wide(right), result))
                texts = program.check(arch=arch, options=["--tile", f"matmul={tile}"])
                self.assertIn(f"using Tile = {text};", texts)
                parts = tile.split("x")[4:]
                self.assertEqual(re.findall(r"ProductShape<1, 150, 136, 400, (\d+),", texts), parts)


if __name__ == "__main__":
    unittest.main()
