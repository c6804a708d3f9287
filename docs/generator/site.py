"""The pages of the site as Markdown that mkdocs understands: links, headings, files elsewhere.

On GitHub a page of `docs/` may link to any file of the repository, and headings have GitHub's
anchors. The site has both: each file that a page links to becomes a page of it, a folder a list of
its files, and each heading says its anchor. `docs/hooks.py` gives mkdocs what is made here.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from generator.markdown import anchors
from generator.notebook import fenced, markdown

DOCS = PurePosixPath("docs")
NAMED: Mapping[str, str] = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages of the repository's root, and what they are called on the site."""
ELSEWHERE = "files"
"""The folder of the site with what lies outside of docs/."""
LONGEST = 200_000
"""A text file with more bytes than this is named and not shown."""

_FENCED = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2`*~*[ ]*$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_COMMENT = re.compile(r"^<!--.*?-->\n", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_FENCE = re.compile(r"( *)(`{3,}|~{3,})")
_ITEM = re.compile(r"(?:[-*+]|\d+[.)]) +")
_HEADING = re.compile(r"^(#{1,6}) (.+?)[ ]*$", re.MULTILINE)
_LANGUAGES = {".toml": "toml", ".py": "python", ".json": "json", ".jsonl": "json", ".sh": "sh"}


def place(root: Path, source: PurePosixPath) -> str:
    """Where the site has a file or a folder of the repository, as the name of its Markdown.

    What is in docs/ keeps its name; of all else only what `outside` finds is there.
    """
    if source.is_relative_to(DOCS):
        inside = source.relative_to(DOCS)
        if (root / source).is_dir():
            return f"{inside}/index.md"
        return str(inside.with_suffix(".md") if source.suffix == ".ipynb" else inside)
    if (name := NAMED.get(str(source))) is not None:
        return name
    if (root / source).is_dir():
        return f"{ELSEWHERE}/{source}/index.md"
    if source.name == "README.md":  # mkdocs would make the index of the folder of it
        return f"{ELSEWHERE}/{source.with_name('readme.md')}"
    return f"{ELSEWHERE}/{source}" if source.suffix == ".md" else f"{ELSEWHERE}/{source}.md"


def added(root: Path) -> dict[str, PurePosixPath]:
    """The pages of the site that are no Markdown file of docs/: by place, what each shows.

    These are the pages of the root, the notebooks, and all files that pages link to, and those
    that these link to in turn. ValueError where one links to what does not exist.
    """
    roots = [PurePosixPath(name) for name in NAMED if (root / name).is_file()]
    inside = [DOCS / file.name for file in sorted((root / DOCS).glob("*.md"))]
    notebooks = [DOCS / file.name for file in sorted((root / DOCS).glob("*.ipynb"))]
    waiting, seen = [*roots, *notebooks, *inside], {*roots, *notebooks, *inside}
    found: dict[str, PurePosixPath] = {}
    while waiting:
        source = waiting.pop(0)
        if source not in inside:
            found[place(root, source)] = source
        for target in _targets(root, source):
            there = target.is_relative_to(DOCS) and (root / target).is_file()
            if target not in seen and not there:
                waiting.append(target)
                seen.add(target)
    return found


def page(root: Path, source: PurePosixPath) -> str:
    """A file or a folder of the repository as a page of the site."""
    path = root / source
    if path.is_dir():
        return _folder(root, source)
    text = path.read_text(encoding="utf-8")
    if source.suffix == ".ipynb":
        return rewritten(root, source, markdown(text))
    if source.suffix == ".md":
        return rewritten(root, source, text)
    return f"# `{source}`\n\n{fenced(text, _LANGUAGES.get(source.suffix, 'text'))}\n"


def rewritten(root: Path, source: PurePosixPath, text: str) -> str:
    """The Markdown of a file with links to places of the site, and an anchor at each heading."""
    names = iter(anchors(name for _, name in _headings(text)))
    here = posixpath.dirname(place(root, source))

    def link(match: re.Match[str]) -> str:
        path, hash_, fragment = match[0].partition("#")
        if not path or ":" in path:
            return match[0]
        target = _target(root, source, path)
        return f"{posixpath.relpath(place(root, target), here or '.')}{hash_}{fragment}"

    def heading(match: re.Match[str]) -> str:
        name = next(names)
        return f"{match[0]} {{#{name}}}" if name else match[0]

    def prose(piece: str) -> str:
        piece = _COMMENT.sub("", piece)
        piece = _without(_CODE, piece, lambda words: _LINK.sub(link, words))
        return _HEADING.sub(heading, piece)

    return _lists(_without(_FENCED, text, prose))


