"""8-bit products are exact and quantize rounds and saturates as it says, on every
instruction set and on cuda-sim: all 65,536 pairs of bytes per op, signed or not,
deep sums at the ends of the range, ties and ends of quantize, against Python's
integers."""

import fractions
import unittest

import numpy as np

from cli import CommandLine

WAYS = [["--isa", "sse"], ["--isa", "avx2"], ["--isa", "avx512"], ["--target", "cuda-sim"]]
BYTES = {"i8": np.arange(-128, 128).astype(np.int8), "ui8": np.arange(256).astype(np.uint8)}
PAIRS = [(a, b) for a in BYTES for b in BYTES]


def tensor(shape, kind):
    return f"tensor<{''.join(f'{size}x' for size in shape)}{kind}>"


def constant(array, kind):
    return f'lathe.constant dense<"0x{array.tobytes().hex().upper()}"> : {tensor(array.shape, kind)}'


class Program:
    """A function of one op per result, whose operands are inputs or, where
    `known`, constants, which are laid out at load."""

    def __init__(self):
        self.inputs, self.lines, self.expected, self.arguments = {}, [], {}, []

    def operand(self, array, kind, known):
        name = f"x{len(self.inputs) + len(self.lines)}"
        if known:
            self.lines.append(f"  %{name} = {constant(array, kind)}")
        else:
            self.inputs[name] = array
            self.arguments.append(f'%{name}: {tensor(array.shape, kind)} {{lathe.name = "{name}"}}')
        return f"%{name}", tensor(array.shape, kind)

    def add(self, op, operands, expected, kind="i32", attributes=""):
        name = f"r{len(self.expected)}"
        values, types = zip(*operands)
        self.lines.append(f"  %{name} = lathe.{op} {', '.join(values)} {{{attributes}}} : ({', '.join(types)}) -> "
                          f"{tensor(expected.shape, kind)}")
        self.expected[name] = (expected, tensor(expected.shape, kind), f"{op} of {', '.join(types)}")

    def text(self):
        results = ", ".join(f'{kind} {{lathe.name = "{name}"}}' for name, (_, kind, _) in self.expected.items())
        values = ", ".join(f"%{name}" for name in self.expected)
        kinds = ", ".join(kind for _, kind, _ in self.expected.values())
        return "\n".join([f"func.func @main({', '.join(self.arguments)}) -> ({results}) {{", *self.lines,
                          f"  return {values} : {kinds}", "}"])


def exact(a, b):
    """The matrix product in integers that do not end, as wrapping i32."""
    product = a.astype(object) @ b.astype(object)
    return np.vectorize(lambda x: (int(x) + 2**31) % 2**32 - 2**31)(product).astype(np.int32)


