// --- Filter and sort: cards, table lines and dots of one edit share its number.

const numbered = (selector) => Map.groupBy($$(selector), (one) => one.dataset.row);
const [lines, dots] = [numbered("#rows tbody tr"), numbered(".plot a[data-row]")];
const edits = $$("#gallery > .card").map((card) => {
  const number = card.dataset.row;
  const own = lines.get(number);
  const cells = [...own[0].cells].filter((cell) => !cell.matches(".variant"));
  return {
    number: Number(number),
    card,
    lines: own,
    dots: dots.get(number) ?? [],
    category: card.dataset.category,
    text: `${cells.map((cell) => cell.textContent).join(" ")} ${$(".prompts", card).textContent}`.toLowerCase(),
  };
});
let category = "";
let sorted = null;
// Numbers of variants that are shown; without variants a line has none.
let chosen = [];
const seen = (one) => !names.length || chosen.includes(Number(one.dataset.variant));

function filter() {
  const words = $("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const edit of edits) {
    const fits = (!category || edit.category === category) && words.every((word) => edit.text.includes(word)) && edit.lines.some(seen);
    edit.card.hidden = !fits;
    for (const line of edit.lines) line.hidden = !fits || !seen(line);
    for (const dot of edit.dots) dot.classList.toggle("faded", !fits);
    shown += fits;
  }
  $("#shown").textContent = `${shown} of ${edits.length}`;
  $("#none").hidden = shown > 0;
}

function choose(wanted) {
  category = wanted;
  for (const chip of $$(".chip[data-category]")) chip.setAttribute("aria-pressed", String(chip.dataset.category === wanted));
  filter();
}

function turn(header) {
  const before = header.getAttribute("aria-sort");
  // Numbers are most often sorted to see the best first.
  const first = header.dataset.kind === "number" ? "descending" : "ascending";
  const order = before === "none" ? first : before === "ascending" ? "descending" : "ascending";
  for (const other of $$("#rows th[aria-sort]")) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", order);
  sorted = header;
  sort();
}

// An edit stands where its first shown variant belongs.
function sort() {
  const column = sorted.cellIndex;
  const numeric = sorted.dataset.kind === "number";
  const sign = sorted.getAttribute("aria-sort") === "ascending" ? 1 : -1;
  const values = new Map(edits.map((edit) => {
    const line = names.length ? edit.lines.find((one) => Number(one.dataset.variant) === chosen[0]) : edit.lines[0];
    const text = (line ?? (numeric ? null : edit.lines[0]))?.cells[column].textContent.trim();
    return [edit, numeric ? parseFloat(text) : text];
  }));
  edits.sort((a, b) => {
    const [x, y] = [values.get(a), values.get(b)];
    if (!numeric) return sign * x.localeCompare(y) || a.number - b.number;
    // A missing number is last in both orders.
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a.number - b.number;
    return sign * (x - y) || a.number - b.number;
  });
  $("#rows tbody").append(...edits.flatMap((edit) => edit.lines));
  $("#gallery").append(...edits.map((edit) => edit.card));
}

