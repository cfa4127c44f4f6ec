"""lathe calibrate: ranges against numbers worked out in NumPy: fashion-cnn on real
images, all-MiniLM-L6-v2 with its real weights; on the CPU and on cuda-sim."""

import gzip
import json
import pathlib
import shutil
import unittest

import numpy as np
from safetensors.numpy import load_file, save_file

import cli
import lathe
import minilm_onnx
from folders import oracle

IMAGES = pathlib.Path("/usr/share/datasets/fashion-mnist")

# A loop over layers in it, a loop over time in that, an op twice, and operands
# from outside of the loops, from a slice and from the arguments.
LOOPS = """
lathe.parameter @w : tensor<3x4x4xf32>
lathe.parameter @u : tensor<4x4xf32>
func.func private @twice(%x: tensor<?x4xf32>, %u: tensor<4x4xf32>) -> tensor<?x4xf32> {
  %0 = lathe.linear %x, %u : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}
func.func @main(%x: tensor<?x4xf32> {lathe.name = "x", lathe.dims = ["batch", ""]},
                %t: tensor<?x5x4xf32> {lathe.name = "t", lathe.dims = ["batch", "", ""]}) -> (tensor<?x4xf32> {lathe.name = "y"}) {
  %w = lathe.get_parameter @w : tensor<3x4x4xf32>
  %u = lathe.get_parameter @u : tensor<4x4xf32>
  %a = call @twice(%x, %u) : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %b = call @twice(%a, %u) : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  %steps = lathe.transpose %t {permutation = array<i64: 1, 0, 2>} : (tensor<?x5x4xf32>) -> tensor<5x?x4xf32>
  %y = lathe.scan init(%h = %b) inputs(%l = %w) : (tensor<?x4xf32>, tensor<3x4x4xf32>) -> tensor<?x4xf32> {
    %c = lathe.linear %h, %l : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
    %d = lathe.linear %b, %l : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
    %e = lathe.add %c, %d : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
    %f = lathe.scan init(%g = %e) inputs(%s = %steps) : (tensor<?x4xf32>, tensor<5x?x4xf32>) -> tensor<?x4xf32> {
      %i = lathe.linear %s, %l : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
      %j = lathe.add %i, %g : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
      %k = lathe.linear %j, %u : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
      %m = lathe.tanh %k : (tensor<?x4xf32>) -> tensor<?x4xf32>
      lathe.yield %m : tensor<?x4xf32>
    }
    lathe.yield %f : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}
"""


def lines_of(text, op):
    return [n for n, line in enumerate(text.splitlines(), 1) if f"lathe.{op} " in line]


def read_idx(name):
    with gzip.open(IMAGES / name) as file:
        return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)


class Ranges(cli.CommandLine):
    """`activations`: line of the model's text, and operand -> a list of arrays,
    one per layer."""

    def calibrate(self, model, *options, **more):
        self.said = self.works("calibrate", model, "-o", "r.json", "--quiet", *options, **more)
        return self.read()

    def read(self):
        found = json.loads((self.folder / "r.json").read_text())
        self.assertEqual((found["format"], found["version"]), ("lathe-ranges", 1))
        return found["sites"]

    def compare(self, sites, model, activations, tolerance=1e-4):
        """Least and largest number of every site, each layer by itself."""
        names = {}
        for name in sites:
            place, operand = name.split("#")
            file, line, _ = place.split(":")
            self.assertEqual(file, pathlib.Path(model).name)
            names[int(line), int(operand)] = name
        self.assertEqual(sorted(names), sorted(activations))
        for key, layers in activations.items():
            site = sites[names[key]]
            for field, of in (("low", np.min), ("high", np.max), ("seen_low", np.min), ("seen_high", np.max)):
                wanted = [float(of(layer)) for layer in layers]
                self.assertEqual(len(site[field]), len(wanted), (key, field))
                scale = max(map(abs, wanted))
                np.testing.assert_allclose(site[field], wanted, rtol=0, atol=tolerance * scale, err_msg=f"{field} of {names[key]}")
            np.testing.assert_allclose(site["magnitude"], np.maximum(np.abs(site["low"]), np.abs(site["high"])), rtol=1e-6)
            self.assertEqual(site["clipped"], [0] * len(layers))


def linear(x, weight, bias=0):
    return x @ weight.T + bias


def conv3(x, weight):
    """3x3 with a border of one zero: [batch, channels, height, width]."""
    n, _, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return sum(np.einsum("nchw,oc->nohw", padded[:, :, i:i + h, j:j + w], weight[:, :, i, j], optimize=True)
               for i in range(3) for j in range(3))


def pool(x):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))


