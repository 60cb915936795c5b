"""Print the one command that stands in the README under a heading."""

import re
import sys
from pathlib import Path

text = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
section = re.split(rf"^## {re.escape(sys.argv[1])}$", text, flags=re.MULTILINE)[1]
block = re.search(r"```sh\n(.+?)\n```", section, flags=re.DOTALL)
assert block and "\n" not in block[1], f"one line in an sh block stands under '{sys.argv[1]}'"
print(block[1])
