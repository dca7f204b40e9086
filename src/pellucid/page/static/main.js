// The page: its four parts, the model that answers, dark and light, the keyboard.

import { ask } from "./ask.js";
import { byId, make, trying } from "./html.js";
import { showInside } from "./inside.js";
import { showModel } from "./model.js";
import { showPlay } from "./play.js";
import { exportJson, exportPdf, modelChanged, openRead, step, toggleHeat, viewer } from "./read.js";
import { onChange, state } from "./state.js";

const TABS = ["read", "model", "inside", "play"];
const SHOW = { read: () => viewer.draw(), model: showModel, inside: showInside, play: showPlay };
let tab = "read";
const stale = new Set(["model", "inside", "play"]);
let asking = 0;

function open(name) {
  tab = name;
  for (const one of TABS) {
    byId(one).hidden = one !== name;
    byId(`tab-${one}`).setAttribute("aria-selected", one === name);
    byId(`tab-${one}`).tabIndex = one === name ? 0 : -1;
  }
  if (!state.about) return;
  if (name === "read" || stale.delete(name)) SHOW[name]();
}

// By a key, the part itself takes the focus, so that arrows scroll it.
function enter(name) {
  open(name);
  byId(name).focus({ preventScroll: true });
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  byId("theme").textContent = name === "dark" ? "Light" : "Dark";
}

function toggleTheme() {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  localStorage.setItem("pellucid-theme", document.documentElement.dataset.theme);
}

async function takeModel(name) {
  const mine = ++asking;
  const about = await trying("model", () => ask("/page/about", { query: { model: name } }));
  if (mine !== asking) return;
  if (!about) { if (state.model) byId("models").value = state.model; return; }
  Object.assign(state, { about, model: about.name });
  byId("models").replaceChildren(...about.models.map((one) => make("option", { value: one, selected: one === about.name }, one)));
  document.title = `${about.name} · Pellucid`;
  for (const one of ["model", "inside", "play"]) stale.add(one);
  modelChanged();
  if (tab !== "read") { stale.delete(tab); SHOW[tab](); }
}

const EVERYWHERE = {
  1: () => enter("read"), 2: () => enter("model"), 3: () => enter("inside"), 4: () => enter("play"),
  t: toggleTheme, "?": () => byId("keys").showModal(),
};
const IN_READ = {
  j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1),
  "+": () => viewer.zoomAt(0.25), "=": () => viewer.zoomAt(0.25), "-": () => viewer.zoomAt(-0.25), 0: () => viewer.fit(),
  i: () => viewer.set({ inverted: !viewer.inverted }), h: toggleHeat,
  "[": () => thicker(-0.1), "]": () => thicker(0.1), e: exportJson, p: exportPdf,
};
const MOVES = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };

function thicker(change) {
  viewer.opacity = Math.min(1, Math.max(0, viewer.opacity + change));
  byId("opacity").value = viewer.opacity;
  viewer.draw();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (takesKey(event)) return;
  if (event.target.getAttribute("role") === "tab" && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
    const next = TABS[(TABS.indexOf(tab) + (event.key === "ArrowRight" ? 1 : 3)) % 4];
    open(next);
    byId(`tab-${next}`).focus();
    return;
  }
  const move = tab === "read" && event.shiftKey && MOVES[event.key];
  const action = move ? () => viewer.move(...move) : EVERYWHERE[event.key] || (tab === "read" && IN_READ[event.key]);
  if (action) { event.preventDefault(); action(); }
});

// Whether a key belongs to what has the focus: text to a field, letters to a choice, arrows to a slider.
function takesKey({ key, target }) {
  if (target.type === "range") return key.startsWith("Arrow") || ["Home", "End", "PageUp", "PageDown"].includes(key);
  return ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName) && target.type !== "file";
}

for (const name of TABS) byId(`tab-${name}`).addEventListener("click", () => open(name));
byId("theme").addEventListener("click", toggleTheme);
byId("help-button").addEventListener("click", () => byId("keys").showModal());
byId("models").addEventListener("change", (event) => takeModel(event.target.value));
onChange(() => {
  for (const one of ["inside", "play"]) {
    if (one === tab && state.about) SHOW[one]();
    else stale.add(one);
  }
});
setTheme(localStorage.getItem("pellucid-theme") || (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark"));
openRead();
takeModel(null);
