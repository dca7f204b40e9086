// What all parts of the page share: the model, what is known of it, and the image that is looked at.

export const state = { model: null, about: null, items: [], current: null };
const listeners = [];

export const onChange = (listener) => listeners.push(listener);
export const changed = (what) => listeners.forEach((listener) => listener(what));
export const target = (name) => state.about.card.task.targets.find((one) => one.name === name);
