"""cross_entropy and linear_cross_entropy, with their gradients, in f32, f16 and
bf16 against NumPy in double precision: label smoothing, ignored labels, all
reductions, rows that fill no chunk; on the CPU and on the simulated GPU.

Operands are numbers of the type, so all that differs from the reference is what
the kernels round. With the unit u of the type (2^-24, 2^-11, 2^-8):

- cross_entropy widens its logits, computes in f32 and rounds its results once:
  u of each. In f32 a probability is exp(z - largest) over a sum: differences up
  to 16 are rounded, which alone is a factor of 1 + 16 units. So NEAR is 16 units
  of what is added up; 0.7 of that was seen.
- linear_cross_entropy has logits z rounded to the type, as those of a linear
  are: an error of e = u |z|, so that probabilities are off by a factor up to
  exp(2 e) and the loss by 2 e. What products read and write is rounded again.
"""

import pathlib
import subprocess
import tempfile
import unittest

import numpy as np

from lathe import BUILD, run

UNITS = {"f32": 2.0**-24, "f16": 2.0**-11, "bf16": 2.0**-8}
NEAR = 16 * 2.0**-24
# Half of the smallest f16 above 0: what lies below is rounded to multiples of that.
SMALLEST = {"f32": 0, "f16": 2.0**-25, "bf16": 0}

# (rows, classes, reduction, ignored label, smoothing, cotangent). The cotangents are numbers of every type.
LOSSES = [(5, 1000, "mean", None, 0.0, 1.5), (12, 37, "mean", 3, 0.1, -0.75), (7, 33, "sum", -1, 0.0, 0.5),
          (6, 130, "none", None, 0.2, 1.25), (1, 5, "mean", None, 0.0, 2.0)]
# (rows, classes, width, chunk, bias, ignored label, smoothing, cotangent)
LINEAR_LOSSES = [(12, 37, 19, 4, False, None, 0.0, 1.5), (13, 70, 24, 5, True, 3, 0.1, -0.75), (5, 33, 16, 8, True, None, 0.2, 0.5),
                 (1, 9, 6, 1, False, None, 0.0, 2.0)]


def rounded(x, element):
    """f32 numbers that the type has."""
    x = x.astype(np.float32)
    if element == "f16":
        return x.astype(np.float16).astype(np.float32)
    return (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32) if element == "bf16" else x


def reference(logits, labels, ignored, smoothing):
    """The losses of the rows, their gradients by the logits, probabilities, these and what is subtracted added up; which rows count."""
    logs = logits - logits.max(1, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(1, keepdims=True))
    target = np.full(logs.shape, smoothing / logs.shape[1])
    counted = np.ones(len(labels), bool) if ignored is None else labels != ignored
    target[counted, labels[counted]] += 1 - smoothing
    return -(target * logs).sum(1) * counted, (np.exp(logs) - target) * counted[:, None], np.exp(logs), np.exp(logs) + target, counted