class FashionCnn(Ranges):
    SECONDS = 7
    MODEL = lathe.MODELS / "fashion-cnn.mlir"

    def setUp(self):
        super().setUp()
        random = np.random.Generator(np.random.Philox(3))
        shapes = {"conv1.weight": (32, 1, 3, 3), "conv2.weight": (64, 32, 3, 3), "fc1.weight": (128, 3136),
                  "fc1.bias": (128,), "fc2.weight": (10, 128), "fc2.bias": (10,)}
        weights = {name: random.standard_normal(shape) / np.sqrt(np.prod(shape[1:])) for name, shape in shapes.items()}
        for bn, width in (("bn1", 32), ("bn2", 64)):
            weights |= {f"{bn}.weight": random.uniform(0.5, 1.5, width), f"{bn}.bias": random.standard_normal(width) * 0.3,
                        f"{bn}.running_mean": random.standard_normal(width) * 0.2, f"{bn}.running_var": random.uniform(0.5, 2, width)}
        self.w = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}
        save_file(self.w, self.folder / "w.safetensors")
        self.images = read_idx("t10k-images-idx3-ubyte.gz")[:96]

    def activations(self):
        w = self.w
        values, x = [], ((self.images.astype(np.float32) - np.float32(72.94)) * np.float32(0.0110929))[:, None]
        for i in ("1", "2"):
            values.append(x)
            y = conv3(x, w[f"conv{i}.weight"])
            s = w[f"bn{i}.weight"] / np.sqrt(w[f"bn{i}.running_var"] + 1e-5)
            t = w[f"bn{i}.bias"] - s * w[f"bn{i}.running_mean"]
            x = pool(np.maximum(y * s[:, None, None] + t[:, None, None], 0))
        x = x.reshape(len(x), -1)
        values += [x, np.maximum(linear(x, w["fc1.weight"], w["fc1.bias"]), 0)]
        text = self.MODEL.read_text()
        keys = [(line, 0) for line in lines_of(text, "conv") + lines_of(text, "linear")]
        return {key: [value] for key, value in zip(keys, values)}

    def run_on(self, *options, **more):
        np.save(self.folder / "images.npy", self.images)
        return self.calibrate(self.MODEL, "--weights", "w.safetensors", "--data", "image=images.npy", *options, **more)

    def test_min_max(self):
        wanted = self.activations()
        sites = self.run_on()
        self.assertIn("calibrate: 4 sites, 4 ranges of 96 samples by minmax in r.json", self.said.stdout)
        self.compare(sites, self.MODEL, wanted)
        # Neither batches nor order change a bit of it.
        self.assertEqual(self.run_on("--batch", "7", "--samples", "98", "--threads", "1").keys(), sites.keys())
        self.assertEqual(self.run_on("--batch", "96", "--seed", "9"), sites)
        # A wrong number is one.
        key = max(wanted)
        wanted[key][0] = wanted[key][0] * 1.001
        with self.assertRaises(AssertionError):
            self.compare(sites, self.MODEL, wanted)

    def test_cuda_sim(self):
        self.images = self.images[:8]
        self.compare(self.run_on("--target", "cuda-sim", seconds=200), self.MODEL, self.activations())

    def test_methods_clip(self):
        values = self.activations()
        for method, *options in (("percentile", "--percentile", "99.5"), ("percentile", "--percentile", "98"), ("entropy",), ("mse",)):
            sites = self.run_on("--method", method, *options)
            for (key, [value]), site in zip(values.items(), sites.values()):
                with self.subTest(method, site=key):
                    [low], [high] = site["low"], site["high"]
                    magnitudes = np.abs(value.astype(np.float64)).ravel()
                    outside = np.mean((value < low) | (value > high))
                    self.assertAlmostEqual(site["clipped"][0], outside, delta=2e-3 + outside / 4)
                    if options:
                        percent = float(options[1])
                        width = np.abs(site["seen_high"][0] - site["seen_low"][0]) / 2048
                        np.testing.assert_allclose(site["magnitude"], np.percentile(magnitudes, percent), atol=width)
                    if method == "mse":
                        def error(low, high):
                            step = (high - min(low, 0)) / 255
                            zero = np.rint(-min(low, 0) / step)
                            q = np.clip(np.rint(value / step) + zero, 0, 255)
                            return np.mean(((q - zero) * step - value)**2, dtype=np.float64)
                        chosen = error(low, high)
                        for share in np.linspace(0.1, 1, 19):
                            most = magnitudes.max() * share
                            self.assertGreater(error(max(value.min(), -most), min(value.max(), most)) * 1.02, chosen)

    def test_the_recipe_says_where_data_is(self):
        shutil.copy(self.MODEL, self.folder)
        shutil.copy(self.MODEL.with_suffix(".yaml"), self.folder)
        options = ("--weights", "w.safetensors", "--samples", "64")
        recipe = self.calibrate("fashion-cnn.mlir", *options)
        self.assertIn("note: the recipe 'fashion-cnn.yaml' says how data is read", self.said.stderr)
        folder = self.calibrate("fashion-cnn.mlir", *options, "--data", IMAGES)
        self.assertEqual(folder, recipe)
        # The image's whole range is seen: 0 and 255.
        self.assertAlmostEqual(next(iter(recipe.values()))["high"][0], (255 - 72.94) * 0.0110929, places=5)
        (self.folder / "data").mkdir()
        np.save(self.folder / "data" / "image.npy", self.images)
        named = self.calibrate(self.MODEL, "--weights", "w.safetensors", "--data", "data")
        self.assertEqual(named, self.run_on())


