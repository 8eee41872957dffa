// What all pictures share. Nothing here turns text into markup: elements are made one by one,
// values set as text.
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
const rows = (count, thing = "row") => `${whole.format(count)} ${thing}${count === 1 ? "" : "s"}`;
const share = (part) => {
  const percent = 100 * part;
  if (percent > 0 && percent < 0.01) return "< 0.01 %";
  return `${percent.toFixed(percent < 1 && percent > 0 ? 2 : 1)} %`;
};

// Tells of one part of a picture after the other: where the pointer is, or by arrow keys.
// `find` gives the part at a place from 0 to 1 across the picture, -1 for none.
const reader = (plot, count, find, tell, rest) => {
  let now = -1;
  const go = (part) => { now = part; tell(part); };
  const leave = () => { now = -1; rest(); };
  plot.setAttribute("tabindex", 0);
  plot.addEventListener("pointermove", (event) => {
    const frame = plot.getBoundingClientRect();
    const part = find((event.clientX - frame.left) / frame.width);
    if (part >= 0 && part < count) go(part);
  });
  plot.addEventListener("pointerleave", leave);
  plot.addEventListener("blur", leave);
  plot.addEventListener("keydown", (event) => {
    const to = { ArrowRight: now + 1, ArrowLeft: now < 0 ? count - 1 : now - 1, Home: 0, End: count - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    go(Math.min(Math.max(to, 0), count - 1));
  });
};
