"""The part of scripts/demo that runs the models and words what came out."""

import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "scripts" / "oracle"))
import numpy as np  # noqa: E402

import minilm_onnx  # noqa: E402
import real_models as real  # noqa: E402
from folders import BUILD  # noqa: E402

FILES = ("scripts/demo.py", "lib/Support/Npy.cpp", "README.md", "CMakeLists.txt", "scripts/setup", "scripts/manifest.json")
TEXT = "A model file in, numbers out"
SENTENCES = (
    "A cat sleeps on the sofa.",
    "A small pet is having a nap.",
    "The bank raised its interest rate.",
    "Borrowing money has become more expensive.",
)


def lathe(model, inputs, *options):
    """Runs the model; returns (outputs by name, figures, what it printed)."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        command = [BUILD / "bin/lathe", "run", model, "--quiet", "--output-dir", folder / "out", "--json", folder / "json", *options]
        for name, array in inputs.items():
            np.save(folder / f"{name}.npy", array)
            command += ["--input", f"{name}={folder / name}.npy"]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"demo: {done.stderr.strip()}")
        outputs = {path.stem: np.load(path) for path in (folder / "out").glob("*.npy")}
        return outputs, json.loads((folder / "json").read_text()), done.stdout


def figures(report):
    how = "from the cache" if report["from_cache"] else "compiled"
    print(f"   latency {report['latency_ms_median']:.2f} ms, peak memory {report['peak_memory_mb']:.0f} MiB, "
          f"{report['kernels']} kernels {how} in {report['compile_ms']:.0f} ms\n")


def what_is_in_a_file():
    print("== What kind of file is it?  (Magika, a trained classifier of 214 file types, ONNX)")
    rows = np.concatenate([real.magika_input((TOP / name).read_bytes()) for name in FILES])
    outputs, report, _ = lathe(real.packaged(real.MAGIKA), {"bytes": rows}, "--repeat", 10)
    (scores,) = outputs.values()
    for name, row in zip(FILES, scores):
        label, probability = real.magika_label(row)
        print(f"   {name:24} {label:10} {probability:6.1%}")
    figures(report)


def show(picture, columns=96, rows=12):
    """The picture in characters, so that what the model gets can be seen."""
    grey = picture[0].mean(0)
    lines = np.array_split(np.arange(grey.shape[0]), rows)
    cells = np.array_split(np.arange(grey.shape[1]), columns)
    for line in lines:
        dark = [(1 - grey[np.ix_(line, cell)].mean()) / 2 for cell in cells]
        text = "".join(" .:*#"[min(4, int(value * 7))] for value in dark).rstrip()
        if text:
            print(f"   |{text}")


def what_does_the_picture_say():
    print("== What does the picture say, and which way up is it?  (PP-OCRv6 reader and direction classifier, ONNX)")
    for upside_down in (False, True):
        line = real.text_image(TEXT, upside_down=upside_down)
        show(line)
        outputs, report, _ = lathe(real.packaged(real.DIRECTION), {"x": line}, "--repeat", 10)
        word, probability = real.direction(next(iter(outputs.values())))
        print(f"   {word} ({probability:.1%})")
        figures(report)
        if upside_down:
            continue
        outputs, report, _ = lathe(real.packaged(real.READER), {"x": line}, "--repeat", 10)
        print(f"   reads: {real.read_text(next(iter(outputs.values())))!r}")
        figures(report)


def which_sentences_mean_the_same():
    print("== Which sentences mean the same?  (all-MiniLM-L6-v2, models/minilm.mlir with its public weights)")
    model = minilm_onnx.find_model()
    tokens = minilm_onnx.tokenize(model, list(SENTENCES))
    outputs, report, printed = lathe(
        TOP / "models/minilm.mlir", tokens, "--weights", model / "model.safetensors", "--repeat", 10, "--profile")
    embeddings = outputs["sentence_embedding"]
    for number, (sentence, row) in enumerate(zip(SENTENCES, embeddings @ embeddings.T), 1):
        print(f"   {number} {sentence:44}" + "".join(f"{value:7.2f}" for value in row))
    figures(report)
    print("   its kernels:")
    for line in printed.splitlines():
        if not line.startswith("run:"):
            print("  " + line)


FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
CLASSES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def read_idx(name):
    """An array of unsigned bytes in the form of MNIST's files."""
    data = gzip.decompress((FASHION / name).read_bytes())
    shape = np.frombuffer(data, ">u4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def learn_to_tell_clothes():
    print("== Learn to tell clothes  (models/fashion-cnn.mlir: 60,000 pictures, once)", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [BUILD / "bin/lathe", "train", TOP / "models/fashion-cnn.mlir", "--epochs", 1, "--output-dir", folder]
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit("demo: the training failed")
        print(f"   {done.stdout.splitlines()[-1]}")
        images, labels = read_idx("t10k-images-idx3-ubyte.gz"), read_idx("t10k-labels-idx1-ubyte.gz")
        chosen = [int(np.flatnonzero(labels == label)[0]) for label in (9, 1, 6, 8)]
        outputs, report, _ = lathe(
            TOP / "models/fashion-cnn.mlir", {"image": images[chosen]}, "--weights", pathlib.Path(folder) / "best.safetensors", "--repeat", 10)
    print("   and what it says of four pictures that it has not seen:")
    for line in range(0, 28, 2):
        print("   " + "  ".join("".join(" .:*#"[value // 52] for value in images[i][line : line + 2].max(0)) for i in chosen).rstrip())
    chances = np.exp(outputs["logits"] - outputs["logits"].max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    print("   " + "  ".join(f"{CLASSES[row.argmax()]} ({row.max():.1%})".center(28) for row in chances).rstrip())
    print("   " + "  ".join(f"it is: {CLASSES[labels[i]]}".center(28) for i in chosen).rstrip())
    figures(report)


def main():
    what_is_in_a_file()
    what_does_the_picture_say()
    which_sentences_mean_the_same()
    learn_to_tell_clothes()


if __name__ == "__main__":
    main()
