"""8-bit floats (e4m3fn): casts and quantize against ml_dtypes for every code and every
f16, products against sums of the numbers they stand for, on every instruction set
and on cuda-sim, where sm_80 has no instruction for them."""

import unittest

import ml_dtypes
import numpy as np

from cli import CommandLine
from cuda_text import Texts

FLOAT8 = ml_dtypes.float8_e4m3fn
WAYS = [["--isa", "sse"], ["--isa", "avx2"], ["--isa", "avx512"], ["--target", "cuda-sim", "--arch", "sm_80"],
        ["--target", "cuda-sim", "--arch", "sm_90a"]]
CODES = np.arange(256).astype(np.uint8).view(FLOAT8)
NUMBERS = CODES[~np.isnan(CODES.astype(np.float32))]
KINDS = {np.dtype(np.float64): "f64", np.dtype(np.float32): "f32", np.dtype(np.float16): "f16", np.dtype(np.int32): "i32",
         np.dtype(FLOAT8): "f8E4M3FN"}


def kind(array):
    return f"tensor<{''.join(f'{size}x' for size in array.shape)}{KINDS[array.dtype]}>"


def rounded(x):
    """Saturates, which ml_dtypes does not; f64 it rounds twice."""
    if x.dtype != np.float64:
        with np.errstate(invalid="ignore"):
            return np.clip(x, x.dtype.type(-448), x.dtype.type(448)).astype(FLOAT8)
    table, size = CODES[:127].astype(np.float64), np.minimum(np.abs(x), 448)
    below = np.searchsorted(table, size, side="right") - 1
    middle = (table[below] + table[np.minimum(below + 1, 126)]) / 2
    code = below + ((size > middle) | ((size == middle) & (below % 2 == 1) & (below < 126)))
    code = np.where(np.isnan(x), 127, code) | np.where(np.signbit(x), 128, 0)
    return code.astype(np.uint8).view(FLOAT8)


class Program:
    def __init__(self):
        self.inputs, self.arguments, self.lines, self.expected = {}, [], [], {}

    def input(self, array):
        name = f"x{len(self.inputs)}"
        self.inputs[name] = array
        self.arguments.append(f'%{name}: {kind(array)} {{lathe.name = "{name}"}}')
        return f"%{name}", kind(array)

    def constant(self, array):
        self.lines.append(f'  %c{len(self.lines)} = lathe.constant dense<"0x{array.tobytes().hex().upper()}"> : {kind(array)}')
        return f"%c{len(self.lines) - 1}", kind(array)

    def add(self, op, operands, expected, attributes="", slack=None, infix=""):
        """`slack`: what each element may be off; None for the same bits."""
        name = f"r{len(self.expected)}"
        values, types = zip(*operands)
        self.lines.append(f"  %{name} = lathe.{op} {', '.join(values)}{infix} {{{attributes}}} : ({', '.join(types)}) -> {kind(expected)}")
        self.expected[name] = (expected, slack, f"{op} of {', '.join(types)}")

    def text(self):
        results = ", ".join(f'{kind(expected)} {{lathe.name = "{name}"}}' for name, (expected, _, _) in self.expected.items())
        values = ", ".join(f"%{name}" for name in self.expected)
        kinds = ", ".join(kind(expected) for expected, _, _ in self.expected.values())
        return "\n".join([f"func.func @main({', '.join(self.arguments)}) -> ({results}) {{", *self.lines,
                          f"  return {values} : {kinds}", "}"])