class Loops(Ranges):
    SECONDS = 2

    def setUp(self):
        super().setUp()
        self.write("loops.mlir", LOOPS)
        random = np.random.Generator(np.random.Philox(4))
        self.w, self.u, self.x, self.t = (
            random.standard_normal(shape).astype(np.float32) for shape in ((3, 4, 4), (4, 4), (12, 4), (12, 5, 4)))
        save_file({"w": self.w, "u": self.u}, self.folder / "w.safetensors")
        np.savez(self.folder / "d.npz", x=self.x, t=self.t)

    def activations(self):
        a = linear(self.x, self.u)
        b = linear(a, self.u)
        h, carried, steps = b, [], []
        for w in self.w:
            carried.append(h)
            g, seen = linear(h, w) + linear(b, w), []
            for s in range(5):
                seen.append(linear(self.t[:, s], w) + g)
                g = np.tanh(linear(seen[-1], self.u))
            h = g
            steps.append(np.stack(seen))
        lines = lines_of(LOOPS, "linear")
        # The number of steps is no number of ranges; what is the same in each
        # layer has the same range in each.
        return self.x, a, {(lines[1], 0): carried, (lines[2], 0): [b] * 3, (lines[3], 0): [self.t] * 3, (lines[4], 0): steps}

    def check(self, *options):
        sites = self.calibrate("loops.mlir", "--weights", "w.safetensors", "--data", "d.npz", "--batch", "4", *options)
        x, a, wanted = self.activations()
        # One op, two calls.
        line = lines_of(LOOPS, "linear")[0]
        first, second = [name for name in sites if name.split(":")[1] == str(line)]
        self.assertEqual(second, first.replace("#0", "@2#0"))
        for name, value in ((first, x), (second, a)):
            np.testing.assert_allclose(sites[name]["high"], [value.max()], rtol=1e-5)
            np.testing.assert_allclose(sites.pop(name)["low"], [value.min()], rtol=1e-5)
        self.compare(sites, "loops.mlir", wanted)
        return sites, wanted

    def test_a_range_per_layer(self):
        self.check()
        self.check("--target", "cuda-sim")

    def test_ranges_of_the_wrong_layer_are_found(self):
        sites, wanted = self.check()
        for site in sites.values():
            for field, numbers in site.items():
                site[field] = numbers[1:] + numbers[:1]
        with self.assertRaises(AssertionError):
            self.compare(sites, "loops.mlir", wanted)

    def test_refusals(self):
        weights = ("--weights", "w.safetensors")
        self.refused("there is no --data; the model takes 'x' of type f32, 't' of type f32", "calibrate", "loops.mlir")
        self.refused("the model has no input 'z'; it has 'x', 't'", "calibrate", "loops.mlir", "--data", "z=d.npz")
        self.refused("the folder '.' holds no data for the input 'x': expected x.npy in it", "calibrate", "loops.mlir", "--data", ".")
        self.refused("there is no data for the input 't'", "calibrate", "loops.mlir", *weights, "--data", "x=d.npz")
        self.refused("no such file|cannot open", "calibrate", "loops.mlir", "--data", "no.npz")
        np.savez(self.folder / "bad.npz", x=np.full((4, 4), np.nan, np.float32), t=self.t[:4])
        self.refused("the data holds nan", "calibrate", "loops.mlir", *weights, "--data", "bad.npz")
        np.savez(self.folder / "odd.npz", x=self.x[:4], t=self.t)
        self.refused("differ in number: 4 and 12", "calibrate", "loops.mlir", *weights, "--data", "odd.npz")
        self.write("none.mlir", """func.func @main(%x: tensor<?x4xf32> {lathe.name = "x"}) -> tensor<?x4xf32> {
          %0 = lathe.tanh %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
          return %0 : tensor<?x4xf32>
        }""")
        self.refused("the model has no op that could be quantized", "calibrate", "none.mlir", "--input", "x=ones")
        self.refused("cannot|No such", "calibrate", "loops.mlir", *weights, "--data", "d.npz", "-o", "no/such/folder/r.json")
        self.assertFalse((self.folder / "r.json").exists())

    def test_what_is_not_finite_is_left_out(self):
        self.write("exp.mlir", """lathe.parameter @u : tensor<4x4xf32> {init = #lathe.init<ones>}
        func.func @main(%x: tensor<?x4xf32> {lathe.name = "x"}) -> tensor<?x4xf32> {
          %u = lathe.get_parameter @u : tensor<4x4xf32>
          %0 = lathe.exp %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
          %1 = lathe.linear %0, %u : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
          return %1 : tensor<?x4xf32>
        }""")
        np.save(self.folder / "some.npy", np.float32([[1, 2, 3, 100]] * 2))
        [site] = self.calibrate("exp.mlir", "--data", "some.npy").values()
        self.assertRegex(self.said.stderr, r"note: 2 numbers that are not finite are left out, the first at 'exp.mlir:5:\d+#0'")
        np.testing.assert_allclose(site["high"], [np.exp(3)], rtol=1e-5)
        self.refused("no number that flows into 'exp.mlir:5:[0-9]+#0' is finite", "calibrate", "exp.mlir", "--input", "x=random:100:101")

    def test_generators(self):
        sites = self.calibrate("loops.mlir", "--weights", "w.safetensors", "--input", "x=ones", "--input", "t=zeros", "--json", "f.json")
        first = next(iter(sites.values()))
        self.assertEqual((first["low"], first["high"]), ([1], [1]))
        figures = json.loads((self.folder / "f.json").read_text())
        self.assertEqual(figures["sites"].keys(), sites.keys())
        np.save(self.folder / "x.npy", self.x)
        sites = self.calibrate("loops.mlir", "--weights", "w.safetensors", "--input", "x=x.npy", "--input", "t=zeros")
        np.testing.assert_allclose(next(iter(sites.values()))["low"], [self.x.min()], rtol=1e-6)


