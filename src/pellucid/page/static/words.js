// An answer in plain words: what was called and why, how sure, and what similar images showed.

import { percent } from "./html.js";

export function wordDecision(one) {
  const { decision } = one;
  if (!decision) return "The model abstains: its numbers are shown, but they decide nothing.";
  if (decision.threshold === null) return `${decision.called} is the likeliest class.`;
  const [positive] = Object.keys(one.probabilities).slice(-1);
  const p = one.probabilities[positive];
  const side = p >= decision.threshold ? "at or above" : "below";
  return `The probability of ${positive}, ${p.toFixed(3)}, is ${side} the threshold ${decision.threshold.toFixed(3)} (${pointName(decision.operating_point)}).`;
}

// A stage of the plain network has a number for a name.
export const layerName = (name) => (/^\d/.test(name) ? `block ${Number(name) + 1}` : name);

export function pointName(name) {
  return { youden: "Youden's point, chosen on validation", default: "one half",
    sensitivity: "chosen on validation for a sensitivity", specificity: "chosen on validation for a specificity",
    cost_ratio: "chosen on validation for what errors cost" }[name] || name;
}

export function wordSets(one) {
  return one.prediction_sets.map(({ promised, classes }) => {
    const said = `With ${percent(promised)} promised,`;
    if (!classes.length) return `${said} no class is in question: the image is unlike those of validation.`;
    if (classes.length === 1) return `${said} only ${classes[0]} is in question.`;
    return `${said} ${classes.slice(0, -1).join(", ")} and ${classes.slice(-1)} are in question.`;
  });
}

// How many of the judged images with such a probability showed the class.
export function wordSimilar(about, one) {
  const blocks = about.card.evaluation?.blocks || [];
  const block = blocks.find((b) => b.target === one.target && b.split === "test")
    || blocks.find((b) => b.target === one.target);
  const bins = block?.calibration?.before?.bins;
  if (!bins) return "";
  const names = Object.keys(one.probabilities);
  const claim = names.length === 2 ? names[1] : null;
  const p = claim ? one.probabilities[claim] : Math.max(...Object.values(one.probabilities));
  const bin = bins.find((b) => p >= b.low && (p < b.high || b.high >= 1));
  if (!bin || !bin.n) return `No ${block.split} image had such a probability.`;
  const what = claim ? `showed ${claim}` : "were called rightly";
  return `Of ${bin.n} ${block.split} images with a probability from ${bin.low.toFixed(1)} to ${bin.high.toFixed(1)}, ${percent(bin.observed)} ${what} (${percent(bin.observed_low)} to ${percent(bin.observed_high)}).`;
}
