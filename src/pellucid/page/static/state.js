// What all parts of the page share: the model, what is known of it, and the image that is looked at.

export const state = { model: null, about: null, items: [], current: null };
const listeners = [];

export const onChange = (listener) => listeners.push(listener);
export const changed = () => listeners.forEach((listener) => listener());

// A target as the model has it: JSON keeps the order of its classes, an object in JavaScript does not.
export const targetOf = (name) => state.about.card.task.targets.find((one) => one.name === name);
