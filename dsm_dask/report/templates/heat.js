// ---------------------------------------------------------------- heat maps

// One row of a heat map. `levels` has a character a cell: the step of the scale, "x" for too few
// rows, "-" for nothing to show. Cells of a level are one path, so that thousands stay cheap.
const squares = (levels, wanted) => {
  const gap = levels.length > 120 ? 0 : 0.04;
  let path = "";
  for (let i = 0; i < levels.length; i += 1) {
    if (levels[i] === wanted) path += `M${i + gap} 0H${i + 1 - gap}V1H${i + gap}Z`;
  }
  return path;
};

const tellers = {
  drift: (head, chart, i) => {
    if (chart.levels[i] === "x") return "too few rows to be judged";
    if (chart.values[i] === null) return "not compared";
    const error = chart.errors[i] ? ` ± ${chart.errors[i]}` : "";
    const p = chart.p[i] === null ? "" : `, p = ${chart.p[i]}`;
    const far = chart.ratios[i] === null ? "" : `, ${chart.ratios[i]} × the threshold`;
    const drifted = chart.drift[i] === "1" ? (chart.ratios[i] < 1 ? "; drifted in its missing values" : "; drifted") : "";
    return `${chart.method} ${chart.values[i]}${error}${p}${far}${drifted}${chart.unsure[i] === "1" ? "; uncertain" : ""}`;
  },
  correlation: (head, chart, i) => (chart.values[i] === null ? "no correlation: constant" : `r = ${chart.values[i]}`),
};

const track = (place, chart) => {
  const head = chartAt(chart.head);
  const { levels } = chart;
  const whole_ = levels.length;
  const percent = (at) => `${round((100 * at) / whole_)}%`;
  const steps = [...new Set(levels)].filter((level) => level !== "-" && level !== "x");
  const parts = steps.map((level) => make("path", { class: `${head.scale}${level}`, d: squares(levels, level) }));
  // outside of the stretched part: its pattern would be stretched, too
  const few = [...levels.matchAll(/x+/g)].map((run) => make("rect", {
    class: "few", fill: "url(#hatch)", x: percent(run.index), width: percent(run[0].length), height: "100%",
  }));
  const cells = make("svg", {
    class: "cells", viewBox: `0 0 ${whole_} 1`, preserveAspectRatio: "none", width: "100%", height: "100%",
  }, ...parts);
  const at = make("rect", { class: "cursor", y: 0, height: "100%", width: 0 });
  const mark = (i, name, d) => make("svg", { class: name, x: percent(i), overflow: "visible" }, make("path", { d }));
  const plot = make("svg", {
    class: "row", role: "img", "aria-label": `${chart.name}: ${chart.told}. Arrow keys read the cells.`,
  }, cells, ...few, at, ...(chart.changes || []).map((i) => mark(i, "changed", "M-5 -4H5L0 4ZM-1 0H1V40H-1Z")),
    ...[...(chart.unsure || "")].flatMap((one, i) => (one === "1" ? [mark(i + 0.5, "unsure", "M-3 9H3V11H-3Z")] : [])));
  place.append(plot);
  const readout = document.getElementById(head.readout);
  const rest = readout.dataset.rest;
  reader(plot, whole_, (part) => Math.floor(part * whole_), (i) => {
    at.setAttribute("x", percent(i));
    at.setAttribute("width", percent(1));
    const change = (chart.changes || []).includes(i) ? "; the level changes here" : "";
    readout.textContent = `${chart.name}, ${head.labels[i]}: ${tellers[head.tells](head, chart, i)}${change}`;
  }, () => {
    at.setAttribute("width", 0);
    readout.textContent = rest;
  });
  plot.addEventListener("keydown", (event) => {
    const item = event.currentTarget.closest(".item");
    const near = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (!near) return;
    let other = item[near];
    while (other && other.hidden) other = other[near];
    if (!other || !other.classList.contains("item")) return;
    event.preventDefault();
    draw(other);
    other.querySelector("svg.row").focus();
  });
};

// Above the rows of a heat map: how many rows each window or slice has, and what it is called.
const head = (place, { labels, counts, before, few, ticks }) => {
  const size = labels.length;
  const most = Math.max(...(counts || []), ...(before || []), 1);
  const bar = (count, from, to) => (count ? `M${from} 100V${round(100 - Math.max(2, (96 * count) / most))}H${to}V100Z` : "");
  const path = (side, wanted, from, to) => side.map((count, i) =>
    ((few[i] === "1") === wanted ? bar(count, i + from, i + to) : "")).join("");
  if (counts) {
    const [from, to] = before ? [0.5, 0.92] : [0.08, 0.92];
    const strip = make("svg", {
      class: "strip", viewBox: `0 0 ${size} 100`, preserveAspectRatio: "none", role: "img",
      "aria-label": `Rows of ${size} parts, at most ${whole.format(most)}.`,
    }, ...(before ? [make("path", { class: "then", d: path(before, false, 0.08, 0.5) + path(before, true, 0.08, 0.5) })] : []),
      make("path", { class: "now", d: path(counts, false, from, to) }),
      make("path", { class: "scarce", d: path(counts, true, from, to) }));
    const readout = block("readout", `rows, at most ${whole.format(most)}`);
    const rest = readout.textContent;
    readout.setAttribute("role", "status");
    place.append(readout, strip);
    reader(strip, size, (part) => Math.floor(part * size), (i) => {
      const sides = before ? `${whole.format(before[i])} → ${rows(counts[i])}` : rows(counts[i]);
      readout.textContent = `${labels[i]}: ${sides}`;
    }, () => { readout.textContent = rest; });
  }
  const upright = ticks === "upright";
  const every = upright ? 1 : Math.max(1, Math.ceil(size / Math.max(2, Math.floor(place.clientWidth / 110))));
  const cut = (text) => (upright && [...text].length > 15 ? `${[...text].slice(0, 14).join("")}…` : text);
  place.append(make("svg", { class: upright ? "names" : "ticks", "aria-hidden": "true" }, ...labels.flatMap((text, i) => {
    if (i % every) return [];
    const inside = make("text", upright ? { transform: "rotate(-90)", x: 4, y: 4 } : { x: 0, y: 14 });
    inside.textContent = cut(text);
    const x = `${round((100 * (i + (upright ? 0.5 : 0))) / size)}%`;
    return [make("svg", { x, y: upright ? "100%" : 0, overflow: "visible" }, inside)];
  })));
};
