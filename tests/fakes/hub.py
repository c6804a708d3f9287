"""A hub on this machine, that answers as Hugging Face's does; nothing is fetched from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes.replay import Replay, Reply

COMMIT = "a" * 40


class Hub(Replay):
    """Repositories of models, by name; each with its files."""

    def serve(self, repo: str, files: dict[str, str]) -> None:
        """Puts a repository there."""
        listed = [
            {"type": "file", "path": name, "size": len(text), "oid": f"{number:040x}"}
            for number, (name, text) in enumerate(files.items())
        ]
        about = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": [], "tags": []}
        self.replies[f"/api/models/{repo}/revision/main"] = [Reply(json.dumps(about))]
        tree = f"/api/models/{repo}/tree/{COMMIT}?recursive=true&expand=false"
        for query in (tree, tree.replace("=true", "=True").replace("=false", "=False")):
            self.replies[query] = [Reply(json.dumps(listed))]
        for number, (name, text) in enumerate(files.items()):
            headers = {"ETag": f'"{number:040x}"', "X-Repo-Commit": COMMIT}
            self.replies[f"/{repo}/resolve/{COMMIT}/{name}"] = [Reply(text, 200, headers)]

    def first(self, path: str, *replies: Reply) -> None:
        """Answers these before what is there."""
        self.replies[path] = [*replies, *self.replies.get(path, [])]


def used(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path) -> None:
    """Lets huggingface_hub ask that address, with an empty cache and no token."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
