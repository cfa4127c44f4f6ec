"""Compares Lathe in f32, bf16 and int8 with ONNX Runtime and OpenVINO on the CPU, at batch size 1.

  low_precision.py [--openvino PYTHON] [--only WORD] [--threads 1,2] [--rounds N]
                   [--repeat N] [--no-save]

A row is a model in one precision of Lathe's beside the same or another precision
of a peer's. All engines of a model take turns, one process each per round, so
that what else the machine does falls on all; a round's figure is the median of
--repeat runs, a ratio the median over the rounds of (peer's time / Lathe's), so
above 1 Lathe is faster. Outputs are compared with ONNX Runtime's in f32 first.

int8 is ONNX Runtime's own: dynamic for the encoder (weights per channel), static
for ResNet-50 (calibrated on the input that is timed); OpenVINO runs the static
file. OpenVINO is no part of set-up: without --openvino its rows are left out, and
the last line says so. Results go to benchmarks/results/DATE-cpu-low-precision.json.
"""

import argparse
import logging
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from compare import BUILD, TOP, cases, run, save

# Ours and what each of ours is held against.
ROWS = [
    ("f32", ["onnxruntime f32", "openvino f32"]),
    ("bf16", ["onnxruntime f32", "openvino bf16"]),
    ("int8", ["onnxruntime int8", "openvino int8"]),
    ("int4-weights", ["onnxruntime f32"]),
]
# Of outputs against f32: smallest cosine.
CLOSE = {"f32": 0.999999, "bf16": 0.999, "int8": 0.98, "int4-weights": 0.97}


logging.getLogger().setLevel(logging.ERROR)  # a line per parameter that stays in float


class OneInput(CalibrationDataReader):
    def __init__(self, feeds):
        self.feeds = iter([feeds])

    def get_next(self):
        return next(self.feeds, None)


def quantized(onnx_file, feeds, static):
    """The int8 form of a model by ONNX Runtime's own tools, beside it."""
    path = onnx_file.with_suffix(".static-int8.onnx" if static else ".dynamic-int8.onnx")
    if not path.exists():
        # Weights are folded first: what is transposed or scaled when a model is
        # loaded would stay in float.
        folded = onnx_file.with_suffix(".folded.onnx")
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        onnxruntime.InferenceSession(onnx_file, options, providers=["CPUExecutionProvider"])
        if static:
            quantize_static(
                folded, path, OneInput(feeds), quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        else:
            quantize_dynamic(folded, path, per_channel=True, weight_type=QuantType.QInt8)
    return path


def engines(case, static, openvino, scratch):
    """name -> command without threads and repeats."""
    lathe_args, onnx_file, inputs, _ = case
    feeds = [item for key, path in inputs.items() for item in ("--input", f"{key}={path}")]
    values = {key: np.load(path) for key, path in inputs.items()}
    lathe = [BUILD / "bin/lathe", "run", *lathe_args, *feeds]
    int8 = ["--quantize", "int8-dynamic"]
    if static:
        ranges = scratch / "ranges.json"
        samples = [item for key, path in inputs.items() for item in ("--input", f"{key}={path}")]
        subprocess.run([BUILD / "bin/lathe", "calibrate", *map(str, lathe_args), *map(str, samples), "-o", ranges],
                       check=True, capture_output=True)
        int8 = ["--quantize", "int8", "--ranges", ranges]
    theirs = [sys.executable, TOP / "benchmarks/onnxruntime_run.py"]
    result = {
        "lathe f32": lathe, "lathe bf16": lathe + ["--precision", "bf16"], "lathe int8": lathe + int8,
        "lathe int4-weights": lathe + ["--quantize", "int4-weights"],
        "onnxruntime f32": [*theirs, onnx_file, *feeds],
        "onnxruntime int8": [*theirs, quantized(onnx_file, values, static), *feeds],
    }
    if openvino:
        other = [openvino, TOP / "benchmarks/openvino_run.py"]
        result |= {
            "openvino f32": [*other, onnx_file, *feeds],
            "openvino bf16": [*other, onnx_file, *feeds, "--precision", "bf16"],
            "openvino int8": [*other, quantized(onnx_file, values, True), *feeds],
        }
    return result


def cosine(a, b):
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def compare(name, case, threads, options, scratch):
    commands = engines(case, name == "resnet50", options.openvino, scratch)
    cache = {"LATHE_CACHE_DIR": str(scratch / "cache")}
    output = case[3]
    close, skipped = {}, []
    for engine, command in list(commands.items()):
        folder = scratch / engine.replace(" ", "-")
        try:
            run([*command, "--threads", str(threads), "--repeat", "1", "--output-dir", folder], cache)
        except SystemExit as error:
            # A peer may not take a model; ours must.
            if engine.startswith("lathe"):
                raise
            skipped.append(engine)
            print(f"{engine} cannot run {name}: {str(error).splitlines()[-1]}", flush=True)
            del commands[engine]
    expected = np.load(scratch / "onnxruntime-f32" / f"{output}.npy")
    for engine in commands:
        close[engine] = cosine(np.load(scratch / engine.replace(" ", "-") / f"{output}.npy"), expected)
    for precision, least in CLOSE.items():
        if not close[f"lathe {precision}"] > least:
            raise SystemExit(f"low_precision: {name}: {precision} has cosine {close[f'lathe {precision}']:.5f}, at least {least} expected")
    times = {engine: [] for engine in commands}
    for _ in range(options.rounds):
        for engine, command in commands.items():
            row = run([*command, "--threads", str(threads), "--repeat", str(options.repeat)], cache)
            times[engine].append(row["latency_ms_median"])
    rows = []
    for precision, peers in ROWS:
        for peer in peers:
            if peer not in times:
                continue
            ours = times[f"lathe {precision}"]
            ratios = [b / a for a, b in zip(ours, times[peer])]
            rows.append({
                "case": name, "threads": threads, "lathe": precision, "peer": peer, "rounds": options.rounds,
                "lathe_ms": statistics.median(ours), "peer_ms": statistics.median(times[peer]),
                "ratio": statistics.median(ratios), "ratio_lowest": min(ratios), "ratio_highest": max(ratios),
                "lathe_cosine": close[f"lathe {precision}"], "peer_cosine": close[peer],
                "lathe_rounds_ms": ours, "peer_rounds_ms": times[peer]})
            row = rows[-1]
            print(f"{name:14} {threads} thread{'s' if threads > 1 else ' '}  lathe {precision:12} {row['lathe_ms']:7.2f} ms   "
                  f"{peer:16} {row['peer_ms']:7.2f} ms   ratio {row['ratio']:.2f} ({row['ratio_lowest']:.2f}-{row['ratio_highest']:.2f})   "
                  f"cosine {row['lathe_cosine']:.5f}/{row['peer_cosine']:.5f}", flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--openvino", metavar="PYTHON", help="a Python with OpenVINO")
    parser.add_argument("--only", default="", metavar="WORD", help="cases whose name contains WORD")
    parser.add_argument("--threads", default="1,2", help="comma-separated thread counts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--no-save", action="store_true", help="print, write no file")
    options = parser.parse_args()
    rows = []
    for name, case in cases().items():
        if options.only in name:
            for threads in map(int, options.threads.split(",")):
                with tempfile.TemporaryDirectory() as scratch:
                    rows += compare(name, case, threads, options, pathlib.Path(scratch))
    if not options.openvino:
        print("OpenVINO was left out: --openvino PYTHON names a Python that has it")
    if options.no_save or not rows:
        return 0 if rows else 1
    save("cpu-low-precision", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
