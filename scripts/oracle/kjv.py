"""Writes the text of the King James Bible, one verse a line, for training.

Debian's bible-kjv-text holds it compressed in a form of its own, which the
program of bible-kjv prints. References ("Ge1:1") are cut off and an empty line
stands between books. 4.1 MB of ASCII, 31,102 verses.

  kjv.py OUTPUT.txt
"""

import hashlib
import pathlib
import re
import subprocess
import sys

SHA256 = "2e2fd01b526102393195e1bb652edbdd491d9427e42fa9f5448d4e68889803ce"


def text():
    printed = subprocess.run(
        ["bible", "-f", "gen1:1-rev22:21"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    ).stdout
    lines, last = [], None
    for line in printed.splitlines():
        book, verse = re.fullmatch(r"(\d?[A-Za-z]+)\d+:\d+ (.*)", line).groups()
        if last not in (None, book):
            lines.append("")
        last = book
        lines.append(verse)
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    data = text().encode("ascii")
    if hashlib.sha256(data).hexdigest() != SHA256:
        sys.exit("kjv: the text differs from the one that is written down: another version of bible-kjv-text?")
    pathlib.Path(sys.argv[1]).write_bytes(data)


if __name__ == "__main__":
    main()
