"use strict";
(function () {
  const root = document.documentElement;
  const kept = {
    get(name) { try { return localStorage.getItem(name); } catch (_) { return null; } },
    set(name, value) { try { localStorage.setItem(name, value); } catch (_) { /* not allowed */ } },
  };

  const THEMES = ["auto", "light", "dark"];
  const theme = document.getElementById("theme");
  function wear(name) {
    if (name === "auto") root.removeAttribute("data-theme"); else root.dataset.theme = name;
    theme.textContent = "theme: " + name;
  }
  let worn = kept.get("cpi-theme");
  if (!THEMES.includes(worn)) worn = "auto";
  wear(worn);
  theme.hidden = false;
  theme.addEventListener("click", () => {
    worn = THEMES[(THEMES.indexOf(worn) + 1) % THEMES.length];
    kept.set("cpi-theme", worn);
    wear(worn);
  });

  const contents = document.querySelector(".contents");
  if (window.matchMedia("(max-width: 60rem)").matches) contents.open = false;

  function unfold(hash) {
    const target = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    return target;
  }
  window.addEventListener("hashchange", () => unfold(location.hash));
  unfold(location.hash);

  for (const link of document.querySelectorAll("a.csv")) {
    link.addEventListener("click", (event) => {
      const there = unfold(link.hash);
      const download = there && there.querySelector("a[download]");
      if (download) { event.preventDefault(); download.click(); }
    });
  }

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
  });
  window.addEventListener("afterprint", () => { for (const one of closed) one.open = false; });

  const entries = new Map();
  for (const link of contents.querySelectorAll("a")) {
    const target = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (target) entries.set(target, link);
  }
  function mark() {
    let here = null;
    for (const [target, link] of entries) {
      link.classList.remove("here");
      if (target.getBoundingClientRect().top < 120) here = link;
    }
    if (here) here.classList.add("here");
  }
  let waiting = false;
  window.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mark(); });
  }, { passive: true });
  mark();

  const every = Number(document.body.dataset.every || 0);
  if (every) {
    const pause = document.getElementById("pause");
    let paused = kept.get("cpi-paused") === "yes";
    const say = () => { pause.textContent = paused ? "go on" : "pause"; };
    pause.hidden = false;
    say();
    pause.addEventListener("click", () => {
      paused = !paused;
      kept.set("cpi-paused", paused ? "yes" : "no");
      say();
    });
    const folds = () => [...document.querySelectorAll("main details")];
    const before = JSON.parse(sessionStorage.getItem("cpi-folds") || "null");
    if (before && before.length === folds().length) {
      folds().forEach((one, i) => { one.open = before[i]; });
    }
    setInterval(() => {
      if (paused || document.hidden) return;
      sessionStorage.setItem("cpi-folds", JSON.stringify(folds().map((one) => one.open)));
      location.reload();
    }, 1000 * Math.max(every, 1));
  }
})();
