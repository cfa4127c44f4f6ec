"""--augment: each image of a train step is one of the shifted and mirrored ones,
all of them occur, and an evaluation sees none."""

import itertools
import json
import unittest

import numpy as np
from safetensors.numpy import load_file

import cli

BATCH, H, W, CROP = 48, 4, 5, 1
# The gradient of @seen is the batch as the loss read it, so that one step of
# plain gradient descent writes it into the weights. The sum with @weight, which
# is frozen, tells an evaluation's images from others.
MODEL = """
lathe.parameter @seen : tensor<SHAPExf32> {init = #lathe.init<zeros>}
lathe.parameter @weight : tensor<ONExf32> {init = #lathe.init<uniform, 0.0, 1.0>}
func.func @loss(%image: tensor<SHAPExELEMENT> {lathe.name = "image"}EXTRA) -> (tensor<f32> {lathe.name = "loss"}) {
  %x = lathe.cast %image to f32 : (tensor<SHAPExELEMENT>) -> tensor<SHAPExf32>
  %seen = lathe.get_parameter @seen : tensor<SHAPExf32>
  %weight = lathe.get_parameter @weight : tensor<ONExf32>
  %p = lathe.mul %x, %seen : (tensor<SHAPExf32>, tensor<SHAPExf32>) -> tensor<SHAPExf32>
  %a = lathe.reduce_sum %p {axes = array<i64: AXES>} : (tensor<SHAPExf32>) -> tensor<f32>
  %q = lathe.mul %x, %weight : (tensor<SHAPExf32>, tensor<ONExf32>) -> tensor<SHAPExf32>
  %b = lathe.reduce_mean %q {axes = array<i64: AXES>} : (tensor<SHAPExf32>) -> tensor<f32>
  %loss = lathe.add %a, %b : (tensor<f32>, tensor<f32>) -> tensor<f32>
  return %loss : tensor<f32>
}
"""
SHAPES = {"rank 3": (H, W), "channels first": (3, H, W), "channels last": (H, W, 3)}


def variants(image, flip, crop, height, width):
    """{(mirrored, down, right): image}"""
    border = [(0, 0)] * image.ndim
    border[height] = border[width] = (crop, crop)
    padded = np.pad(image, border)
    found = {}
    for mirrored, down, right in itertools.product((0, 1) if flip else (0,), range(2 * crop + 1), range(2 * crop + 1)):
        cut = np.take(np.take(padded, np.arange(H) + down, height), np.arange(W) + right, width)
        if mirrored:  # the columns of the cut from right to left
            cut = np.flip(cut, width)
        found[mirrored, down, right] = cut
    return found


