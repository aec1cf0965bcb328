"use strict";
// The report's behaviour: paired playback, filter, sort, comparison. Without it the page still shows
// everything; videos then have the browser's own controls.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
let paused = false;

// --- Paired playback: all videos of a pair start together, and start anew when the last has ended.
// Browsers allow a page some hundred players, so a pair far out of sight gives its own back.

class Pair {
  constructor(videos) {
    this.videos = videos;
    this.visible = false;
    for (const video of videos) {
      video.dataset.address ??= video.getAttribute("src");
      video.loop = false;
      video.controls = still;
      // Loading a video sets its rate back to the default. Browsers refuse rates beyond these.
      const speed = Math.min(16, Math.max(0.0625, Number(video.dataset.speed ?? 1)));
      video.defaultPlaybackRate = video.playbackRate = speed;
      video.addEventListener("ended", () => this.videos.every((one) => one.ended) && this.restart());
      video.addEventListener("canplay", () => this.visible && !this.playing() && this.restart());
    }
  }

  playing() {
    return this.videos.some((video) => !video.paused && !video.ended);
  }

  show(visible) {
    this.visible = visible;
    if (!visible) this.videos.forEach((video) => video.pause());
    else this.hold();
    if (visible && !this.playing()) this.restart();
  }

  hold() {
    for (const video of this.videos) {
      if (!video.hasAttribute("src")) video.src = video.dataset.address;
      video.preload = "auto";
    }
  }

  release() {
    for (const video of this.videos) {
      video.preload = "none";
      video.removeAttribute("src");
      video.load();
    }
  }

  restart() {
    if (still || paused || !this.visible) return;
    if (this.videos.some((video) => video.readyState < 3 && !video.error)) return;
    for (const video of this.videos) {
      video.currentTime = 0;
      video.play().catch(() => { video.controls = true; });
    }
  }
}

const pairs = new Map($$("[data-pair]").map((box) => [box, new Pair($$("video", box))]));
const watch = (margin, act) => {
  const watcher = new IntersectionObserver(
    (entries) => entries.forEach((entry) => act(pairs.get(entry.target), entry.isIntersecting)),
    { rootMargin: margin },
  );
  for (const box of pairs.keys()) watcher.observe(box);
};
watch("25% 0px", (pair, visible) => pair.show(visible));
watch("300% 0px", (pair, near) => near || pair.release());

// --- Filter and sort: cards, table rows and dots of one edit share its number.

const rows = $$("#rows tbody tr").map((line) => {
  const number = line.dataset.row;
  const card = $(`#edit-${number}`);
  return {
    number: Number(number),
    card,
    line,
    dots: $$(`.plot a[data-row="${number}"]`),
    category: card.dataset.category,
    text: `${line.textContent} ${$(".prompts", card).textContent}`.toLowerCase(),
  };
});
let category = "";

function filter() {
  const words = $("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const fits = (!category || row.category === category) && words.every((word) => row.text.includes(word));
    row.card.hidden = row.line.hidden = !fits;
    for (const dot of row.dots) dot.classList.toggle("faded", !fits);
    shown += fits;
  }
  $("#shown").textContent = `${shown} of ${rows.length}`;
  $("#none").hidden = shown > 0;
}

function choose(chosen) {
  category = chosen;
  for (const chip of $$(".chip")) chip.setAttribute("aria-pressed", String(chip.dataset.category === chosen));
  filter();
}

function sort(header) {
  const column = header.cellIndex;
  const numeric = header.dataset.kind === "number";
  const before = header.getAttribute("aria-sort");
  // Numbers are most often sorted to see the best first.
  const first = numeric ? "descending" : "ascending";
  const order = before === "none" ? first : before === "ascending" ? "descending" : "ascending";
  const sign = order === "ascending" ? 1 : -1;
  const value = (row) => row.line.cells[column].textContent.trim();
  rows.sort((a, b) => {
    if (!numeric) return sign * value(a).localeCompare(value(b)) || a.number - b.number;
    const [x, y] = [parseFloat(value(a)), parseFloat(value(b))];
    // A missing number is last in both orders.
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a.number - b.number;
    return sign * (x - y) || a.number - b.number;
  });
  for (const other of $$("#rows th[aria-sort]")) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", order);
  $("#rows tbody").append(...rows.map((row) => row.line));
  $("#gallery").append(...rows.map((row) => row.card));
}

if (rows.length) {
  $("#tools").hidden = false;
  $("#search").addEventListener("input", filter);
  for (const chip of $$(".chip")) chip.addEventListener("click", () => choose(chip.dataset.category));
  $("#reset").addEventListener("click", () => { $("#search").value = ""; choose(""); });
  for (const header of $$("#rows th[aria-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    header.replaceChildren(button);
    button.addEventListener("click", () => sort(header));
  }
  $("#pause").addEventListener("click", (event) => {
    paused = !paused;
    event.target.setAttribute("aria-pressed", String(paused));
    event.target.textContent = paused ? "Play all" : "Pause all";
    for (const pair of pairs.values()) {
      if (paused) pair.videos.forEach((video) => video.pause());
      else if (pair.visible) pair.restart();
    }
  });
}

// --- Comparison: the edit lies over the source and is cut off left of the slider.

const dialog = $("#compare");
let current = null;
let staged = null;

function cut() {
  $("#stage").style.setProperty("--cut", `${$("#wipe").value}%`);
}

function compare(row) {
  current = row;
  const videos = $$("[data-pair] video", row.card).map((video) => video.cloneNode());
  staged?.show(false);
  $("#stage").replaceChildren(...videos);
  $("#compare-title").textContent = row.card.getAttribute("aria-label");
  $("#compare-prompts").replaceChildren(...$(".prompts", row.card).cloneNode(true).childNodes);
  cut();
  if (!dialog.open) dialog.showModal();
  staged = new Pair(videos);
  staged.show(true);
}

function step(by) {
  const shown = rows.filter((row) => !row.card.hidden && $$("video", row.card).length === 2);
  compare(shown[(shown.indexOf(current) + by + shown.length) % shown.length]);
}

for (const row of rows) {
  const button = $("[data-compare]", row.card);
  button.hidden = $$("video", row.card).length < 2;
  button.addEventListener("click", () => compare(row));
}
$("#wipe").addEventListener("input", cut);
$("#previous").addEventListener("click", () => step(-1));
$("#next").addEventListener("click", () => step(1));
dialog.addEventListener("close", () => {
  staged?.show(false);
  $("#stage").replaceChildren();
  staged = null;
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

// --- A link to a card that the filter hides shows it again.

function reveal() {
  const target = rows.find((row) => `#${row.card.id}` === location.hash);
  if (target?.card.hidden) {
    $("#search").value = "";
    choose("");
    target.card.scrollIntoView();
  }
}
addEventListener("hashchange", reveal);

// --- Light and dark.

const theme = $("#theme");
const dark = () =>
  (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const name = () => { theme.textContent = dark() ? "Light" : "Dark"; };
theme.hidden = false;
theme.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; name(); });
name();
