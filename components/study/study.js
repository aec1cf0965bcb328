"use strict";
// A rater's pages, one after the other. They come from a server, which keeps the answers too, or lie
// in the page itself, whose answers this browser keeps. Texts are only ever set as text.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const still = matchMedia("(prefers-reduced-motion: reduce)");

// --- Where pages come from and answers go. Both give the page to show next: a place that is answered
// stays as it was answered first.

class Refused extends Error {}

const server = {
  clip: (name) => `clip/${name}`,
  page: () => server.ask("state"),
  answer: ({ place, key }, answers) => server.ask("answers", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ place, key, answers }),
  }),
  async ask(address, options = {}) {
    const found = await fetch(address, { cache: "no-store", credentials: "same-origin", ...options })
      .catch(() => { throw new Error("The server cannot be reached."); });
    if (found.status === 401) throw new Refused();
    if (!found.ok) throw new Error("The server could not take this.");
    return found.json();
  },
};

const held = (sequence) => {
  const key = `tav-study/${sequence.study}/${sequence.rater}`;
  const kept = () => {
    try {
      return JSON.parse(localStorage.getItem(key) ?? "{}");
    } catch {
      throw new Error("This browser does not let the page keep your answers.");
    }
  };
  const next = () => {
    const answered = kept();
    const place = sequence.pages.findIndex((page) => !(page.place in answered));
    const places = sequence.pages.length;
    return { ...sequence.asked, ...(place < 0 ? { place: places, places } : sequence.pages[place]) };
  };
  return {
    clip: (name) => `${name}.mp4`,
    page: async () => next(),
    async answer({ place }, answers) {
      const answered = kept();
      if (place === next().place) {
        answered[place] = { answers, time: new Date().toISOString() };
        try {
          localStorage.setItem(key, JSON.stringify(answered));
        } catch {
          throw new Error("This browser does not let the page keep your answers.");
        }
      }
      return next();
    },
    lines: () => Object.entries(kept()).flatMap(([place, { answers, time }]) =>
      Object.entries(answers).map(([question, choice]) => JSON.stringify(
        { study: sequence.study, rater: sequence.rater, place: Number(place), question, choice, time },
      ) + "\n")).join(""),
  };
};

const sequence = $("#sequence") && JSON.parse($("#sequence").textContent);
const source = sequence ? held(sequence) : server;

// --- One clock: clips start together, wait for one that loads, and start anew when the last has ended.

const clock = {
  videos: [],
  // Those without a first frame. A video that seeks, as each does to start anew, has none for a moment.
  waiting: new Set(),
  paused: still.matches,
  load(clips) {
    this.videos = [];
    this.waiting.clear();
    for (const figure of $$("#stage figure")) {
      const video = $("video", figure);
      const clip = clips[figure.dataset.side];
      figure.hidden = !clip;
      figure.classList.remove("broken");
      if (!clip) {
        video.removeAttribute("src");
        video.load();
        continue;
      }
      this.videos.push(video);
      this.waiting.add(video);
      video.src = source.clip(clip.name);
      // Loading a video sets its rate back to the default. Browsers refuse rates beyond these.
      video.defaultPlaybackRate = video.playbackRate = Math.min(16, Math.max(0.0625, clip.speed));
    }
    $("#stage").classList.toggle("three", this.videos.length > 2);
  },
  get loaded() { return this.videos.length > 0 && !this.waiting.size; },
  tick() {
    if (!this.loaded || this.paused) return;
    if (this.videos.every((video) => video.ended)) this.videos.forEach((video) => { video.currentTime = 0; });
    const going = this.videos.filter((video) => !video.ended);
    if (going.some((video) => video.readyState < 3)) return going.forEach((video) => video.pause());
    const at = going.map((video) => video.currentTime / video.playbackRate);
    const last = Math.min(...at);
    if (Math.max(...at) - last > 0.1) {
      going.forEach((video, place) => { if (at[place] > last) video.currentTime = last * video.playbackRate; });
    }
    for (const video of going) if (video.paused) video.play().catch(() => {});
  },
  toggle() {
    this.paused = !this.paused;
    if (this.paused) this.videos.forEach((video) => video.pause());
    this.tick();
    $("#play span").textContent = this.paused ? "Play" : "Pause";
  },
};
setInterval(() => clock.tick(), 100);
for (const video of $$("#stage video")) {
  video.addEventListener("ended", () => clock.tick());
  video.addEventListener("loadeddata", () => {
    clock.waiting.delete(video);
    clock.tick();
    change();
  });
  video.addEventListener("error", () => {
    if (!clock.videos.includes(video)) return;
    clock.waiting.add(video);
    video.closest("figure").classList.add("broken");
    tell("A video of this page cannot be loaded, so it cannot be voted on.", () => clock.load(page.clips), true);
    change();
  });
}

// --- The page.

