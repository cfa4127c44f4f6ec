"""Runs the numeric tests: every test_*.py beside this file, with unittest.

  run.py [--filter WORD] [--list] [--dir DIR] [--jobs N]

Prints one line per test, 'PASS name (seconds, seconds of processors)', 'FAIL name:
why' or 'SKIP name: why', and the whole reason of each failure above its line; exits 1 on a failure.
As many processes as there are processors take a class of tests each, or a test
where the class says `APART = True`, the longest first: classes say how long they
take (`SECONDS = 90`, about, of a processor). LATHE_BUILD names the build folder (default: build).
"""

import argparse
import concurrent.futures
import contextlib
import functools
import io
import multiprocessing
import os
import pathlib
import resource
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "scripts" / "oracle")]


def processor_seconds():
    """Of this process and those it waited for: what a busy machine does not stretch."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


class Lines(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.started, self.used, self.wrong = time.monotonic(), processor_seconds(), False

    @staticmethod
    def name(test):
        return test.id()

    def fail(self, test, error):
        self.wrong = True
        print(self._exc_info_to_string(error, getattr(test, "test_case", test)))
        message = str(error[1]).strip().splitlines() or [error[0].__name__]
        print(f"FAIL {self.name(test)}: {message[0]}", flush=True)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.fail(test, error)

    addError = addFailure

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.fail(subtest, error)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"SKIP {self.name(test)}: {reason}", flush=True)

    def addSuccess(self, test):
        if not self.wrong:
            print(f"PASS {self.name(test)} ({time.monotonic() - self.started:.1f} s, "
                  f"{processor_seconds() - self.used:.1f} s of processors)", flush=True)


def tests_in(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from tests_in(item)
        else:
            yield item


def load(directory, word):
    suite = unittest.defaultTestLoader.discover(str(directory), "test_*.py")
    return [test for test in tests_in(suite) if word in test.id()]


def unit_of(test):
    """The name of what one process runs in one go."""
    return test.id() if getattr(test, "APART", False) else f"{type(test).__module__}.{type(test).__qualname__}"


def run(tests):
    result = Lines()
    unittest.TestSuite(tests).run(result)
    return result.wasSuccessful() and result.testsRun + len(result.skipped) > 0


def run_unit(directory, word, name):
    """In a process of its own: what was printed, and whether all went well."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        good = run([test for test in loaded(directory, word) if unit_of(test) == name])
    return out.getvalue(), good


@functools.cache
def loaded(directory, word):
    return load(directory, word)


def run_units(tests, directory, word, jobs):
    cost = {unit_of(test): getattr(test, "SECONDS", 0) for test in tests}
    good = True
    # Not forked: JAX has threads.
    with concurrent.futures.ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        pending = {pool.submit(run_unit, directory, word, name): name for name in sorted(cost, key=cost.get, reverse=True)}
        for done in concurrent.futures.as_completed(pending):
            try:
                text, well = done.result()
            except concurrent.futures.process.BrokenProcessPool:
                text, well = f"FAIL {pending[done]}: its process, or one beside it, died\n", False
            print(text, end="", flush=True)
            good = good and well
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", default="", help="run the tests whose name contains WORD", metavar="WORD")
    parser.add_argument("--list", action="store_true", help="print the names of the tests and run none")
    parser.add_argument("--dir", default=HERE, help="where the tests are", metavar="DIR")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes side by side", metavar="N")
    args = parser.parse_args()
    tests = load(args.dir, args.filter)
    if args.list:
        print("\n".join(test.id() for test in tests))
        return 0
    if not tests:
        return 1
    if args.jobs < 2 or len({unit_of(test) for test in tests}) < 2:
        return 0 if run(tests) else 1
    return 0 if run_units(tests, args.dir, args.filter, args.jobs) else 1


if __name__ == "__main__":
    sys.exit(main())