if (edits.length) {
  $("#tools").hidden = false;
  $("#search").addEventListener("input", filter);
  for (const chip of $$(".chip[data-category]")) chip.addEventListener("click", () => choose(chip.dataset.category));
  $("#reset").addEventListener("click", () => { $("#search").value = ""; choose(""); });
  for (const header of $$("#rows th[aria-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    header.replaceChildren(button);
    button.addEventListener("click", () => turn(header));
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

// --- Variants: the chooser hides what belongs to one, and the address remembers the choice.

const USUAL = [...names.keys()].slice(0, 6);
const hash = () => location.hash.slice(1).split("&");

function remembered() {
  const part = hash().find((one) => one.startsWith("variants="));
  try {
    const wanted = (part ?? "").slice("variants=".length).split(",").map(decodeURIComponent);
    const known = [...names.keys()].filter((index) => wanted.includes(names[index]));
    return known.length ? known : USUAL;
  } catch {
    return USUAL; // No page wrote this address.
  }
}

function vary(wanted) {
  chosen = wanted;
  for (const one of $$("[data-variant]:not(#rows tr)")) one.toggleAttribute("hidden", !seen(one));
  for (const chip of $$("#chooser [data-choose]")) chip.setAttribute("aria-pressed", String(chosen.includes(Number(chip.dataset.choose))));
  $("#chooser [data-every]").setAttribute("aria-pressed", String(chosen.length === names.length));
  $("#gallery").dataset.tiles = chosen.length + 1;
  for (const pair of pairs.values()) pair.change();
  if (sorted) sort();
  filter();
}

function remember() {
  const anchor = hash().find((one) => !one.startsWith("variants="));
  const usual = String(chosen) === String(USUAL);
  const part = usual ? "" : `variants=${chosen.map((index) => encodeURIComponent(names[index])).join(",")}`;
  history.replaceState(null, "", `#${[anchor, part].filter(Boolean).join("&")}`);
}

if (edits.length && names.length) {
  vary(remembered());
  $("#chooser").addEventListener("click", (event) => {
    const chip = event.target.closest(".chip");
    if (!chip) return;
    const index = Number(chip.dataset.choose);
    const every = [...names.keys()];
    const wanted = "every" in chip.dataset ? every : every.filter((one) => chosen.includes(one) !== (one === index));
    if (!wanted.length) return; // One stays.
    vary(wanted);
    remember();
  });
}

// --- Comparison: one video lies over another and is cut off left of the slider.

const dialog = $("#compare");
const sides = [$("#left"), $("#right")];
let current = null;
let staged = null;

function cut() {
  $("#stage").style.setProperty("--cut", `${$("#wipe").value}%`);
}

const clips = (card) => $$("[data-pair] .clip:not([hidden])", card).filter((clip) => $("video", clip));

// What lies on either side: source and edit, or what the reader chose of source and variants.
function opposed(card) {
  const found = clips(card);
  if (!sides[0]) return found;
  return sides.map((side, place) => {
    const options = found.map((clip) => new Option($("bdi, .tag", clip).textContent.trim(), clip.dataset.variant ?? "source"));
    const wanted = side.value;
    side.replaceChildren(...options);
    side.selectedIndex = Math.max(options.findIndex((one) => one.value === wanted), wanted ? 0 : place);
    return found[side.selectedIndex];
  });
}

function compare(edit) {
  current = edit;
  const videos = opposed(edit.card).map((clip) => $("video", clip).cloneNode());
  staged?.show(false);
  $("#stage").replaceChildren(...videos);
  $("#compare-title").textContent = edit.card.getAttribute("aria-label");
  $("#compare-prompts").replaceChildren(...$(".prompts", edit.card).cloneNode(true).childNodes);
  cut();
  if (!dialog.open) dialog.showModal();
  staged = new Pair(videos);
  staged.show(true);
}

function step(by) {
  const shown = edits.filter((edit) => !edit.card.hidden && clips(edit.card).length > 1);
  compare(shown[(shown.indexOf(current) + by + shown.length) % shown.length]);
}

for (const edit of edits) {
  const button = $("[data-compare]", edit.card);
  button.hidden = $$("video", edit.card).length < 2;
  button.addEventListener("click", () => compare(edit));
}
for (const side of sides) side?.addEventListener("change", () => compare(current));
$("#wipe").addEventListener("input", cut);
$("#previous").addEventListener("click", () => step(-1));
$("#next").addEventListener("click", () => step(1));
dialog.addEventListener("close", () => {
  staged?.show(false);
  $("#stage").replaceChildren();
  staged = null;
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

// --- A link to a card that the filter hides shows it again; one that names variants shows them.

function reveal() {
  const parts = hash();
  if (names.length && edits.length) {
    if (!parts.some((one) => one.startsWith("variants="))) remember();
    else if (String(remembered()) !== String(chosen)) vary(remembered());
  }
  const target = edits.find((edit) => parts.includes(edit.card.id));
  if (target?.card.hidden) {
    $("#search").value = "";
    choose("");
    target.card.scrollIntoView();
  }
}
addEventListener("hashchange", reveal);
// The browser's own memory of a place would win on a reload, and cards get their height late.
const arrive = () => document.getElementById(hash().find((one) => !one.startsWith("variants=")))?.scrollIntoView();
if (hash().length > 1) {
  history.scrollRestoration = "manual";
  arrive();
  addEventListener("load", () => requestAnimationFrame(arrive));
}

// --- Light and dark.

const theme = $("#theme");
const dark = () =>
  (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const name = () => { theme.textContent = dark() ? "Light" : "Dark"; };
theme.hidden = false;
theme.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; name(); });
name();