let page = null;
let busy = false;
let trouble = null;

const questions = () => $$("fieldset");
const chosen = (box) => $("input:checked", box)?.value;
const complete = () => questions().every(chosen);

function tell(message, again, ofClips = false) {
  trouble = { again, ofClips };
  $("#trouble span").textContent = message;
  $("#trouble").hidden = false;
}

function say(title, text) {
  $("#pair").hidden = true;
  $("#word h2").textContent = title;
  $("#word p").textContent = text;
  $("#word").hidden = false;
  $("#word").focus();
}

function mark(box) {
  for (const one of questions()) one.classList.toggle("marked", one === box);
}

function change() {
  for (const box of questions()) box.disabled = busy || !clock.loaded;
  $("#next").disabled = busy || !clock.loaded || !complete();
  if (clock.loaded && trouble?.ofClips) $("#trouble").hidden = true;
}

function asked({ id, text }, ties) {
  const box = document.createElement("fieldset");
  box.dataset.question = id;
  const legend = document.createElement("legend");
  legend.textContent = text;
  const choices = document.createElement("div");
  choices.className = "choices";
  const offered = [["left", "Video 1"], ["right", "Video 2"], ...(ties ? [["tie", "No difference"]] : [])];
  for (const [place, [value, label]] of offered.entries()) {
    const line = document.createElement("label");
    const input = document.createElement("input");
    const key = document.createElement("kbd");
    Object.assign(input, { type: "radio", name: id, value });
    key.textContent = place + 1;
    key.ariaHidden = "true";
    line.append(input, key, label);
    choices.append(line);
  }
  box.append(legend, choices);
  return box;
}

function show(next) {
  page = next;
  $("#trouble").hidden = true;
  $("#progress").hidden = false;
  Object.assign($("progress"), { value: page.place, max: page.places });
  $("#progress span").textContent = page.clips ? `${page.place + 1} of ${page.places}` : `${page.places} of ${page.places}`;
  if (!page.clips) {
    clock.load({});
    return say("Thank you!", sequence
      ? "That was the last page. Save your answers, and send the file to who invited you."
      : "That was the last page, and all your answers are kept. You can close it.");
  }
  $("#word").hidden = true;
  $("#prompt").textContent = page.prompt;
  $("#tie-key").hidden = !page.ties;
  $("#questions").replaceChildren(...page.questions.map((one) => asked(one, page.ties)));
  $("#pair").hidden = false;
  clock.load(page.clips);
  mark(questions()[0]);
  change();
  scrollTo(0, 0);
}

// Ask for a page, or give answers and get the next one: one at a time.
async function go(step) {
  if (busy) return;
  busy = true;
  change();
  try {
    show(await step());
  } catch (error) {
    if (error instanceof Refused) {
      say("No invitation", "Open the address of your invitation in this browser. If you did, ask who sent it for a new one.");
    } else {
      tell(`${error.message} Nothing is lost.`, () => go(step));
    }
  } finally {
    busy = false;
    change();
  }
}

function submit() {
  if (busy || !clock.loaded || !complete()) return;
  const answered = page;
  const answers = Object.fromEntries(questions().map((box) => [box.dataset.question, chosen(box)]));
  go(() => source.answer(answered, answers));
}

function press(number) {
  const box = $("fieldset.marked");
  const input = box && $$("input", box)[number - 1];
  if (!input || box.disabled) return;
  input.checked = true;
  input.focus({ preventScroll: true });
  mark(questions().find((one) => !chosen(one)) ?? box);
  change();
}

function back() {
  const boxes = questions();
  mark(boxes[Math.max(0, boxes.indexOf($("fieldset.marked")) - 1)]);
}

$("#pair").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
$("#questions").addEventListener("change", (event) => {
  mark(questions().find((one) => !chosen(one)) ?? event.target.closest("fieldset"));
  change();
});
$("#play").addEventListener("click", () => clock.toggle());
$("#again").addEventListener("click", () => { $("#trouble").hidden = true; trouble.again(); });
$("#play span").textContent = clock.paused ? "Play" : "Pause";
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || $("#pair").hidden) return;
  const pressed = event.target.closest("button");
  if (["1", "2", "3"].includes(event.key)) press(Number(event.key));
  else if (event.key === "Enter" && !pressed) submit();
  else if (event.key === " " && !pressed && !event.target.closest("input:not(:checked)")) clock.toggle();
  else if (event.key === "Backspace") back();
  else return;
  event.preventDefault();
});
// A page that the browser kept and shows again may have been answered since.
addEventListener("pageshow", (event) => event.persisted && go(source.page));
if (sequence) {
  $("#keep").hidden = false;
  $("#save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([source.lines()], { type: "application/x-ndjson" }));
    link.download = `answers-${sequence.rater.slice(0, 8)}.jsonl`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
go(source.page);
