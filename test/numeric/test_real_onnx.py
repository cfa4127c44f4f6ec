"""`lathe run` on the packages' ONNX files, unchanged, against ONNX Runtime."""

import pathlib
import unittest

import numpy as np
import onnxruntime

import lathe
import real_models as real

HERE = pathlib.Path(__file__).resolve().parent


class RealOnnx(unittest.TestCase):
    """At three sizes each."""

    def compare(self, path, name, inputs):
        oracle = onnxruntime.InferenceSession(str(real.packaged(path)), providers=["CPUExecutionProvider"])
        for array in inputs:
            with self.subTest(shape=array.shape):
                (expected,) = oracle.run(None, {name: array})
                outputs, _ = lathe.run(real.packaged(path), {name: array}, threads=2)
                (found,) = outputs.values()
                lathe.assert_close(found, expected, rtol=1e-3, atol=1e-5)

    def test_magika(self):
        sources = [path.read_bytes() for path in sorted(HERE.glob("*.py"))]
        rows = np.concatenate([real.magika_input(content) for content in sources])
        self.compare(real.MAGIKA, "bytes", [rows[:1], rows[:3], np.tile(rows, (3, 1))[:8]])

    def test_direction(self):
        self.compare(real.DIRECTION, "x", [
            real.text_image("upside", width=192, upside_down=True),
            real.text_image("a longer line of text", width=320),
            np.concatenate([real.text_image(text, width=96) for text in ("one", "two")]),
        ])

    def test_direction_refuses_a_lower_line(self):
        """Its height is 48; a line of 32 leaves its last pool no place for the window."""
        with self.assertRaisesRegex(AssertionError, "ended with 1: (?s:.*)expected a window that fits the padded input"):
            lathe.run(real.packaged(real.DIRECTION), {"x": real.text_image("low", height=32, width=192)})

    def test_reader(self):
        self.compare(real.READER, "x", [
            real.text_image("A model file in, numbers out"),
            real.text_image("short"),
            np.concatenate([real.text_image(text, width=320) for text in ("one", "twenty-two")]),
        ])

    def test_finder(self):
        self.compare(real.FINDER, "x", [
            real.text_image("find me", height=96, width=320),
            real.text_image("find", height=160, width=160, size=40),
            real.text_image("and a wider line of text", height=64, width=480),
        ])


if __name__ == "__main__":
    unittest.main()
