"""lathe train: curves against JAX, the same bits after kill and resume and for
any number of threads, its files read by others, and bad input."""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess
import time
import unittest

import numpy as np

import cli
import loader

MODEL = """
!x = tensor<?x8xf32>
!h = tensor<?x16xf32>
!y = tensor<?x3xf32>
lathe.parameter @"a.weight" : tensor<16x8xf32> {init = #lathe.init<kaiming_uniform>}
lathe.parameter @"a.bias" : tensor<16xf32> {init = #lathe.init<zeros>}
lathe.parameter @"b.weight" : tensor<3x16xf32> {init = #lathe.init<xavier_uniform>}
func.func private @net(%x: !x) -> !y {
  %wa = lathe.get_parameter @"a.weight" : tensor<16x8xf32>
  %ba = lathe.get_parameter @"a.bias" : tensor<16xf32>
  %h0 = lathe.linear %x, %wa, %ba : (!x, tensor<16x8xf32>, tensor<16xf32>) -> !h
  %h = lathe.tanh %h0 : (!h) -> !h
  %wb = lathe.get_parameter @"b.weight" : tensor<3x16xf32>
  %y = lathe.linear %h, %wb : (!h, tensor<3x16xf32>) -> !y
  return %y : !y
}
func.func @main(%x: !x {lathe.name = "x", lathe.dims = ["batch", ""]}) -> (!y {lathe.name = "logits"}) {
  %y = call @net(%x) : (!x) -> !y
  return %y : !y
}
func.func @loss(%x: !x {lathe.name = "x", lathe.dims = ["batch", ""]},
                %label: tensor<?xi64> {lathe.name = "label", lathe.dims = ["batch"]})
    -> (tensor<f32> {lathe.name = "loss"}, !y {lathe.name = "logits"}) {
  %y = call @net(%x) : (!x) -> !y
  %loss = lathe.cross_entropy %y, %label : (!y, tensor<?xi64>) -> tensor<f32>
  return %loss, %y : tensor<f32>, !y
}
"""
EXAMPLES, BATCH = 203, 16


def crc32c(data):
    """Bit by bit, from RFC 3720."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(crc):
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def fields(message):
    """(number, value) of a protobuf message: wire types 0, 1, 2 and 5."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        kind, size = key & 7, {1: 8, 5: 4}.get(key & 7)
        if kind == 0:
            yield key >> 3, varint()
            continue
        size = size or varint()
        yield key >> 3, message[at : at + size]
        at += size


def read_events(path):
    """[(step, {tag: value})] of a TensorBoard event file, checksums checked."""
    data, at, events, version = path.read_bytes(), 0, [], None
    while at < len(data):
        head = data[at : at + 8]
        size, (crc,) = struct.unpack("<Q", head)[0], struct.unpack("<I", data[at + 8 : at + 12])
        assert crc == masked(crc32c(head)), "checksum of the length"
        body = data[at + 12 : at + 12 + size]
        assert struct.unpack("<I", data[at + 12 + size : at + 16 + size])[0] == masked(crc32c(body)), "checksum"
        at += 16 + size
        step, values = 0, {}
        for number, value in fields(body):
            if number == 2:
                step = value
            elif number == 3:
                version = value.decode()
            elif number == 5:
                for _, one in fields(value):
                    entry = dict(fields(one))
                    values[entry[1].decode()] = struct.unpack("<f", entry[2])[0]
        events.append((step, values))
    assert version == "brain.Event:2", version
    return [event for event in events if event[1]]


