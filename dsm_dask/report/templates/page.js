// ---------------------------------------------------------------- drawing, filtering

// A line for each chart: of large pages most are never looked at, and need not be read.
const lines = document.getElementById("data").textContent.split("\n");
const known = new Map();
const chartAt = (number) => {
  if (!known.has(number)) known.set(number, JSON.parse(lines[number + 1].replace(/,$/, "")));
  return known.get(number);
};
const kinds = { histogram, bars, lengths, overlay, pairs, dimensions, track, head };
const draw = (item) => {
  for (const place of item.querySelectorAll("[data-draw]")) {
    if (!place.firstChild) kinds[place.dataset.draw](place, chartAt(Number(item.dataset.chart)));
  }
};
const drawn = [...document.querySelectorAll("[data-chart]")];
const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    draw(target);
  }
}, { rootMargin: "200px" });
drawn.forEach((item) => watcher.observe(item));
addEventListener("beforeprint", () => drawn.forEach(draw));

const filter = document.getElementById("filter");
if (filter) {
  const cards = [...document.querySelectorAll("#cards > .item")];
  const words = cards.map((card) => {
    const told = [...card.querySelectorAll("h3, .type, .words")];
    return told.map((part) => part.textContent).join(" ").toLowerCase();
  });
  const thing = document.getElementById("shown").dataset.thing || "column";
  const columns = (count) => `${whole.format(count)} ${thing}${count === 1 ? "" : "s"}`;
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
}
