// Read: a work list, a viewer, and what the model says of the image that is looked at.

import { ask } from "./ask.js";
import { byId, make, trying } from "./html.js";
import { changed, state, targetOf } from "./state.js";
import { toHeat, toPicture, Viewer } from "./viewer.js";
import { layerName, wordDecision, wordSets, wordSimilar } from "./words.js";
import { filesOf, Worklist } from "./worklist.js";

const PICTURES_KEPT = 6; // each may have 25 MB
export const viewer = new Viewer(byId("canvas"), showControls);
const worklist = new Worklist({ chosen: select, answered });
const recent = [];
let shownItem = null; // whose picture the viewer's level, window and place are of
let heatOn = true;
let asking = 0;
let heating = new AbortController();
let loading = new AbortController();

export function openRead() {
  byId("files").addEventListener("change", (event) => { add([...event.target.files]); event.target.value = ""; });
  const drop = byId("drop");
  document.body.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  document.body.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.body.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add(await filesOf(event.dataTransfer));
  });
  byId("clear").addEventListener("click", () => { worklist.clear(); select(null); });
  byId("level").addEventListener("input", (event) => viewer.set({ level: Number(event.target.value) }));
  byId("window").addEventListener("input", (event) => viewer.set({ window: Number(event.target.value) }));
  byId("zoom").addEventListener("input", (event) => viewer.zoomAt(Number(event.target.value) - viewer.zoom));
  byId("opacity").addEventListener("input", (event) => { viewer.opacity = Number(event.target.value); viewer.draw(); });
  byId("invert").addEventListener("click", () => viewer.set({ inverted: !viewer.inverted }));
  byId("fit").addEventListener("click", () => viewer.fit());
  byId("method").addEventListener("change", (event) => { heatOn = event.target.value !== ""; layHeat(); });
  byId("heat-class").addEventListener("change", () => layHeat());
  byId("frame").addEventListener("change", chooseFrame);
}

function add(files) {
  const items = worklist.add(files);
  if (!state.current && items.length) select(items[0]);
}

// Everything that was said of a frame goes with it, so that nothing of two frames is mixed.
function chooseFrame(event) {
  const item = state.current;
  const frame = Number(event.target.value) - 1;
  if (!Number.isInteger(frame) || frame < 0 || frame >= item.frames) { event.target.value = item.frame + 1; return; }
  Object.assign(item, { frame, picture: null });
  worklist.answer([item]);
  select(item);
}

export function modelChanged() {
  const methods = byId("method");
  const kept = methods.value;
  methods.replaceChildren(make("option", { value: "" }, "none"),
    ...state.about.methods.map((name) => make("option", { value: name }, name.replaceAll("_", " "))));
  if (heatOn) methods.value = state.about.methods.includes(kept) ? kept : state.about.methods[0];
  for (const item of state.items) item.picture = null; // its grey window may be the model's
  worklist.answer(state.items);
  if (state.current) select(state.current);
}

function answered(items) {
  if (!items.includes(state.current)) return;
  findings();
  heatClasses();
  showFacts();
  layHeat();
}

export async function select(item) {
  const isAnother = item !== state.current;
  state.current = item;
  worklist.show();
  item?.row.scrollIntoView({ block: "nearest" });
  findings();
  heatClasses();
  byId("empty").hidden = Boolean(item);
  byId("tools").hidden = !item;
  if (isAnother || !item?.picture) viewer.clear();
  showFacts();
  changed();
  loading.abort();
  loading = new AbortController();
  if (!item) return;
  const mine = loading;
  if (!item.picture && item.answer?.status !== "unreadable" && !item.isTooLarge) {
    const { frame } = item;
    const numbers = await trying("picture", () => ask("/page/pixels",
      { query: { model: state.model, frame }, file: item.file, as: "numbers", signal: mine.signal }));
    if (mine !== loading) return;
    if (numbers) keepPicture(item, toPicture(numbers));
  }
  item.hasNoPicture = !item.picture;
  if (item.picture) {
    viewer.show(item.picture, item !== shownItem);
    shownItem = item;
    showFacts();
  }
  changed();
  layHeat();
}

function keepPicture(item, picture) {
  Object.assign(item, { picture, frames: picture.facts.frames || 1 });
  recent.splice(0, recent.length, item, ...recent.filter((one) => one !== item));
  for (const old of recent.splice(PICTURES_KEPT)) old.picture = null;
}