def _lists(text: str) -> str:
    """A text in which what belongs to an item of a list is indented by four: Python-Markdown ends
    the item where it is less, as CommonMark allows. Nor does it see an item right below such a
    paragraph: a blank line parts them."""
    width, blank, paragraph, code = 0, True, False, ""
    lines: list[str] = []
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if code:  # an item's block of code moves as a whole; no line of it is an item
            code = "" if line.strip() == code else code
        elif fence:
            width, code = width if fence[1] else 0, fence[2]
        elif item := _ITEM.match(line):
            width = len(item[0])
            if paragraph and not blank:
                lines.append("")
            paragraph = False
        elif line.strip() and not line.startswith(" ") and blank:
            width = 0
        first, blank = blank, not line.strip()
        inside = 0 < width < 4 and not blank and line.startswith(" " * width)
        paragraph = inside if first else paragraph
        lines.append(f"    {line[width:]}" if inside else line)
    return "\n".join(lines)


def _targets(root: Path, source: PurePosixPath) -> Iterator[PurePosixPath]:
    """What a page links to in the repository, in its order."""
    if (root / source).is_dir():
        yield from _shown(root, source)
        return
    if source.suffix not in (".md", ".ipynb"):
        return
    text = (root / source).read_text(encoding="utf-8")
    if source.suffix == ".ipynb":
        text = markdown(text)
    for path in _LINK.findall(_CODE.sub("", _FENCED.sub("", text))):
        path = path.partition("#")[0]
        if path and ":" not in path:
            yield _target(root, source, path)


def _target(root: Path, source: PurePosixPath, path: str) -> PurePosixPath:
    """The file that a link of a page means, from the root of the repository."""
    base = source if (root / source).is_dir() else source.parent
    target = PurePosixPath(posixpath.normpath(base / path))
    if target.parts[:1] == ("..",) or not (root / target).exists():
        raise ValueError(f"{source}: a link to {path}, which is not in the repository.")
    return target


def _folder(root: Path, source: PurePosixPath) -> str:
    """A folder as a list of its files, with links to those that are shown."""
    shown = set(_shown(root, source))
    here = posixpath.dirname(place(root, source))
    lines = [f"# `{source}/`", ""]
    for file in _files(root, source):
        name = f"`{file.relative_to(source)}`"
        at = posixpath.relpath(place(root, file), here)
        lines.append(f"- [{name}]({at})" if file in shown else f"- {name}")
    return "\n".join(lines) + "\n"


def _shown(root: Path, folder: PurePosixPath) -> Iterator[PurePosixPath]:
    """The files of a folder that are text, and not too long to be read."""
    for file in _files(root, folder):
        if (root / file).stat().st_size <= LONGEST and _is_text(root / file):
            yield file


def _files(root: Path, folder: PurePosixPath) -> Iterator[PurePosixPath]:
    """All files below a folder but hidden ones and what Python leaves."""
    for file in sorted((root / folder).rglob("*")):
        inside = file.relative_to(root)
        hidden = any(part.startswith((".", "__pycache__")) for part in inside.parts)
        if file.is_file() and not hidden and file.suffix != ".pyc":
            yield PurePosixPath(inside.as_posix())


def _is_text(file: Path) -> bool:
    try:
        return "\0" not in file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False


def _headings(text: str) -> list[tuple[str, str]]:
    return _HEADING.findall(_FENCED.sub("", text))


def _without(skipped: re.Pattern[str], text: str, change: Callable[[str], str]) -> str:
    """A text with all of it changed but what the pattern matches."""
    pieces, end = [], 0
    for match in skipped.finditer(text):
        pieces += [change(text[end : match.start()]), match[0]]
        end = match.end()
    return "".join([*pieces, change(text[end:])])