def products(program, a, b, kinds, known):
    """a [m, k] times b [k, n] by every op."""
    (m, k), n = a.shape, b.shape[1]
    expected, (ka, kb) = exact(a, b), kinds
    program.add("matmul", [program.operand(a, ka, False), program.operand(b, kb, known)], expected)
    program.add("matmul", [program.operand(a.T.copy(), ka, False), program.operand(b.T.copy(), kb, known)], expected,
                attributes="transpose_lhs, transpose_rhs")
    weight = b.T.copy()
    program.add("linear", [program.operand(a, ka, False), program.operand(weight, kb, known)], expected)
    if k % 9:
        image, window, pads = a.reshape(m, k, 1, 1), weight.reshape(n, k, 1, 1), ""
    else:
        image, window, pads = a.reshape(m, k // 9, 3, 3), weight.reshape(n, k // 9, 3, 3), ""
    program.add("conv", [program.operand(image, ka, False), program.operand(window, kb, known)],
                expected.reshape(m, n, 1, 1), attributes=pads)


def rounded(x, scale, zero, low, high):
    """round_half_even(x / scale) + zero, saturated, of the f32 quotient."""
    quotient = np.float32(x) / np.float32(scale)
    if np.isinf(quotient):
        return high if x > 0 else low
    return min(max(round(fractions.Fraction(float(quotient))) + zero, low), high)


class IntegerProducts(CommandLine):
    def check(self, program):
        model = self.write("model.mlir", program.text())
        words = []
        for name, array in program.inputs.items():
            np.save(self.folder / f"{name}.npy", array)
            words += ["--input", f"{name}={name}.npy"]
        for way in WAYS:
            self.works("run", model, *words, *way, "--quiet", "--threads", 1, "--output-dir", "out", seconds=120)
            for name, (expected, _, what) in program.expected.items():
                found = np.load(self.folder / "out" / f"{name}.npy")
                np.testing.assert_array_equal(found, expected, f"{what} on {' '.join(way)}")

    def test_all_pairs(self):
        program = Program()
        for a, b in PAIRS:
            for known in (False, True):
                products(program, BYTES[a][:, None], BYTES[b][None, :], (a, b), known)
        self.check(program)

    def test_deep_sums_at_the_ends(self):
        numbers, program = np.random.default_rng(1), Program()
        for a, b in PAIRS:
            ends_a, ends_b = BYTES[a][[0, 1, 127, 128, 254, 255]], BYTES[b][[0, 1, 127, 128, 254, 255]]
            for depth in (36, 67):
                x, y = numbers.choice(ends_a, (5, depth)), numbers.choice(ends_b, (depth, 37))
                x[0], y[:, 0] = ends_a[-1], ends_b[-1]
                x[1], y[:, 1] = ends_a[0], ends_b[0]
                products(program, x, y, (a, b), known=depth == 67)
        self.check(program)

    def test_padding_strides_groups(self):
        """A window is compared place by place with a sum over what it covers."""
        numbers, program = np.random.default_rng(2), Program()
        for a, b in PAIRS:
            x, w = numbers.choice(BYTES[a], (2, 4, 7, 6)), numbers.choice(BYTES[b], (6, 2, 3, 3))
            padded = np.pad(x.astype(np.int64), ((0, 0), (0, 0), (1, 2), (0, 1)))
            rows, columns = (padded.shape[2] - 3) // 2 + 1, padded.shape[3] - 2
            y = np.zeros((2, 6, rows, columns), np.int64)
            for o in range(6):
                for r in range(rows):
                    for c in range(columns):
                        part = padded[:, o // 3 * 2:o // 3 * 2 + 2, 2 * r:2 * r + 3, c:c + 3]
                        y[:, o, r, c] = (part * w[o].astype(np.int64)).sum((1, 2, 3))
            program.add("conv", [program.operand(x, a, False), program.operand(w, b, True)], y.astype(np.int32),
                        attributes="groups = 2 : i64, strides = array<i64: 2, 1>, pad_low = array<i64: 1, 0>, pad_high = array<i64: 2, 1>")
        self.check(program)

    def test_quantize_ties_and_ends(self):
        program = Program()
        halves = np.concatenate([np.arange(-600, 601) / 2, [np.inf, -np.inf, 1e30, -1e30, 1e-30, -0.0]]).astype(np.float32)
        near = np.concatenate([np.nextafter(halves[:1201], np.float32(side * 1e9)) for side in (-1, 1)])
        for kind, zero, storage, low, high in [
                ("i8", 0, "", -128, 127), ("i8", -128, "", -128, 127), ("i8", 5, "", -128, 127),
                ("ui8", 0, "", 0, 255), ("ui8", 128, "", 0, 255), ("ui8", 255, "", 0, 255),
                ("i8", 0, "!quant.any<i8<-127:127>:f32>", -127, 127), ("i8", 0, "!quant.any<i4<-7:7>:f32>", -7, 7),
                ("i8", 1, "!quant.any<i4:f32>", -8, 7), ("ui8", 8, "!quant.any<u4:f32>", 0, 15)]:
            for scale in (1.0, 0.25, 3.0):
                x = np.concatenate([halves, near]) * np.float32(scale)
                expected = np.array([rounded(v, scale, zero, low, high) for v in x])
                dtype = BYTES[kind].dtype
                program.add("quantize", [program.operand(x.astype(np.float32), "f32", False),
                                         program.operand(np.float32(scale), "f32", True),
                                         program.operand(np.array(zero, dtype), kind, True)],
                            expected.astype(dtype), kind, f"storage = {storage}" if storage else "")
        self.check(program)

    def test_a_wrong_number_is_found(self):
        program = Program()
        products(program, BYTES["i8"][:, None], BYTES["ui8"][None, :], ("i8", "ui8"), False)
        numbers, *rest = program.expected["r2"]
        wrong = numbers.copy()
        wrong[255, 255] += 1
        program.expected["r2"] = (wrong, *rest)
        with self.assertRaisesRegex(AssertionError, "linear of tensor<256x1xi8>"):
            self.check(program)


if __name__ == "__main__":
    unittest.main()
