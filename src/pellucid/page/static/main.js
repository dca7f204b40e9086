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

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem("pellucid-theme", name);
  byId("theme").textContent = name === "dark" ? "Light" : "Dark";
}

const toggleTheme = () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");

async function takeModel(name) {
  const about = await trying(() => ask("/page/about", { query: { model: name } }));
  if (!about) return;
  Object.assign(state, { about, model: about.name });
  byId("models").replaceChildren(...about.models.map((one) => make("option", { value: one, selected: one === about.name }, one)));
  document.title = `${about.name} · Pellucid`;
  for (const one of ["model", "inside", "play"]) stale.add(one);
  modelChanged();
  if (tab !== "read") { stale.delete(tab); SHOW[tab](); }
}

const KEYS = {
  1: () => open("read"), 2: () => open("model"), 3: () => open("inside"), 4: () => open("play"),
  j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1),
  "+": () => viewer.zoomAt(0.25), "=": () => viewer.zoomAt(0.25), "-": () => viewer.zoomAt(-0.25), 0: () => viewer.fit(),
  i: () => viewer.set({ inverted: !viewer.inverted }), h: toggleHeat,
  "[": () => thicker(-0.1), "]": () => thicker(0.1), e: exportJson, p: exportPdf, t: toggleTheme,
  "?": () => byId("keys").showModal(),
};

function thicker(change) {
  viewer.opacity = Math.min(1, Math.max(0, viewer.opacity + change));
  byId("opacity").value = viewer.opacity;
  viewer.draw();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName) && event.target.type !== "file") return;
  if (event.target.getAttribute("role") === "tab" && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
    const next = TABS[(TABS.indexOf(tab) + (event.key === "ArrowRight" ? 1 : 3)) % 4];
    open(next);
    byId(`tab-${next}`).focus();
    return;
  }
  const action = KEYS[event.key];
  if (action) { event.preventDefault(); action(); }
});

for (const name of TABS) byId(`tab-${name}`).addEventListener("click", () => open(name));
byId("theme").addEventListener("click", toggleTheme);
byId("help-button").addEventListener("click", () => byId("keys").showModal());
byId("models").addEventListener("change", (event) => takeModel(event.target.value));
onChange(() => { stale.add("inside"); stale.add("play"); });
setTheme(localStorage.getItem("pellucid-theme") || (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark"));
openRead();
takeModel(null);
