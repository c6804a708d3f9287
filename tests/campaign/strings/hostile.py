"""Hostile text: what would run in a page, act on a terminal, or mean something to a table."""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from dataclasses import dataclass

from harness.text import well_formed


@dataclass(frozen=True)
class Hostile:
    """One text, and what tells that it did something."""

    text: str
    number: int
    """What it carries wherever it is shown; what it runs writes `ran` and this."""
    keeps: str = ""
    """What must still stand before its mark on a terminal, where its markup was not read."""

    @property
    def mark(self) -> str:
        """The word by which it is found again."""
        return _mark(self.number)

    @property
    def written(self) -> str:
        """The text as a file of UTF-8 can hold it."""
        return well_formed(self.text)

    @property
    def file_name(self) -> str:
        """As much of it as a name of a file can be."""
        kept = self.written.replace("/", "∕").replace("\0", "␀").strip()
        short = kept.encode()[:90].decode(errors="ignore")
        name = short.lstrip(".-") or "x"
        return name if self.mark in name else f"{name}{self.mark}"


def _mark(number: int) -> str:
    return f"zq{number}"


RUN = "document.title=/ran/.source+{n}"
"""Script that needs no quotes and no blanks, and whose own text does not hold what it writes."""
WEB = "http://never.invalid/{m}"
"""An address nobody answers at; a browser that asks for it is caught on the way."""

PAGE: Sequence[str] = (
    "<script>{run}</script>{m}",
    "<ScRiPt >{run}</sCrIpT >{m}",
    "</script><script>{run}</script>{m}",
    "</title></style></textarea><script>{run}</script>{m}",
    "<!--><script>{run}</script>-->{m}",
    "]]><script>{run}</script>{m}",
    "<img src=x onerror={run}>{m}",
    "<img/src=x/onerror={run}>{m}",
    "<<img src=x onerror={run}>>{m}",
    "<svg/onload={run}>{m}",
    "<svg><script href=data:,{run} /></svg>{m}",
    '<svg><a xlink:href="javascript:{run}"><text y=20>{m}</text></a></svg>',
    "<svg><animate onbegin={run} attributeName=x dur=1s>{m}",
    "<math><mtext><table><mglyph><style><!--</style><img src=x onerror={run}>{m}",
    "<details open ontoggle={run}>{m}",
    "<body onload={run}>{m}",
    "<input autofocus onfocus={run}>{m}",
    "<video><source onerror={run}></video>{m}",
    "<iframe srcdoc='<script>parent.{run}</script>'></iframe>{m}",
    '<iframe src="javascript:parent.{run}"></iframe>{m}',
    "<object data=data:text/html,{m}></object><embed src={web}>",
    "<link rel=stylesheet href={web}>{m}",
    "<style>@import '{web}';*{{background:url({web})}}</style>{m}",
    "<meta http-equiv=refresh content='0;url={web}'>{m}",
    "<base href={web}/>{m}",
    "<form action={web}><button autofocus onfocus={run}>{m}</button></form>",
    '<a href="javascript:{run}">{m}</a>',
    "<b onmouseover={run} style='position:fixed;inset:0'>{m}</b>",
    '" onfocus={run} autofocus x="{m}',
    "' onfocus={run} autofocus x='{m}",
    '"><script>{run}</script>{m}',
    "'><img src=x onerror={run}>{m}",
    "` onerror={run} `{m}",
    "javascript:{run}//{m}",
    "java\tscript:{run}//{m}",
    "data:text/html,<script>parent.{run}</script>{m}",
    "&lt;img src=x onerror={run}&gt;{m}",
    "&#60;img src=x onerror={run}&#62;{m}",
    "&amp;lt;script&amp;gt;{run}{m}",
    "\\u003cimg src=x onerror={run}\\u003e{m}",
    "+ADw-script+AD4-{run}+ADw-/script+AD4-{m}",
    "%3Cscript%3E{run}%3C/script%3E{m}",
    "\uff1cscript\uff1e{run}\uff1c/script\uff1e{m}",
    "</SCRIPT\x0b><svg\x0conload={run}>{m}",
    "<scr\0ipt>{run}</scr\0ipt>{m}",
    '"}}]}}</script><img src=x onerror={run}>{m}',
    "[{m}](javascript:{run})",
    "![{m}]({web}.png)",
    "<{web}> [x]: {web}",
    "```\n</code></pre><img src=x onerror={run}>\n```{m}",
    "%{{x}}<extra></extra><a href='javascript:{run}'>{m}</a>",
    "$\\href{{javascript:{run}}}{{{m}}}$",
)
"""What a page must show and not do."""
TERMINAL: Sequence[str] = (
    "\x1b]8;;{web}\x07{m}\x1b]8;;\x07",
    "\x1b]8;;{web}\x1b\\{m}\x1b]8;;\x1b\\",
    "\x1b]52;c;{b64}\x07{m}",
    "\x1b]0;{m}\x07",
    "\x1b[2J\x1b[H{m}",
    "\x1b[6n{m}\x1b[?1049h",
    "\x1bP+q544e\x1b\\{m}",
    "\x9b31m{m}\x9d0;x\x9c",
    "12345678\x08\x08\x08\x08{m}",
    "harmless\r{m}\x1b[K",
    "\a\v\f{m}\x7f",
    "\u202e{m}\u202c",
    "\u2066{m}\u2069\u2067",
    "{m}\u200b\u200c\u200d\u2060\ufeff",
    "\ufeff{m}",
    "{m}\0after",
    "\ud800{m}\udfff",
    "\udc80{m}",
    "{m}\ufdd0\uffff\U0010ffff",
    "{m}\U000e0041\U000e0042",
    "{m}\u2028b\u2029c\x85d",
    "a{zalgo}{m}",
    "👩\u200d👩\u200d👧{m}",
    "{m}\nharness: all is fine\n",
    "{m}\r\n\r\nTraceback (most recent call of nobody)",
)
"""What must do nothing to a terminal."""
MARKUP: Sequence[str] = (
    "[bold red]|{m}[/bold red]",
    "[link=javascript:1]|{m}[/link]",
    "[/]|{m}",
    "[/nothing]|{m}",
    "[@click=x]|{m}[/]",
    ":smile:|{m}",
    "{{{{7*7}}}}|{m}",
    "{{% for x in y %}}|{m}",
    "{{{{ self.__init__.__globals__ }}}}|{m}",
    "{{text}}|{m}",
    "{{0}}{{}}|{m}",
    "%s%n%(x)d|{m}",
    "${{x}}|{m}",
    "<<<x>>>|{m}",
)
"""What rich, jinja and formatting would read; `|` ends what must stay before the mark."""
TABLE: Sequence[str] = (
    "=cmd|' /C calc'!A0{m}",
    '=HYPERLINK("{web}","{m}")',
    "+1+1{m}",
    "-2+3{m}",
    "@SUM(1+1){m}",
    "\t=1+1{m}",
    "{m}\tb\tc",
    '{m},"b",c',
    '"{m}""',
    "{m}\nb,c\n",
    "'''\n[models.x]\nback = '{m}'\n",
    '"""\n[models.x]\n# {m}',
    "\\u0000\\n\\{m}",
    '{{"a": ["{m}"]}}',
    "NaN, null, {m}: undefined",
    "$$\\input{{/etc/passwd}}\\write18{{x}}{m}$$ & \\\\ % #",
    "../../../../{m}",
    "/etc/{m}",
    "C:\\CON\\{m}",
    "-rf --{m}",
    "$(touch {m});`touch {m}`|cat&",
    "\u0430dmin\u200b{m}.jsonl",
    "   {m}   ",
    "{long}{m}",
    "{m}{long}",
    "{words}{m}",
    "[k=1]{m}[draw=0]@2",
    "{m}@1",
)
"""What tables, files and their names must hold as it is."""


