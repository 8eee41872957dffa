// ---------------------------------------------------------------- two sides over each other

// Shares of both sides in common bins. Bins of unequal width are drawn as densities, so that the
// area of a bar is its share; `labels` stand for edges that have no place on an axis.
const overlay = (place, { edges, unit, labels, density, reference, current }) => {
  const count = reference.length;
  const low = edges[0];
  const span_ = edges[count] - low;
  const across = (value) => (1000 * (value - low)) / span_;
  const width = (i) => edges[i + 1] - edges[i];
  const tall = (side, i) => (density ? (side[i] * span_) / (width(i) * count) : side[i]);
  let most = 0;
  for (const side of [reference, current]) side.forEach((_, i) => { most = Math.max(most, tall(side, i)); });
  const height = (side, i) => round(100 - (96 * tall(side, i)) / (most || 1));
  const outline = (side) => {
    let path = "M0 100";
    side.forEach((_, i) => { path += `V${height(side, i)}H${round(across(edges[i + 1]))}`; });
    return `${path}V100`;
  };
  const edge = (i) => (labels ? labels[i] : label(edges[i], unit, width(Math.min(i, count - 1))));
  const name = (i) => {
    if (count === 1) return "all values";
    if (i === 0) return `up to ${edge(1)}`;
    return i === count - 1 ? `above ${edge(i)}` : `${edge(i)} to ${edge(i + 1)}`;
  };
  const tell = (i) => `${name(i)}: ${share(reference[i])} → ${share(current[i])}`;
  const far = reference.reduce((best, part, i) =>
    (Math.abs(current[i] - part) > Math.abs(current[best] - reference[best]) ? i : best), 0);
  const hover = make("rect", { class: "hover", y: 0, height: 100, width: 0 });
  const plot = make("svg", {
    class: "plot", viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img",
    "aria-label": `Shares of ${count} bars, reference and current. The largest change: ${tell(far)}. Arrow keys read them.`,
  }, make("path", { class: "ref", d: outline(reference) }),
    make("path", { class: "cur", d: outline(current) }), hover);
  const note = density ? "height: density (share ÷ width of the bar)" : "height: share of the values in each bar";
  const readout = block("readout", note);
  readout.setAttribute("role", "status");
  place.append(plot, block("ends", span(edge(0)), span(edge(count))), readout);
  const find = (part) => {
    const value = low + part * span_;
    return edges.findIndex((_, i) => i < count && value >= edges[i] && value <= edges[i + 1]);
  };
  reader(plot, count, find, (i) => {
    hover.setAttribute("x", round(across(edges[i])));
    hover.setAttribute("width", round(across(edges[i + 1]) - across(edges[i])));
    readout.textContent = tell(i);
  }, () => {
    hover.setAttribute("width", 0);
    readout.textContent = note;
  });
};

// A pair of bars under each category; the text is in the page.
const pairs = (place, { reference, current }) => {
  const most = Math.max(...reference, ...current, 1e-9);
  const one = (part, y, name) => make("rect", {
    class: name, x: 0, y, height: 6, rx: 2, width: `${round((100 * part) / most)}%`,
  });
  place.append(make("svg", { "aria-hidden": "true" }, ...reference.flatMap((part, i) => [
    one(part, i * 44 + 24, "then"), one(current[i], i * 44 + 31, "now"),
  ])));
};

// ---------------------------------------------------------------- embeddings

// Mean of each dimension, and a standard deviation to both sides.
const dimensions = (place, { means, deviations }) => {
  const low = Math.min(...means.map((mean, i) => mean - deviations[i]));
  const high = Math.max(...means.map((mean, i) => mean + deviations[i]));
  const up = (value) => round(98 - (96 * (value - low)) / (high - low || 1));
  const step = 1000 / means.length;
  const line = (at, back) => {
    const order = means.map((_, i) => (back ? means.length - 1 - i : i));
    return order.map((i) => {
      const [from, to] = back ? [i + 1, i] : [i, i + 1];
      return `L${round(from * step)} ${up(at(i))}H${round(to * step)}`;
    }).join("");
  };
  const band = line((i) => means[i] + deviations[i], false) + line((i) => means[i] - deviations[i], true);
  const hover = make("rect", { class: "hover", y: 0, height: 100, width: 0 });
  const plot = make("svg", {
    class: "plot", viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img",
    "aria-label": `Mean and standard deviation of ${means.length} dimensions. Arrow keys read them.`,
  }, make("path", { class: "band", d: `M${band.slice(1)}Z` }),
    make("path", { class: "cur", d: `M${line((i) => means[i], false).slice(1)}` }), hover);
  const note = "mean of each dimension, ± one standard deviation";
  const readout = block("readout", note);
  readout.setAttribute("role", "status");
  place.append(plot, block("ends", span("dimension 0"), span(String(means.length - 1))), readout);
  reader(plot, means.length, (part) => Math.floor(part * means.length), (i) => {
    hover.setAttribute("x", round(i * step));
    hover.setAttribute("width", round(step));
    readout.textContent = `dimension ${i}: ${short.format(means[i])} ± ${short.format(deviations[i])}`;
  }, () => {
    hover.setAttribute("width", 0);
    readout.textContent = note;
  });
};
