"""code.py N COMMAND...: runs COMMAND; ends well if its exit code is N."""

import subprocess
import sys

found = subprocess.run(sys.argv[2:]).returncode
if found != int(sys.argv[1]):
    sys.exit(f"code.py: exit code {sys.argv[1]} expected, {found} found")
