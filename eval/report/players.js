"use strict";
// The report's behaviour, with gallery.js after it. Without them the page still shows everything;
// videos then have the browser's own controls.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
let paused = false;
const names = $$("#chooser [data-choose] bdi").map((name) => name.textContent);

// --- Paired playback: all videos of a pair start together, and start anew when the last has ended.
// Browsers allow a page some hundred players, so a pair far out of sight gives its own back.

class Pair {
  constructor(videos) {
    this.all = videos;
    this.visible = false;
    for (const video of videos) {
      video.dataset.address ??= video.getAttribute("src");
      video.loop = false;
      video.controls = still;
      // Loading a video sets its rate back to the default. Browsers refuse rates beyond these.
      const speed = Math.min(16, Math.max(0.0625, Number(video.dataset.speed ?? 1)));
      video.defaultPlaybackRate = video.playbackRate = speed;
      video.addEventListener("ended", () => this.videos.every((one) => one.ended) && this.restart());
      // One that comes while others play, as its variant is shown again, begins anew with them.
      video.addEventListener("canplay", () => this.visible && (video.paused || !this.playing()) && this.restart());
      if (still) this.lead(video);
    }
  }

  // Those of variants that are not hidden.
  get videos() {
    return this.all.filter((video) => !video.closest("figure[hidden]"));
  }

  // What a reader does to one video is done to all. Their events come later and are no one's wish:
  // each video counts those that it owes.
  lead(video) {
    const follow = (event, act) => video.addEventListener(event, () => {
      if (video.owed[event] > 0) video.owed[event] -= 1;
      else this.videos.filter((one) => one !== video).forEach(act);
    });
    const owe = (one, event) => { one.owed[event] = (one.owed[event] ?? 0) + 1; };
    video.owed = {};
    follow("play", (one) => {
      if (!one.paused || one.ended) return;
      owe(one, "play");
      one.play().catch(() => {});
    });
    follow("pause", (one) => {
      if (one.paused || video.ended) return;
      owe(one, "pause");
      one.pause();
    });
    follow("seeking", (one) => {
      const at = (video.currentTime * one.playbackRate) / video.playbackRate;
      if (Math.abs(one.currentTime - at) < 0.02) return;
      owe(one, "seeking");
      one.currentTime = at;
    });
  }

  // After variants were shown or hidden.
  change() {
    for (const video of this.all) {
      if (!video.closest("figure[hidden]") || !video.hasAttribute("src")) continue;
      video.pause();
      this.free(video);
    }
    if (this.visible) this.show(true);
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
    this.all.forEach((video) => this.free(video));
  }

  free(video) {
    video.preload = "none";
    video.removeAttribute("src");
    video.load();
    video.owed = {};
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
// Cards of many videos lie in a row each: there are fewer to look ahead for.
watch(names.length > 1 ? "100% 0px" : "300% 0px", (pair, near) => near || pair.release());