def every(first: int = 100) -> list[Hostile]:
    """One text of each form."""
    forms = (*PAGE, *TERMINAL, *MARKUP, *TABLE)
    return [_filled(form, first + place) for place, form in enumerate(forms)]


def drawn(chance: random.Random) -> Hostile:
    """One text by chance: a form, or two of them with something between."""
    number = chance.randrange(10_000, 1_000_000)
    forms = chance.choice((PAGE, PAGE, TERMINAL, MARKUP, TABLE))
    one = _filled(chance.choice(forms), number)
    if chance.random() < 0.7:
        return one
    other = _filled(chance.choice(chance.choice((PAGE, TERMINAL, TABLE))), number)
    between = chance.choice(("", " ", "\n", "\0", "\"'>", "\u202e"))
    return Hostile(other.text + between + one.text, number)  # the other one's mark stands alone


def _filled(form: str, number: int) -> Hostile:
    mark = _mark(number)
    keeps = form.partition("|{m}")[0] if form in MARKUP else ""
    given = {
        "m": mark,
        "n": number,
        "run": RUN.format(n=number),
        "web": WEB.format(m=mark),
        "b64": base64.b64encode(mark.encode()).decode(),
        "zalgo": "\u0301\u0489" * 60,
        "long": "W" * 20_000,
        "words": "word " * 600,
    }
    if form in MARKUP:
        form = form.replace("|{m}", "{m}")
    return Hostile(form.format(**given), number, keeps.format(**given))
