"""Makes a model of a server's address; nothing is loaded, and nothing is asked yet."""

from __future__ import annotations

from harness.web import key_in
from harness_openai.model import ServedModel
from harness_openai.options import OpenAIOptions


class OpenAIBackend:
    """A model behind a server with OpenAI's protocol."""

    def __init__(self, options: OpenAIOptions) -> None:
        self.options = options

    def load(self) -> ServedModel:
        """The model; UsageError where the environment variable of its key holds none."""
        key_in(self.options.api_key_variable, self.options.where)
        return ServedModel(self.options)
