// Model: how good it is and on whom, what a threshold costs, and what it is not known to do.

import { ask, hasToken } from "./ask.js";
import { byId, choose, draw, make, percent, trying } from "./html.js";
import { state } from "./state.js";

const SHOWN = ["auroc", "auprc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "brier", "log_loss"];
const WORDS = { auroc: "AUROC", auprc: "AUPRC", ppv: "PPV (precision)", npv: "NPV", f1: "F1", log_loss: "log-loss", balanced_accuracy: "balanced accuracy", brier: "Brier score" };

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
        return block ? [figures(block), confusion(block, mine), calibration(block), slider(target, card)].filter(Boolean) : [];
      })),
    about.has_report ? report() : make("p", { class: "muted" }, "The whole report is shown when a run is served; a bundle has none.")));
  byId("model").className = "";
  byId("model").firstChild.style.height = "100%";
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

function figures(block) {
  const row = (name, figure) => {
    if (!figure || figure.value === null) return "";
    const bounds = figure.low === null || figure.low === undefined ? "no interval" : `${figure.low.toFixed(3)} to ${figure.high.toFixed(3)}`;
    return make("tr", {}, make("th", { scope: "row" }, WORDS[name] || name.replaceAll("_", " ")),
      make("td", { class: "number" }, figure.value.toFixed(3)), make("td", { class: "number" }, bounds));
  };
  const people = block.patients_known ? `${block.n_patients.toLocaleString("en")} patients` : "patients unknown";
  return make("section", { class: "card" }, make("h2", {}, `How good it is: ${block.target}`),
    make("p", { class: "muted" }, `${block.split}, ${block.n_images.toLocaleString("en")} images, ${people}; 95 % intervals by patient.`),
    make("table", {}, make("thead", {}, make("tr", {}, make("th", {}, ""), make("th", { class: "number" }, "value"), make("th", { class: "number" }, "95 % interval"))),
      make("tbody", {}, SHOWN.map((name) => row(name, block.metrics[name])))));
}

function confusion(block, mine) {
  const validation = mine.find((one) => one.split === "validation");
  const opens = state.about.has_report && validation;
  const shown = opens ? validation : block;
  const places = make("div", {});
  const cell = (truth, called, n) => opens && n
    ? make("button", { title: `Show images of ${truth} called ${called}`, onclick: () => mistakes(places, shown.target, truth, called) }, n)
    : make("span", {}, n);
  return make("section", { class: "card" }, make("h2", {}, "Confusion matrix"),
    make("p", { class: "muted" }, `${shown.split}; rows are the truth, columns what was called${opens ? "; a cell opens its images" : ""}.`),
    make("table", { class: "confusion" },
      make("thead", {}, make("tr", {}, make("th", {}, ""), shown.classes.map((name) => make("th", {}, name)))),
      make("tbody", {}, shown.confusion_matrix.map((row, k) => make("tr", {}, make("th", { scope: "row" }, shown.classes[k]),
        row.map((n, j) => make("td", {}, cell(shown.classes[k], shown.classes[j], n))))))), places);
}