function showFacts() {
  const item = state.current;
  const facts = item?.picture?.facts;
  byId("under").textContent = facts
    ? [facts.format, `${facts.width} × ${facts.height} pixels`, `${facts.bit_depth} bit`, facts.modality,
      facts.window && `grey window ${facts.window}, within which level and window move`].filter(Boolean).join(", ") : "";
  byId("frame-choice").hidden = !(item?.frames > 1);
  if (item) Object.assign(byId("frame"), { value: item.frame + 1, max: item.frames });
  byId("frame-count").textContent = item ? `of ${item.frames}` : "";
}

function heatClasses() {
  const targets = state.current?.answer?.targets || [];
  byId("heat-class").replaceChildren(...targets.flatMap((one) => targetOf(one.target).classes.map((name) =>
    make("option", { value: JSON.stringify([one.target, name]) }, targets.length > 1 ? `${one.target}: ${name}` : name))));
  const [first] = targets;
  if (!first) return;
  const likeliest = Object.entries(first.probabilities).sort((a, b) => b[1] - a[1])[0][0];
  byId("heat-class").value = JSON.stringify([first.target, first.decision?.called || likeliest]);
}

export async function layHeat() {
  const mine = ++asking;
  heating.abort();
  heating = new AbortController();
  const item = state.current;
  const method = byId("method").value;
  const picture = item?.picture;
  if (!picture || !item.answer || !method || !heatOn || !byId("heat-class").value) { viewer.lay(null); return; }
  const [name, label] = JSON.parse(byId("heat-class").value);
  const query = { model: state.model, frame: item.frame, target: name, of_class: label, method };
  const found = await trying("heat", () => ask("/page/heat", { query, file: item.file, as: "numbers", signal: heating.signal }));
  if (mine !== asking || state.current !== item || item.picture !== picture) return;
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

function findings() {
  const box = byId("findings");
  const item = state.current;
  if (!item) {
    box.replaceChildren(make("h2", {}, "What the model says"), make("p", { class: "muted" }, "Of each image: probabilities, the decision at the operating point, the classes in question, and what speaks against an answer."));
    return;
  }
  if (!item.answer) {
    box.replaceChildren(make("h2", {}, item.file.name), make("p", { class: item.error ? "abstains" : "muted" }, item.error || "Being answered …"),
      item.error ? make("button", { onclick: () => { worklist.answer([item]); select(item); } }, "Ask again") : "");
    return;
  }
  const { status, reasons, targets } = item.answer;
  box.replaceChildren(
    make("p", { class: "muted" }, item.frames > 1 ? `${item.answer.name}, frame ${item.frame + 1} of ${item.frames}` : item.answer.name),
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
  const { classes, positive } = targetOf(one.target);
  const threshold = one.decision?.threshold;
  const ordered = positive ? [...classes].reverse() : [...classes].sort((a, b) => one.probabilities[b] - one.probabilities[a]);
  return make("div", { class: "target" },
    state.about.card.task.targets.length > 1 ? make("p", { class: "muted" }, one.target) : "",
    make("p", { class: `called ${one.decision ? "" : "abstains"}` }, one.decision ? one.decision.called : "No decision"),
    make("div", { class: "bars" }, ordered.flatMap((name) => bar(name, one.probabilities[name], name === positive ? threshold : null))),
    make("p", {}, wordDecision(one)),
    ...wordSets(one).map((said) => make("p", {}, said)),
    make("p", { class: "muted" }, wordSimilar(one)));
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
  save(new Blob([JSON.stringify(reading, null, 1)], { type: "application/json" }), nameOf(item), "json");
}

export async function exportPdf() {
  const item = state.current;
  if (!item?.answer || item.answer.status === "unreadable") return;
  const name = nameOf(item); // now: while the server draws, another image may be chosen
  const blob = await trying("pdf", () => ask("/page/reading", { query: { model: item.answer.model, frame: item.frame }, file: item.file, as: "blob" }));
  if (blob) save(blob, name, "pdf");
}

const nameOf = (item) => `reading-${item.file.name.replace(/\.[^.]*$/, "")}${item.frames > 1 ? `-frame-${item.frame + 1}` : ""}`;

function save(blob, name, ending) {
  const link = make("a", { href: URL.createObjectURL(blob), download: `${name}.${ending}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