class Float8(CommandLine):
    SECONDS = 40

    def run_ways(self, program, ways=WAYS):
        model = self.write("model.mlir", program.text())
        words = []
        for name, array in program.inputs.items():
            np.save(self.folder / f"{name}.npy", array)
            words += ["--input", f"{name}={name}.npy"]
        for way in ways:
            self.works("run", model, *words, *way, "--quiet", "--threads", 1, "--output-dir", "out", seconds=120)
            yield way, {name: np.load(self.folder / "out" / f"{name}.npy") for name in program.expected}

    def check(self, program, ways=WAYS):
        for way, found in self.run_ways(program, ways):
            for name, (expected, slack, what) in program.expected.items():
                here = found[name]
                if expected.dtype == FLOAT8:
                    here = here.view(FLOAT8)
                if slack is None:
                    # NaN is any of its codes; zeros have signs.
                    np.testing.assert_array_equal(here.astype(np.float32), expected.astype(np.float32), f"{what} on {way}")
                    np.testing.assert_array_equal(np.signbit(here[expected == 0]), np.signbit(expected[expected == 0]))
                else:
                    self.assertTrue((np.abs(here - expected.astype(np.float64)) <= slack).all(),
                                    f"{what} on {way}: off by up to {np.abs(here - expected).max()}")

    def test_casts(self):
        program = Program()
        halves = np.arange(65536).astype(np.uint16).view(np.float16)
        floats = halves.astype(np.float32)
        # Of f32 what is just beside a tie, too.
        with np.errstate(invalid="ignore"):
            floats = np.concatenate([floats, np.nextafter(floats, np.float32(0)), np.nextafter(floats, np.float32(np.inf))])
        doubles = np.concatenate([[17 + 2.0**-40, 19 - 2.0**-40, 1e300, -1e-300, np.inf, -np.inf], np.linspace(-500, 500, 9973)])
        for array in (halves, floats, doubles, np.arange(-600, 600, dtype=np.int32)):
            program.add("cast", [program.input(array)], rounded(array.astype(np.float64) if array.dtype == np.int32 else array), infix=" to f8E4M3FN")
        for to in (np.float32, np.float16, np.float64):
            program.add("cast", [program.input(CODES)], CODES.astype(to), infix=f" to {KINDS[np.dtype(to)]}")
            program.add("cast", [program.constant(CODES)], CODES.astype(to), infix=f" to {KINDS[np.dtype(to)]}")
        program.add("cast", [program.constant(doubles[:500])], rounded(doubles[:500]), infix=" to f8E4M3FN")
        self.check(program)

    def test_quantize(self):
        random, program = np.random.default_rng(3), Program()
        x = random.standard_normal((7, 40)).astype(np.float32) * 100
        x[0, :3] = 1e30, -np.inf, np.nan
        for shape, group in (((), 0), ((7, 1), 0), ((7, 5), 8)):
            scale = (random.random(shape) * 0.3 + 0.01).astype(np.float32)
            wide = np.repeat(scale, group, 1) if group else scale
            zero, attributes = np.zeros(shape, FLOAT8), f"axis = 1 : i64, group = {group} : i64"
            q = rounded(x / wide)
            program.add("quantize", [program.input(x), program.input(scale), program.constant(zero)], q, attributes)
            program.add("dequantize", [program.input(q), program.input(scale), program.constant(zero)],
                        q.astype(np.float32) * wide, attributes)
        self.check(program)

    def add_products(self, program, a, b, known, exact, few=False):
        """a [m, k] times b [k, n] by every op."""
        wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
        expected = (wide_a @ wide_b).astype(np.float32)
        (m, k), n = a.shape, b.shape[1]
        slack = None if exact else 2e-7 * k**0.5 * (np.abs(wide_a) @ np.abs(wide_b)) + 1e-30
        add, right = program.input, program.constant if known else program.input
        weight = b.T.copy()
        program.add("matmul", [add(a), right(b)], expected, slack=slack)
        if few:
            return
        program.add("matmul", [add(a.T.copy()), right(weight)], expected, "transpose_lhs, transpose_rhs", slack)
        program.add("linear", [add(a), right(weight)], expected, slack=slack)
        side = 3 if k % 9 == 0 else 1
        program.add("conv", [add(a.reshape(m, -1, side, side)), right(weight.reshape(n, -1, side, side))],
                    expected.reshape(m, n, 1, 1), slack=None if exact else slack.reshape(m, n, 1, 1))

    def test_all_pairs(self):
        """A product of two has at most eight digits."""
        for ways, few in ((WAYS[:3], False), (WAYS[3:], True)):
            program = Program()
            for known in (False, True)[:2 - few]:
                self.add_products(program, NUMBERS[:, None], NUMBERS[None, :], known, exact=True, few=few)
            self.check(program, ways)

    def test_sums(self):
        random, program = np.random.default_rng(4), Program()
        for m, k, n in ((5, 36, 37), (70, 264, 48), (1, 130, 64)):
            a, b = random.choice(NUMBERS, (m, k)), random.choice(NUMBERS, (k, n))
            self.add_products(program, a, b, m != 5, exact=False)
        self.check(program)

    def scaled(self, wrong=False):
        """Both sides with a scale per row; `wrong` tells the weight's axis wrongly, as a bug would."""
        random, program = np.random.default_rng(6), Program()
        m, k = 9, 40
        near = NUMBERS[np.abs(NUMBERS.astype(np.float32)) < 30]
        q, w = random.choice(near, (m, k)), random.choice(near, (k, k))
        sx, sw = ((random.random(shape) * 0.1 + 0.01).astype(np.float32) for shape in ((m, 1), (k,)))

        def dequantize(array, scale, axis):
            values = [program.constant(array) if array is w else program.input(array), program.input(scale), program.constant(np.zeros(scale.shape, FLOAT8))]
            program.lines.append(f"  %d{len(program.lines)} = lathe.dequantize {', '.join(v for v, _ in values)} {{axis = {axis} : i64}} : "
                                 f"({', '.join(t for _, t in values)}) -> {kind(array.astype(np.float32))}")
            return f"%d{len(program.lines) - 1}", kind(array.astype(np.float32))

        a = q.astype(np.float64) * sx
        b = w.astype(np.float64) * sw[:, None]
        program.add("linear", [dequantize(q, sx, 1), dequantize(w, sw, int(wrong))], (a @ b.T).astype(np.float32), slack=2e-6 * (np.abs(a) @ np.abs(b.T)))
        return program

    def test_scales(self):
        program = self.scaled()
        self.check(program)
        kernels = self.works("compile", self.folder / "model.mlir", "--emit", "kernels").stdout
        self.assertRegex(kernels, r"packed_matmul .*f8E4M3FN>, tensor<2x40x32xf8E4M3FN>\) -> tensor<9x40xf32>")
        with self.assertRaises(AssertionError):
            self.check(self.scaled(wrong=True), WAYS[:1])

    def test_faults_of_texts(self):
        program = Program()
        random = np.random.default_rng(7)
        a, b = random.choice(NUMBERS, (20, 64)), random.choice(NUMBERS, (40, 64))
        expected = a.astype(np.float64) @ b.astype(np.float64).T
        slack = 2e-6 * (np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64)).T)
        program.add("linear", [program.input(a), program.input(b)], expected.astype(np.float32))
        for arch, changes in (("sm_90a", [("e4m3{(u8)(word >> 8 * e)}", "e4m3{(u8)(word >> 8 * (e ^ 1) ^ e)}"),
                                          ("perWord = 4 / sizeof(A)", "perWord = 2 / sizeof(A)")]),
                              ("sm_80", [("find()) {\n      const Pack<e4m3, N> q = loadPack<N>(from);\n      #pragma unroll\n      for (int i = 0; i < N; ++i)\n"
                                          "        x.at[i] = toF16(toFloat(q.at[i]));\n    }\n    return x;\n  }\n};\n\nstruct B",
                                          "find()) {\n      const Pack<e4m3, N> q = loadPack<N>(from);\n      for (int i = 0; i < N; ++i)\n"
                                          "        x.at[i] = toF16(toFloat(e4m3{(u8)(q.at[i].bits & 0x7f)}));\n    }\n    return x;\n  }\n};\n\nstruct B")])):
            for change in ([], *([change] for change in changes)):
                texts = Texts(program.text(), arch)
                texts.inline("MmaTile", change)
                outputs, error = texts.run(program.inputs)
                self.assertIsNone(error)
                self.assertEqual((np.abs(outputs["r0"] - expected) <= slack).all(), not change, change)

    def test_weights_alone(self):
        """f32 times dequantized weights, with a scale per column, per group, and for all."""
        random, program = np.random.default_rng(5), Program()
        for m, k, n in ((3, 64, 40), (70, 160, 72)):
            x = random.standard_normal((m, k)).astype(np.float32)
            q = random.choice(NUMBERS[np.abs(NUMBERS.astype(np.float32)) < 30], (n, k))
            for shape, group in (((n, 1), 0), ((n, k // 32), 32), ((), 0)):
                scale = (random.random(shape) * 0.1 + 0.01).astype(np.float32)
                weight = q.astype(np.float32) * (np.repeat(scale, group, 1) if group else scale)
                values = [program.constant(q), program.constant(scale), program.constant(np.zeros(shape, FLOAT8))]
                program.lines.append(f"  %w{len(program.lines)} = lathe.dequantize {', '.join(v for v, _ in values)} "
                                     f"{{axis = 1 : i64, group = {group} : i64}} : ({', '.join(t for _, t in values)}) -> {kind(weight)}")
                wide = x.astype(np.float64), weight.T.astype(np.float64)
                program.add("linear", [program.input(x), (f"%w{len(program.lines) - 1}", kind(weight))],
                            (wide[0] @ wide[1]).astype(np.float32), slack=4e-7 * k**0.5 * (np.abs(wide[0]) @ np.abs(wide[1])))
        self.check(program)


if __name__ == "__main__":
    unittest.main()