async function mistakes(places, target, truth, called) {
  const query = { model: state.model, target, truth, called };
  const found = await trying(() => ask("/page/mistakes", { query }));
  if (!found) return;
  const right = truth === called ? "rightly" : `called ${called}`;
  places.replaceChildren(make("h3", {}, `${truth}, ${right}: the surest first`),
    make("div", { class: "tiles" }, found.images.map(({ number, probability }) => {
      const image = make("img", { alt: `image ${number}`, width: 160 });
      trying(() => ask("/page/mistake", { query: { model: state.model, number }, as: "blob" })).then((blob) => { if (blob) image.src = URL.createObjectURL(blob); });
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
      draw("path", { d: `M${x(bin.mean_probability)},${y(bin.observed_low)}V${y(bin.observed_high)}`, stroke: "var(--accent)", "stroke-width": 1.5 }),
      draw("circle", { cx: x(bin.mean_probability), cy: y(bin.observed), r: 4, fill: "var(--accent)" }, draw("title", {}, `${bin.n} images`)),
    ]));
  return make("section", { class: "card" }, make("h2", {}, "Calibration"),
    make("p", { class: "muted" }, `${block.split}, ${block.calibration.claim}; bars are 95 % intervals, the line is honesty.`), plot);
}

const write = (x, y, text, anchor) => draw("text", { x, y, "text-anchor": anchor }, text);

// What a threshold costs, at a prevalence: sensitivity, specificity, PPV and NPV.
function slider(target, card) {
  const curve = card.thresholds?.[target.name];
  if (!curve) return null;
  const points = (card.operating_points?.[target.name] || []).map((point) => point.name);
  const chosen = { threshold: 0.5, prevalence: curve.n_positive / (curve.n_positive + curve.n_negative) };
  const four = make("div", { class: "four", "aria-live": "polite" });
  const said = make("p", {});
  const threshold = make("input", { type: "range", min: 0, max: 1, step: 0.005, "aria-label": "threshold" });
  const prevalence = make("input", { type: "range", min: 0.001, max: 0.999, step: 0.001, "aria-label": "prevalence" });
  const shown = [make("span", {}), make("span", {})];

  function show() {
    threshold.value = chosen.threshold;
    prevalence.value = chosen.prevalence;
    const k = Math.min(curve.threshold.length - 1, Math.ceil(chosen.threshold / 0.005 - 1e-9));
    const [sensitivity, specificity, pi] = [curve.sensitivity[k], curve.specificity[k], chosen.prevalence];
    const called = pi * sensitivity + (1 - pi) * (1 - specificity);
    const ppv = called ? pi * sensitivity / called : null;
    const npv = 1 - called ? (1 - pi) * specificity / (1 - called) : null;
    const figure = (name, value) => make("div", {}, make("strong", {}, value === null ? "–" : percent(value, 1)), make("span", {}, name));
    four.replaceChildren(figure("sensitivity", sensitivity), figure("specificity", specificity), figure("PPV", ppv), figure("NPV", npv));
    shown[0].textContent = chosen.threshold.toFixed(3);
    shown[1].textContent = percent(pi, 1);
    const found = Math.round(1000 * pi * sensitivity);
    const alarms = Math.round(1000 * (1 - pi) * (1 - specificity));
    said.textContent = `Of 1,000 images, ${Math.round(1000 * pi)} show ${target.positive}: ${found} of them are found, and ${alarms} of the others are called ${target.positive} too.`;
  }
  threshold.addEventListener("input", () => { chosen.threshold = Number(threshold.value); show(); });
  prevalence.addEventListener("input", () => { chosen.prevalence = Number(prevalence.value); show(); });
  const jump = (name) => {
    const point = card.operating_points[target.name].find((one) => one.name === name);
    chosen.threshold = point.threshold;
    show();
  };
  const start = state.about.decides_at[target.name];
  if (points.includes(start)) jump(start); else show();
  return make("section", { class: "card" }, make("h2", {}, "What a threshold costs"),
    make("p", { class: "muted" }, `Counted on ${curve.split}, ${curve.n_positive} with ${target.positive} and ${curve.n_negative} without, since test chooses nothing; PPV and NPV follow from the prevalence. Moving it changes no answer.`),
    make("div", { class: "slider" }, make("span", {}, "Threshold"), threshold, shown[0], make("span", {}, `Prevalence`), prevalence, shown[1]),
    four, said,
    points.length ? make("div", { class: "settings" }, choose(points, points.includes(start) ? start : points[0], jump, "Operating point")) : "");
}

function report() {
  const place = make("div", {});
  const address = `/page/report?${new URLSearchParams({ model: state.model })}`;
  const open = make("button", { onclick: async () => {
    if (!hasToken()) { open.remove(); place.append(make("iframe", { title: "The report of the run", src: address })); return; }
    // a frame cannot say the token, so the report is saved
    const blob = await trying(() => ask("/page/report", { query: { model: state.model }, as: "blob" }));
    if (blob) make("a", { href: URL.createObjectURL(blob), download: "report.html" }).click();
  } }, hasToken() ? "Save the whole report" : "Show the whole report");
  return make("section", {}, make("h3", {}, "The report of the run"), open, place);
}
