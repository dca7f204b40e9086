// Elements, made of words and never of markup: what a file is called cannot become a script.

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key.startsWith("aria-")) element.setAttribute(key, String(value));
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function draw(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.flat());
  return element;
}

export const byId = (id) => document.getElementById(id);
export const percent = (share, digits = 1) => `${Number((100 * share).toFixed(digits))} %`;

export function choose(options, chosen, onchange, label) {
  return make("label", {}, `${label} `, make("select", { onchange: (event) => onchange(event.target.value) },
    options.map((option) => make("option", { value: option, selected: option === chosen }, option))));
}

// What stands where an image should be played with or looked into, and is not there.
export function lacking(item, wanted) {
  if (!item) return make("p", {}, `Choose an image in Read: ${wanted}.`);
  return make("p", {}, item.hasNoPicture ? "The image that is chosen could not be shown." : "The image is on its way …");
}

export function press(button) {
  for (const one of button.parentNode.children) one.setAttribute("aria-pressed", one === button);
}

let saidBy = "";

// What went wrong stays to be read until the same question is answered, or another goes wrong.
export async function trying(topic, work) {
  try {
    const found = await work();
    if (saidBy === topic) say("", "");
    return found;
  } catch (error) {
    if (error.name === "AbortError") return null;
    say(error.message, topic);
    if (error.name !== "Refused") console.error(error);
    return null;
  }
}

function say(text, topic) {
  saidBy = topic;
  byId("message").textContent = text;
  byId("message").hidden = !text;
}
