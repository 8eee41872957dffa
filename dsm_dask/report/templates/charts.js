"use strict";
// Draws the chart of a column when its card comes into view, and filters the cards.
// Nothing here turns text into markup: elements are made one by one, values set as text.
(() => {
  const charts = JSON.parse(document.getElementById("data").textContent);
  const cards = [...document.querySelectorAll(".card")];

  const make = (name, attributes, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const block = (name, ...children) => {
    const element = document.createElement("div");
    element.className = name;
    element.append(...children);
    return element;
  };
  const span = (text) => {
    const element = document.createElement("span");
    element.textContent = text;
    return element;
  };
  const round = (number) => Math.round(number * 1000) / 1000;
  const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  const short = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 5 });

  // A place on the axis as text. `step` is the width of a bin: no finer than it needs to be.
  const label = (place, unit, step) => {
    if (unit === "clock" || unit === "seconds") {
      const all = Math.round(Math.abs(place));
      const two = (part) => String(Math.floor(part)).padStart(2, "0");
      const sign = place < 0 ? "-" : "";
      return `${sign}${two(all / 3600)}:${two((all / 60) % 60)}:${two(all % 60)}`;
    }
    if (unit === "date" || unit === "moment") {
      const date = new Date(place * 1000);
      if (Number.isNaN(date.getTime())) return short.format(place);
      const text = date.toISOString().replace("T", " ");
      const end = text.indexOf(" ");
      if (unit === "date" || step >= 86400) return text.slice(0, end);
      return text.slice(0, end + (step >= 60 ? 6 : step >= 1 ? 9 : 13));
    }
    const magnitude = Math.abs(place);
    if (magnitude >= 1e15 || (magnitude > 0 && magnitude < 1e-4)) return place.toExponential(3);
    return unit === "whole" ? whole.format(place) : short.format(place);
  };
  const range = (low, high, unit) => {
    const step = high - low;
    if (unit === "whole") {
      return step <= 1 ? label(low, unit, step) : `${label(low, unit, step)} to ${label(high - 1, unit, step)}`;
    }
    return `${label(low, unit, step)} to ${label(high, unit, step)}`;
  };
  const rows = (count) => `${whole.format(count)} row${count === 1 ? "" : "s"}`;

  // ---------------------------------------------------------------- histograms

  const tooSteep = (counts) => {
    const some = counts.filter((count) => count > 0).sort((a, b) => a - b);
    return some.length > 3 && some[some.length - 1] > 40 * some[Math.floor(some.length / 2)];
  };

  const histogram = (place, chart) => {
    const { counts, unit, old, box } = chart;
    const low = old ? Math.min(chart.low, old.low) : chart.low;
    const high = old ? Math.max(chart.high, old.high) : chart.high;
    const width = (bins) => (bins.high - bins.low) / bins.counts.length;
    const step = width(chart);
    const across = (value) => (1000 * (value - low)) / (high - low);
    const steep = tooSteep(counts);
    // Bins of another width count as many rows as they would have at this one.
    const tall = (bins, count) => {
      const fair = (count * step) / width(bins);
      return steep ? Math.log1p(fair) : fair;
    };
    const both = old ? [chart, old] : [chart];
    const most = Math.max(...both.flatMap((bins) => bins.counts.map((count) => tall(bins, count))));
    const shape = (bins, name) => {
      const wide = (1000 * width(bins)) / (high - low);
      const gap = wide > 18 ? wide * 0.08 : 0;
      const first = across(bins.low);
      let path = "";
      bins.counts.forEach((count, i) => {
        if (!count) return;
        const height = Math.max(1.2, (96 * tall(bins, count)) / most);
        const left = round(first + i * wide + gap);
        path += `M${left} 100V${round(100 - height)}H${round(first + (i + 1) * wide - gap)}V100Z`;
      });
      return make("path", { class: name, d: path });
    };

    const hover = make("rect", { class: "hover", y: 0, height: 100, width: 0 });
    const plot = make("svg", {
      class: "plot", viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img",
      "aria-label": describe(chart, step),
    });
    if (old) plot.append(shape(old, "then"));
    plot.append(shape(chart, "now"), hover);
    place.append(plot);
    if (box) place.append(quartiles(box, across));

    const note = steep ? "height: logarithm of the rows" : "";
    const readout = block("readout", note);
    const last = unit === "whole" ? high - 1 : high;
    place.append(block("ends", span(label(low, unit, step)), span(label(last, unit, step))), readout);

    plot.addEventListener("pointermove", (event) => {
      const frame = plot.getBoundingClientRect();
      const value = low + ((event.clientX - frame.left) / frame.width) * (high - low);
      const bin = Math.floor((value - chart.low) / step);
      if (bin < 0 || bin >= counts.length) return;
      const start = chart.low + bin * step;
      hover.setAttribute("x", round(across(start)));
      hover.setAttribute("width", round(across(start + step) - across(start)));
      readout.textContent = `${range(start, start + step, unit)}: ${rows(counts[bin])}`;
    });
    plot.addEventListener("pointerleave", () => {
      hover.setAttribute("width", 0);
      readout.textContent = note;
    });
  };

  const describe = ({ counts, low, unit, box }, step) => {
    const most = counts.reduce((best, count, i) => (count > counts[best] ? i : best), 0);
    const start = low + most * step;
    const text = `Histogram of ${counts.length} bins. The fullest is ${range(start, start + step, unit)} with ${rows(counts[most])}.`;
    if (!box) return text;
    return `${text} Half of the values lie between ${label(box[1], unit, step)} and ${label(box[3], unit, step)}.`;
  };

  // 5 % to 95 % as a line, the middle half as a box, the median as a cut, under the same axis.
  const quartiles = ([p5, p25, p50, p75, p95], across) => {
    const percent = (value) => `${round(Math.min(Math.max(across(value) / 10, 0), 100))}%`;
    const wide = `${round(Math.max(0, (across(p75) - across(p25)) / 10))}%`;
    return make("svg", { height: 12, "aria-hidden": "true" },
      make("line", { class: "whisker", x1: percent(p5), x2: percent(p95), y1: 8, y2: 8 }),
      make("rect", { class: "box", x: percent(p25), width: wide, y: 4, height: 8, rx: 1 }),
      make("line", { class: "median", x1: percent(p50), x2: percent(p50), y1: 4, y2: 12 }));
  };

  // ---------------------------------------------------------------- frequent values, lengths

  const bars = (place, { bars: counts, old }) => {
    const most = Math.max(...counts, ...(old || []), 1);
    const one = (count, i, name) => make("rect", {
      class: name, x: 0, width: `${round((100 * count) / most)}%`,
      y: i * 26 + 2, height: 22, rx: 3,
    });
    const shapes = counts.flatMap((count, i) => [
      ...(old && old[i] > count ? [one(old[i], i, "then")] : []),
      one(count, i, "now"),
    ]);
    place.append(make("svg", { "aria-hidden": "true" }, ...shapes));
  };

  const lengths = (place, { lengths: [low, mean, high] }) => {
    const percent = (value) => `${round((100 * value) / high)}%`;
    place.append(make("svg", { height: 12, "aria-hidden": "true" },
      make("line", { class: "rail", x1: "0%", x2: "100%", y1: 6, y2: 6 }),
      make("line", { class: "whisker", x1: percent(low), x2: "100%", y1: 6, y2: 6 }),
      make("circle", { class: "box", cx: percent(mean), cy: 6, r: 4 })));
  };

  // ---------------------------------------------------------------- drawing, filtering

  const kinds = { histogram, bars, lengths };
  const draw = (card) => {
    const chart = charts[Number(card.id.slice(1))];
    for (const place of card.querySelectorAll("[data-draw]")) {
      if (!place.firstChild) kinds[place.dataset.draw](place, chart);
    }
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      draw(target);
    }
  }, { rootMargin: "200px" });
  cards.forEach((card) => watcher.observe(card));
  addEventListener("beforeprint", () => cards.forEach(draw));

  const filter = document.getElementById("filter");
  if (!filter) return;
  const words = cards.map((card) => {
    const text = (name) => card.querySelector(name).textContent;
    return `${text("h3")} ${text(".type")}`.toLowerCase();
  });
  const columns = (count) => `${whole.format(count)} column${count === 1 ? "" : "s"}`;
  const apply = () => {
    const wanted = filter.value.trim().toLowerCase();
    let found = 0;
    cards.forEach((card, i) => {
      card.hidden = !words[i].includes(wanted);
      if (!card.hidden) found += 1;
    });
    document.getElementById("none").hidden = found > 0;
    document.getElementById("shown").textContent =
      wanted ? `${whole.format(found)} of ${columns(cards.length)}` : columns(found);
  };
  filter.addEventListener("input", apply);
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { filter.value = ""; apply(); }
  });
  if (filter.value) apply();
})();
