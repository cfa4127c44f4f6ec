"""linear_cross_entropy against NumPy in double precision, and training with it
against training with all logits."""

import pathlib
import subprocess
import tempfile
import unittest

import numpy as np

from lathe import BUILD, assert_close, run, train_steps


def expected(x, w, labels, bias=None, ignore=None, smoothing=0.0):
    """Mean loss, and its gradients."""
    rows, target = x.reshape(-1, x.shape[-1]), labels.reshape(-1)
    logits = rows @ w.T + (0 if bias is None else bias)
    logs = logits - logits.max(1, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(1, keepdims=True))
    wanted = np.full(logs.shape, smoothing / logs.shape[1])
    wanted[np.arange(len(target)), np.maximum(target, 0)] += 1 - smoothing
    counted = np.ones(len(target), bool) if ignore is None else target != ignore
    loss = -(wanted * logs).sum(1)[counted].sum() / counted.sum()
    d = (np.exp(logs) - wanted) * counted[:, None] / counted.sum()
    return {"loss": loss, "dx": (d @ w).reshape(x.shape), "dw": d.T @ rows, "db": d.sum(0)}


def model(x, w, labels, bias, attributes, element, wide):
    shapes = {"x": x.shape, "w": w.shape, **({"b": bias.shape} if bias is not None else {})}

    def tensor(shape, kind):
        return f"tensor<{''.join(f'{n}x' for n in shape)}{kind}>"

    indices = tensor(labels.shape, "i64")
    arguments = ", ".join([*(f'%{n}: {tensor(s, element)} {{lathe.name = "{n}"}}' for n, s in shapes.items()), f'%l: {indices} {{lathe.name = "l"}}'])
    operands = ["x", "w", "l", *(["b"] if bias is not None else [])]
    types = ", ".join(indices if n == "l" else tensor(shapes[n], element) for n in operands)
    results = ["loss", "dx", "dw", *(["db"] if bias is not None else [])]
    out = [tensor((), wide), *(tensor(shapes[n], wide) for n in shapes)]
    named = ", ".join(f'{t} {{lathe.name = "{n}"}}' for t, n in zip(out, results))
    values = ", ".join(f"%0#{i}" for i in range(len(results)))
    return f"""func.func @main({arguments}) -> ({named}) {{
  %0:{len(results)} = lathe.linear_cross_entropy {", ".join("%" + n for n in operands)} {{{attributes}}} : ({types}) -> ({", ".join(out)})
  return {values} : {", ".join(out)}
}}
"""


class ChunkedLoss(unittest.TestCase):
    def check(self, chunk, rows=(3, 8), bias=False, ignore=None, smoothing=0.0, options=(), threads=1, dtype=np.float64, element="f64", rtol=1e-12):
        random = np.random.default_rng(3)
        x, w = random.normal(size=(*rows, 7)).astype(dtype), random.normal(size=(13, 7)).astype(dtype)
        b = random.normal(size=13).astype(dtype) if bias else None
        labels = random.integers(0, 13, size=rows)
        if ignore is not None:
            labels.reshape(-1)[::3] = ignore
        attributes = f"chunk = {chunk} : i64, label_smoothing = {smoothing} : f64"
        attributes += f", ignore_index = {ignore} : i64" if ignore is not None else ""
        text = model(x, w, labels, b, attributes, element, "f64" if element == "f64" else "f32")
        inputs = {"x": x, "w": w, "l": labels, **({"b": b} if bias else {})}
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.mlir"
            path.write_text(text)
            found, _ = run(path, inputs, options=options, threads=threads)
        wanted = expected(*(v.astype(np.float64) for v in (x, w)), labels, None if b is None else b.astype(np.float64), ignore, smoothing)
        for name, value in found.items():
            scale = np.abs(wanted[name]).max()
            assert_close(value.astype(np.float64), np.asarray(wanted[name]), rtol=rtol, atol=rtol * scale, what=name)
        return found

    def test_chunks_that_fit(self):
        self.check(6)

    def test_chunks_that_are_filled_up(self):
        self.check(5, bias=True)
        self.check(7, smoothing=0.2)

    def test_one_chunk(self):
        self.check(100)

    def test_ignored_rows(self):
        self.check(4, ignore=-1, bias=True)
        self.check(5, rows=(24,), ignore=2, smoothing=0.1)

    def gradient(self, x, w, labels, attributes):
        """Loss and gradients of the loss in chunks, after autograd."""
        n, k, classes = *x.shape, len(w)
        loss = f"""func.func @loss(%x: tensor<{n}x{k}xf32> {{lathe.name = "x"}}, %w: tensor<{classes}x{k}xf32> {{lathe.name = "w"}}, %l: tensor<{n}xi64> {{lathe.name = "l"}}) -> (tensor<f32> {{lathe.name = "loss"}}) {{
  %0:3 = lathe.linear_cross_entropy %x, %w, %l {{{attributes}}} : (tensor<{n}x{k}xf32>, tensor<{classes}x{k}xf32>, tensor<{n}xi64>) -> (tensor<f32>, tensor<{n}x{k}xf32>, tensor<{classes}x{k}xf32>)
  return %0#0 : tensor<f32>
}}
"""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.mlir"
            path.write_text(loss)
            done = subprocess.run([BUILD / "bin" / "lathe-opt", "--lathe-autograd=wrt=inputs", path], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            path.write_text(done.stdout)
            found, _ = run(path, {"x": x, "w": w, "l": labels}, options=("--entry", "loss_grad"))
        return found["loss"], found["gradient_of_input.x"], found["gradient_of_input.w"]

    def test_nothing_counts(self):
        """As of cross_entropy: the mean of nothing is NaN, its gradients are 0."""
        w = np.ones((5, 3), np.float32)
        for rows, attributes in ((0, ""), (0, ", ignore_index = 2 : i64"), (4, ", ignore_index = 2 : i64")):
            with self.subTest(rows=rows, attributes=attributes):
                loss, dx, dw = self.gradient(np.ones((rows, 3), np.float32), w, np.full(rows, 2), "chunk = 3 : i64" + attributes)
                self.assertTrue(np.isnan(loss))
                self.assertEqual((dx.tolist(), dw.tolist()), (np.zeros((rows, 3)).tolist(), np.zeros((5, 3)).tolist()))
        # One row that counts.
        x, labels = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32), np.array([2, 2, 1, 2])
        wanted = expected(x.astype(np.float64), w.astype(np.float64), labels, ignore=2)
        for found, name in zip(self.gradient(x, w, labels, "chunk = 3 : i64, ignore_index = 2 : i64"), wanted):
            assert_close(found.astype(np.float64), np.asarray(wanted[name]), rtol=1e-5, atol=1e-6, what=name)

    def test_threads_give_the_same_bits(self):
        one = self.check(5, bias=True, dtype=np.float32, element="f32", rtol=1e-5)
        two = self.check(5, bias=True, dtype=np.float32, element="f32", rtol=1e-5, threads=2)
        for name in one:
            self.assertEqual(one[name].tobytes(), two[name].tobytes(), name)

    def test_on_the_simulated_gpu(self):
        self.check(5, bias=True, ignore=1, smoothing=0.1, options=("--target", "cuda-sim"), dtype=np.float32, element="f32", rtol=1e-5)


