# Configuration of the text tests: lit reads this file after build/test's
# lit.site.cfg.py. A test is a .mlir or .test file with RUN lines.

import os
import pathlib

import lit.formats
import lit.util

config.name = "Lathe"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["unit", "numeric", "Inputs"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.lathe_build_dir, "test")

# Bare names in RUN lines (lathe, lathe-opt, FileCheck, not, split-file) are
# found on this PATH.
config.environment["PATH"] = os.pathsep.join(
    [os.path.join(config.lathe_build_dir, "bin"), config.llvm_tools_dir, config.environment.get("PATH", "")]
)
# A test must not be able to see, or leave, anything in the user's own cache.
config.environment["LATHE_CACHE_DIR"] = os.path.join(config.test_exec_root, "cache")
# Variables of a pattern do not leak past the next CHECK-LABEL.
config.environment["FILECHECK_OPTS"] = "-enable-var-scope --dump-input-filter=error"

venv_python = os.path.join(config.lathe_source_dir, ".venv", "bin", "python")
bin_dir = os.path.join(config.lathe_build_dir, "bin")
config.substitutions += [
    (r"%lathe-opt\b", os.path.join(bin_dir, "lathe-opt")),
    (r"%lathe\b(?!-)", os.path.join(bin_dir, "lathe")),
    (r"%python\b", venv_python if os.path.exists(venv_python) else config.python_executable),
    (r"%source\b", config.lathe_source_dir),
    (r"%builddir\b", config.lathe_build_dir),
    (r"%models\b", os.path.join(config.lathe_source_dir, "models")),
]

# Features for REQUIRES and UNSUPPORTED lines.
if os.path.exists(venv_python):
    # Python with numpy, onnx, onnxruntime and the packages with real models.
    config.available_features.add("oracle")
    packages = next(pathlib.Path(config.lathe_source_dir, ".venv", "lib").glob("python3.*/site-packages"), None)
    if packages:
        config.substitutions.append((r"%packages\b", str(packages)))
if os.path.isdir(config.onnx_testdata_dir):
    config.available_features.add("onnx-testdata")
    config.substitutions.append((r"%onnx-testdata\b", config.onnx_testdata_dir))
# The same places as lib/Runtime/Cuda/Library.cpp; a test that needs NVRTC says so.
nvrtc_places = [os.environ.get("LATHE_NVRTC"), "/usr/local/cuda/lib64", f"{os.environ.get('CUDA_HOME')}/lib64"]
nvrtc_places += pathlib.Path(config.lathe_source_dir, ".venv", "lib").glob("python3.*/site-packages/nvidia/*/lib")
if any(place and any(pathlib.Path(place).glob("libnvrtc.so.1[23]")) for place in nvrtc_places):
    config.available_features.add("nvrtc")
try:
    cpu = set(pathlib.Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split())
except (OSError, IndexError):
    cpu = set()
config.available_features |= {f"cpu-{flag}" for flag in ("avx2", "avx512f", "amx_bf16", "amx_int8") if flag in cpu}
if os.geteuid() == 0:
    config.available_features.add("root")

# A hang is a failure of its test, not of the whole run.
if lit.util.killProcessAndChildrenIsSupported()[0]:
    lit_config.maxIndividualTestTime = 120
