"""Gates: what must hold of a run's numbers, for a person's peace of mind and for CI."""

from harness.gates.check import Checked as Checked, check as check, check_results as check_results
from harness.task.gates import Gate as Gate, parse as parse
