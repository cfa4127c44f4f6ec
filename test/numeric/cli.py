"""Runs the command line as a user does, in a folder of its own."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ.get("LATHE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build")).resolve()
LATHE = BUILD / "bin" / "lathe"
# What LLVM, the C++ library and the shell print when a program dies.
DEATH_CRIES = ("LLVM ERROR", "PLEASE submit a bug report", "terminate called", "Assertion", "Stack dump", "runtime error")


class CommandLine(unittest.TestCase):
    """`self.folder` is the working folder; the cache of compiled code is shared
    by the tests of a class and away from the user's."""

    @classmethod
    def setUpClass(cls):
        cls.cache = tempfile.mkdtemp(prefix="lathe-cache-")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.cache, ignore_errors=True)

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lathe-test-"))
        self.addCleanup(shutil.rmtree, self.folder, True)

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def lathe(self, *arguments, seconds=60, **more):
        """The finished process: stdout and stderr are text. A crash, a hang or
        an exit code that is none of Lathe's fails the test."""
        try:
            done = subprocess.run(
                [LATHE, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True, errors="replace",
                timeout=seconds, env=os.environ | {"LATHE_CACHE_DIR": self.cache}, **more)
        except subprocess.TimeoutExpired:
            self.fail(f"lathe {' '.join(map(str, arguments))} did not end in {seconds} s")
        said = f"lathe {' '.join(map(str, arguments))} gave {done.returncode}: {done.stderr[-1500:]}"
        self.assertIn(done.returncode, (0, 1, 2), said)
        for cry in DEATH_CRIES:
            self.assertNotIn(cry, done.stderr, said)
        if done.returncode == 1:
            self.assertRegex(done.stderr, r"(?m)^lathe: error: \S", said)
        done.said = said
        return done

    def works(self, *arguments, **more):
        done = self.lathe(*arguments, **more)
        self.assertEqual(done.returncode, 0, done.said)
        return done

    def refused(self, words, *arguments, **more):
        """Ends with exit code 1 and an error that matches `words`."""
        done = self.lathe(*arguments, **more)
        self.assertEqual(done.returncode, 1, done.said)
        self.assertRegex(done.stderr, words, done.said)
        return done
