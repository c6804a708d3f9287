"""PNG: the pictures in pixels, with letters, wherever they are drawn."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from harness.contract import ExportedRun, ExportFile
from harness.testing import check_export, small_run
from harness_exports.figures import pixels
from harness_exports.figures.export import INDEX, Figures
from harness_exports.figures.options import FiguresOptions


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ExportedRun:
    return small_run(tmp_path_factory.mktemp("small"))


def made(run: ExportedRun, **options: Any) -> dict[str, str | bytes]:
    files = Figures(FiguresOptions(**options)).files(run)
    return {one.path: one.content for one in files if isinstance(one, ExportFile)}


@pytest.fixture(scope="module")
def resvg() -> Any:
    pytest.importorskip("fontpkg_arimo")
    return pytest.importorskip("resvg_py")


def shades(png: bytes) -> list[list[int]]:
    """The rows of a PNG of 8 bits a channel, as the darkest channel of each pixel (RFC 2083)."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    place, data, head = 8, b"", b""
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        kind, body = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        data += body if kind == b"IDAT" else b""
        head = body if kind == b"IHDR" else head
        place += 12 + length
    wide, tall, depth, colours, _, _, interlaced = struct.unpack(">IIBBBBB", head)
    assert (depth, interlaced) == (8, 0)
    step = {2: 3, 6: 4}[colours]
    raw, size = zlib.decompress(data), wide * step
    before, rows = bytearray(size), []
    for row in range(tall):
        filtered = raw[row * (size + 1)]
        line = bytearray(raw[row * (size + 1) + 1 : (row + 1) * (size + 1)])
        for at in range(size):
            left = line[at - step] if at >= step else 0
            corner = before[at - step] if at >= step else 0
            line[at] = (line[at] + _guess(filtered, left, before[at], corner)) & 255
        rows.append([min(line[at : at + 3]) for at in range(0, size, step)])
        before = line
    return rows


def _guess(kind: int, left: int, up: int, corner: int) -> int:
    if kind < 4:
        return (0, left, up, (left + up) // 2)[kind]
    return min((left, up, corner), key=lambda one: abs(left + up - corner - one))


def dark(rows: list[list[int]], box: tuple[int, int, int, int]) -> float:
    """The share of dark pixels in (left, top, right, bottom)."""
    left, top, right, bottom = box
    inside = [shade for row in rows[top:bottom] for shade in row[left:right]]
    return sum(shade < 120 for shade in inside) / len(inside)


def test_the_size_is_that_which_was_asked_for(resvg: Any, run: ExportedRun) -> None:
    sizes = {}
    for width in (430, 860):
        (png,) = (
            one for path, one in made(run, format="png", width=width).items() if path != INDEX
        )
        assert isinstance(png, bytes)
        sizes[width] = struct.unpack(">II", png[16:24])
    assert sizes[430][0] == 430
    assert sizes[860][0] == 860
    assert abs(sizes[860][1] - 2 * sizes[430][1]) <= 1


@pytest.mark.slow
def test_letters_are_there_and_are_the_same_on_every_machine(
    resvg: Any, run: ExportedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Title, numbers beside the axis, legend or caption: where they stand, something is dark."""
    files = made(run, format="both", width=860)
    (svg,) = (str(one) for path, one in files.items() if path.endswith(".svg"))
    (png,) = (one for path, one in files.items() if path.endswith(".png"))
    assert isinstance(png, bytes)
    rows = shades(png)
    tall = len(rows)
    assert dark(rows, (18, 18, 150, 40)) > 0.08  # the title, in the upper left corner
    assert dark(rows, (150, 18, 840, 40)) == 0  # nothing beside it
    assert dark(rows, (18, tall - 60, 250, tall - 10)) > 0.01  # the caption
    without = resvg.svg_to_bytes

    def bare(**given: Any) -> bytes:
        return bytes(without(**given, skip_system_fonts=True))

    monkeypatch.setattr(resvg, "svg_to_bytes", bare)
    assert pixels.png(svg, 860) == png
    assert pixels.png(svg, 860) == png


def test_both_have_one_index(resvg: Any, run: ExportedRun) -> None:
    files = made(run, format="both", width=300)
    name = "scores-and-cosines-cosine-by-site"
    assert [*files] == [f"{name}.svg", f"{name}.png", INDEX]
    assert f'"svg": "{name}.svg",\n   "png": "{name}.png"' in str(files[INDEX])
    assert [*made(run)] == [f"{name}.svg", INDEX]
    check_export(Figures(FiguresOptions(format="png", width=200)), run)


@pytest.mark.parametrize("missing", ["resvg_py", "fontpkg_arimo"])
def test_without_the_extra_it_says_what_to_install(
    missing: str, run: ExportedRun, said: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    out = tmp_path / "out"
    command = ("export", run.folder, "--to", "figures", "--set", "format=png", "--out", out)
    code, printed, err = said(*command)
    assert (code, printed) == (2, "")
    assert "Allowed without it: format=svg." in err
    assert "pip install 'sae-harness[png]'" in err
    assert err.count("\n") == 1
    assert not out.exists()
