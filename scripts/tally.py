"""Keeps the count of one run of scripts/check.

A part of the run hands over the report its tool wrote; `summary` prints the
named skips and failures and the one closing line.

  tally.py TALLY add PART FILE --format lit|gtest|lines
  tally.py TALLY count PART --passed N --failed N [--note TEXT]
  tally.py TALLY summary
"""

import argparse
import json
import pathlib
import re
import sys


def from_lit(path):
    """lit -o: XFAIL is a pass; XPASS, UNRESOLVED and TIMEOUT are failures."""
    passed, failed, skipped = 0, [], []
    for test in json.loads(path.read_text())["tests"]:
        if test["code"] in ("PASS", "XFAIL", "FLAKYPASS"):
            passed += 1
        elif test["code"] in ("UNSUPPORTED", "SKIPPED", "EXCLUDED"):
            skipped.append(test["name"])
        else:
            failed.append(f"{test['name']} ({test['code']})")
    return passed, failed, skipped


def from_gtest(path):
    passed, failed, skipped = 0, [], []
    for suite in json.loads(path.read_text())["testsuites"]:
        for test in suite["testsuite"]:
            name = f"{suite['name']}.{test['name']}"
            if test.get("failures"):
                failed.append(name)
            elif test.get("result") == "SKIPPED" or test.get("status") == "NOTRUN":
                skipped.append(name)
            else:
                passed += 1
    return passed, failed, skipped


def from_lines(path):
    """Lines 'PASS name', 'FAIL name: why', 'SKIP name: why'; others are output."""
    passed, failed, skipped = 0, [], []
    for word, rest in re.findall(r"^(PASS|FAIL|SKIP) (.*)$", path.read_text(errors="replace"), re.M):
        if word == "PASS":
            passed += 1
        else:
            (failed if word == "FAIL" else skipped).append(rest)
    return passed, failed, skipped


READERS = {"lit": from_lit, "gtest": from_gtest, "lines": from_lines}


def load(path):
    return json.loads(path.read_text()) if path.exists() else []


def store(path, row):
    path.write_text(json.dumps(load(path) + [row]))
    print(f"  {row['part']}: {row['passed']} passed, {len(row['failed'])} failed, {len(row['skipped'])} skipped")


def add(args):
    try:
        passed, failed, skipped = READERS[args.format](args.file)
    except (OSError, ValueError, KeyError) as error:
        passed, failed, skipped = 0, [f"no usable report in {args.file}: {error}"], []
    if passed + len(failed) + len(skipped) == 0:
        failed = ["nothing was run"]
    if args.exit_code and not failed:
        failed = [f"the tool ended with exit code {args.exit_code} and named no failure"]
    store(args.tally, {"part": args.part, "passed": passed, "failed": failed, "skipped": skipped})


def count(args):
    failed = [args.note or "see above"] * args.failed
    store(args.tally, {"part": args.part, "passed": args.passed, "failed": failed, "skipped": []})


def summary(args):
    rows = load(args.tally)
    for word in ("skipped", "failed"):
        for row in rows:
            for name in row[word]:
                print(f"{word}: {row['part']}: {name}")
    passed = sum(row["passed"] for row in rows)
    failed = sum(len(row["failed"]) for row in rows)
    skipped = sum(len(row["skipped"]) for row in rows)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tally", type=pathlib.Path)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("add")
    verb.add_argument("part")
    verb.add_argument("file", type=pathlib.Path)
    verb.add_argument("--format", choices=READERS, required=True)
    verb.add_argument("--exit-code", type=int, default=0)
    verb.set_defaults(run=add)
    verb = verbs.add_parser("count")
    verb.add_argument("part")
    verb.add_argument("--passed", type=int, default=0)
    verb.add_argument("--failed", type=int, default=0)
    verb.add_argument("--note")
    verb.set_defaults(run=count)
    verbs.add_parser("summary").set_defaults(run=summary)
    args = parser.parse_args()
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
