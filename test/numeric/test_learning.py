"""The recipes beside the models, whole: what a model has learnt at its end.
Minutes each; docs/training.md has the times that were seen."""

import json
import unittest

import cli
from lathe import MODELS, slow


class Learning(cli.CommandLine):
    def learnt(self, name):
        self.works("train", MODELS / f"{name}.mlir", "--quiet", "--output-dir", "run", "--json", "figures.json", seconds=3600)
        return json.loads((self.folder / "figures.json").read_text())["evaluation"]

    @slow(180)
    def test_fashion_cnn(self):
        self.assertGreaterEqual(self.learnt("fashion-cnn")["accuracy"], 0.91)

    @slow(400)
    def test_fashion_vit(self):
        self.assertGreaterEqual(self.learnt("fashion-vit")["accuracy"], 0.87)

    @slow(500)
    def test_char_gpt(self):
        (self.folder / "build").symlink_to(cli.BUILD)
        self.assertLessEqual(self.learnt("char-gpt")["bits_per_character"], 2.0)
        self.writes("char-gpt")

    @slow(600)
    def test_char_lstm(self):
        (self.folder / "build").symlink_to(cli.BUILD)
        self.assertLessEqual(self.learnt("char-lstm")["bits_per_character"], 2.3)
        self.writes("char-lstm")

    def writes(self, name):
        """What it writes are words of the text it has read, for the most part."""
        said = self.works("generate", MODELS / f"{name}.mlir", "--weights", "run/best.safetensors", "--prompt", "And the LORD said",
                          "--length", "100", "--temperature", "0.5", seconds=300).stdout
        read = set((cli.BUILD / "data/kjv.txt").read_text().split())
        words = said.split()[4:-1]
        self.assertGreater(len(words), 10)
        self.assertGreater(sum(word in read for word in words) / len(words), 0.8, said)


if __name__ == "__main__":
    unittest.main()
