// An answer in plain words: what was called and why, how sure, and what similar images showed.

import { percent } from "./html.js";
import { state, targetOf } from "./state.js";

export function wordDecision(one) {
  const { decision } = one;
  if (!decision) return "The model abstains: its numbers are shown, but they decide nothing.";
  if (decision.threshold === null) return `${decision.called} is the likeliest class.`;
  const { positive } = targetOf(one.target);
  const p = one.probabilities[positive];
  const side = p >= decision.threshold ? "at or above" : "below";
  return `The probability of ${positive}, ${p.toFixed(3)}, is ${side} the threshold ${decision.threshold.toFixed(3)} (${pointWords(one.target, decision.operating_point)}).`;
}

// A stage of the plain network has a number for a name.
export const layerName = (name) => (/^\d/.test(name) ? `block ${Number(name) + 1}` : name);

export function pointWords(target, name) {
  const point = (state.about.card.operating_points?.[target] || []).find((one) => one.name === name);
  const wanted = point?.wanted === null || point?.wanted === undefined ? "" : ` of ${percent(point.wanted)}`;
  return { youden: "Youden's point, chosen on validation", default: "one half",
    sensitivity: `chosen on validation for a sensitivity${wanted}`,
    specificity: `chosen on validation for a specificity${wanted}`,
    cost_ratio: "chosen on validation for what errors cost" }[name] || name;
}

// A promise and a comparison are of images like those of validation and test.
export function wordSets(one) {
  if (!one.decision) return one.prediction_sets.length ? ["How sure it may be called, and what similar images showed, is not said of an image for which the model abstains."] : [];
  return one.prediction_sets.map(({ promised, classes }) => {
    const said = `With ${percent(promised)} promised,`;
    if (!classes.length) return `${said} no class is probable enough: the model is less sure of this image than of nearly all of validation.`;
    if (classes.length === 1) return `${said} only ${classes[0]} is in question.`;
    return `${said} ${classes.slice(0, -1).join(", ")} and ${classes.slice(-1)} are in question.`;
  });
}

// How many of the judged images with such a probability showed the class.
export function wordSimilar(one) {
  if (!one.decision) return "";
  const blocks = state.about.card.evaluation?.blocks || [];
  const block = blocks.find((b) => b.target === one.target && b.split === "test")
    || blocks.find((b) => b.target === one.target);
  const bins = block?.calibration?.before?.bins;
  if (!bins) return "";
  const { positive } = targetOf(one.target);
  const p = positive ? one.probabilities[positive] : Math.max(...Object.values(one.probabilities));
  const bin = bins.find((b) => p >= b.low && (p < b.high || b.high >= 1));
  if (!bin || !bin.n) return `No ${block.split} image had such a probability.`;
  const what = positive ? `showed ${positive}` : "were called rightly";
  const between = isNumber(bin.observed_low) ? ` (${percent(bin.observed_low, 0)} to ${percent(bin.observed_high, 0)})` : "";
  return `Of ${bin.n} ${block.split} images with a probability from ${bin.low.toFixed(1)} to ${bin.high.toFixed(1)}, ${percent(bin.observed, 0)} ${what}${between}.`;
}

export const isNumber = (value) => typeof value === "number";