class Program:
    """A loss that is the sum of all cases' losses, each times its cotangent."""

    def __init__(self, element, seed):
        self.element, self.random = element, np.random.default_rng(seed)
        self.inputs, self.arguments, self.lines, self.results, self.total = {}, [], [], [], None
        self.expected = []  # (name, values, bounds)

    def op(self, op, operands, result, attributes=""):
        name, number = f"%v{len(self.lines)}", result.count("tensor")
        many = f":{number}" if number > 1 else ""
        types = ", ".join(t for _, t in operands)
        self.lines.append(f"  {name}{many} = lathe.{op} {', '.join(n for n, _ in operands)} {attributes} : ({types}) -> {result if not many else f'({result})'}")
        return name + ("#0" if many else "")

    def tensor(self, shape, element=None):
        return f"tensor<{''.join(f'{n}x' for n in shape)}{element or self.element}>"

    def input(self, *shape, scale=1.0):
        """A number of the type per element, and its name and type."""
        name = f"a{len(self.inputs)}"
        value = self.inputs[name] = rounded(self.random.normal(size=shape) * scale, self.element)
        self.arguments.append((name, self.tensor(shape, "f32")))
        operand = f"%{name}"
        if self.element != "f32":
            operand = self.op(f"cast %{name} to {self.element} : ({self.tensor(shape, 'f32')}) -> {self.tensor(shape)} //", [], "tensor")
        return (operand, self.tensor(shape)), value.astype(np.float64), f"gradient_of_input.{name}"

    def labels(self, rows, classes, ignored):
        name = f"l{len(self.inputs)}"
        value = self.random.integers(0, classes, size=rows)
        if ignored is not None:
            value[::3] = ignored
        self.inputs[name] = value
        self.arguments.append((name, self.tensor([rows], "i64")))
        return (f"%{name}", self.tensor([rows], "i64")), value

    def add(self, loss, shape, element, cotangent, value, bound):
        """A loss, as an output and as a part of the sum."""
        if element != "f32":
            loss = self.op(f"cast {loss} to f32 : ({self.tensor(shape, element)}) -> {self.tensor(shape, 'f32')} //", [], "tensor")
        name = f"loss{len(self.results)}"
        self.results.append((name, loss, self.tensor(shape, "f32")))
        self.expected.append((name, value, bound))
        if shape:
            loss = self.op("reduce_sum", [(loss, self.tensor(shape, "f32"))], "tensor<f32>", "{axes = array<i64>}")
        self.lines.append(f"  %c{name} = lathe.constant dense<{cotangent}> : tensor<f32>")
        part = self.op("mul", [(loss, "tensor<f32>"), (f"%c{name}", "tensor<f32>")], "tensor<f32>")
        self.total = self.op("add", [(self.total, "tensor<f32>"), (part, "tensor<f32>")], "tensor<f32>") if self.total else part

    def add_loss(self, rows, classes, reduction, ignored, smoothing, cotangent, wrong=0.0):
        u, small = UNITS[self.element], SMALLEST[self.element]
        logits, z, gradient = self.input(rows, classes, scale=2.0)
        labels, label = self.labels(rows, classes, ignored)
        attributes = f"reduce {reduction} {{label_smoothing = {smoothing} : f64{'' if ignored is None else f', ignore_index = {ignored} : i64'}}}"
        shape = [rows] if reduction == "none" else []
        loss = self.op("cross_entropy", [logits, labels], self.tensor(shape), attributes)
        losses, d, _, terms, counted = reference(z, label, ignored, smoothing + wrong)
        value, count = {"none": (losses, 1), "sum": (losses.sum(), 1), "mean": (losses.sum() / counted.sum(), counted.sum())}[reduction]
        # The terms of a row's loss are its logits' logarithms, all of one size.
        self.add(loss, shape, self.element, cotangent, value, u * np.abs(value) + NEAR * (np.abs(value) + np.abs(z).max()))
        g = cotangent / count
        self.expected.append((gradient, g * d, (u * np.abs(d) + NEAR * terms) * abs(g) + small))

    def add_linear_loss(self, rows, classes, width, chunk, with_bias, ignored, smoothing, cotangent, wrong=0.0):
        u, small = UNITS[self.element], SMALLEST[self.element]
        (x, input, dx), (w, weight, dw) = self.input(rows, width), self.input(classes, width, scale=0.5)
        labels, label = self.labels(rows, classes, ignored)
        operands, z = [x, w, labels], input @ weight.T
        if with_bias:
            b, bias, db = self.input(classes)
            operands, z = [*operands, b], z + bias
        wide = [self.tensor(shape, "f32") for shape in ([], [rows, width], [classes, width], *([[classes]] if with_bias else []))]
        attributes = f"{{chunk = {chunk} : i64, label_smoothing = {smoothing} : f64{'' if ignored is None else f', ignore_index = {ignored} : i64'}}}"
        loss = self.op("linear_cross_entropy", operands, ", ".join(wide), attributes)
        losses, d, p, terms, counted = reference(z, label, ignored, smoothing + wrong)
        error = (u * np.abs(z) + NEAR * (np.abs(input) @ np.abs(weight.T) + 1)).max(1, keepdims=True)
        off = p * np.expm1(2 * error) * counted[:, None]
        off += u * (np.abs(d) + off) + NEAR * terms
        value = losses.sum() / counted.sum()
        self.add(loss, [], "f32", cotangent, value, 2 * (error[:, 0] * counted).sum() / counted.sum() + NEAR * (abs(value) + np.abs(z).max()))
        g = cotangent / counted.sum()
        pieces = [slice(i, i + chunk) for i in range(0, rows, chunk)]

        def expect(name, value, off, sums):
            """Off by what d is, the sums' f32, a rounding of each product and one of the gradient."""
            bound = off + (u + NEAR) * sums + u * np.abs(value)
            self.expected.append((name, g * value, np.abs(g) * bound + (len(pieces) * abs(g) + 1) * small))

        near = NEAR / (u + NEAR)  # of all terms, the f32 sum's share
        expect(dx, d @ weight, off @ np.abs(weight), np.abs(d @ weight) + near * (np.abs(d) @ np.abs(weight)))
        expect(dw, d.T @ input, off.T @ np.abs(input),
               sum(np.abs(d[i].T @ input[i]) for i in pieces) + near * (np.abs(d).T @ np.abs(input)))
        if with_bias:
            expect(db, d.sum(0), off.sum(0), near * np.abs(d).sum(0))

    def run(self, options):
        arguments = ", ".join(f'%{n}: {t} {{lathe.name = "{n}"}}' for n, t in self.arguments)
        results = [("total", self.total, "tensor<f32>"), *self.results]
        types = ", ".join(f'{t} {{lathe.name = "{n}"}}' for n, _, t in results)
        body = "\n".join(self.lines).replace("//  : () -> tensor", "")
        text = (f"func.func @loss({arguments}) -> ({types}) {{\n{body}\n"
                f"  return {', '.join(v for _, v, _ in results)} : {', '.join(t for _, _, t in results)}\n}}\n")
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.mlir"
            path.write_text(text)
            done = subprocess.run([BUILD / "bin" / "lathe-opt", "--lathe-autograd=wrt=inputs", path], capture_output=True, text=True)
            if done.returncode:
                raise AssertionError(done.stderr[-1500:] + text)
            path.write_text(done.stdout)
            return run(path, self.inputs, options=("--entry", "loss_grad", *options))[0]

    def worst(self, options):
        """How much of its bound the worst element of each output takes."""
        found = self.run(options)
        shares = {}
        for name, value, bound in self.expected:
            error = np.abs(found[name].astype(np.float64) - value)
            assert error.shape == np.shape(value), name
            share = np.where(error <= bound, error / np.maximum(bound, 1e-300), np.maximum(error / np.maximum(bound, 1e-300), 2))
            shares[name] = float(np.where(np.isnan(error), np.inf, share).max())
        return shares


def build(element, wrong=0.0):
    program = Program(element, seed=11)
    for case in LOSSES:
        program.add_loss(*case, wrong=wrong)
    for case in LINEAR_LOSSES:
        program.add_linear_loss(*case, wrong=wrong)
    return program


class LossPrecision(unittest.TestCase):
    SECONDS = 15

    def check(self, element, *options):
        shares = build(element).worst(options)
        self.assertEqual(len(shares), 2 * len(LOSSES) + 3 * len(LINEAR_LOSSES) + 2)
        self.assertLessEqual(max(shares.values()), 1, shares)

    def test_mistakes_are_found(self):
        """Of a tenth more smoothing every gradient is out of its bounds, in bf16, too."""
        for element in UNITS:
            shares = build(element, wrong=0.1).worst(())
            self.assertGreater(min(share for name, share in shares.items() if "gradient" in name), 1, shares)


for kind in UNITS:
    setattr(LossPrecision, f"test_{kind}", lambda self, kind=kind: self.check(kind))
    setattr(LossPrecision, f"test_{kind}_on_the_simulated_gpu", lambda self, kind=kind: self.check(kind, "--target", "cuda-sim"))


if __name__ == "__main__":
    unittest.main()
