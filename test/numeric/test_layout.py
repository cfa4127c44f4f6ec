"""lathe-layout: the models it is made for have no transpose left. That it keeps
numbers, over random graphs, is in test_random_passes.py."""

import pathlib
import re
import subprocess
import unittest

from folders import BUILD

MODELS = pathlib.Path(__file__).resolve().parents[2] / "models"


def count_transposes(*arguments):
    """In the kernels of @main; what is done once, at load, is not counted."""
    done = subprocess.run([BUILD / "bin" / "lathe", "compile", *arguments, "--emit", "kernels"],
                          capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise AssertionError(done.stderr)
    functions = re.split(r"\n  func\.func ", done.stdout)[1:]
    run = [body for body in functions if "lathe.load_for" not in body.split("\n", 1)[0]]
    assert run, "no function that runs"
    return sum(body.count("lathe.transpose") for body in run)


class Layout(unittest.TestCase):
    def setUp(self):
        if not (BUILD / "bin" / "lathe").exists():
            self.skipTest("lathe is not built")

    def test_no_transpose_left(self):
        for name in ("resnet50", "vgg16", "minilm", "bert-base", "char-gpt"):
            with self.subTest(name):
                self.assertEqual(count_transposes(MODELS / f"{name}.mlir"), 0)
        self.assertEqual(count_transposes(MODELS / "char-gpt.mlir", "--train"), 0)
        # Without the pass they are there, so the count can find them.
        self.assertEqual(count_transposes(MODELS / "minilm.mlir", "--no-layout"), 4)

    def test_no_transpose_on_cuda(self):
        self.assertEqual(count_transposes(MODELS / "minilm.mlir", "--target", "cuda-sim"), 0)


if __name__ == "__main__":
    unittest.main()
