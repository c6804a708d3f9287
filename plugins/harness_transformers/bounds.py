"""Bounds on what a chat template may do: it is a program, and often a stranger's.

A template that loops, calls itself or multiplies texts could run for years or fill the memory. So
it runs in jinja's sandbox with a watch: each step of a loop, each call, filter and sum is counted
and weighed before it is done, and the watch ends what takes too long or becomes too large.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from harness_transformers.ended import TooMuch

SECONDS = 1.0
"""Processor time of one prompt; real templates take a ten-thousandth of it."""
LARGEST = 2**24
"""Characters of one text; of a list, a sixteenth of it in items."""
MOST = 2**28
"""Characters of all texts that one prompt makes on its way."""
WHOLE = 100_000
"""The largest number as an option of a filter or of a text's method, such as a width."""
_BITS = 10_000
_LARGE = 65_536
_WIDE = re.compile(r"\d{6}")
_NESTED = re.compile(r"\{[^{}]*:[^{}]*\{")
# fmt: off
_SHALLOW = frozenset(
    ["length", "count", "list", "first", "last", "default", "d", "map", "select", "reject",
     "selectattr", "rejectattr", "reverse", "items", "attr", "batch", "slice", "random"]
)
"""Filters that never look into the items of a list; others may write or compare them all."""
_SLOW = {"urlize": 10_000, "striptags": 10_000, "wordwrap": 10_000, "xmlattr": 10_000}
"""Filters whose time grows faster than their text, and the longest text for them."""
_OPTIONS = {"round": 100, "tojson": 64, "indent": 1000}
_COMPARING = frozenset(
    ["==", "eq", "equalto", "!=", "ne", "in", ">", "gt", "greaterthan", ">=", "ge",
     "<", "lt", "lessthan", "<=", "le"]
)
# fmt: on


_STEP, _JOINED, _WEIGHED, _SIZED = (f" {what} " for what in ("step", "joined", "weighed", "sized"))
"""Filters by which a template's code reports what it does; no template can name them."""


