"""lathe train: what it must not overwrite, and what it says of data and sizes
that do not fit, before the first step."""

import gzip
import re
import resource
import struct
import unittest

import numpy as np

import cli
from test_train import MODEL

# Tokens choose rows of a table of 11; in a function, and through views.
TABLE = """
lathe.parameter @table : tensor<11x4xf32> {init = #lathe.init<normal, 0.0, 0.1>}
lathe.parameter @places : tensor<6x4xf32> {init = #lathe.init<normal, 0.0, 0.1>}
func.func private @net(%ids: tensor<?x?xi64>) -> tensor<?x?x11xf32> {
  %t = lathe.get_parameter @table : tensor<11x4xf32>
  %e = lathe.embedding %t, %ids : (tensor<11x4xf32>, tensor<?x?xi64>) -> tensor<?x?x4xf32>
  MORE
  %y = lathe.linear %h, %t : (tensor<?x?x4xf32>, tensor<11x4xf32>) -> tensor<?x?x11xf32>
  return %y : tensor<?x?x11xf32>
}
func.func @loss(%window: tensor<?x?xi64> {lathe.name = "tokens", lathe.dims = ["batch", "window"]}) -> (tensor<f32> {lathe.name = "loss"}) {
  %read = lathe.slice %window {starts = array<i64: 0>, ends = array<i64: -1>, axes = array<i64: 1>} : (tensor<?x?xi64>) -> tensor<?x?xi64>
  %next = lathe.slice %window {starts = array<i64: 1>, ends = array<i64: 9223372036854775807>, axes = array<i64: 1>} : (tensor<?x?xi64>) -> tensor<?x?xi64>
  %y = call @net(%read) : (tensor<?x?xi64>) -> tensor<?x?x11xf32>
  %loss = lathe.cross_entropy %y, %next : (tensor<?x?x11xf32>, tensor<?x?xi64>) -> tensor<f32>
  return %loss : tensor<f32>
}
"""
OPEN = TABLE.replace("MORE\n", "").replace("%h", "%e")
# No more than 6 tokens at a time.
SHORT = TABLE.replace("MORE", """%p = lathe.get_parameter @places : tensor<6x4xf32>
  %h = lathe.add %e, %p : (tensor<?x?x4xf32>, tensor<6x4xf32>) -> tensor<?x?x4xf32>""")
FIXED = """
lathe.parameter @w : tensor<3x4xf32> {init = #lathe.init<normal, 0.0, 0.1>}
func.func @loss(%x: tensor<6x4xf32> {lathe.name = "x"}, %y: tensor<6xi64> {lathe.name = "label"}) -> (tensor<f32> {lathe.name = "loss"}) {
  %w = lathe.get_parameter @w : tensor<3x4xf32>
  %l = lathe.linear %x, %w : (tensor<6x4xf32>, tensor<3x4xf32>) -> tensor<6x3xf32>
  %loss = lathe.cross_entropy %l, %y : (tensor<6x3xf32>, tensor<6xi64>) -> tensor<f32>
  return %loss : tensor<f32>
}
"""


