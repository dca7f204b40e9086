// The work list: which images there are, what was said of each, and the sending of them.
//
// An item has a version, which every new question about it raises: an answer to an older one, of
// another frame or model, is not taken.

import { ask } from "./ask.js";
import { byId, make } from "./html.js";
import { state } from "./state.js";

const AT_ONCE = 8;
const BYTES_AT_ONCE = 4 * 2 ** 20; // a slow line has half a minute for them

export class Worklist {
  constructor({ chosen, answered }) {
    Object.assign(this, { chosen, answered });
    this.sending = new AbortController();
  }

  add(files) {
    const items = files.map((file) => this.makeItem(file));
    state.items.push(...items);
    byId("list").append(...items.map((item) => item.row));
    this.show();
    this.answer(items);
    return items;
  }

  clear() {
    this.sending.abort();
    this.sending = new AbortController();
    state.items = [];
    byId("list").replaceChildren();
    this.show();
  }

  makeItem(file) {
    const item = { file, frame: 0, frames: 1, version: 0, answer: null, picture: null, error: "" };
    item.said = make("span", { class: "said" });
    item.number = make("span", { class: "number" });
    item.button = make("button", { onclick: () => this.chosen(item) },
      make("span", { class: "file", title: file.name }, file.name), item.number, item.said);
    item.row = make("li", {}, item.button);
    return item;
  }

  // Ask anew: many small files together, a large one alone, the one that is looked at first.
  async answer(items) {
    if (!state.about) return; // once the model is known, all are asked about
    const { signal } = this.sending;
    for (const item of items) {
      Object.assign(item, { version: item.version + 1, answer: null, error: "" });
      item.isTooLarge = item.file.size > state.about.max_body;
      if (item.isTooLarge) item.error = "It is larger than the server takes.";
    }
    this.show();
    const asked = items.map((item) => ({ item, version: item.version }));
    for (const group of grouped(asked.filter(({ item }) => !item.error))) {
      if (signal.aborted) return;
      await this.send(group.filter(isWanted), signal);
    }
  }

  async send(group, signal) {
    if (!group.length) return;
    const model = state.model;
    const query = { model, frame: group[0].item.frame };
    let found = null;
    let reason = "";
    try {
      found = await ask("/v1/predict", { query, files: group.map(({ item }) => item.file), signal });
    } catch (error) {
      reason = error.message;
    }
    if (signal.aborted) return;
    if (!found && group.length > 1) { // one of them may be why
      for (const one of group) await this.send([one].filter(isWanted), signal);
      return;
    }
    const taken = group.map((one, k) => [one, k]).filter(([one]) => isWanted(one) && model === state.model);
    for (const [{ item }, k] of taken) {
      item.answer = found ? { ...found.results[k], model: found.model, digest: found.digest } : null;
      item.error = reason;
      item.frames = item.answer?.image.frames || item.frames;
    }
    this.show();
    this.answered(taken.map(([{ item }]) => item));
  }

  show() {
    const n = state.items.length;
    const done = state.items.filter((item) => item.answer || item.error).length;
    byId("list-count").textContent = n === 0 ? "No images yet" : done < n ? `${done} of ${n} answered` : `${n} image${n > 1 ? "s" : ""}`;
    byId("clear").hidden = n === 0;
    for (const item of state.items) showItem(item);
  }
}

const isWanted = ({ item, version }) => item.version === version;

function grouped(asked) {
  const groups = [];
  const first = asked.filter(({ item }) => item === state.current);
  for (const one of [...first, ...asked.filter(({ item }) => item !== state.current)]) {
    const last = groups[groups.length - 1];
    const size = last ? last.reduce((sum, { item }) => sum + item.file.size, 0) : 0;
    const fits = last && last.length < AT_ONCE && size + one.item.file.size < BYTES_AT_ONCE;
    if (fits && last[0].item.frame === one.item.frame) last.push(one);
    else groups.push([one]);
  }
  return groups;
}

function showItem(item) {
  const [number, said, isMarked] = summary(item);
  item.number.textContent = number;
  item.said.textContent = said;
  item.said.classList.toggle("mark", isMarked);
  item.button.setAttribute("aria-current", item === state.current);
}

function summary(item) {
  if (item.error) return ["", "not answered", true];
  if (!item.answer) return ["", "…", false];
  const { status, targets, reasons } = item.answer;
  if (status !== "answered") return ["", status === "unreadable" ? "unreadable" : `abstains: ${reasons[0].code.replaceAll("_", " ")}`, true];
  const { called } = targets[0].decision;
  return [targets[0].probabilities[called].toFixed(2), targets.map((each) => each.decision.called).join(", "), false];
}

// What was dropped, with the files of folders; those that begin with a dot are passed over.
export async function filesOf(dropped) {
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...dropped.files];
  const found = await Promise.all(entries.map(inside));
  return found.flat();
}

// What the browser may not read of a folder is passed over.
async function inside(entry) {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) return new Promise((resolve) => { entry.file((file) => resolve([file]), () => resolve([])); });
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a reader gives at most a hundred at a time
    const some = await new Promise((resolve) => { reader.readEntries(resolve, () => resolve([])); });
    if (!some.length) return found;
    found.push(...(await Promise.all(some.map(inside))).flat());
  }
}
