// Questions to the server: the token, plain errors, and coming again when it is full.

let token = sessionStorage.getItem("pellucid-token") || "";
const MOST_TRIES = 30;

export const hasToken = () => token !== "";

export class Refused extends Error {}

export async function ask(path, { query = {}, file = null, files = null, as = "json" } = {}) {
  const words = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== null && value !== "") words.set(key, value);
  const address = [...words].length ? `${path}?${words}` : path;
  for (let tries = 0; ; tries += 1) {
    const response = await send(address, files || (file && [file]));
    if (response.status === 401) { await askForToken(); continue; }
    if (response.status === 429 && tries < MOST_TRIES) {
      await wait(1000 * Number(response.headers.get("Retry-After") || 1));
      continue;
    }
    if (!response.ok) throw new Refused(await reason(response));
    if (as === "json") return response.json();
    if (as === "blob") return response.blob();
    return { facts: JSON.parse(response.headers.get("X-Facts")), data: await response.arrayBuffer() };
  }
}

async function send(address, files) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  try {
    if (!files) return await fetch(address, { headers });
    const body = new FormData();
    for (const one of files) body.append("files", one, one.name);
    return await fetch(address, { method: "POST", body, headers });
  } catch {
    throw new Refused("The server does not answer. Is it still running?");
  }
}

async function reason(response) {
  try {
    const { detail } = await response.json();
    return typeof detail === "string" ? detail : "The question was not understood.";
  } catch {
    return `The server answered ${response.status}.`;
  }
}

function askForToken() {
  const dialog = document.getElementById("token-dialog");
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      token = document.getElementById("token").value.trim();
      sessionStorage.setItem("pellucid-token", token);
      resolve();
    }, { once: true });
  });
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
