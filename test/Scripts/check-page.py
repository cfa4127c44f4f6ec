"""check-page.py PAGE TEXT: the blocks ```cuda of PAGE, one after the other, are a kernel in TEXT but for empty lines and the
digits behind names."""

import re
import sys


def lines(text):
    return [re.sub(r"_[0-9a-f]{6}\b", "_DIGITS", line.rstrip()) for line in text.splitlines() if line.strip()]


page, text = (open(path).read() for path in sys.argv[1:])
shown, there = lines("\n".join(re.findall(r"^```cuda\n(.*?)^```$", page, re.S | re.M))), lines(text)
starts = [i for i, line in enumerate(there) if shown and line == shown[0]]
if not starts:
    sys.exit(f"no kernel begins with the page's first line: {shown[:1]}")
for expected, found in zip(shown, there[starts[0]:] + [""] * len(shown)):
    if expected != found:
        sys.exit(f"the page says\n{expected}\nwhere the text says\n{found}")
following = there[starts[0] + len(shown):]
if following and not following[0].startswith("// "):
    sys.exit(f"the kernel goes on where the page ends: {following[0]}")