class Watch:
    """Counts what a template does; TooMuch ends it."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begins anew, for the next prompt."""
        self._steps = 0
        self._made = 0
        self._begun = time.thread_time()
        self._until = time.perf_counter() + SECONDS

    def step(self, size: int = 0) -> None:
        """One step, which makes so many characters."""
        self._steps += 1
        if size:
            self._made += size
        elif self._steps & 63:
            return
        if self._made > MOST or size > LARGEST:
            raise TooMuch(f"writes more than {LARGEST if size > LARGEST else MOST:,} characters")
        if (self._steps & 63 == 0 or size > _LARGE) and time.perf_counter() > self._until:
            left = SECONDS - (time.thread_time() - self._begun)
            if left <= 0:
                raise TooMuch(f"runs for more than {SECONDS:.0f} second")
            self._until = time.perf_counter() + left  # the machine was busy with something else

    def weigh(self, value: Any) -> None:
        """One step on a value and all that is in it."""
        if isinstance(value, str):
            self.step(len(value))
        elif isinstance(value, (list, tuple, dict, set, frozenset)):
            self._weigh_all(value)
        else:
            self.step()

    def size(self, value: Any) -> None:
        """One step that made this value, whatever is in it."""
        many = isinstance(value, (list, tuple, dict, set, frozenset))
        self.step(16 * len(value) if many else len(value) if isinstance(value, (str, bytes)) else 0)

    def _weigh_all(self, value: Any) -> None:
        """A list in which another stands twice, and so on, is small and writes a large text."""
        inside, size = [value], 0
        while inside:
            one = inside.pop()
            if isinstance(one, (str, bytes)):
                size += len(one)
            elif isinstance(one, Mapping):
                inside += [*one.keys(), *one.values()]
            elif isinstance(one, (list, tuple, set, frozenset)):
                inside += one
            size += 1
            self.step()
            if size + len(inside) > LARGEST:
                raise TooMuch(f"writes more than {LARGEST:,} characters")
        self.step(size)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """jinja's sandbox with a watch over each step."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self, **settings: Any) -> None:
        self.watch = Watch()
        super().__init__(finalize=self._written, **settings)
        self.globals["lipsum"] = _filler
        self.filters = {name: self._filter(name, its) for name, its in self.filters.items()}
        self.tests = {name: self._test(name, its) for name, its in self.tests.items()}
        self.filters[_STEP] = pass_context(lambda context, size: self.watch.step(size))
        self.filters[_JOINED] = self._joined
        self.filters[_WEIGHED] = pass_context(lambda context, value: self._written(value))
        self.filters[_SIZED] = pass_context(lambda context, value: self._sized(value))

    def add_filter(self, name: str, its: Callable[..., Any]) -> None:
        """A filter of our own, watched like all others."""
        self.filters[name] = self._filter(name, its)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        self.watch.start()
        tree: nodes.Template = _Watched().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        return tree

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """A sum or product, if it is not too large."""
        if operator == "+":
            result = left + right
            if isinstance(result, str):
                self.watch.step(len(result))
                return result
        else:
            _check_product(operator, left, right)
            if operator == "%" and isinstance(left, str):
                _check_format(left, right)
                self.watch.weigh(right)
            result = super().call_binop(context, operator, left, right)
        self.watch.size(result)
        return result

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """What a function, macro or method gives."""
        __self.watch.step()
        if not isinstance(__obj, Macro):
            # The sandbox wraps the method `format`.
            owner = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
            if isinstance(owner, (str, bytes, list, tuple, int)):
                args = __self._method(owner, getattr(__obj, "__name__", ""), args, kwargs)
        result = super().call(__context, __obj, *args, **kwargs)
        __self.watch.size(result)
        return result

    def _method(
        self, owner: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        """What a method of a text or list is called with, after a look at what that would make."""
        if name == "join" and args:
            args = (list(args[0]), *args[1:])
        for one in (*args, *kwargs.values()):
            self.watch.weigh(one)
        if isinstance(owner, str):
            if name in ("format", "format_map"):
                if _WIDE.search(owner) or _NESTED.search(owner):
                    raise TooMuch("writes a number or text with a width of its own")
                return args
            if name == "translate":
                raise TooMuch("translates letters")
            self.watch.step(_made_of(owner, name, args))
        _check_whole((*args, *kwargs.values()), WHOLE)
        return args

    def _filter(self, name: str, its: Callable[..., Any]) -> Callable[..., Any]:
        deep, longest = name not in _SHALLOW, _SLOW.get(name, LARGEST)
        whole = _OPTIONS.get(name, WHOLE)
        skipped = int(hasattr(its, "jinja_pass_arg"))  # the context comes before the value

        @wraps(its)
        def watched(*args: Any, **kwargs: Any) -> Any:
            passed, value, options = args[:skipped], args[skipped], args[skipped + 1 :]
            if name == "join":
                value = list(value)
            (self.watch.weigh if deep else self.watch.size)(value)
            if isinstance(value, str) and len(value) > longest:
                raise TooMuch(f"gives more than {longest:,} characters to the filter {name}")
            for one in (*options, *kwargs.values()):
                self.watch.weigh(one)
            _check_whole((*options, *kwargs.values()), whole)
            if name in ("replace", "join", "indent"):
                self.watch.step(_made_of(value, name, (*options, *kwargs.values())))
            if name == "format" and isinstance(value, str):
                _check_format(value, options)
            result = its(*passed, value, *options, **kwargs)
            self.watch.size(result)
            return result

        return watched

    def _test(self, name: str, its: Callable[..., Any]) -> Callable[..., Any]:
        look = self.watch.weigh if name in _COMPARING else self.watch.size

        @wraps(its)
        def watched(*args: Any, **kwargs: Any) -> Any:
            for one in args:
                look(one)
            return its(*args, **kwargs)

        return watched

    def _written(self, value: Any) -> Any:
        self.watch.weigh(value)
        return value

    def _sized(self, value: Any) -> Any:
        self.watch.size(value)
        return value

    @pass_context
    def _joined(self, context: Any, parts: Iterable[Any]) -> str:
        """`a ~ b`."""
        for part in parts:
            self.watch.weigh(part)
        return "".join(map(str, parts))


class _Watched(NodeTransformer):
    """Lets a template's code report its steps."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        return self._body(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Macro:
        return self._body(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.CallBlock:
        return self._body(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:
        self.generic_visit(node)
        return _through(nodes.List(node.nodes, lineno=node.lineno), _JOINED)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        self.generic_visit(node)
        sides = (node, *node.ops)
        if not any(isinstance(one.expr, nodes.Const) for one in sides):
            for one in sides:  # a text or number is equal to a list at no cost
                one.expr = _through(one.expr, _WEIGHED)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:
        self.generic_visit(node)
        return _through(node, _SIZED) if isinstance(node.arg, nodes.Slice) else node

    def _body(self, node: Any) -> Any:
        self.generic_visit(node)
        written = sum(len(one.data) for one in node.find_all(nodes.TemplateData))
        size = nodes.Const(written, lineno=node.lineno)
        node.body.insert(0, nodes.ExprStmt(_through(size, _STEP), lineno=node.lineno))
        return node


def _filler(*args: Any, **kwargs: Any) -> str:
    """jinja's generator of nonsense, of any length."""
    raise TooMuch("writes filler text")


def _through(value: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(value, name, [], [], None, None, lineno=value.lineno)


def _check_product(operator: str, left: Any, right: Any) -> None:
    """TooMuch where `left * right` or `left ** right` would be too large to make."""
    if operator == "*":
        for one, times in ((left, right), (right, left)):
            if isinstance(times, int) and isinstance(one, (str, bytes, list, tuple)):
                each = 1 if isinstance(one, (str, bytes)) else 16
                if len(one) * each * times > LARGEST:
                    raise TooMuch(f"writes more than {LARGEST:,} characters")
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * max(right, 1) if operator == "**" else 0
        if operator == "*":
            bits = left.bit_length() + right.bit_length()
        if bits > _BITS:
            raise TooMuch(f"makes a number of more than {_BITS:,} bits")


def _check_format(text: str, values: Any) -> None:
    """TooMuch where `text % values` names a width that is too large."""
    several = values if isinstance(values, tuple) else (values,)
    if _WIDE.search(text):
        raise TooMuch("writes a number or text with a width of more than 99,999")
    if "*" in text:
        _check_whole(several, WHOLE)


def _check_whole(values: Iterable[Any], most: int) -> None:
    for one in values:
        if isinstance(one, int) and not -most <= one <= most:
            raise TooMuch(f"asks for {one:,} of something, more than {most:,}")


def _made_of(text: Any, name: str, options: tuple[Any, ...]) -> int:
    """At most how many characters a method of a text, or a filter, makes; 0 where it adds none."""
    if name == "join":  # the separator's own method, or the filter with the list before it
        between, parts = (text, options[0]) if isinstance(text, str) else (options[:1], text)
        between = between if isinstance(between, str) else next(iter(between), "")
        each = len(between) if isinstance(between, str) else 0
        return len(parts) * each
    if not isinstance(text, str):
        return 0
    if name == "replace" and len(options) > 1 and all(isinstance(o, str) for o in options[:2]):
        old, new = options[:2]
        return text.count(old) * len(new)
    if name == "expandtabs":
        return text.count("\t") * (options[0] if options and isinstance(options[0], int) else 8)
    if name == "indent":
        width = options[0] if options else 4
        each = len(width) if isinstance(width, str) else width if isinstance(width, int) else 0
        return (text.count("\n") + 1) * each
    return 0
