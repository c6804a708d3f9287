"""The page as a reader meets it: filters, arms side by side, keys, values, files, themes."""

from __future__ import annotations

import base64
import csv
import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from harness.contract import Figure
from harness.registry import Registry
from harness.report import panels, render
from harness.results import Results, format_number

from .browsed import BROWSER, seen, seen_on_a_phone
from .conftest import make_results, record

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
EVIL = "<b>bold</b><img src=x onerror=\"document.title='ran'\">&lt;i&gt; \u202e"
PROMPTS = 60
ARMS = ("none", "truth", "chance")
RECORDS = (
    *make_results().records,
    record("score", 0.25, direction="=1+1", **{
        "experiment": "bypass", "view": "chat", "data": "harmful", "evaluator": "words"}),
)  # fmt: skip
TOOLS = """
const $ = (name) => document.querySelector(name);
const all = (name) => Array.from(document.querySelectorAll(name));
const set = (name, value, event) => {
  if (typeof value === "boolean") $(name).checked = value; else $(name).value = value;
  $(name).dispatchEvent(new Event(event || "change", { bubbles: true }));
};
const pick = (name, words) => {
  const found = Array.from($(name).options).find((one) => one.textContent === words);
  if (!found) throw new Error(name + " has no " + words);
  set(name, found.value);
};
const press = (key) => document.activeElement.dispatchEvent(
  new KeyboardEvent("keydown", { key: key, bubbles: true, cancelable: true }));
const state = () => $(".browser .state").textContent;
const shown = () => all(".found > li").map((one) => one.querySelector(".prompt").textContent);
const wait = (time) => new Promise((done) => setTimeout(done, time));
"""


def rows() -> list[dict[str, Any]]:
    """Three arms of one experiment and one of another; what is judged follows from the numbers."""
    found = []
    for experiment, arms in (("bypass", ARMS), ("induce", ARMS[:1])):
        for place, arm in enumerate(arms):
            for number in range(PROMPTS):
                answer = f"{arm} says {number}" + (EVIL if number == 7 else "")
                found.append({
                    "experiment": experiment, "direction": arm, "example": str(number),
                    "text": f"{experiment} prompt {number}", "prompt": "x", "completion": answer,
                    "tokens": 1, "stopped": True,
                    "verdicts": {"words": {"refusal": number % (place + 2) == 0, "note": "n"},
                                 "judge": {"harm": number / 100 + place}},
                })  # fmt: skip
    return found


def figures(results: Results, sections: Registry) -> list[Figure]:
    found = [block for panel in panels.panels(results, sections) for block in panel.blocks]
    return [block for block in found if isinstance(block, Figure)]


def refused(place: int) -> set[int]:
    return {number for number in range(PROMPTS) if number % (place + 2) == 0}


@pytest.fixture(scope="module")
def page(sections: Registry) -> str:
    return render(make_results(tables={"completions": rows()}, records=RECORDS), sections)


