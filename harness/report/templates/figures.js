"use strict";
// Values under the pointer and by arrow keys, and figures and numbers as files.
// Text goes into the page as text alone; files are made here, and nothing is sent anywhere.
(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const NEAR = 40;
  const SHARP = 3;

  function drawn(figure) {
    return Array.from(figure.querySelectorAll(".picture svg")).find(function (one) {
      return one.getBoundingClientRect().width > 0;
    });
  }

  // ── Values ────────────────────────────────────────────────────────────────────────────────────

  function values(figure, data) {
    const plot = figure.querySelector(".plot");
    const title = figure.querySelector("h3 span");
    const tip = document.createElement("div");
    const dot = document.createElement("div");
    tip.className = "tip";
    dot.className = "dot";
    tip.setAttribute("role", "status");
    tip.hidden = dot.hidden = true;
    plot.append(dot, tip);
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", title.textContent + ". Arrow keys read its values.");
    let current = -1;

    // Where a spot is, in pixels of the plot.
    function places(svg) {
      const box = svg.getBoundingClientRect();
      const outer = plot.getBoundingClientRect();
      const view = svg.viewBox.baseVal;
      const scale = box.width / view.width;
      const from = svg.classList.contains("narrow") ? 2 : 0;
      return data.spots.map(function (spot) {
        return [
          (spot[from] - view.x) * scale + box.left - outer.left,
          (spot[from + 1] - view.y) * scale + box.top - outer.top,
        ];
      });
    }

    function show(number) {
      const svg = drawn(figure);
      if (!svg || number < 0 || number >= data.spots.length) {
        hide();
        return;
      }
      const place = places(svg)[number];
      current = number;
      tip.textContent = data.spots[number][4];
      tip.hidden = dot.hidden = false;
      const room = plot.clientWidth - tip.offsetWidth;
      const above = place[1] - tip.offsetHeight - 12;
      tip.style.left = Math.max(0, Math.min(room, place[0] - tip.offsetWidth / 2)) + "px";
      tip.style.top = (above < 0 ? place[1] + 12 : above) + "px";
      dot.style.left = place[0] + "px";
      dot.style.top = place[1] + "px";
    }

    function hide() {
      current = -1;
      tip.hidden = dot.hidden = true;
    }

    plot.addEventListener("pointermove", function (event) {
      const svg = drawn(figure);
      if (!svg) {
        return;
      }
      const outer = plot.getBoundingClientRect();
      const x = event.clientX - outer.left;
      const y = event.clientY - outer.top;
      let best = -1;
      let least = NEAR;
      places(svg).forEach(function (place, number) {
        const far = Math.hypot(place[0] - x, place[1] - y);
        if (far < least) {
          least = far;
          best = number;
        }
      });
      if (best !== current) {
        show(best);
      }
    });
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", function (event) {
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      const last = data.spots.length - 1;
      if (event.key === "Escape") {
        hide();
      } else if (event.key in steps && last >= 0) {
        const next = current + steps[event.key];
        show(current < 0 ? (steps[event.key] > 0 ? 0 : last) : Math.max(0, Math.min(last, next)));
        event.preventDefault();
      } else if ((event.key === "Home" || event.key === "End") && last >= 0) {
        show(event.key === "Home" ? 0 : last);
        event.preventDefault();
      }
    });
  }

  // ── Files ─────────────────────────────────────────────────────────────────────────────────────

  function named(figure, ending) {
    const title = figure.querySelector("h3 span").textContent.toLowerCase();
    const stem = title.replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 80);
    return (stem.replace(/-+$/, "") || "figure") + ending;
  }

  function save(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    window.setTimeout(function () {
      URL.revokeObjectURL(link.href);
    }, 10000);
  }

  // The whole drawing, with its title and caption, in the colours of a file.
  function file(figure, data) {
    const svg = figure.querySelector(".picture svg.wide").cloneNode(true);
    ["class", "focusable"].forEach(function (name) {
      svg.removeAttribute(name);
    });
    svg.setAttribute("width", data.width);
    svg.setAttribute("height", data.height);
    svg.setAttribute("viewBox", "0 0 " + data.width + " " + data.height);
    svg.setAttribute("role", "img");
    svg.setAttribute("font-family", "system-ui, Helvetica, Arial, sans-serif");
    const words = document.createElementNS(SVG, "desc");
    words.textContent = figure.querySelector("details p").textContent;
    const title = document.createElementNS(SVG, "title");
    title.textContent = figure.querySelector("h3 span").textContent;
    svg.prepend(title, words);
    return new XMLSerializer().serializeToString(svg);
  }

  function picture(figure, data) {
    const image = new Image();
    image.addEventListener("load", function () {
      const canvas = document.createElement("canvas");
      canvas.width = data.width * SHARP;
      canvas.height = Math.ceil(data.height * SHARP);
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(function (blob) {
        if (blob) {
          save(blob, named(figure, ".png"));
        }
      }, "image/png");
    });
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(file(figure, data));
  }

  // A cell of CSV. What a spreadsheet would take for a formula gets an apostrophe before it.
  function cell(text) {
    const number = /^[-+]?[0-9][0-9.,]*(e[-+]?[0-9]+)?( [[(][-+0-9.,e to]+[\])])?$/i.test(text);
    const plain = /^[=+\-@\t\r]/.test(text) && !number ? "'" + text : text;
    return /[",\r\n]/.test(plain) ? '"' + plain.replace(/"/g, '""') + '"' : plain;
  }

  function numbers(figure) {
    const lines = Array.from(figure.querySelectorAll("table tr")).map(function (row) {
      return Array.from(row.cells, (one) => cell(one.textContent.trim())).join(",");
    });
    return lines.join("\r\n") + "\r\n";
  }

  document.querySelectorAll("figure.chart").forEach(function (figure) {
    const tools = figure.querySelector(".tools");
    const data = JSON.parse(figure.querySelector("script").textContent);
    if (figure.querySelector(".picture")) {
      values(figure, data);
      tools.querySelector(".as-svg").addEventListener("click", function () {
        save(new Blob([file(figure, data)], { type: "image/svg+xml" }), named(figure, ".svg"));
      });
      tools.querySelector(".as-png").addEventListener("click", function () {
        picture(figure, data);
      });
    }
    tools.querySelector(".as-csv").addEventListener("click", function () {
      const text = "\ufeff" + numbers(figure);
      save(new Blob([text], { type: "text/csv;charset=utf-8" }), named(figure, ".csv"));
    });
    tools.hidden = false;
  });
})();
