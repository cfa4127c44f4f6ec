"""Where the oracles' files lie, and making them when they are missing or old.

Every generator writes into build/oracle/NAME; a stamp with the hash of the
scripts that made a folder says whether it is still right.
"""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("LATHE_BUILD", TOP / "build")).resolve()

GENERATORS = {
    "minilm": ["minilm_onnx.py"],
    "bert": ["bert_onnx.py"],
    "bert-4": ["bert_onnx.py", "--layers", "4", "--length", "33"],
    "resnet50": ["resnet50_onnx.py"],
    # The nine of light_onnx.NAMES.
    **{f"light-{name}": ["light_onnx.py", name] for name in (
        "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50",
        "shufflenet", "squeezenet", "vgg19", "zfnet512")},
}


def oracle(name):
    """The folder of the oracle NAME, made now if need be."""
    folder = BUILD / "oracle" / name
    script, *options = GENERATORS[name]
    sources = sorted(HERE.glob("*.py")) + [HERE / "sentences.json", TOP / "scripts" / "requirements.txt"]
    made_by = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = folder / "stamp"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f"{name}.lock", "w") as lock:  # tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != made_by:
            shutil.rmtree(folder, ignore_errors=True)
            done = subprocess.run([sys.executable, HERE / script, folder, *options], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{script}: {done.stderr.strip()[-800:]}")
            stamp.write_text(made_by)
    return folder
