// Questions to the server: the token, plain errors, and coming again when it is full.

let token = sessionStorage.getItem("pellucid-token") || "";
let asked = null;
let isDeclined = false;
const MOST_TRIES = 30;

export const hasToken = () => token !== "";

export class Refused extends Error {
  name = "Refused";
}

export async function ask(path, { query = {}, file = null, files = null, as = "json", signal = null } = {}) {
  const words = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== null && value !== "") words.set(key, value);
  const address = [...words].length ? `${path}?${words}` : path;
  for (let tries = 0; ; tries += 1) {
    const response = await send(address, files || (file && [file]), signal);
    if (response.status === 401 && !isDeclined) { await askForToken(); continue; }
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

async function send(address, files, signal) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  try {
    if (!files) return await fetch(address, { headers, signal });
    const body = new FormData();
    for (const one of files) body.append("files", one, one.name);
    return await fetch(address, { method: "POST", body, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("No answer came: the server has ended, the line is cut, or the file has changed.");
  }
}

async function reason(response) {
  try {
    const { detail } = await response.json();
    if (typeof detail === "string") return detail;
    return detail.map((one) => `${one.loc.slice(-1)}: ${one.msg}`).join("; ");
  } catch {
    return `The server answered ${response.status}.`;
  }
}

// All questions that are refused wait for one dialog.
function askForToken() {
  asked ||= showDialog().finally(() => { asked = null; });
  return asked;
}

function showDialog() {
  const dialog = document.getElementById("token-dialog");
  const field = document.getElementById("token");
  document.getElementById("token-said").textContent = token ? "The server refused that token." : "";
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    dialog.addEventListener("close", () => {
      const given = field.value.trim();
      if (dialog.returnValue !== "go" || !/^[\x21-\x7e]+$/.test(given)) {
        [token, isDeclined] = ["", true];
        sessionStorage.removeItem("pellucid-token");
        reject(new Refused("Without its token the server answers nothing. Reload the page to give it."));
        return;
      }
      token = given;
      sessionStorage.setItem("pellucid-token", token);
      resolve();
    }, { once: true });
  });
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
