"""Moved: `harness.contract` has `Latents`. This name goes with the next release."""

from harness.contract.latents import *  # noqa: F403