class Train(cli.CommandLine):
    SECONDS = 45

    def setUp(self):
        super().setUp()
        self.write("net.mlir", MODEL)
        rng = np.random.default_rng(5)
        self.x = rng.standard_normal((EXAMPLES, 8)).astype(np.float32)
        self.label = (self.x[:, 0] * 2 + self.x[:, 1] + rng.standard_normal(EXAMPLES) * 0.1 > 0).astype(np.uint8)
        self.label += (self.x[:, 2] > 1).astype(np.uint8)
        np.save(self.folder / "x.npy", self.x)
        np.save(self.folder / "label.npy", self.label)

    DATA = ("--data", "x=x.npy", "--data", "label=label.npy", "--batch", str(BATCH), "--seed", "3")

    def train(self, *options, **more):
        return self.works("train", "net.mlir", *self.DATA, *options, **more)

    def says(self, words, *arguments):
        self.refused(re.escape(words), *arguments)

    def weights(self, folder, step):
        return (self.folder / folder / f"step-{step}" / "model.safetensors").read_bytes()

    def log(self, folder, key="loss"):
        lines = map(json.loads, (self.folder / folder / "log.jsonl").read_text().splitlines())
        return [line[key] for line in lines if key in line]

    def test_the_curve_is_that_of_jax(self):
        import jax
        import jax.numpy as jnp
        from safetensors.numpy import load_file

        self.train("--steps", "1", "--learning-rate", "1e-30", "--output-dir", "start", "--optimizer", "sgd")
        start = load_file(self.folder / "start/step-1/model.safetensors")
        self.train("--steps", "60", "--optimizer", "sgd", "--momentum", "0.9", "--weight-decay", "0", "--schedule",
                   "constant", "--learning-rate", "0.1", "--log-every", "1", "--output-dir", "run")
        found = self.log("run")

        def loss(w, x, label):
            h = jnp.tanh(x @ w["a.weight"].T + w["a.bias"])
            logits = h @ w["b.weight"].T
            return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(label)), label])

        w = {name: jnp.asarray(value) for name, value in start.items()}
        velocity = {name: jnp.zeros_like(value) for name, value in w.items()}
        expected, step = [], jax.jit(jax.value_and_grad(loss))
        for _, rows in zip(range(60), loader.batches(EXAMPLES, BATCH, 3)):
            value, gradient = step(w, self.x[rows], self.label[rows].astype(np.int64))
            expected.append(float(value))
            for name in w:
                velocity[name] = 0.9 * velocity[name] + gradient[name]
                w[name] = w[name] - 0.1 * velocity[name]
        self.assertEqual(len(found), 60)
        np.testing.assert_allclose(found, expected, rtol=2e-5)
        self.assertLess(found[-1], found[0] / 2)
        end = load_file(self.folder / "run/step-60/model.safetensors")
        for name in w:
            np.testing.assert_allclose(end[name], w[name], rtol=1e-4, atol=1e-5)

    def test_the_same_bits_after_kills_and_for_any_number_of_threads(self):
        kills, draw = int(os.environ.get("LATHE_KILLS", "6")), random.Random(1)
        steps = 100 * kills + 200
        course = ("--steps", str(steps), "--validation", "0.2", "--evaluate-every", "50", "--checkpoint-every", "20")
        self.train(*course, "--output-dir", "whole", "--threads", "1", seconds=300)
        self.train(*course, "--output-dir", "two", "--threads", "2", seconds=300)
        self.assertEqual(self.weights("whole", steps), self.weights("two", steps))
        command = [cli.LATHE, "train", "net.mlir", *self.DATA, *course, "--output-dir", "killed"]
        folder = self.folder / "killed"
        for kill in range(kills):
            process = subprocess.Popen(
                [*map(str, command), *(["--resume"] if folder.exists() else [])], cwd=self.folder,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"LATHE_CACHE_DIR": self.cache})
            # Behind a place in the course that no run before it has reached.
            target = 100 * kill + draw.randrange(80)
            while max((int(path.name[5:]) for path in folder.glob("step-*")), default=0) < target and process.poll() is None:
                time.sleep(0.001)
            time.sleep(draw.random() * 0.05)
            self.assertIsNone(process.poll(), "it was over before it was killed")
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.train(*course, "--output-dir", "killed", "--resume", seconds=300)
        self.assertEqual(self.weights("whole", steps), self.weights("killed", steps))
        for key in ("loss", "validation"):
            self.assertEqual(self.log("whole", key), self.log("killed", key))

    FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
    MLP = pathlib.Path(__file__).resolve().parents[2] / "models" / "fashion-mlp.mlir"
    GPT = MLP.with_name("char-gpt.mlir")

    def test_fashion_mlp_learns(self):
        done = self.works("train", self.MLP, "--epochs", "1", "--output-dir", "run", "--json", "figures.json", "--profile")
        self.assertIn("fashion-mlp.yaml' is used", done.stderr)
        self.assertRegex(done.stdout, r"contraction +linear")
        self.assertRegex(done.stdout, r"ms in kernels of [0-9.]+ ms per run")
        figures = json.loads((self.folder / "figures.json").read_text())
        self.assertEqual(figures["step"], 600)
        self.assertGreater(figures["evaluation"]["accuracy"], 0.84)
        self.assertEqual([one["support"] for one in figures["classes"]], [1000] * 10)

    def same_on_the_simulator(self, *words):
        """20 steps, without checks: those are for the tests of kernels."""
        for target in ("cpu", "cuda-sim"):
            self.works("train", *words, "--recipe", "none", "--steps", "20", "--log-every", "1", "--target", target,
                       "--no-sim-checks", "--output-dir", target, seconds=120)
        curve = self.log("cpu")
        self.assertEqual(len(curve), 20)
        self.assertLess(curve[-1], curve[0])
        np.testing.assert_allclose(self.log("cuda-sim"), curve, rtol=1e-4)

    def test_the_simulator_trains_as_the_cpu_does(self):
        self.same_on_the_simulator(
            self.MLP, "--data", f"image={self.FASHION}/t10k-images-idx3-ubyte.gz",
            "--data", f"label={self.FASHION}/t10k-labels-idx1-ubyte.gz", "--batch", "16")

    def test_the_simulator_trains_a_decoder_as_the_cpu_does(self):
        text = self.GPT.read_text()
        layers, count = re.subn(r"tensor<4x(?=[\dx]*xf32>)", "tensor<2x", text)
        self.assertGreater(count, 12)  # every stacked parameter
        self.write("gpt.mlir", layers)
        self.write("text.txt", self.GPT.read_bytes()[:6000])
        self.same_on_the_simulator("gpt.mlir", "--data", "tokens=text.txt", "--dim", "window=17", "--batch", "2")

    def test_interrupted_with_the_keyboard(self):
        process = subprocess.Popen(
            [cli.LATHE, "train", "net.mlir", *self.DATA, "--steps", "100000000", "--output-dir", "run"], cwd=self.folder,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"LATHE_CACHE_DIR": self.cache})
        while not (self.folder / "run/log.jsonl").exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        self.assertRegex(err, r"interrupted after step \d+; --resume goes on from there")
        self.assertRegex(out.splitlines()[-1], r"^train: step \d+, loss [0-9.]+$")
        step = re.search(r"train: step (\d+)", out).group(1)
        self.assertTrue((self.folder / f"run/step-{step}/checkpoint.json").exists())

    def test_others_read_its_files(self):
        from safetensors.numpy import load_file

        done = self.train("--epochs", "4", "--validation", "0.25", "--log-every", "1", "--output-dir", "run", "--json",
                          "figures.json")
        self.assertRegex(done.stdout.splitlines()[-1], r"^train: step 36, loss [0-9.]+, accuracy [0-9.]+$")
        figures = json.loads((self.folder / "figures.json").read_text())
        self.assertEqual(figures["step"], 36)
        model = load_file(self.folder / "run/step-36/model.safetensors")
        self.assertEqual(sorted(model), ["a.bias", "a.weight", "b.weight"])
        optimizer = load_file(self.folder / "run/step-36/optimizer.safetensors")
        self.assertEqual(optimizer["train.step"], 36)
        self.assertGreaterEqual(len(optimizer), 7)  # adamw has two tensors of each
        events = read_events(next((self.folder / "run").glob("events.out.tfevents.*")))
        trained = [values for _, values in events if "train/loss" in values]
        self.assertEqual([step for step, values in events if "train/loss" in values], list(range(1, 37)))
        np.testing.assert_array_equal(np.float32([v["train/loss"] for v in trained]), np.float32(self.log("run")))
        self.assertIn("train/learning_rate", trained[0])
        checked = [values["validation/accuracy"] for _, values in events if "validation/accuracy" in values]
        self.assertEqual(len(checked), 4)

        # The figures, from logits that `lathe run` computes of the best weights.
        held = round(EXAMPLES * 0.25)
        split = loader.Permutation(EXAMPLES, loader.mix(3, 1))
        rows = [split(i) for i in range(EXAMPLES - held, EXAMPLES)]
        np.save(self.folder / "held.npy", self.x[rows])
        self.works("run", "net.mlir", "--weights", "run/step-36/model.safetensors", "--input", "x=held.npy", "--output-dir", "out")
        logits, truth = np.load(self.folder / "out/logits.npy").astype(np.float64), self.label[rows]
        answers = logits.argmax(1)
        self.assertAlmostEqual(figures["evaluation"]["accuracy"], (answers == truth).mean(), places=12)
        shifted = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
        entropy = (shifted - logits[np.arange(held), truth]).mean()
        self.assertAlmostEqual(figures["evaluation"]["cross_entropy"], entropy, places=5)
        f1 = []
        for c in range(3):
            hit = ((answers == c) & (truth == c)).sum()
            f1.append(2 * hit / max(1, (answers == c).sum() + (truth == c).sum()))
            self.assertAlmostEqual(figures["classes"][c]["f1"], f1[c], places=12)
        self.assertAlmostEqual(figures["evaluation"]["f1"], np.mean(f1), places=12)

    def test_a_step_is_compiled_once(self):
        """The same step comes from the cache; another model, batch or recipe does not."""
        def train(*options):
            self.train("--steps", "5", "--output-dir", "out", "--json", "json", *options)
            weights = self.weights("out", 5)
            shutil.rmtree(self.folder / "out")
            return json.loads((self.folder / "json").read_text())["from_cache"], weights

        (fresh, first), (again, second) = train("--beta1", "0.8"), train("--beta1", "0.8")
        self.assertEqual((fresh, again), (False, True))
        self.assertEqual(first, second)
        self.assertFalse(train("--beta1", "0.7")[0])
        for options in (["--no-optimize"], ["--no-cache"], ["--recompute", "4"], ["--max-memory", "1G"]):
            with self.subTest(options):
                self.assertFalse(train("--beta1", "0.8", *options)[0])
        self.DATA = (*self.DATA[:-3], "8", *self.DATA[-2:])
        self.assertFalse(train("--beta1", "0.8")[0])
        self.write("net.mlir", MODEL.replace("tanh", "sigmoid"))
        changed, other = train("--beta1", "0.8")
        self.assertFalse(changed)
        self.assertNotEqual(first, other)

    def test_a_recipe_is_the_flags(self):
        options = ("--epochs", "2", "--validation", "0.2", "--optimizer", "adam", "--learning-rate", "0.01", "--freeze", "a.*",
                   "--schedule", "linear", "--warmup-steps", "5")
        self.train(*options, "--output-dir", "flags")
        recipe = self.folder / "flags/step-20/recipe.json"
        self.works("train", "net.mlir", "--recipe", recipe, "--output-dir", "again")
        self.assertEqual(self.weights("flags", 20), self.weights("again", 20))
        self.assertEqual(json.loads(recipe.read_text()), json.loads((self.folder / "again/step-20/recipe.json").read_text()))
        # YAML beside the model is found by itself.
        self.write("net.yaml", "# a comment\ndata: {x: x.npy, label: label.npy}\nbatch: 16\nseed: 3\nepochs: 2\nvalidation: 0.2\n"
                   "optimizer: adam\nlearning_rate: 0.01\nfreeze:\n  - a.*\nschedule: linear\nwarmup_steps: 5\n")
        done = self.works("train", "net.mlir", "--output-dir", "yaml")
        self.assertIn("the recipe 'net.yaml' is used", done.stderr)
        self.assertEqual(self.weights("flags", 20), self.weights("yaml", 20))
        self.write("bad.json", '{"learning_rat": 1, "colour": 2}')
        self.says("'learning_rat', did you mean 'learning-rate'?; 'colour'", "train", "net.mlir", "--recipe", "bad.json")
        self.write("bad.yaml", "data: [x\n")
        self.says("not valid YAML", "train", "net.mlir", "--recipe", "bad.yaml")
        self.write("again.yaml", "seed: 3\nbatch: 4\nseed: 4\n")
        self.says("has the key 'seed' more than once", "train", "net.mlir", "--recipe", "again.yaml")
        for name, text, words in (
            ("word", '{"batch": "many"}', "that does not fit 'batch': expected a whole number from 1 to 16777216, got 'many'"),
            ("fraction", '{"log_every": 1.5}', "that does not fit 'log_every': expected a whole number of 0 or more, got '1.5'"),
            ("list", '{"learning_rate": [1, 2]}', "that does not fit 'learning_rate': expected once, got 2 times"),
            ("flag", '{"nesterov": "perhaps"}', "that does not fit 'nesterov': expected true, false or no value, got 'perhaps'"),
            ("null", '{"steps": null}', "the value of 'steps' is no number, text, list or object of these"),
            ("huge", '{"learning_rate": 1e400}', "it holds a number that no f64 can hold"),
            ("empty", "", "it is not valid JSON at byte 1"),
            ("deep", "[" * 100000, "it nests lists and objects more than 16 deep"),
            ("again", '{"seed": 3, "seed": 4}', "it holds the key 'seed' more than once"),
            ("many", "{" + ", ".join(f'"k{i}": 1' for i in range(300000)) + "}", "; and 299980 more"),
        ):
            with self.subTest(name):
                self.write(f"{name}.json", text)
                self.says(words, "train", "net.mlir", "--recipe", f"{name}.json")

    def test_bad_input_is_a_sentence(self):
        self.says("there is no --data; the training takes 'x' of type f32[32,8], 'label' of type i64[32]", "train", "net.mlir")
        self.label[77] = 3
        np.save(self.folder / "label.npy", self.label)
        self.says("the data holds 3 in 'label.npy' at example 77, for the input 'label', where 0 to 2 are allowed", "train",
                     "net.mlir", *self.DATA)
        self.label[77] = 0
        np.save(self.folder / "label.npy", self.label)
        self.x[9, 4] = np.nan
        np.save(self.folder / "x.npy", self.x)
        self.says("the data holds nan in 'x.npy' at example 9, element 4", "train", "net.mlir", *self.DATA)
        np.save(self.folder / "x.npy", self.x[:, :7])
        self.says("an example of which has another shape", "train", "net.mlir", *self.DATA)
        np.save(self.folder / "x.npy", self.x[:0])
        self.says("it is empty", "train", "net.mlir", *self.DATA)
        self.x[9, 4] = 0
        np.save(self.folder / "x.npy", self.x[:100])
        self.says("differ in number: 100 and 203", "train", "net.mlir", *self.DATA)
        np.save(self.folder / "x.npy", self.x)
        self.train("--steps", "2", "--output-dir", "run")
        self.says("holds checkpoints of an earlier training", "train", "net.mlir", *self.DATA, "--steps", "4", "--output-dir", "run")
        self.says("made with the seed 3, and 4 is given", "train", "net.mlir", *self.DATA[:-1], "4", "--steps", "4",
                     "--output-dir", "run", "--resume")
        self.says("7 tensors do not fit\n  'a.bias' is not in the model", "train", "net.mlir", *self.DATA, "--steps", "4", "--output-dir", "run", "--resume",
                     "--freeze", "a.bias", "--optimizer", "sgd", "--momentum", "0")
        np.save(self.folder / "short.npy", self.label[:200])
        self.says("differ in number: 203 and 200 examples", "train", "net.mlir", "--data", "x=x.npy", "--data", "label=short.npy")
        self.says("the loss is inf at step 2 (epoch 1, the batch of example", "train", "net.mlir", *self.DATA, "--steps", "200", "--output-dir", "wild",
                     "--learning-rate", "1e38", "--optimizer", "sgd", "--schedule", "constant")

    def test_what_cannot_be_written_is_said_before_anything_is_compiled(self):
        cache = pathlib.Path(self.cache)
        self.write("file", "in the way")
        self.cache = str(self.folder / "new-cache")
        for words, *options in (
            ("cannot make the folder 'file/sub': not a directory", "--output-dir", "file/sub"),
            ("cannot write into the folder 'file': not a directory", "--output-dir", "file"),
            ("cannot make the folder '/proc/nothing': no such file or directory", "--output-dir", "/proc/nothing"),
            ("cannot write 'nowhere/w.safetensors': no such file or directory", "--save", "nowhere/w.safetensors"),
            ("cannot write '.': it is a folder", "--json", "."),
        ):
            with self.subTest(options):
                self.says(words, "train", "net.mlir", *self.DATA, "--steps", "2", *options)
        self.assertFalse((self.folder / "new-cache").exists())
        self.cache = str(cache)
        self.assertEqual((self.folder / "file").read_text(), "in the way")
        # A folder that was made for nothing is not left behind.
        self.assertFalse((self.folder / "net-train").exists())
        self.says("there is no figure 'beauty' to watch; there are 'loss', 'accuracy', 'cross_entropy', 'precision', 'recall', 'f1'",
                  "train", "net.mlir", *self.DATA, "--validation", "0.2", "--watch", "beauty")
        self.assertFalse((self.folder / "net-train").exists())
        self.says("--logits expects the name of an output of @loss, got 'guess'", "train", "net.mlir", *self.DATA, "--logits", "guess")

    def test_the_least_memory(self):
        """What is said to be needed is enough, but for workspace where nothing was compiled."""
        def needs(limit, words):
            done = self.refused(rf"the training needs {words}[\d.]+ KiB, ", "train", "net.mlir", *self.DATA, "--steps", "1",
                                "--output-dir", "no", "--max-memory", limit)
            return int(float(re.search(r"needs (?:at least )?([\d.]+) KiB", done.stderr)[1]) * 1024)

        bound = needs(1, "at least ")
        right = needs(bound + 103, "")  # the last digit is rounded
        self.assertGreater(right, bound + 103)
        self.train("--steps", "1", "--output-dir", "fits", "--max-memory", right + 103)

    def test_options_that_mean_nothing(self):
        for words, *options in (
            ("--weight-decay-group expects PATTERN=DECAY, got 'a'", "--weight-decay-group", "a"),
            ("--weight-decay-group expects PATTERN=DECAY, got 'a='", "--weight-decay-group", "a="),
            ("--normalize expects NAME=MEAN:DEVIATION, got 'x=:2'", "--normalize", "x=:2"),
            ("a mean and a deviation that is not 0 are expected", "--normalize", "x=0:0"),
            ("--limit expects NAME=VALUES, got 'label=99999999999999999999'", "--limit", "label=99999999999999999999"),
            ("--augment expects flip or crop=N with N > 0, got 'rotate'", "--augment", "rotate"),
            ("clip_norm must be 0 or more, got -1\n", "--clip-norm", "-1"),
            ("learning_rate must be finite and above 0, got inf", "--learning-rate", "1e400"),
            ("no parameter matches the pattern 'zzz*' of what is frozen", "--freeze", "zzz*"),
            ("the batch is empty", "--dim", "batch=0"),
            ("an option is given for the input 'z', which the program does not have; it has 'x', 'label'", "--limit", "z=3"),
        ):
            with self.subTest(options):
                self.says(words, "train", "net.mlir", *self.DATA, *options)
                self.assertFalse((self.folder / "net-train").exists())

    def test_without_an_evaluation(self):
        """There is no best; what was learnt is the last checkpoint, and the
        recipe beside it has what the defaults decided."""
        done = self.works("train", "net.mlir", "--data", "x=x.npy", "--data", "label=label.npy", "--output-dir", "run", "--patience", "2")
        self.assertIn("note: --patience has no effect without --eval or --validation", done.stderr)
        self.assertFalse((self.folder / "run/best.safetensors").exists())
        step = max(int(path.name[5:]) for path in (self.folder / "run").glob("step-*"))
        np.save(self.folder / "some.npy", self.x[:2])
        self.works("run", "net.mlir", "--weights", f"run/step-{step}/model.safetensors", "--input", "x=some.npy")
        recipe = json.loads((self.folder / f"run/step-{step}/recipe.json").read_text())
        self.assertEqual((recipe["seed"], recipe["epochs"], recipe["batch"]), (0, 1, 32))
        done = self.works("train", "net.mlir", "--recipe", f"run/step-{step}/recipe.json", "--output-dir", "again")
        self.assertEqual(self.weights("run", step), self.weights("again", step))


if __name__ == "__main__":
    unittest.main()
