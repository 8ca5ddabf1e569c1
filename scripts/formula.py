"""Fills in the Homebrew formula: python3 scripts/formula.py VERSION SHA256SUMS < packaging/thumb.rb > thumb.rb

Fails when an archive that the formula names is not among the sums.
"""

import re
import sys
from pathlib import Path

if len(sys.argv) != 3:
    sys.exit(__doc__)
version, sums = sys.argv[1], Path(sys.argv[2]).read_text()
archives = re.findall(rf"^([0-9a-f]{{64}})  thumb-{re.escape(version)}-(\S+)\.tar\.gz$", sums, re.MULTILINE)
values = {"VERSION": version, **{target: digest for digest, target in archives}}


def value(match):
    if match[1] not in values:
        sys.exit(f"formula.py: {sys.argv[2]} has no archive of {version} for {match[1]}")
    return values[match[1]]


sys.stdout.write(re.sub(r"@([\w-]+)@", value, sys.stdin.read()))
