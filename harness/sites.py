"""Moved: `harness.contract` has `Site` and `parse_site`. This name goes with the next release."""

from harness.contract.sites import *  # noqa: F403
