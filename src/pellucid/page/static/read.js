// Read: a work list, a viewer, and what the model says of the image that is looked at.

import { ask } from "./ask.js";
import { byId, make, trying } from "./html.js";
import { changed, state } from "./state.js";
import { toHeat, toPicture, Viewer } from "./viewer.js";
import { layerName, wordDecision, wordSets, wordSimilar } from "./words.js";

const AT_ONCE = 8;
const MOST_BYTES = 48 * 2 ** 20;
export const viewer = new Viewer(byId("canvas"), showControls);
let heatOn = true;
let asking = 0;

export function openRead() {
  byId("files").addEventListener("change", (event) => { add(event.target.files); event.target.value = ""; });
  const drop = byId("drop");
  document.body.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  document.body.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.body.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add(event.dataTransfer.files);
  });
  byId("clear").addEventListener("click", () => { state.items = []; select(null); });
  byId("level").addEventListener("input", (event) => viewer.set({ level: Number(event.target.value) }));
  byId("window").addEventListener("input", (event) => viewer.set({ window: Number(event.target.value) }));
  byId("zoom").addEventListener("input", (event) => viewer.zoomAt(Number(event.target.value) - viewer.zoom));
  byId("opacity").addEventListener("input", (event) => { viewer.opacity = Number(event.target.value); viewer.draw(); });
  byId("invert").addEventListener("click", () => viewer.set({ inverted: !viewer.inverted }));
  byId("fit").addEventListener("click", () => { viewer.reset(); viewer.paint(); });
  byId("method").addEventListener("change", (event) => { heatOn = event.target.value !== ""; layHeat(); });
  byId("heat-class").addEventListener("change", () => layHeat());
  byId("frame").addEventListener("change", (event) => {
    Object.assign(state.current, { frame: Math.max(0, Number(event.target.value)), answer: null, picture: null });
    answerAll([state.current]).then(() => select(state.current));
  });
}

export function modelChanged() {
  const methods = byId("method");
  const kept = methods.value;
  methods.replaceChildren(make("option", { value: "" }, "none"),
    ...state.about.methods.map((name) => make("option", { value: name }, name.replaceAll("_", " "))));
  methods.value = state.about.methods.includes(kept) ? kept : state.about.methods[0];
  for (const item of state.items) Object.assign(item, { answer: null, error: "" });
  answerAll(state.items).then(() => select(state.current));
}

async function add(files) {
  const items = [...files].map((file) => ({ file, frame: 0, answer: null, picture: null, error: "" }));
  state.items.push(...items);
  list();
  const first = state.current ? null : items[0];
  const work = answerAll(items);
  if (first) select(first);
  await work;
}

// Files are sent some at a time: many small ones together, a large one alone.
async function answerAll(items) {
  const groups = [];
  for (const item of items) {
    const last = groups[groups.length - 1];
    const size = last ? last.reduce((sum, one) => sum + one.file.size, 0) : 0;
    if (last && last.length < AT_ONCE && size + item.file.size < MOST_BYTES && last[0].frame === item.frame) last.push(item);
    else groups.push([item]);
  }
  const model = state.model;
  for (const group of groups) {
    const found = await trying(() => ask("/v1/predict",
      { query: { model, frame: group[0].frame }, files: group.map((item) => item.file) }));
    if (model !== state.model) return;
    group.forEach((item, k) => {
      item.answer = found ? { ...found.results[k], model: found.model, digest: found.digest } : null;
      item.error = found ? "" : "not answered";
    });
    list();
    if (group.includes(state.current)) { findings(); heatClasses(); layHeat(); }
  }
}

