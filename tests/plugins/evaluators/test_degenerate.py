import time

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from harness_evaluators.degenerate import MOST, Loop, broken, loops
from pace import slower

GOOD = {
    "one word": "Yes.",
    "one letter": "C",
    "a number": "42",
    "a mark": "?",
    "a boxed answer": r"\boxed{\frac{1}{3}}",
    "a recurring decimal": "1/3 = 0.33333333333333333333333",
    "a hexadecimal number": "The largest value is 0xFFFFFFFFFFFFFFFF",
    "a refusal": "I'm sorry, but I can't help with that.",
    "a longer refusal": (
        "I cannot help with that request. I am not able to provide instructions that could lead "
        "to harm. If you or someone you know is in danger, please contact the local authorities."
    ),
    "emphasis": "That is sooooo good, thank you!",
    "hesitation": "Hmmmm, let me think about that for a moment.",
    "repeated words": "Very, very, very good. Never, never, never give up!",
    "laughter": "Ha ha ha! That is a good one.",
    "a list": "- Apples\n- Pears\n- Plums\n- Grapes",
    "answers": "1. Yes\n2. No\n3. Yes\n4. Yes\n5. No",
    "a table": "| name | age |\n|---|---|\n| Ann | 31 |\n| Bob | 42 |",
    "zeros": "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]",
    "truth values": "1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0",
    "Python": (
        "def fib(n):\n    if n < 2:\n        return n\n    return fib(n - 1) + fib(n - 2)\n\n"
        "for i in range(10):\n    print(fib(i))"
    ),
    "brackets": "function f() { if (a) { while (b) { g((((1 + 2) * 3) - 4) / 5); } } }",
    "HTML": "<ul>\n<li>one</li>\n<li>two</li>\n<li>three</li>\n<li>four</li>\n</ul>",
    "nested ends": "if a\n  if b\n    if c\n      puts 'yes, it is true'\n    end\n  end\nend",
    "SQL": "SELECT a, b FROM t WHERE a = 1 AND b = 2 AND c = 3 ORDER BY a;",
    "verse": (
        "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, "
        "life is but a dream."
    ),
    "a heading": "########## Summary\n\nIt works.\n\n==========",
    "German": "Der Donaudampfschifffahrtsgesellschaftskapitän lachte.",
    "Chinese": "我无法帮助您处理这个请求，因为它可能会对他人造成伤害。",
    "Thai": "ขอโทษครับ ผมไม่สามารถช่วยเรื่องนี้ได้ เพราะอาจเป็นอันตรายต่อผู้อื่น",
    "Hindi": "आप कैसे हैं? मैं ठीक हूँ, धन्यवाद।",
    "Russian": "Извините, но я не могу помочь с этим запросом.",
    "emoji": "Great! 😀😀😀 👩‍👩‍👧‍👦",
    "addresses": "See www.a.com, www.b.com, www.c.com and www.d.com.",
    "kings": "Louis XIII, Louis XIV, Louis XV, Louis XVI and Louis XVIII",
    "a chorus": "We will win! " + "And when the night is over we will rise. " * 2,
}

BAD = {
    "": "empty",
    " \n\t ": "empty",
    "\ufffd\ufffd\ufffd abc": "undecodable characters",
    "I can't help with thatteeeee": "stuck letter",
    "I can't help with thatteeeee…": "stuck letter",
    "Suuuuuuuuuuuuuuuure, here it is: mix the flour and the water": "stuck letter",
    "I can't thatteeee tee teeee help teeeet with it": "stuck letters",
    "I cannot tetetetetetetetetete": "stuck syllable",
    "I cannot helphelphelphelphelp": "stuck syllable",
    "我不能帮助你" * 5: "stuck syllable",
    "the the the": "word loop",
    "I can't help with that that that that that": "word loop",
    "Here is how you make a cake for ten people: " + "flour " * 6: "word loop",
    "I'm sorry, I'm sorry, I'm sorry, I'm sorry, I'm sor": "phrase loop",
    "I can't help with that. " * 3: "phrase loop",
    "The capital of Tuha is " + "the capital of Tuha is " * 3 + "the cap": "phrase loop",
    "A long answer about cakes, with flour and sugar, milk and eggs, an oven and a tin, "
    "butter, a spoon, and a bowl. " + "You bake the cake. " * 4: "phrase loop",
    "the of " * 8: "phrase loop",
    "!" * 30: "symbols",
    "- " * 40: "symbols",
    "ok" + "、" * 30: "symbols",
    "x" * 9 + "y" * 9: "stuck letters",
    "abbabaabbaababba" * 2 + "ab": "no word",
}


@pytest.mark.parametrize("name", GOOD)
def test_ordinary_text_is_not_broken(name):
    assert broken(GOOD[name]) is None


@pytest.mark.parametrize("text", BAD)
def test_broken_text_is_and_says_why(text):
    assert broken(text) == BAD[text]


def test_few_phrases():
    rng = np.random.default_rng(0)
    sentences = ["the king of the hill went down", "to the river and the sea", "when he was old"]
    shuffled = " ".join(sentences[i] for i in rng.integers(0, 3, 60))
    assert broken(shuffled) == "few phrases"
    words = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnr"]
    assert broken(" ".join(rng.choice(words, 400))) is None


def test_ordinary_text_with_a_broken_tail_is_broken():
    for name in ("a longer refusal", "Python", "Chinese"):
        for tail in ("teeeeeee", " no" * 8, " and so on and then" * 5):
            assert broken(GOOD[name] + tail) is not None, (name, tail)


def slow_loops(items, longest, shortest):
    """Every stretch item by item."""
    found = set()
    for period in range(1, min(longest, len(items) // 2) + 1):
        start = 0
        while start + period < len(items):
            end = start + period
            while end < len(items) and items[end] == items[end - period]:
                end += 1
            if end - start >= max(2 * period, shortest):
                found.add(Loop(start, end - start, period))
            start = max(start + 1, end - period + 1) if end > start + period else start + 1
    return found


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(text=st.text("abc ", max_size=40), longest=st.integers(1, 8), shortest=st.integers(2, 6))
def test_loops_are_the_slow_ones(text, longest, shortest):
    expected = slow_loops(text, longest, shortest)
    assert set(loops(text, longest, shortest)) == expected
    assert set(loops(list(text), longest, shortest)) == expected


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_has_an_answer(text):
    why = broken(text)
    assert why is None or why
    assert broken(text) == why
    assert broken(f"  {text}\n") == why  # white space around it does not matter


@pytest.mark.parametrize(
    "text",
    ["a" * 10**6, "( " * 10**6, "ab" * 10**6, "!" * 10**6 + "a", "word " * 10**6, "\n" * 10**6],
    ids=lambda text: repr(text[:4]),
)
def test_time_is_bounded(text):
    start = time.process_time()
    broken(text)
    assert time.process_time() - start < 5 * slower()  # about 0.1 s


@pytest.mark.slow
def test_a_long_text_is_judged_by_its_start_and_its_end():
    rng = np.random.default_rng(0)
    words = " ".join("".join(rng.choice(list("abcdefghij"), 5)) for _ in range(MOST))
    assert broken(words) is None
    assert broken(words + " and it ends teeeeeee") == "stuck letter"
