"""`python -m tests.benchmarks --against COMMIT`, from the root of the repository."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from turns.command import main

main(prog_name="python -m tests.benchmarks")