export async function select(item) {
  state.current = item;
  list();
  findings();
  changed("image");
  const shown = Boolean(item);
  byId("empty").hidden = shown;
  byId("tools").hidden = !shown;
  if (!shown) { viewer.picture = null; viewer.over = null; viewer.draw(); byId("under").textContent = ""; return; }
  if (!item.picture && item.answer?.status !== "unreadable") {
    const numbers = await trying(() => ask("/page/pixels",
      { query: { model: state.model, frame: item.frame }, file: item.file, as: "numbers" }));
    item.picture = numbers && toPicture(numbers);
  }
  if (state.current !== item) return;
  viewer.reset();
  viewer.over = null;
  if (item.picture) viewer.show(item.picture);
  else { viewer.picture = null; viewer.draw(); }
  const facts = item.picture?.facts;
  byId("under").textContent = facts
    ? `${facts.format}, ${facts.width} × ${facts.height} pixels, ${facts.bit_depth} bit${facts.modality ? `, ${facts.modality}` : ""}${facts.frames > 1 ? `, ${facts.frames} frames` : ""}` : "";
  byId("frame-choice").hidden = !(facts?.frames > 1);
  if (facts) Object.assign(byId("frame"), { value: item.frame, max: facts.frames - 1 });
  heatClasses();
  await layHeat();
}

function heatClasses() {
  const classes = byId("heat-class");
  const targets = state.current.answer?.targets || [];
  classes.replaceChildren(...targets.flatMap((one) => Object.keys(one.probabilities).map((name) =>
    make("option", { value: JSON.stringify([one.target, name]) }, targets.length > 1 ? `${one.target}: ${name}` : name))));
  const [first] = targets;
  if (!first) return;
  const likeliest = Object.entries(first.probabilities).sort((a, b) => b[1] - a[1])[0][0];
  classes.value = JSON.stringify([first.target, first.decision?.called || likeliest]);
}

export async function layHeat() {
  const item = state.current;
  const method = byId("method").value;
  if (!item?.picture || !method || !heatOn || !byId("heat-class").value) { viewer.lay(null); return; }
  const [name, label] = JSON.parse(byId("heat-class").value);
  const mine = ++asking;
  const query = { model: state.model, frame: item.frame, target: name, of_class: label, method };
  const found = await trying(() => ask("/page/heat", { query, file: item.file, as: "numbers" }));
  if (mine !== asking || state.current !== item) return;
  viewer.lay(found && toHeat(found));
  const { cells, full_scale: full, layer } = found?.facts || {};
  byId("heat-note")?.replaceChildren(!found ? "" : full === 0 ? `Nothing speaks for ${label} in ${layerName(layer)}.`
    : cells ? `Where ${layerName(layer)} speaks for ${label}: ${cells} × ${cells} cells, and nothing finer. A map shows what the model looked at, not whether it is right.`
      : `What each pixel added to the logit of ${label}; blue speaks against.`);
}

export function toggleHeat() {
  const methods = byId("method");
  heatOn = !(heatOn && methods.value);
  if (!heatOn) methods.dataset.kept = methods.value;
  methods.value = heatOn ? methods.dataset.kept || state.about.methods[0] : "";
  layHeat();
}

export function step(n) {
  const place = state.items.indexOf(state.current) + n;
  if (state.items[place]) select(state.items[place]);
}

function showControls() {
  byId("level").value = viewer.level;
  byId("window").value = viewer.window;
  byId("zoom").value = viewer.zoom;
  byId("opacity").value = viewer.opacity;
  byId("invert").setAttribute("aria-pressed", viewer.inverted);
}

function list() {
  const n = state.items.length;
  const done = state.items.filter((item) => item.answer || item.error).length;
  byId("list-count").textContent = n === 0 ? "No images yet" : done < n ? `${done} of ${n} answered` : `${n} image${n > 1 ? "s" : ""}`;
  byId("clear").hidden = n === 0;
  byId("list").replaceChildren(...state.items.map((item) => make("li", {},
    make("button", { "aria-current": item === state.current, onclick: () => select(item) },
      make("span", { class: "file", title: item.file.name }, item.file.name), ...summary(item)))));
  document.querySelector('#list [aria-current="true"]')?.scrollIntoView({ block: "nearest" });
}