class MiniLM(Ranges):
    SECONDS = 6
    MODEL = lathe.MODELS / "minilm.mlir"

    def activations(self, w, ids, mask, types):
        """What flows into the six products of each layer, in the order of the text."""
        def norm(x, name):
            x = x - x.mean(-1, keepdims=True)
            return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12) * w[name + ".weight"] + w[name + ".bias"]

        def split(x):
            return x.reshape(*x.shape[:2], 12, 32).transpose(0, 2, 1, 3)

        erf = np.vectorize(__import__("math").erf, otypes=[np.float32])
        x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][types]
        x = norm(x + w["embeddings.position_embeddings.weight"][:ids.shape[1]], "embeddings.LayerNorm")
        result = [[] for _ in range(4)]
        for layer in range(6):
            def dense(x, name):
                key = f"encoder.layer.{layer}.{name}"
                return linear(x, w[key + ".weight"], w[key + ".bias"])

            result[0].append(x)
            q, k, v = (split(dense(x, f"attention.self.{name}")) for name in ("query", "key", "value"))
            scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(np.float32(32)) + np.where(mask[:, None, None] != 0, 0, -np.inf)
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            a = (scores / scores.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(x.shape)
            result[1].append(a)
            x = norm(dense(a, "attention.output.dense") + x, f"encoder.layer.{layer}.attention.output.LayerNorm")
            result[2].append(x)
            f = dense(x, "intermediate.dense")
            f = f * (1 + erf(f / np.sqrt(np.float32(2)))) / 2
            result[3].append(f)
            x = norm(dense(f, "output.dense") + x, f"encoder.layer.{layer}.output.LayerNorm")
        lines = lines_of(self.MODEL.read_text(), "linear")
        return {(line, 0): result[i] for line, i in zip(lines, (0, 0, 0, 1, 2, 3))}

    def test_real_weights(self):
        weights = minilm_onnx.find_model() / "model.safetensors"
        names = ("input_ids", "attention_mask", "token_type_ids")
        case = oracle("minilm") / "batch"
        inputs = {name: np.load(case / f"{name}.npy")[:4] for name in names}
        for name, array in inputs.items():
            np.save(self.folder / f"{name}.npy", array)
        sites = self.calibrate(self.MODEL, "--weights", weights, "--data", self.folder, "--batch", "2")
        wanted = self.activations(load_file(weights), *inputs.values())
        self.compare(sites, self.MODEL, wanted)
        for site in sites.values():
            site["high"] = site["high"][1:] + site["high"][:1]
        with self.assertRaises(AssertionError):
            self.compare(sites, self.MODEL, wanted)


if __name__ == "__main__":
    unittest.main()
