"""`python -m tests.covering`, from the root of the repository."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from covering.command import main

main(prog_name="python -m tests.covering")