@pytest.fixture(scope="module")
def browsed(page: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    script = (
        TOOLS
        + """
const out = { title: document.title, plain: $(".browser .plain").hidden };
out.first = { state: state(), rows: all(".found > li").length };
pick(".by-experiment", "bypass");
out.experiment = state();
pick(".by-arm", "truth");
out.arm = { state: state(), arms: [...new Set(all(".found .arm").map((a) => a.textContent))] };
pick(".by-score", "refusal (words)");
pick(".by-value", "yes");
out.verdict = { state: state(), shown: shown() };
out.scores = Array.from($(".by-score").options, (one) => one.textContent);
pick(".by-value", "anything");
pick(".by-other", "chance");
const texts = (name) => Array.from(
  all(".found > li")[3].querySelectorAll(name), (a) => a.textContent);
out.beside = { state: state(), two: all(".found > li.two").length, arms: texts(".arm"),
               texts: texts(".completion") };
set(".by-difference", true);
out.differ = shown();
set(".by-difference", false);
pick(".by-other", "none");
pick(".by-score", "harm (judge)");
out.ranges = Array.from($(".by-value").options, (one) => one.textContent);
$(".by-value").selectedIndex = 1;
$(".by-value").dispatchEvent(new Event("change"));
out.low = shown();
pick(".by-score", "any");
pick(".by-arm", "all");
pick(".by-experiment", "all");
set(".by-text", "<B>BOLD", "input");
out.search = { state: state(), marks: all(".found mark").map((m) => m.textContent),
               elements: all(".found b, .found img, .found i").length };
set(".by-text", "nobody said this", "input");
out.nothing = { state: state(), rows: all(".found > li").length };
set(".by-text", "", "input");

out.keys = [];
const note = () => out.keys.push([document.activeElement.tagName,
  all(".found .current").length, ($(".found .current .prompt") || {}).textContent || ""]);
$(".found > li").focus();
for (const key of ["j", "ArrowDown", "k", "End", "Home", "/"]) { press(key); note(); }
press("Escape"); note();
const where = () => $(".browser .where").textContent;
press("n"); out.page = where() + "; " + state();
$(".found > li").focus(); press("p"); out.before = where();
$(".found > li").focus(); press("?");
out.help = [$(".keys").hidden, $(".keys-open").getAttribute("aria-expanded")];

const figure = $("section:not(#answer) figure.chart");
const plot = figure.querySelector(".plot");
const spots = JSON.parse(figure.querySelector("script").textContent).spots;
plot.focus(); press("ArrowRight");
const tip = figure.querySelector(".tip");
out.value = [tip.textContent, tip.hidden, spots[0][4]];
press("End");
out.last = [tip.textContent, spots[spots.length - 1][4]];
press("Escape");
out.hidden = tip.hidden;
const svg = figure.querySelector("svg.wide"), view = svg.viewBox.baseVal;
const box = svg.getBoundingClientRect();
const at = (spot) => ({ clientX: box.left + (spot[0] - view.x) * box.width / view.width + 2,
                        clientY: box.top + (spot[1] - view.y) * box.height / view.height - 2 });
plot.dispatchEvent(new PointerEvent("pointermove", at(spots[1])));
out.pointer = [tip.textContent, spots[1][4]];
const middle = (one) => {
  const box = one.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
};
const [x, y] = middle(figure.querySelector(".dot"));
const markers = Array.from(svg.querySelectorAll("circle, path[transform]"), middle);
out.far = Math.min(...markers.map((one) => Math.hypot(one[0] - x, one[1] - y)));

// Files as they are made, without the time that a browser takes to hand them over.
const blobs = [], names = [];
window.Blob = function (parts, options) { this.text = parts.join(""); this.type = options.type; };
URL.createObjectURL = (blob) => { blobs.push(blob); return "blob:none"; };
HTMLAnchorElement.prototype.click = function () { names.push(this.download); };
HTMLCanvasElement.prototype.toBlob = function (done, type) {
  done({ type: type, text: this.toDataURL(type).split(",")[1].slice(0, 64) });
};
for (const kind of [".as-svg", ".as-csv", ".as-png"]) figure.querySelector(kind).click();
for (let n = 0; blobs.length < 3 && n < 100; n++) await wait(20);
out.names = names;
[out.svg, out.csv, out.png] = blobs.map((blob) => blob.text);
out.types = blobs.map((blob) => blob.type);

const look = () => [getComputedStyle(document.body).backgroundColor,
  getComputedStyle(figure.querySelector("svg.wide text[font-size='12']")).fill];
out.light = look();
$(".theme").click();
out.dark = look();
out.theme = document.documentElement.getAttribute("data-theme");
$(".theme").click();
out.again = look();
$(".unfold").click();
out.closed = all("main details:not([open])").length;
$(".unfold").click();
out.open = all("main details[open]").length;
dispatchEvent(new Event("beforeprint"));
out.printed = all("main details:not([open])").length;
dispatchEvent(new Event("afterprint"));
out.afterwards = all("main details[open]").length;
out.contents = [$(".toc").open, getComputedStyle($("nav")).position];
out.wide = document.documentElement.scrollWidth <= innerWidth;
out.after = document.title;
return out;
"""
    )
    found = seen(page, script, tmp_path_factory.mktemp("browsed"))
    assert isinstance(found, dict), found
    return found


def test_an_answer_of_nothing_is_said_to_be_one(sections: Registry, tmp_path: Path) -> None:
    """Else the place where it would be looks broken."""
    rows = [
        {"experiment": "e", "direction": "none", "example": str(n), "text": "p", "prompt": "p",
         "completion": text, "verdicts": {}}
        for n, text in enumerate(("", "an answer", " "))
    ]  # fmt: skip
    page = render(Results("complete", {}, {}, (), tables={"completions": rows}), sections)
    script = f"{TOOLS} return all('.found .completion').map((one) => one.textContent);"
    assert seen(page, script, tmp_path) == [
        "Completion: (nothing was written)", "Completion: an answer", "Completion:  ",
    ]  # fmt: skip


def test_all_are_there_a_page_at_a_time(browsed: dict[str, Any]) -> None:
    assert browsed["plain"] is True
    total = PROMPTS * 4
    assert browsed["first"] == {"state": f"{total} completions, 1 to 50 shown", "rows": 50}


def test_filters_by_experiment_arm_and_verdict(browsed: dict[str, Any]) -> None:
    assert browsed["experiment"].startswith(f"{PROMPTS * 3} completions of {PROMPTS * 4}")
    assert browsed["arm"]["state"].startswith(f"{PROMPTS} completions of")
    assert browsed["arm"]["arms"] == ["bypass: truth"]
    wanted = [f"Prompt: bypass prompt {number}" for number in sorted(refused(1))]
    assert browsed["verdict"]["shown"] == wanted
    assert browsed["scores"] == ["any", "refusal (words)", "harm (judge)"], "a note is no verdict"


def test_many_numbers_are_ranges(browsed: dict[str, Any]) -> None:
    assert browsed["ranges"][:2] == ["anything", "0 to 0.518"]
    top = (PROMPTS - 1) / 100 + 2
    assert len(browsed["ranges"]) == 6
    assert browsed["ranges"][-1].endswith(f"to {top:.3g}")
    # The first of five equal parts of [0, 2.59] ends at 0.518; the arm `truth` begins at 1.
    assert browsed["low"] == []


def test_two_arms_stand_side_by_side_on_the_same_prompt(browsed: dict[str, Any]) -> None:
    assert browsed["beside"]["two"] == 50
    assert browsed["beside"]["state"].startswith(f"{PROMPTS} prompts with both arms")
    assert browsed["beside"]["arms"] == ["bypass: truth", "bypass: chance"]
    assert browsed["beside"]["texts"] == ["Completion: truth says 3", "Completion: chance says 3"]
    wanted = sorted(refused(1) ^ refused(2))
    assert browsed["differ"] == [f"Prompt: bypass prompt {number}" for number in wanted][:50]


def test_text_is_searched_and_what_is_found_is_text(browsed: dict[str, Any]) -> None:
    assert browsed["search"]["state"].startswith("4 completions of")
    assert browsed["search"]["marks"] == ["<b>bold"] * 4
    assert browsed["search"]["elements"] == 0
    assert browsed["nothing"] == {"state": "Nothing has all of this.", "rows": 0}
    assert browsed["title"] == browsed["after"] == "A title"


def test_keys(browsed: dict[str, Any]) -> None:
    first, second = "Prompt: bypass prompt 0", "Prompt: bypass prompt 1"
    last = f"Prompt: induce prompt {PROMPTS - 1}"
    assert browsed["keys"] == [
        ["LI", 1, first], ["LI", 1, second], ["LI", 1, first], ["LI", 1, last], ["LI", 1, first],
        ["INPUT", 1, first], ["LI", 1, first],
    ]  # fmt: skip
    assert browsed["page"] == f"page 2 of 5; {PROMPTS * 4} completions, 51 to 100 shown"
    assert browsed["before"] == "page 1 of 5"
    assert browsed["help"] == [False, "true"]


def test_values_are_read_with_keys_and_pointer(browsed: dict[str, Any]) -> None:
    text, hidden, wanted = browsed["value"]
    assert (text, hidden) == (wanted, False)
    assert wanted
    assert browsed["last"][0] == browsed["last"][1]
    assert browsed["hidden"] is True
    assert browsed["pointer"][0] == browsed["pointer"][1]
    assert browsed["far"] < 1.5, "the ring is around a marker"


def test_figures_and_numbers_are_saved_as_files(browsed: dict[str, Any]) -> None:
    stems = {name.rpartition(".")[0] for name in browsed["names"]}
    assert len(stems) == 1
    assert [name[-4:] for name in browsed["names"]] == [".svg", ".csv", ".png"]
    root = ElementTree.fromstring(browsed["svg"])
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("viewBox", "").startswith("0 0 560 ")
    words = [str(one.text) for one in root.iter("{http://www.w3.org/2000/svg}text")]
    title = str(root.findtext("{http://www.w3.org/2000/svg}title"))
    assert words[0] == title
    assert any(word.startswith("run tiny · sae-harness") for word in words), "the caption"
    assert "var(" not in browsed["svg"]
    assert base64.b64decode(browsed["png"]).startswith(b"\x89PNG\r\n")
    width = int.from_bytes(base64.b64decode(browsed["png"])[16:20], "big")
    assert width == 3 * 560


def test_the_numbers_of_the_file_are_those_of_the_table(
    browsed: dict[str, Any], sections: Registry
) -> None:
    assert browsed["csv"].startswith("\ufeff")
    head, *lines = csv.reader(io.StringIO(browsed["csv"].lstrip("\ufeff"), newline=""))
    place, name = head.index("value"), head.index("direction")
    told = [line[place] for line in lines]
    figure = next(one for one in figures(make_results(records=RECORDS), sections))
    wanted = [row["value"] for row in figure.rows]
    assert told == ["–" if one is None else format_number(one) for one in wanted]
    assert {len(line) for line in lines} == {len(head)}
    # A spreadsheet would reckon what begins like this; so a file of ours does not.
    assert [line[name] for line in lines if "1+1" in line[name]] == ["'=1+1"]
    assert browsed["types"] == ["image/svg+xml", "text/csv;charset=utf-8", "image/png"]


def test_light_and_dark(browsed: dict[str, Any]) -> None:
    assert browsed["light"] == ["rgb(255, 255, 255)", "rgb(28, 32, 36)"]
    assert browsed["dark"] == ["rgb(20, 23, 26)", "rgb(231, 233, 236)"]
    assert browsed["theme"] == "dark"
    assert browsed["again"] == browsed["light"]


def test_all_can_be_opened_and_is_printed(browsed: dict[str, Any]) -> None:
    assert browsed["closed"] == 0
    assert browsed["open"] == 0
    assert browsed["printed"] == 0
    assert browsed["afterwards"] == 0, "as before"
    assert browsed["contents"] == [True, "sticky"]
    assert browsed["wide"] is True


def test_a_phone_shows_narrow_drawings_and_nothing_wider(page: str, tmp_path: Path) -> None:
    script = (
        TOOLS
        + """
return {
  wide: document.documentElement.scrollWidth,
  contents: $(".toc").open,
  drawn: all("figure.chart").map((one) => ["svg.narrow", "svg.wide"].map(
    (name) => one.querySelector(name).getBoundingClientRect().width > 0)),
};
"""
    )
    found = seen_on_a_phone(page, script, tmp_path)
    assert found["wide"] <= 390
    assert found["contents"] is False
    assert found["drawn"]
    assert all(one == [True, False] for one in found["drawn"])