class Augment(cli.CommandLine):
    def prepare(self, shape, element="ui8", extra=""):
        text = MODEL.replace("SHAPE", "x".join(map(str, (BATCH, *shape)))).replace("ELEMENT", element)
        text = text.replace("ONE", "x".join(map(str, shape))).replace("EXTRA", extra)
        self.write("m.mlir", text.replace("AXES", ", ".join(map(str, range(len(shape) + 1)))))
        self.images = np.random.default_rng(7).integers(1, 256, (BATCH, *shape), np.uint8)
        np.save(self.folder / "image.npy", self.images if element == "ui8" else self.images.astype(np.float32))

    def step(self, seed, *options, folder="run"):
        """What the loss saw in one step."""
        self.works("train", "m.mlir", "--data", "image=image.npy", "--batch", BATCH, "--steps", 1, "--seed", seed, "--optimizer",
                   "sgd", "--momentum", 0, "--weight-decay", 0, "--learning-rate", 1, "--schedule", "constant", "--freeze", "weight",
                   "--quiet", "--no-tensorboard", "--output-dir", folder, *options)
        return 0 - load_file(self.folder / folder / "step-1/model.safetensors")["seen"]

    def check(self, shape, flip, crop, seeds, name, *options):
        """Every image is one of the allowed ones of its example, every example
        is there once, and every variant occurs."""
        height = 2 if len(shape) == 3 and shape[0] == 3 else 1
        known = {}
        for example, image in enumerate(self.images):
            for key, value in variants(image, flip, crop, height - 1, height).items():
                known.setdefault(value.astype(np.float32).tobytes(), []).append((example, key))
        seen = set()
        for seed in seeds:
            batch = self.step(seed, *options, folder=f"{name}{seed}")
            examples = []
            for image in batch:
                self.assertTrue(image.tobytes() in known, f"no shifted or mirrored image: {image}")
                (example, key), = known[image.tobytes()]
                examples.append(example)
                seen.add(key)
            self.assertEqual(sorted(examples), list(range(BATCH)))
        self.assertEqual(seen, set(itertools.product((0, 1) if flip else (0,), range(2 * crop + 1), range(2 * crop + 1))))

    def test_flip_and_crop(self):
        for name, shape in SHAPES.items():
            with self.subTest(name):
                self.prepare(shape)
                self.check(shape, True, CROP, range(3), name, "--augment", "flip", "--augment", f"crop={CROP}")

    def test_each_alone_and_of_floats(self):
        self.prepare((H, W), "f32")
        self.check((H, W), True, 0, range(1), "flipped", "--augment", "flip")
        self.check((H, W), False, 2, range(4), "cut", "--augment", "crop=2")

    def test_without_it_nothing_changes(self):
        self.prepare((H, W))
        batch = self.step(1)
        self.assertEqual({image.tobytes() for image in batch}, {i.astype(np.float32).tobytes() for i in self.images})

    def test_targets_give_the_same_bits(self):
        """Also with a key of the model's own, and in an accumulated batch."""
        options = ("--augment", "flip", "--augment", "crop=2")
        self.prepare((3, H, W))
        np.testing.assert_array_equal(self.step(5, *options, folder="cpu"),
                                      self.step(5, *options, "--target", "cuda-sim", folder="sim"))
        first, other = self.step(5, *options, folder="again"), self.step(6, *options, folder="other")
        self.assertFalse(np.array_equal(first, other))
        self.prepare((3, H, W), extra=', %key: tensor<2xi64> {lathe.name = "random_key"}')
        np.testing.assert_array_equal(first, self.step(5, *options, folder="own"))

    def test_resumed_it_is_the_same(self):
        self.prepare((H, W))
        options = ("--data", "image=image.npy", "--batch", BATCH, "--seed", 2, "--freeze", "weight", "--quiet", "--augment", "flip",
                   "--augment", "crop=1", "--schedule", "constant")
        self.works("train", "m.mlir", *options, "--steps", 5, "--output-dir", "whole")
        self.works("train", "m.mlir", *options, "--steps", 2, "--output-dir", "parts")
        self.works("train", "m.mlir", *options, "--steps", 5, "--output-dir", "parts", "--resume")
        name = "step-5/model.safetensors"
        self.assertEqual((self.folder / "whole" / name).read_bytes(), (self.folder / "parts" / name).read_bytes())
        recipe = json.loads((self.folder / "whole/step-5/recipe.json").read_text())
        self.assertEqual(recipe["augment"], ["flip", "crop=1"])

    def test_an_evaluation_sees_the_images_as_they_are(self):
        self.prepare((H, W))
        self.works("train", "m.mlir", "--data", "image=image.npy", "--eval", "image=image.npy", "--batch", BATCH, "--steps", 1,
                   "--learning-rate", 1e-30, "--freeze", "weight", "--augment", "flip", "--augment", "crop=2", "--quiet",
                   "--output-dir", "run", "--json", "figures.json", "--optimizer", "sgd")
        figures = json.loads((self.folder / "figures.json").read_text())
        plain = self.folder / "plain.json"
        self.works("train", "m.mlir", "--data", "image=image.npy", "--eval", "image=image.npy", "--batch", BATCH, "--steps", 1,
                   "--learning-rate", 1e-30, "--freeze", "weight", "--quiet", "--output-dir", "other", "--json", plain, "--optimizer", "sgd")
        figures_plain = json.loads(plain.read_text())
        self.assertEqual(figures["evaluation"]["loss"], figures_plain["evaluation"]["loss"])
        self.assertNotEqual(figures["loss"], figures_plain["loss"])

    def test_refusals(self):
        self.prepare((H, W))
        data = ("--data", "image=image.npy", "--batch", BATCH, "--output-dir", "run")
        self.refused("--augment expects flip or crop=N with N > 0, got 'spin'", "train", "m.mlir", *data, "--augment", "spin")
        self.refused("--augment expects flip or crop=N with N > 0, got 'crop=0'", "train", "m.mlir", *data, "--augment", "crop=0")
        for crop in (min(H, W), 9999999999999):
            self.refused(f"expected --augment crop=N with N below the image's {H} rows and {W} columns, got {crop}",
                         "train", "m.mlir", *data, "--augment", f"crop={crop}")
        self.prepare((W,))
        self.refused("expected one input of images to augment", "train", "m.mlir", *data, "--augment", "flip")


if __name__ == "__main__":
    unittest.main()
