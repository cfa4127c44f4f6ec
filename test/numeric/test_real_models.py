"""The real trained ONNX models: their inputs are made and their outputs read
the way their authors mean it."""

import unittest

import onnxruntime

import real_models as real


def session(path):
    return onnxruntime.InferenceSession(str(real.packaged(path)), providers=["CPUExecutionProvider"])


class Oracle(unittest.TestCase):
    """The inputs and the words of real_models.py, with ONNX Runtime between."""

    def test_magika_knows_source_files(self):
        magika = session(real.MAGIKA)
        files = {
            "python": b"import os\n\n\ndef main():\n    for name in os.listdir('.'):\n        print(name)\n",
            "cpp": b"#include <vector>\n\nnamespace a {\nint sum(const std::vector<int> &v) {\n  int s = 0;\n"
            b"  for (int x : v)\n    s += x;\n  return s;\n}\n} // namespace a\n",
            "npy": b"\x93NUMPY\x01\x00v\x00"
            + b"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4), }".ljust(117) + b"\n" + bytes(64),
        }
        for label, content in files.items():
            with self.subTest(label):
                (scores,) = magika.run(None, {"bytes": real.magika_input(content)})
                self.assertEqual(real.magika_label(scores)[0], label)

    def test_reader_reads(self):
        reader, text = session(real.READER), "A model file in, numbers out"
        (scores,) = reader.run(None, {"x": real.text_image(text)})
        self.assertEqual(real.read_text(scores), text)

    def test_direction(self):
        classifier = session(real.DIRECTION)
        for upside_down, word in ((False, "upright"), (True, "upside down")):
            image = real.text_image("Lathe compiles models", width=192, upside_down=upside_down)
            (scores,) = classifier.run(None, {"x": image})
            self.assertEqual(real.direction(scores)[0], word)


if __name__ == "__main__":
    unittest.main()
