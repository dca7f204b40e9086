// Model: how good it is and on whom, what a threshold costs, and what it is not known to do.

import { ask, hasToken } from "./ask.js";
import { byId, draw, make, percent, trying } from "./html.js";
import { state } from "./state.js";
import { isNumber, pointWords } from "./words.js";

const SHOWN = ["auroc", "auprc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "brier", "log_loss"];
const AT_POINT = ["sensitivity", "specificity", "ppv", "npv"];
const WORDS = { auroc: "AUROC", auprc: "AUPRC", ppv: "PPV (precision)", npv: "NPV", f1: "F1", log_loss: "log-loss", balanced_accuracy: "balanced accuracy", brier: "Brier score" };
let asking = 0;

export function showModel() {
  const { about } = state;
  const { card } = about;
  const blocks = card.evaluation?.blocks || [];
  byId("model").replaceChildren(make("div", { class: "wide" },
    make("div", { class: "columns" },
      facts(about),
      ...card.task.targets.flatMap((target) => {
        const mine = blocks.filter((block) => block.target === target.name);
        const block = mine.find((one) => one.split === "test") || mine[0];
        return block ? [figures(block, target), confusion(block, mine, target), calibration(block), slider(target, card)].filter(Boolean) : [];
      })),
    about.has_report ? report() : make("p", { class: "muted" }, "The whole report is shown when a run is served; a bundle has none.")));
}

function facts(about) {
  const { card } = about;
  const limits = card.limits || [];
  const rows = [
    ["Model", about.name], ["Digest", about.digest.slice(0, 16)], ["Network", `${card.network.name}, ${card.preprocessing.image_size} pixels`],
    ["Trained on", card.dataset?.name || "not stated"], ["Computed by", `${about.engine} in ${about.precision}`],
    ["Decides at", Object.values(about.decides_at).map((point) => point || "the likeliest class").join(", ")],
    ["Guard", card.guard ? `knows ${card.guard.n_images.toLocaleString("en")} images of training` : "none"],
    ["Licence", card.licence || "not stated"], ["Meant for", card.intended_use || "not stated"],
  ];
  return make("section", { class: "card" }, make("h2", {}, "The model"),
    make("dl", { class: "facts" }, rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
    limits.length ? make("h3", {}, "Limits") : "", make("ul", {}, limits.map((line) => make("li", {}, line))));
}

function figures(block, target) {
  const { patients_known: known } = block;
  const people = known ? `${block.n_patients.toLocaleString("en")} patients` : "patients unknown";
  const chosen = (block.operating_points || []).find((point) => point.name === state.about.decides_at[target.name] && isNumber(point.threshold));
  const half = target.positive ? " Sensitivity, specificity, PPV, NPV, accuracy and F1 are at a probability of one half." : "";
  return make("section", { class: "card" }, make("h2", {}, `How good it is: ${block.target}`),
    make("p", { class: "muted" }, `${block.split}, ${block.n_images.toLocaleString("en")} images, ${people}; 95 % intervals by ${known ? "patient" : "image"}.${half}`),
    figuresTable(SHOWN, block.metrics),
    chosen && chosen.name !== "default" ? [make("h3", {}, `Where it decides: a threshold of ${chosen.threshold.toFixed(3)}`),
      make("p", { class: "muted" }, `${pointWords(target.name, chosen.name)}; counted on ${block.split}.`), figuresTable(AT_POINT, chosen.metrics)] : "");
}

function figuresTable(names, figures) {
  const row = (name, figure) => {
    if (!figure) return "";
    const bounds = isNumber(figure.low) ? `${figure.low.toFixed(3)} to ${figure.high.toFixed(3)}` : "no interval";
    return make("tr", { title: figure.reason || "" }, make("th", { scope: "row" }, WORDS[name] || name.replaceAll("_", " ")),
      make("td", { class: "number" }, isNumber(figure.value) ? figure.value.toFixed(3) : "–"),
      make("td", { class: "number" }, isNumber(figure.value) ? bounds : figure.reason || "undefined"));
  };
  return make("table", {}, make("thead", {}, make("tr", {}, make("th", {}, ""), make("th", { class: "number" }, "value"), make("th", { class: "number" }, "95 % interval"))),
    make("tbody", {}, names.map((name) => row(name, figures[name]))));
}

function confusion(block, mine, target) {
  const validation = mine.find((one) => one.split === "validation");
  const opens = state.about.has_report && validation;
  const shown = opens ? validation : block;
  const rule = target.positive ? " from a probability of one half on" : ", the likeliest class";
  const places = make("div", {});
  const cell = (truth, called, n) => opens && n
    ? make("button", { title: `Show images of ${truth} called ${called}`, onclick: () => mistakes(places, shown.target, truth, called) }, n)
    : make("span", {}, n);
  return make("section", { class: "card" }, make("h2", {}, "Confusion matrix"),
    make("p", { class: "muted" }, `${shown.split}; rows are the truth, columns what was called${rule}${opens ? "; a cell opens its images" : ""}.`),
    make("table", { class: "confusion" },
      make("thead", {}, make("tr", {}, make("th", {}, ""), shown.classes.map((name) => make("th", {}, name)))),
      make("tbody", {}, shown.confusion_matrix.map((row, k) => make("tr", {}, make("th", { scope: "row" }, shown.classes[k]),
        row.map((n, j) => make("td", {}, cell(shown.classes[k], shown.classes[j], n))))))), places);
}

async function mistakes(places, target, truth, called) {
  const mine = ++asking;
  const { model } = state;
  const found = await trying("mistakes", () => ask("/page/mistakes", { query: { model, target, truth, called } }));
  if (!found || mine !== asking) return;
  const right = truth === called ? "rightly" : `called ${called}`;
  places.replaceChildren(make("h3", {}, `${truth}, ${right}: the surest first`),
    make("div", { class: "tiles" }, found.images.map(({ number, probability }) => {
      const image = make("img", { alt: `image ${number}`, width: 160 });
      image.addEventListener("load", () => URL.revokeObjectURL(image.src));
      trying("mistakes", () => ask("/page/mistake", { query: { model, number }, as: "blob" })).then((blob) => { if (blob) image.src = URL.createObjectURL(blob); });
      return make("figure", {}, image, make("figcaption", {}, `${called} ${probability.toFixed(2)}`));
    })));
}

function calibration(block) {
  const bins = (block.calibration?.before?.bins || []).filter((bin) => bin.n);
  if (!bins.length) return null;
  const x = (p) => 40 + 250 * p;
  const y = (p) => 260 - 240 * p;
  const ink = "var(--muted)";
  const plot = draw("svg", { class: "plot", viewBox: "0 0 310 305", role: "img", "aria-label": "calibration" },
    draw("path", { d: `M${x(0)},${y(0)}H${x(1)}M${x(0)},${y(0)}V${y(1)}`, stroke: ink, fill: "none" }),
    draw("path", { d: `M${x(0)},${y(0)}L${x(1)},${y(1)}`, stroke: ink, "stroke-dasharray": "3 4", fill: "none" }),
    ...[0, 0.5, 1].flatMap((p) => [write(x(p), 277, p.toFixed(1), "middle"), write(32, y(p) + 4, p.toFixed(1), "end")]),
    write(x(0.5), 298, "probability given", "middle"), write(40, 12, "share that was so", "start"),
    ...bins.flatMap((bin) => [
      isNumber(bin.observed_low) ? draw("path", { d: `M${x(bin.mean_probability)},${y(bin.observed_low)}V${y(bin.observed_high)}`, stroke: "var(--accent)", "stroke-width": 1.5 }) : "",
      draw("circle", { cx: x(bin.mean_probability), cy: y(bin.observed), r: 4, fill: "var(--accent)" }, draw("title", {}, `${bin.n} images`)),
    ]));
  return make("section", { class: "card" }, make("h2", {}, "Calibration"),
    make("p", { class: "muted" }, `${block.split}, ${block.calibration.claim}; bars are 95 % intervals, the line is honesty.`), plot);
}

const write = (x, y, text, anchor) => draw("text", { x, y, "text-anchor": anchor }, text);

// What a threshold costs, at a prevalence: sensitivity, specificity, PPV and NPV. The slider goes
// from threshold to threshold of those that were counted, so that no figure is of another one.
function slider(target, card) {
  const curve = card.thresholds?.[target.name];
  if (!curve) return null;
  const last = curve.threshold.length - 1;
  const place = (threshold) => Math.max(0, curve.threshold.findIndex((one) => one >= threshold - 1e-12));
  const points = new Map([["default", 0.5], ...(card.operating_points?.[target.name] || []).map((point) => [point.name, point.threshold])]);
  const chosen = { k: place(0.5), prevalence: curve.n_positive / (curve.n_positive + curve.n_negative) };
  const four = make("div", { class: "four", "aria-live": "polite" });
  const said = make("p", {});
  const threshold = make("input", { type: "range", min: 0, max: last, step: 1, "aria-label": "threshold" });
  const prevalence = make("input", { type: "range", min: 0.001, max: 0.999, step: 0.001, "aria-label": "prevalence" });
  const shown = [make("span", {}), make("span", {})];
  const name = make("select", {}, make("option", { value: "" }, "none of them"), [...points.keys()].map((one) => make("option", { value: one }, one)));

  function show() {
    const { k, prevalence: pi } = chosen;
    const at = curve.threshold[k];
    threshold.value = k;
    threshold.setAttribute("aria-valuetext", at.toFixed(4));
    prevalence.value = pi;
    name.value = [...points].find(([, one]) => place(one) === k)?.[0] || "";
    const [sensitivity, specificity] = [curve.sensitivity[k], curve.specificity[k]];
    const called = pi * sensitivity + (1 - pi) * (1 - specificity);
    const ppv = called ? pi * sensitivity / called : null;
    const npv = 1 - called ? (1 - pi) * specificity / (1 - called) : null;
    const figure = (label, value) => make("div", {}, make("strong", {}, value === null ? "–" : `${(100 * value).toFixed(1)} %`), make("span", {}, label));
    four.replaceChildren(figure("sensitivity", sensitivity), figure("specificity", specificity), figure("PPV", ppv), figure("NPV", npv));
    shown[0].textContent = at < 0.01 ? at.toFixed(4) : at.toFixed(3);
    shown[1].textContent = percent(pi);
    const found = Math.round(1000 * pi * sensitivity);
    const alarms = Math.round(1000 * (1 - pi) * (1 - specificity));
    said.textContent = `Of 1,000 images, ${Math.round(1000 * pi)} show ${target.positive}: ${found} of them are found, and ${alarms} of the others are called ${target.positive} too.`;
  }
  threshold.addEventListener("input", () => { chosen.k = Number(threshold.value); show(); });
  prevalence.addEventListener("input", () => { chosen.prevalence = Number(prevalence.value); show(); });
  name.addEventListener("change", () => { if (name.value) chosen.k = place(points.get(name.value)); show(); });
  chosen.k = place(points.get(state.about.decides_at[target.name]) ?? 0.5);
  show();
  return make("section", { class: "card" }, make("h2", {}, "What a threshold costs"),
    make("p", { class: "muted" }, `Counted on ${curve.split}, ${curve.n_positive} with ${target.positive} and ${curve.n_negative} without, since test chooses nothing; PPV and NPV follow from the prevalence. Moving it changes no answer.`),
    make("div", { class: "slider" }, make("span", {}, "Threshold"), threshold, shown[0], make("span", {}, "Prevalence"), prevalence, shown[1]),
    four, said, make("div", { class: "settings" }, make("label", {}, "Operating point ", name)));
}

function report() {
  const place = make("div", {});
  const address = `/page/report?${new URLSearchParams({ model: state.model })}`;
  const open = make("button", { onclick: async () => {
    if (!hasToken()) { open.remove(); place.append(make("iframe", { title: "The report of the run", src: address })); return; }
    // a frame cannot say the token, so the report is saved
    const blob = await trying("report", () => ask("/page/report", { query: { model: state.model }, as: "blob" }));
    if (blob) make("a", { href: URL.createObjectURL(blob), download: "report.html" }).click();
  } }, hasToken() ? "Save the whole report" : "Show the whole report");
  return make("section", {}, make("h3", {}, "The report of the run"), open, place);
}
