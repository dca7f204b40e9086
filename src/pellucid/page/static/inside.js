// Inside: the network layer by layer, the maps of the image that is looked at, and what a unit sees.

import { ask } from "./ask.js";
import { byId, lacking, make, press, trying } from "./html.js";
import { state } from "./state.js";
import { Viewer } from "./viewer.js";
import { layerName } from "./words.js";

let anatomy = null;
let anatomyOf = "";
let viewer = null;
let shown = ""; // a layer, or the walk
let waiting = 0;
let asked = new AbortController();
const WALK = "walk";

export async function showInside() {
  const box = byId("inside");
  if (!state.about.has_torch) {
    box.replaceChildren(make("div", { class: "wide" }, make("h2", {}, "Inside"), make("p", {}, "Looking inside needs the package torch on the server: pip install \"pellucid[train]\". Reading and judging work without it.")));
    return;
  }
  const model = state.model;
  if (anatomyOf !== model) {
    const found = await trying("anatomy", () => ask("/page/anatomy", { query: { model } }));
    if (model !== state.model) return;
    if (!found) { box.replaceChildren(make("div", { class: "wide" }, make("p", {}, "The network could not be asked for."), make("button", { onclick: showInside }, "Try again"))); return; }
    [anatomy, anatomyOf, shown] = [found, model, found.stages[0]];
  }
  const canvas = make("canvas", { "aria-label": "The image, with what the unit sees" });
  canvas.style.height = "22rem";
  const note = make("p", { class: "muted" });
  const choice = (name, said) => make("button", { "aria-pressed": name === shown, onclick: (event) => { shown = name; press(event.target); show(); } }, said);
  box.replaceChildren(make("div", { class: "wide" }, make("div", { class: "split" },
    make("div", {}, make("h2", {}, `${anatomy.network}: ${anatomy.formula}`),
      make("p", { class: "muted" }, `${anatomy.parameters.toLocaleString("en")} parameters, ${anatomy.multiply_adds.toLocaleString("en")} multiply-adds an image.`),
      make("div", { class: "subtabs" }, anatomy.stages.map((name) => choice(name, layerName(name))), choice(WALK, "From edges to disease")),
      make("div", { id: "maps" })),
    make("div", { class: "sticky" }, canvas, note)),
    make("h3", {}, "Every layer"), table()));
  viewer = new Viewer(canvas);
  viewer.note = note;
  if (state.current?.picture) viewer.show(state.current.picture);
  show();
}

// The maps of a layer, or the walk, of the image that is looked at: the newest question counts.
async function show() {
  const mine = ++waiting;
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  const place = byId("maps");
  const item = state.current;
  if (!item?.picture) {
    place.replaceChildren(lacking(item, "its feature maps are shown here"));
    return;
  }
  place.replaceChildren(make("p", { class: "muted" }, "…"));
  const query = { model: state.model, frame: item.frame, ...(shown === WALK ? {} : { layer: shown }) };
  const found = await trying("inside", () => ask(shown === WALK ? "/page/walk" : "/page/maps", { query, file: item.file, signal }));
  if (mine !== waiting) return;
  place.replaceChildren(...(!found ? [make("button", { onclick: show }, "Try again")] : found.stages ? walk(found) : maps(found)));
}

function maps(found) {
  const { field } = found;
  const sees = field.is_whole_image ? "the whole image" : `${Math.round(field.size)} × ${Math.round(field.size)} of the network's ${found.image_size} × ${found.image_size} pixels`;
  return [
    make("p", {}, `${layerName(found.layer)}: ${found.channels} maps of ${found.rows} × ${found.columns}; a unit sees ${sees}. The strongest maps are first; ${found.is_signed ? "grey is 0, bright above, dark below" : "black is 0"}. Point at a cell to see its field on the image.`),
    make("div", { class: "tiles" }, found.maps.map((one) => make("figure", {},
      map(one, found), make("figcaption", {}, `channel ${one.channel}`))))];
}

function map(one, found) {
  const image = make("img", { class: "map", alt: `channel ${one.channel}`, src: `data:image/png;base64,${one.png}`, tabindex: 0 });
  const point = (event) => {
    const column = Math.min(found.columns - 1, Math.floor(found.columns * event.offsetX / image.clientWidth));
    const row = Math.min(found.rows - 1, Math.floor(found.rows * event.offsetY / image.clientHeight));
    showField(found, Math.max(0, row), Math.max(0, column));
  };
  image.addEventListener("pointermove", point);
  image.addEventListener("pointerdown", point);
  const at = { row: 0, column: 0 };
  image.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    at.row = Math.min(found.rows - 1, Math.max(0, at.row + move[0]));
    at.column = Math.min(found.columns - 1, Math.max(0, at.column + move[1]));
    showField(found, at.row, at.column);
  });
  return image;
}

// From the network's square back to the picture: what `preprocess` did, undone.
function showField(found, row, column) {
  if (!viewer.picture) return;
  const { rows, columns } = viewer.picture;
  const { field, image_size: side, placed } = found;
  const first = (unit) => field.is_whole_image ? -0.5 : field.start + unit * field.stride - field.size / 2;
  const size = field.is_whole_image ? side : field.size;
  const [sy, sx] = [rows / placed.height, columns / placed.width];
  viewer.box = { x: (first(column) + 0.5 - placed.left) * sx, y: (first(row) + 0.5 - placed.top) * sy, width: size * sx, height: size * sy };
  viewer.draw();
  viewer.note.textContent = `${layerName(found.layer)}, row ${row}, column ${column}: it sees what is framed, ${Math.round(size)} × ${Math.round(size)} of the network's pixels${size > side ? ", more than the image has" : ""}.`;
}

function walk(found) {
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
  return [
    ...found.stages.map((stage, k) => make("section", {}, make("h3", {}, `${k + 1}. ${layerName(stage.layer)}`),
      make("p", { class: "muted" }, `${stage.shape[0]} maps of ${stage.shape[1]} × ${stage.shape[2]}; a unit sees ${stage.is_whole_image ? "the whole image" : `${Math.round(stage.sees)} pixels`}.`),
      make("div", { class: "tiles" }, stage.maps.map((one) => make("figure", {}, make("img", { class: "map", alt: "", src: `data:image/png;base64,${one.png}` }), make("figcaption", {}, `channel ${one.channel}`)))))),
    make("h3", {}, `${found.stages.length + 1}. Global ${found.pooling} pooling and the fully connected layer`),
    make("p", { class: "muted" }, `Each map becomes one number, ${found.n_features} in all; a logit is their weighted sum.`),
    ...found.logits.map((logit) => make("p", {}, make("strong", {}, `Logit of ${logit.of_class}: ${logit.value.toFixed(2)}`), ` = ${logit.features.map((one) => `${signed(one.adds)} (channel ${one.channel})`).join(" ")} ${signed(logit.others)} (all others) ${signed(logit.bias)} (bias)`))];
}

function table() {
  const heads = ["Layer", "What it is", "Output", "Parameters", "Sees"];
  return make("table", {}, make("thead", {}, make("tr", {}, heads.map((name, k) => make("th", { class: k > 2 ? "number" : "" }, name)))),
    make("tbody", {}, anatomy.rows.map((row) => make("tr", {},
      make("td", {}, row.name), make("td", {}, row.kind, " ", make("small", {}, row.hyperparameters)), make("td", {}, (row.output_shape || []).join(" × ")),
      make("td", { class: "number" }, Number(row.parameters).toLocaleString("en")),
      make("td", { class: "number" }, row.receptive_field ? (row.receptive_field.is_whole_image ? "all" : Math.round(row.receptive_field.size)) : "?")))));
}