class TrainInput(cli.CommandLine):
    SECONDS = 12
    DATA = ("--data", "x=x.npy", "--data", "label=label.npy", "--batch", "16", "--steps", "3")

    def setUp(self):
        super().setUp()
        self.write("net.mlir", MODEL)
        rng = np.random.default_rng(1)
        self.x = rng.standard_normal((48, 8)).astype(np.float32)
        self.label = rng.integers(0, 3, 48)
        np.save(self.folder / "x.npy", self.x)
        np.save(self.folder / "label.npy", self.label)

    def says(self, words, *arguments):
        return self.refused(re.escape(words), "train", *arguments)

    def test_what_is_read_is_not_overwritten(self):
        self.works("train", "net.mlir", *self.DATA, "--save", "start.safetensors", "--output-dir", "first")
        self.write("options.json", '{"seed": 4}')
        (self.folder / "weights").mkdir()
        (self.folder / "weights/part.safetensors").write_bytes((self.folder / "start.safetensors").read_bytes())
        (self.folder / "link.npy").symlink_to("x.npy")
        for read, *options in (("label.npy",), ("net.mlir",), ("options.json", "--recipe", "options.json"),
                               ("start.safetensors", "--weights", "start.safetensors"), ("weights/part.safetensors", "--weights", "weights"),
                               ("x.npy", "--eval", "x=x.npy", "--eval", "label=label.npy"), ("link.npy",)):
            before = (self.folder / read).read_bytes()
            for option in "--save", "--json":
                with self.subTest(read=read, option=option):
                    self.refused(f"{option} would overwrite '.*', which this training reads", "train", "net.mlir", *self.DATA, *options, option, read)
                    self.assertEqual((self.folder / read).read_bytes(), before)
        self.says("--save and --json both write 'out'", "net.mlir", *self.DATA, "--save", "out", "--json", "out")
        # What an earlier run wrote may be written again.
        self.works("train", "net.mlir", *self.DATA, "--save", "start.safetensors", "--output-dir", "second")

    def test_the_best_of_an_earlier_training_is_not_overwritten(self):
        (self.folder / "run").mkdir()
        self.write("run/best.safetensors", "of an earlier training")
        self.says("the folder 'run' holds best.safetensors of an earlier training", "net.mlir", *self.DATA, "--validation", "0.2", "--output-dir", "run")
        self.assertEqual((self.folder / "run/best.safetensors").read_text(), "of an earlier training")

    def test_a_packed_file_takes_the_memory_its_header_declares(self):
        def idx(count, size):
            return b"\0\0\x08\x02" + struct.pack(">II", count, 8) + bytes(size)

        self.write("x.gz", gzip.compress(idx(48, 48 * 8)))
        self.works("train", "net.mlir", "--data", "x=x.gz", *self.DATA[2:], "--output-dir", "fits")
        # Packs to a thousandth: 1 GiB and more of zeros behind 384 declared.
        self.write("x.gz", gzip.compress(idx(48, 48 * 8)) + gzip.compress(bytes(1 << 26)) * 20)
        limit = 900 << 20

        def little():
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

        done = self.lathe("train", "net.mlir", "--data", "x=x.gz", *self.DATA[2:], "--threads", "1", preexec_fn=little)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot read 'x.gz': the header declares ui8[48,8], which takes 384 bytes, but the file holds more", done.stderr)
        self.write("x.gz", gzip.compress(idx(48, 48 * 8))[:-12])
        self.says("cannot read 'x.gz': its gzip data ends too early", "net.mlir", "--data", "x=x.gz", *self.DATA[2:])
        self.write("x.gz", gzip.compress(idx(48, 47 * 8)))
        self.says("which takes 384 bytes, but the file holds 376", "net.mlir", "--data", "x=x.gz", *self.DATA[2:])

    def test_rows_that_a_table_does_not_have(self):
        self.write("m.mlir", OPEN)
        tokens = np.arange(200) % 11
        options = ("m.mlir", "--dim", "window=5", "--steps", "2", "--batch", "4", "--output-dir", "run")
        tokens.astype(np.uint16).tofile(self.folder / "t.bin")
        self.works("train", *options[:-1], "good", "--data", "t.bin")
        tokens[77] = 60000
        tokens.astype(np.uint16).tofile(self.folder / "t.bin")
        self.says("the data holds the token 60000 in 't.bin' at position 77, for the input 'tokens', where 0 to 10 are allowed", *options, "--data", "t.bin")
        tokens[77] = 11
        np.save(self.folder / "t.npy", tokens.reshape(40, 5))
        self.says("the data holds 11 in 't.npy' at example 15, element 2, for the input 'tokens', where -11 to 10 are allowed", *options, "--data",
                  "tokens=t.npy")

    def test_windows_begin_no_earlier(self):
        self.write("m.mlir", OPEN)
        np.zeros(3000, np.uint16).tofile(self.folder / "t.bin")
        self.says("--shift expects 0 tokens or more, as windows can only begin later, got 'tokens=-4'", "m.mlir", "--dim", "window=5", "--data", "t.bin",
                  "--shift", "tokens=-4")

    def test_integers_are_printed_as_the_file_has_them(self):
        for value, kind, words in (
            (1 << 63, np.uint64, "holds 9223372036854775808 in 'label.npy' at example 7, for the input 'label', where 0 to 2 are allowed"),
            ((1 << 53) + 1, np.int64, "holds 9007199254740993 in"),
            (-5, np.int8, "holds -5 in"),
        ):
            label = self.label.astype(kind)
            label[7] = value
            np.save(self.folder / "label.npy", label)
            self.says(words, "net.mlir", *self.DATA)
        # Without a limit the type is one.
        self.write("m.mlir", MODEL.replace('lathe.name = "logits"', 'lathe.name = "scores"'))
        label = self.label.astype(np.uint64)
        label[7] = 1 << 63
        np.save(self.folder / "label.npy", label)
        self.says("holds 9223372036854775808 in 'label.npy' at example 7, for the input 'label', which its type i64 cannot hold", "m.mlir", *self.DATA)

    def test_a_recipe_is_checked_before_the_data(self):
        for words, *options in (("accumulate must be above 0, got 0\n", "--accumulate", "0"), ("learning_rate must be finite and above 0, got inf\n", "--learning-rate", "inf"),
                                ("step_every must be above 0, got 0\n", "--step-every", "0")):
            with self.subTest(options):
                self.says(words, "net.mlir", "--data", "no-such-file", *options)

    def test_accumulation_needs_an_open_batch(self):
        self.write("m.mlir", FIXED)
        np.save(self.folder / "x.npy", self.x[:, :4])
        self.works("train", "m.mlir", *self.DATA, "--output-dir", "whole")
        self.says("accumulation cuts the batch into parts, and so expects an open first dimension of each input, got 'tensor<6x4xf32>' of 'x'", "m.mlir",
                  *self.DATA, "--accumulate", "2")

    def test_a_size_that_is_too_large_is_named(self):
        self.write("m.mlir", SHORT)
        np.zeros(3000, np.uint16).tofile(self.folder / "t.bin")
        options = ("train", "m.mlir", "--data", "t.bin", "--batch", "4", "--steps", "1")
        self.works(*options, "--dim", "window=7", "--output-dir", "fits")
        done = self.refused("expected operand shapes that broadcast", *options, "--dim", "window=9")
        self.assertIn("note: the open sizes were batch=4, window=9 (--dim, or what stands for it); the model may take less", done.stderr)
        self.write("m.mlir", SHORT + """
func.func @main(%ids: tensor<?x?xi64> {lathe.name = "tokens", lathe.dims = ["batch", "sequence"]}) -> (tensor<?x?x11xf32> {lathe.name = "logits"}) {
  %y = call @net(%ids) : (tensor<?x?xi64>) -> tensor<?x?x11xf32>
  return %y : tensor<?x?x11xf32>
}
""")
        self.works("generate", "m.mlir", "--tokens", "1", "--length", "2", "--context", "6")
        done = self.refused("expected operand shapes that broadcast", "generate", "m.mlir", "--tokens", "1", "--length", "2", "--context", "20")
        self.assertIn("note: the open sizes were batch=1, sequence=20 (", done.stderr)

    def test_a_training_without_an_update_says_so(self):
        note = "note: no step changed the weights"
        options = ("train", "net.mlir", *self.DATA, "--precision", "float16", "--output-dir")
        self.assertIn(note, self.works(*options, "high", "--initial-scale", "1e38").stderr)
        self.assertNotIn(note, self.works(*options, "default").stderr)


if __name__ == "__main__":
    unittest.main()
