// Play: the lecture's ideas, on the image that is looked at.

import { ask } from "./ask.js";
import { byId, choose, lacking, make, press, trying } from "./html.js";
import { state } from "./state.js";

let options = null;
let play = "convolution";
let waiting = 0;
let asked = new AbortController();
const settings = {
  convolution: { kernel: "sobel_x", mode: "zero", padding: "same", stride: 1 },
  pooling: { kind: "max", size: 4, stride: 4 },
  activation: { name: "relu" },
  collapse: { layers: 3, activation: "relu", seed: 0 },
  augmentation: { policy: "generic", strength: 1, seed: 0 },
  logits: { values: "2.0, -1.0, 0.5" },
};
const TITLES = { convolution: "Convolution", pooling: "Pooling", activation: "Activation", collapse: "Why activations", augmentation: "Augmentation", logits: "Logits to probabilities" };

export async function showPlay() {
  const box = byId("play");
  if (!state.about.has_torch) {
    box.replaceChildren(make("div", { class: "wide" }, make("h2", {}, "Play"), make("p", {}, "The playground needs the package torch on the server: pip install \"pellucid[train]\".")));
    return;
  }
  options ||= await trying("choices", () => ask("/page/choices"));
  if (!options) { box.replaceChildren(make("div", { class: "wide" }, make("p", {}, "The playground could not be asked for."), make("button", { onclick: showPlay }, "Try again"))); return; }
  const settingsBox = make("div", { class: "settings" }, controls());
  box.replaceChildren(make("div", { class: "wide" },
    make("div", { class: "subtabs" }, Object.keys(TITLES).map((name) => make("button", { "aria-pressed": name === play, onclick: (event) => { play = name; press(event.target); settingsBox.replaceChildren(...controls()); run(); } }, TITLES[name]))),
    settingsBox, make("div", { class: "sheet", id: "sheet" })));
  run();
}

function controls() {
  const mine = settings[play];
  const set = (key) => (value) => { mine[key] = value; run(); };
  const slide = (key, label, min, max, step = 1) => {
    const shown = make("span", {}, String(mine[key]));
    return make("label", {}, `${label} `, make("input", { type: "range", min, max, step, value: mine[key], oninput: (event) => { shown.textContent = event.target.value; set(key)(event.target.value); } }), " ", shown);
  };
  if (play === "convolution") return [choose(options.kernels, mine.kernel, set("kernel"), "Kernel"), make("label", {}, "or its numbers ", make("input", { type: "text", size: 22, placeholder: "1 0 -1; 2 0 -2; 1 0 -1", "aria-label": "kernel as rows of numbers", onchange: (event) => set("kernel")(event.target.value || "sobel_x") })), choose(options.modes, mine.mode, set("mode"), "Padding by"), choose(["same", "0", "1", "2", "4", "8"], mine.padding, set("padding"), "Pixels"), slide("stride", "Stride", 1, 8)];
  if (play === "pooling") return [choose(options.pooling, mine.kind, set("kind"), "Kind"), slide("size", "Window", 1, 16), slide("stride", "Stride", 1, 16)];
  if (play === "activation") return [choose(options.activations, mine.name, set("name"), "Function")];
  if (play === "collapse") return [slide("layers", "Layers", 2, 5), choose(options.activations, mine.activation, set("activation"), "Activation between"), slide("seed", "Draw", 0, 20)];
  if (play === "augmentation") return [choose(options.policies, mine.policy, set("policy"), "Policy"), slide("strength", "Strength", 0, 3, 0.1), slide("seed", "Draw", 0, 20)];
  return [make("label", {}, "Logits ", make("input", { type: "text", value: mine.values, size: 30, onchange: (event) => set("values")(event.target.value) }))];
}

async function run() {
  const mine = ++waiting;
  await new Promise((resolve) => setTimeout(resolve, 120)); // a slider passes many values
  if (mine !== waiting) return;
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  const sheet = byId("sheet");
  const item = state.current;
  if (play !== "logits" && !item?.picture) { sheet.replaceChildren(lacking(item, "it is what is played with")); return; }
  const found = await trying("play", () => play === "logits" ? ask("/page/logits", { query: settings.logits, signal })
    : ask("/page/play", { query: { model: state.model, frame: item.frame, play, settings: JSON.stringify(settings[play]) }, file: item.file, signal }));
  if (!found || mine !== waiting) return;
  const small = play === "logits" ? "" : make("p", { class: "muted" }, "Played with the image made smaller, to at most 256 pixels a side.");
  sheet.replaceChildren(small, ...found.pictures.map((png) => make("img", { alt: TITLES[play], src: `data:image/png;base64,${png}` })), found.text ? make("pre", {}, found.text) : "");
}
