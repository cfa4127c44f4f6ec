"""Compares what set-up installed with scripts/manifest.json.

Run with the Python of .venv. Every package must have the version written down,
requirements.txt must name the same versions and hashes, and every data file
that tests and demo read must have the SHA-256 written down. Prints one sentence
per difference and exits 1 if there is any.
"""

import argparse
import hashlib
import importlib.metadata
import json
import pathlib
import re
import sys
import sysconfig

HERE = pathlib.Path(__file__).resolve().parent


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compare(manifest, requirements, site):
    """Returns the list of differences as sentences."""
    wrong = []
    pinned = {
        name: (version, digest)
        for name, version, digest in re.findall(
            r"^([\w-]+)==(\S+) --hash=sha256:([0-9a-f]{64})", requirements, re.M
        )
    }
    listed = {row["package"]: (row["version"], row["sha256"]) for row in manifest["python"]}
    for name in sorted(pinned.keys() | listed.keys()):
        if pinned.get(name) != listed.get(name):
            wrong.append(f"{name}: requirements.txt and manifest.json disagree")
    for name, (version, _) in listed.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{name}: version {version} expected, not installed")
            continue
        if found != version:
            wrong.append(f"{name}: version {version} expected, {found} found")
    files = manifest["data"] + [
        file | {"package": row["package"]} for row in manifest["debian"] for file in row.get("files", [])
    ]
    for row in files:
        path = site / row["path"]  # Debian's are absolute, which stands alone
        if not path.is_file():
            wrong.append(f"{row['path']}: missing from package {row['package']}")
        elif path.stat().st_size != row["bytes"]:
            wrong.append(f"{row['path']}: {row['bytes']} bytes expected, {path.stat().st_size} found")
        elif sha256(path) != row["sha256"]:
            wrong.append(f"{row['path']}: SHA-256 differs from manifest.json")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", type=pathlib.Path, default=HERE / "manifest.json")
    args = parser.parse_args()
    wrong = compare(
        json.loads(args.manifest.read_text()),
        (HERE / "requirements.txt").read_text(),
        pathlib.Path(sysconfig.get_paths()["purelib"]),
    )
    for sentence in wrong:
        print(f"manifest: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