# A vocabulary whose logits are chunked: 64 x 4 x 131072 bytes. The table is
# the output layer, too, and its gradient a sum of both.
TEXT = """
lathe.parameter @table : tensor<131072x4xf32> {init = #lathe.init<normal, 0.0, 1.0>}
func.func @loss(%tokens: tensor<128xi64> {lathe.name = "tokens"}, %labels: tensor<128xi64> {lathe.name = "labels"})
    -> (tensor<f32> {lathe.name = "loss"}EXTRA_TYPE) {
  %table = lathe.get_parameter @table : tensor<131072x4xf32>
  %x = lathe.embedding %table, %tokens : (tensor<131072x4xf32>, tensor<128xi64>) -> tensor<128x4xf32>
  %y = lathe.tanh %x : (tensor<128x4xf32>) -> tensor<128x4xf32>
  %logits = lathe.linear %y, %table : (tensor<128x4xf32>, tensor<131072x4xf32>) -> tensor<128x131072xf32>
  %loss = lathe.cross_entropy %logits, %labels {label_smoothing = 0.1 : f64} : (tensor<128x131072xf32>, tensor<128xi64>) -> tensor<f32>
  EXTRA
}
"""


class Training(unittest.TestCase):
    def steps(self, text, **recipe):
        random = np.random.default_rng(5)
        inputs = {name: random.integers(0, 131072, size=(3, 128)) for name in ("tokens", "labels")}
        table = random.normal(size=(131072, 4)).astype(np.float32)
        return train_steps(text, inputs, {"table": table}, optimizer="sgd", learning_rate="4", schedule="constant", **recipe)

    def test_as_with_all_logits(self):
        chunked = TEXT.replace("EXTRA_TYPE", "").replace("EXTRA", "return %loss : tensor<f32>")
        # What a model also returns is not taken apart.
        whole = TEXT.replace("EXTRA_TYPE", ', tensor<f32> {lathe.name = "largest"}').replace(
            "EXTRA", "%m = lathe.reduce_max %logits {axes = array<i64>} : (tensor<128x131072xf32>) -> tensor<f32>\n"
                     "  return %loss, %m : tensor<f32>, tensor<f32>")
        for recipe in ({}, {"precision": "float16"}):
            a, b = self.steps(chunked, **recipe), self.steps(whole, **recipe)
            rtol = 1e-2 if recipe else 1e-5
            assert_close(a["loss"], b["loss"], rtol=rtol, what="loss")
            assert_close(a["table"], b["table"], rtol=rtol, atol=rtol, what="table")


if __name__ == "__main__":
    unittest.main()
