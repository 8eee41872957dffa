// ---------------------------------------------------------------- histograms

const tooSteep = (counts) => {
  const some = counts.filter((count) => count > 0).sort((a, b) => a - b);
  return some.length > 3 && some[some.length - 1] > 40 * some[Math.floor(some.length / 2)];
};

const histogram = (place, chart) => {
  const { counts, unit, old, box, thing = "row" } = chart;
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

  const note = steep ? `height: logarithm of the ${thing}s` : "";
  const readout = block("readout", note);
  readout.setAttribute("role", "status");
  const last = unit === "whole" ? high - 1 : high;
  place.append(block("ends", span(label(low, unit, step)), span(label(last, unit, step))), readout);

  const find = (place) => Math.floor((low + place * (high - low) - chart.low) / step);
  reader(plot, counts.length, find, (bin) => {
    const start = chart.low + bin * step;
    hover.setAttribute("x", round(across(start)));
    hover.setAttribute("width", round(across(start + step) - across(start)));
    readout.textContent = `${range(start, start + step, unit)}: ${rows(counts[bin], thing)}`;
  }, () => {
    hover.setAttribute("width", 0);
    readout.textContent = note;
  });
};

const describe = ({ counts, low, unit, box, thing }, step) => {
  const most = counts.reduce((best, count, i) => (count > counts[best] ? i : best), 0);
  const start = low + most * step;
  const text = `Histogram of ${counts.length} bins. The fullest is ${range(start, start + step, unit)} with ${rows(counts[most], thing)}.`;
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
