"""Runs the numeric tests: every test_*.py beside this file, with unittest.

  run.py [--filter WORD] [--list] [--dir DIR]

Prints one line per test, 'PASS name (seconds)', 'FAIL name: why' or 'SKIP name:
why', and the whole reason of each failure above its line; exits 1 on a failure.
LATHE_BUILD names the build folder (default: build).
"""

import argparse
import pathlib
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "scripts" / "oracle")]


class Lines(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.started, self.wrong = time.monotonic(), False

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
            print(f"PASS {self.name(test)} ({time.monotonic() - self.started:.1f} s)", flush=True)


def tests_in(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from tests_in(item)
        else:
            yield item


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", default="", help="run the tests whose name contains WORD", metavar="WORD")
    parser.add_argument("--list", action="store_true", help="print the names of the tests and run none")
    parser.add_argument("--dir", default=HERE, help="where the tests are", metavar="DIR")
    args = parser.parse_args()
    suite = unittest.defaultTestLoader.discover(str(args.dir), "test_*.py")
    suite = unittest.TestSuite(test for test in tests_in(suite) if args.filter in test.id())
    if args.list:
        print("\n".join(test.id() for test in suite))
        return 0
    result = Lines()
    suite.run(result)
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main())
