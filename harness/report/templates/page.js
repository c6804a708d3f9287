"use strict";
// Light and dark, the table of contents, and everything open when the page is printed.
(function () {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 64rem)");
  const KEY = "sae-harness-page";

  function kept() {
    // A page that was opened from a file may have no storage.
    try {
      return localStorage.getItem(KEY);
    } catch (error) {
      return null;
    }
  }

  function keep(theme) {
    try {
      localStorage.setItem(KEY, theme);
    } catch (error) {
      // It holds until the page is closed.
    }
  }

  function isDark() {
    const chosen = root.getAttribute("data-theme");
    return chosen ? chosen === "dark" : dark.matches;
  }

  document.querySelectorAll("header .controls").forEach(function (controls) {
    const theme = controls.querySelector(".theme");
    const unfold = controls.querySelector(".unfold");

    function label() {
      theme.textContent = isDark() ? "Light page" : "Dark page";
    }

    theme.addEventListener("click", function () {
      const next = isDark() ? "light" : "dark";
      root.setAttribute("data-theme", next);
      keep(next);
      label();
    });
    dark.addEventListener("change", label);
    unfold.addEventListener("click", function () {
      const open = unfold.textContent === "Open all";
      document.querySelectorAll("main details").forEach(function (one) {
        one.open = open;
      });
      unfold.textContent = open ? "Close all" : "Open all";
    });
    const before = kept();
    if (before === "dark" || before === "light") {
      root.setAttribute("data-theme", before);
    }
    label();
    controls.hidden = false;
  });

  document.querySelectorAll("details.toc").forEach(function (contents) {
    function fold() {
      contents.open = !narrow.matches;
    }
    fold();
    narrow.addEventListener("change", fold);
    contents.addEventListener("click", function (event) {
      if (narrow.matches && event.target.closest("a")) {
        contents.open = false;
      }
    });
    mark(contents);
  });

  // The part that is read is marked in the contents.
  function mark(contents) {
    if (!("IntersectionObserver" in window)) {
      return;
    }
    const links = new Map();
    contents.querySelectorAll("a").forEach(function (link) {
      links.set(link.getAttribute("href").slice(1), link);
    });
    const seen = new Set();
    const watcher = new IntersectionObserver(
      function (changes) {
        changes.forEach(function (change) {
          seen[change.isIntersecting ? "add" : "delete"](change.target.id);
        });
        let first = true;
        links.forEach(function (link, id) {
          if (first && seen.has(id)) {
            link.setAttribute("aria-current", "true");
            first = false;
          } else {
            link.removeAttribute("aria-current");
          }
        });
      },
      { rootMargin: "-10% 0px -60% 0px" }
    );
    document.querySelectorAll("main > section").forEach(function (section) {
      watcher.observe(section);
    });
  }

  let closed = [];
  window.addEventListener("beforeprint", function () {
    closed = Array.from(document.querySelectorAll("main details:not([open])"));
    closed.forEach(function (one) {
      one.open = true;
    });
  });
  window.addEventListener("afterprint", function () {
    closed.forEach(function (one) {
      one.open = false;
    });
  });
})();
