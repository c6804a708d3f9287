"use strict";
// Looks through completions: by experiment, arm, verdict and text; two arms side by side.
// What models wrote goes into the page as text alone. A page of rows is in the document at a time.
(function () {
  const ROWS = 50;
  const FEW = 12; // verdicts that are listed one by one; of more there are five ranges
  const [ARM, PROMPT, ANSWER, THOUGHT, VERDICT] = [0, 1, 2, 3, 4];

  function made(name, className, text) {
    const one = document.createElement(name);
    if (className) {
      one.className = className;
    }
    if (text !== undefined) {
      one.textContent = text;
    }
    return one;
  }

  function fill(select, options) {
    const before = select.value;
    select.replaceChildren(
      ...options.map(function (option) {
        const one = made("option", "", option[1]);
        one.value = option[0];
        return one;
      })
    );
    select.value = before;
    if (select.selectedIndex < 0) {
      select.selectedIndex = 0;
    }
  }

  function written(value) {
    if (value === null || value === undefined) {
      return "not judged";
    }
    if (typeof value === "boolean") {
      return value ? "yes" : "no";
    }
    return typeof value === "number" ? String(Number(value.toPrecision(3))) : value;
  }

  // The text, with what was searched for marked.
  function marked(text, wanted) {
    const parts = document.createDocumentFragment();
    const lower = text.toLowerCase();
    let from = 0;
    // Where lower case is longer than the text, places don't fit: nothing is marked.
    let at = wanted && lower.length === text.length ? lower.indexOf(wanted) : -1;
    while (at >= 0) {
      parts.append(text.slice(from, at), made("mark", "", text.slice(at, at + wanted.length)));
      from = at + wanted.length;
      at = lower.indexOf(wanted, from);
    }
    parts.append(text.slice(from));
    return parts;
  }

  function counted(number) {
    return number.toLocaleString("en");
  }

  function browse(browser) {
    const find = (name) => browser.querySelector(name);
    const data = JSON.parse(find("script").textContent);
    const list = find(".found");
    const by = {
      experiment: find(".by-experiment"),
      arm: find(".by-arm"),
      other: find(".by-other"),
      score: find(".by-score"),
      value: find(".by-value"),
      text: find(".by-text"),
      difference: find(".by-difference"),
    };
    const experiments = Array.from(new Set(data.arms.map((arm) => arm[0])));
    const scores = data.scores.map((name, place) => [name, place]).filter((one) => one[0] !== "note" && !/^note \(/.test(one[0]));
    const said = data.verdicts.map((pairs) => new Map(pairs));
    const lower = new Map();
    const partners = new Map(); // arm, prompt and how often the arm had it before: the row
    let found = [];
    let start = 0;
    let current = -1;

    (function () {
      const before = new Map();
      data.rows.forEach(function (row, number) {
        const key = row[ARM] + " " + row[PROMPT];
        const nth = before.get(key) || 0;
        before.set(key, nth + 1);
        partners.set(key + " " + nth, number);
        row.push(nth);
      });
    })();

    function partner(number, arm) {
      const row = data.rows[number];
      const other = partners.get(arm + " " + row[PROMPT] + " " + row[row.length - 1]);
      return other === undefined ? -1 : other;
    }

    function verdict(number, score) {
      return said[data.rows[number][VERDICT]].get(score);
    }

    function differ(one, other, score) {
      const places = score === "" ? scores.map((item) => item[1]) : [Number(score)];
      return places.some((place) => verdict(one, place) !== verdict(other, place));
    }

    function holds(text, wanted) {
      if (text < 0) {
        return false;
      }
      if (!lower.has(text)) {
        lower.set(text, data.texts[text].toLowerCase());
      }
      return lower.get(text).includes(wanted);
    }

    // ── What can be chosen ──────────────────────────────────────────────────────────────────────

    function arms() {
      const several = experiments.length > 1;
      return data.arms
        .map((arm, place) => [String(place), arm])
        .filter((one) => by.experiment.value === "" || experiments[Number(by.experiment.value)] === one[1][0])
        .map((one) => [one[0], several && by.experiment.value === "" ? one[1].join(": ") : one[1][1]]);
    }

    function others() {
      const mine = data.arms[Number(by.arm.value)];
      return data.arms
        .map((arm, place) => [String(place), arm])
        .filter((one) => by.arm.value !== "" && one[0] !== by.arm.value && one[1][0] === mine[0])
        .map((one) => [one[0], one[1][1]]);
    }

    function valuesOf(score) {
      const every = new Set(said.filter((one) => one.has(score)).map((one) => one.get(score)));
      const numbers = Array.from(every).filter((value) => typeof value === "number");
      if (every.size <= FEW || !numbers.length) {
        const few = Array.from(every).slice(0, 200);
        return few.map((value) => [JSON.stringify(value), written(value)]);
      }
      const low = numbers.reduce((a, b) => Math.min(a, b));
      const high = numbers.reduce((a, b) => Math.max(a, b));
      const ranges = [0, 1, 2, 3, 4].map(function (step) {
        const ends = [step, step + 1].map((one) => low + ((high - low) * one) / 5);
        ends[1] = step === 4 ? high : ends[1];
        return [JSON.stringify({ ends: ends, last: step === 4 }), ends.map(written).join(" to ")];
      });
      return every.has(null) ? ranges.concat([["null", "not judged"]]) : ranges;
    }

    function is(value, wanted) {
      if (wanted !== null && typeof wanted === "object") {
        const [low, high] = wanted.ends;
        return typeof value === "number" && value >= low && (wanted.last ? value <= high : value < high);
      }
      return value === undefined ? false : value === wanted;
    }

    function choices() {
      fill(by.arm, [["", "all"]].concat(arms()));
      fill(by.other, [["", by.arm.value === "" ? "(choose an arm first)" : "none"]].concat(others()));
      by.other.disabled = by.arm.value === "";
      fill(by.value, [["", "anything"]].concat(by.score.value === "" ? [] : valuesOf(Number(by.score.value))));
      by.value.disabled = by.score.value === "";
      by.difference.disabled = by.other.value === "";
    }

    function select() {
      choices();
      const wanted = by.text.value.toLowerCase();
      const value = by.value.value === "" ? undefined : JSON.parse(by.value.value);
      const score = Number(by.score.value);
      const other = by.other.value;
      found = [];
      data.rows.forEach(function (row, number) {
        if (by.experiment.value !== "" && data.arms[row[ARM]][0] !== experiments[Number(by.experiment.value)]) {
          return;
        }
        if (by.arm.value !== "" && row[ARM] !== Number(by.arm.value)) {
          return;
        }
        const beside = other === "" ? -1 : partner(number, other);
        if (other !== "" && beside < 0) {
          return;
        }
        const shown = beside < 0 ? [number] : [number, beside];
        if (value !== undefined && !shown.some((one) => is(verdict(one, score), value))) {
          return;
        }
        if (other !== "" && by.difference.checked && !differ(number, beside, by.score.value)) {
          return;
        }
        const texts = [row[PROMPT]].concat(...shown.map((one) => data.rows[one].slice(ANSWER, VERDICT)));
        if (wanted !== "" && !texts.some((text) => holds(text, wanted))) {
          return;
        }
        found.push(shown);
      });
      start = 0;
      current = -1;
      draw();
    }

    // ── What is shown ───────────────────────────────────────────────────────────────────────────

    function answer(number, wanted) {
      const row = data.rows[number];
      const one = made("div", "answer-of");
      one.append(made("p", "arm", data.arms[row[ARM]].join(": ")));
      if (row[THOUGHT] >= 0) {
        const thought = made("p", "thought");
        thought.append(made("span", "unseen", "Thought: "), marked(data.texts[row[THOUGHT]], wanted));
        one.append(thought);
      }
      const text = made("p", "completion");
      const wrote = data.texts[row[ANSWER]];
      const nothing = made("span", "note", "(nothing was written)");
      text.append(made("span", "unseen", "Completion: "), wrote === "" ? nothing : marked(wrote, wanted));
      const verdicts = made("p", "verdicts");
      said[row[VERDICT]].forEach(function (value, score) {
        const badge = made("span", "verdict", data.scores[score] + ": " + written(value));
        if (value === true) {
          badge.classList.add("true");
        }
        verdicts.append(badge, " ");
      });
      one.append(text, verdicts);
      return one;
    }

    function item(shown, wanted) {
      const one = made("li", shown.length > 1 ? "two" : "one");
      const prompt = made("p", "prompt");
      prompt.append(made("span", "unseen", "Prompt: "), marked(data.texts[data.rows[shown[0]][PROMPT]], wanted));
      const answers = made("div", "answers");
      answers.append(...shown.map((number) => answer(number, wanted)));
      one.append(prompt, answers);
      one.tabIndex = -1;
      return one;
    }

    function draw() {
      const wanted = by.text.value.toLowerCase();
      const page = found.slice(start, start + ROWS);
      list.replaceChildren(...page.map((shown) => item(shown, wanted)));
      list.start = start + 1;
      if (list.firstChild) {
        list.firstChild.tabIndex = 0;
      }
      const of = by.other.value === "" ? "completions" : "prompts with both arms";
      const end = start + page.length;
      find(".state").textContent = found.length
        ? counted(found.length) + " " + of + (by.other.value !== "" || found.length === data.rows.length ? "" : " of " + counted(data.rows.length)) + ", " + counted(start + 1) + " to " + counted(end) + " shown"
        : "Nothing has all of this.";
      find(".pages").hidden = found.length <= ROWS;
      find(".before").disabled = start === 0;
      find(".after").disabled = end >= found.length;
      find(".where").textContent = "page " + (start / ROWS + 1) + " of " + Math.max(1, Math.ceil(found.length / ROWS));
    }

    function turn(to) {
      if (to >= 0 && to < found.length) {
        start = to;
        current = -1;
        draw();
        list.scrollIntoView({ block: "nearest" });
      }
    }

    function go(to) {
      if (!found.length) {
        return;
      }
      const place = Math.max(0, Math.min(found.length - 1, to));
      const page = Math.floor(place / ROWS) * ROWS;
      if (page !== start) {
        start = page;
        draw();
      }
      list.querySelectorAll(".current").forEach(function (one) {
        one.classList.remove("current");
        one.tabIndex = -1;
      });
      current = place;
      const one = list.children[place - start];
      one.classList.add("current");
      one.tabIndex = 0;
      one.focus({ preventScroll: true });
      one.scrollIntoView({ block: "nearest" });
    }

    function help() {
      const keys = find(".keys");
      keys.hidden = !keys.hidden;
      find(".keys-open").setAttribute("aria-expanded", String(!keys.hidden));
    }

    // ── Keys: only while something of this part has the focus ───────────────────────────────────

    browser.addEventListener("keydown", function (event) {
      const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
      if (event.ctrlKey || event.metaKey || event.altKey) {
        return;
      }
      if (event.key === "Escape" && typing) {
        go(Math.max(current, start));
        event.preventDefault();
        return;
      }
      if (typing) {
        return;
      }
      const at = current < 0 ? start - 1 : current;
      const steps = {
        j: () => go(at + 1),
        ArrowDown: () => go(at + 1),
        k: () => go(at - 1),
        ArrowUp: () => go(at - 1),
        Home: () => go(0),
        End: () => go(found.length - 1),
        n: () => turn(start + ROWS),
        p: () => turn(start - ROWS),
        "/": () => by.text.focus(),
        "?": help,
      };
      if (Object.prototype.hasOwnProperty.call(steps, event.key)) {
        steps[event.key]();
        event.preventDefault();
      }
    });

    list.addEventListener("click", function (event) {
      const one = event.target.closest("li");
      if (one && !String(window.getSelection())) {
        go(start + Array.from(list.children).indexOf(one));
      }
    });
    find(".before").addEventListener("click", () => turn(start - ROWS));
    find(".after").addEventListener("click", () => turn(start + ROWS));
    find(".keys-open").addEventListener("click", help);
    find(".keys-open").setAttribute("aria-expanded", "false");
    by.text.addEventListener("input", select);
    [by.experiment, by.arm, by.other, by.score, by.value, by.difference].forEach(function (control) {
      control.addEventListener("change", select);
    });

    fill(by.experiment, [["", "all"]].concat(experiments.map((name, place) => [String(place), name])));
    fill(by.score, [["", "any"]].concat(scores.map((one) => [String(one[1]), one[0]])));
    if (data.rows.length < data.total) {
      const note = find(".left-out");
      note.textContent =
        counted(data.rows.length) + " of " + counted(data.total) + " completions are in this page: the first prompts of each experiment, under all of its arms. The others have no room here; they are in samples/, one file for each experiment.";
      note.hidden = false;
    }
    select();
    find(".plain").hidden = true;
    find(".finder").hidden = list.hidden = false;
  }

  document.querySelectorAll(".browser").forEach(browse);
})();