function summary(item) {
  if (item.error) return [make("span", { class: "said mark" }, item.error)];
  if (!item.answer) return [make("span", { class: "said" }, "…")];
  const { status, targets, reasons } = item.answer;
  if (status !== "answered") return [make("span", { class: "said mark" }, status === "unreadable" ? "unreadable" : `abstains: ${reasons[0].code.replaceAll("_", " ")}`)];
  const [one] = targets;
  const { called } = one.decision;
  return [make("span", { class: "number" }, one.probabilities[called].toFixed(2)),
    make("span", { class: "said" }, targets.map((each) => each.decision.called).join(", "))];
}

function findings() {
  const box = byId("findings");
  const item = state.current;
  if (!item) {
    box.replaceChildren(make("h2", {}, "What the model says"), make("p", { class: "muted" }, "Of each image: probabilities, the decision at the operating point, the classes in question, and what speaks against an answer."));
    return;
  }
  if (!item.answer) { box.replaceChildren(make("h2", {}, item.file.name), make("p", { class: "muted" }, item.error || "Being answered …")); return; }
  const { status, reasons, targets } = item.answer;
  box.replaceChildren(
    make("p", { class: "muted" }, item.answer.name),
    reasons.length ? make("div", { class: "reasons" },
      make("p", { class: "abstains" }, make("strong", {}, status === "unreadable" ? "It could not be read." : "The model abstains.")),
      reasons.map((reason) => make("p", {}, reason.message))) : "",
    ...targets.map(ofTarget),
    make("p", { class: "muted", id: "heat-note" }),
    status === "unreadable" ? "" : make("div", { class: "actions" },
      make("button", { onclick: exportJson, title: "e" }, "Export JSON"),
      make("button", { onclick: exportPdf, title: "p" }, "Export PDF")));
}

function ofTarget(one) {
  const threshold = one.decision?.threshold;
  const names = Object.keys(one.probabilities);
  const ordered = names.length > 2 ? [...names].sort((a, b) => one.probabilities[b] - one.probabilities[a]) : names.slice().reverse();
  const several = state.about.card.task.targets.length > 1;
  return make("div", { class: "target" },
    several ? make("p", { class: "muted" }, one.target) : "",
    make("p", { class: `called ${one.decision ? "" : "abstains"}` }, one.decision ? one.decision.called : "No decision"),
    make("div", { class: "bars" }, ordered.flatMap((name) => bar(name, one.probabilities[name],
      name === names[names.length - 1] && names.length === 2 ? threshold : null))),
    make("p", {}, wordDecision(one)),
    ...wordSets(one).map((said) => make("p", {}, said)),
    make("p", { class: "muted" }, wordSimilar(state.about, one)));
}

function bar(name, p, threshold) {
  const fill = make("span", { class: "fill" });
  fill.style.width = `${100 * p}%`;
  const track = make("span", { class: "track", role: "img", "aria-label": `probability ${p.toFixed(3)}` }, fill);
  if (threshold !== null && threshold !== undefined) {
    const mark = make("span", { class: "threshold", title: `threshold ${threshold.toFixed(3)}` });
    mark.style.left = `calc(${100 * threshold}% - 1px)`;
    track.append(mark);
  }
  return [make("span", {}, name), track, make("span", { class: "value" }, p.toFixed(3))];
}

export function exportJson() {
  const item = state.current;
  if (!item?.answer) return;
  const reading = { made: new Date().toISOString(), frame: item.frame, ...item.answer,
    notice: "Research and teaching only. This is not a medical device." };
  save(new Blob([JSON.stringify(reading, null, 1)], { type: "application/json" }), "json");
}

export async function exportPdf() {
  const item = state.current;
  if (!item?.answer || item.answer.status === "unreadable") return;
  const blob = await trying(() => ask("/page/reading", { query: { model: state.model, frame: item.frame }, file: item.file, as: "blob" }));
  if (blob) save(blob, "pdf");
}

function save(blob, ending) {
  const link = make("a", { href: URL.createObjectURL(blob), download: `reading-${state.current.file.name.replace(/\.[^.]*$/, "")}.${ending}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
