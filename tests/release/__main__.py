"""`python -m tests.release`, from the root of the repository."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from release.command import main

main(prog_name="python -m tests.release")
