"""The rules of broken text, held against themselves written out character by character."""

import random
import re
import unicodedata
from itertools import groupby

from harness_evaluators.degenerate import Loop, broken, loops

LETTERS = "abe 1_-!.\n\ufffd\x00\ud800é我İß\u0301½²。"
PIECES = [*LETTERS, "the ", "no ", "it's ", "\ue000", "\u200d", "😀", "  ", "AAAA", "abab"]


def slow_loops(items, longest, shortest):
    """Every stretch, by period and start, item by item."""
    for period in range(1, min(longest, len(items) // 2) + 1):
        same = [items[i] == items[i + period] for i in range(len(items) - period)]
        start = 0
        for yes, run in groupby(same):
            length = len(list(run))
            if yes and length + period >= max(2 * period, shortest):
                yield Loop(start, length + period, period)
            start += length


def slow_broken(text):
    """All rules, of which the first one counts."""
    written = " ".join(text.split())
    text = written.lower()
    words = re.findall(r"\w+(?:['’]\w+)*", text)
    rules = (
        "" if written else "empty",
        undecodable(text),
        stuck(text),
        word_loop(words),
        symbols(text),
        few_phrases(words),
        no_word(written),
    )
    return next((why for why in rules if why), None)


def undecodable(text):
    bad = sum(one == "\ufffd" or unicodedata.category(one) in ("Cc", "Co", "Cs") for one in text)
    return "undecodable characters" if bad > 0.05 * len(text) else None


def stuck(text):
    text = re.sub(r"\w+", lambda word: word[0] if word[0].isalpha() else " " * len(word[0]), text)
    end = next((i for i in range(len(text), 0, -1) if text[i - 1].isalnum()), 0)
    letters = sum(one.isalpha() for one in text)
    runs = [len(list(run)) for one, run in groupby(text) if one.isalpha()]
    stretched = sum(run for run in runs if run >= 4)
    if stretched >= 8 and stretched >= letters / 10 and max(runs) < stretched:
        return "stuck letters"
    for loop in slow_loops(text, 12, 5):
        unit = text[loop.start : loop.start + loop.period]
        at_end = loop.end >= end
        if not all(unicodedata.category(one)[0] in "LM" for one in unit):
            continue
        if loop.period == 1 and (loop.length >= 12 or at_end):
            return "stuck letter"
        many = loop.period > 1 and loop.times >= 4 and loop.length >= 16
        if many and (at_end or loop.length >= len(text) / 3):
            return "stuck syllable"
    return None


def word_loop(words):
    for loop in slow_loops(words, 60, 3):
        unit = words[loop.start : loop.start + loop.period]
        if not any(re.search(r"[^\W\d_]+", word) for word in unit):
            continue
        at_end = loop.end >= len(words) - 1
        if loop.period == 1:
            most = loop.times >= 4 and loop.length > 0.4 * len(words)
            if most or loop.length == len(words) or loop.times >= (6 if at_end else 12):
                return "word loop"
        elif (loop.times >= 3 and loop.length >= max(9, len(words) / 3)) or (
            loop.times >= 4 and loop.length >= 16 and at_end
        ):
            return "phrase loop"
    return None


def symbols(text):
    for loop in slow_loops(text, 4, 20):
        unit = text[loop.start : loop.start + loop.period]
        if loop.length > len(text) / 2 and not any(one.isalnum() for one in unit):
            return "symbols"
    return None


def few_phrases(words):
    if len(words) < 60:
        return None
    phrases = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return "few phrases" if len(set(phrases)) < 0.3 * len(phrases) else None


def no_word(written):
    for run in re.findall(r"[^\W\d_]+", written):
        if len(run) >= 16 and run.islower() and (len(run) > 60 or len(set(run)) <= 4):
            return "no word"
    return None


def hostile(rng):
    """A text of a few pieces, in any order, of which some repeat to its end or nearly so."""
    few = rng.sample(PIECES, rng.randint(1, 5))
    text = "".join(rng.choices(few, k=rng.randint(0, rng.choice([3, 10, 40, 150]))))
    if rng.random() < 0.5:
        text += "".join(rng.choices(few, k=rng.randint(1, 4))) * rng.randint(2, 20)
    if rng.random() < 0.3:
        text += "".join(rng.choices(PIECES, k=rng.randint(1, 9)))
    return text


def test_every_rule_is_the_slow_one_on_hostile_texts():
    rng = random.Random(7)
    found = set()
    for _ in range(700):
        text = hostile(rng)
        found.add(why := slow_broken(text))
        assert broken(text) == why, repr(text)
    assert found >= {None, "empty", "undecodable characters", "stuck letter", "stuck letters"}
    assert found >= {"stuck syllable", "word loop", "phrase loop", "symbols", "no word"}


def test_loops_come_by_period_and_start():
    rng = random.Random(8)
    for _ in range(500):
        text, longest, shortest = hostile(rng), rng.randint(1, 15), rng.randint(2, 25)
        for items in (text, text.split()):
            expected = list(slow_loops(items, longest, shortest))
            assert list(loops(items, longest, shortest)) == expected
