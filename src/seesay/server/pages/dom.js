/** Elements in one line each, and the few things that every view says or asks of the page. */

/** An element: `el("button", { class: "quiet", onclick: save, disabled: true }, "Save")`. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const PATHS = {
  back: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  close: "M6 6l12 12M18 6L6 18",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16.200 16.200L21 21",
  edit: "M4 20l1-4L16.500 4.500a2.100 2.100 0 0 1 3 3L8 19l-4 1z",
  plus: "M12 5v14M5 12h14",
  save: "M12 4v11M7 10.500l5 5 5-5M5 20h14",
  pictures: "M4 5h16v14H4zM4 16l4.500-4.500 4 4 2.500-2.500 5 4.500M15.500 9.500h.010",
  folder: "M3.500 6.500h6l2 2.500h9V19h-17z",
  undo: "M8 5L4 9l4 4M4 9h10a5.500 5.500 0 0 1 0 11h-4",
  filter: "M4 6h16M7 12h10M10 18h4",
  eye: "M2.500 12C5 7.500 8.300 5.300 12 5.300s7 2.200 9.500 6.700c-2.500 4.500-5.800 6.700-9.500 6.700S5 16.500 2.500 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
};

/** A small drawing beside a word that says the same. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

const status = document.getElementById("status");
let fading = 0;

/** Say something: it is shown for a moment, and read out. Where a dialog is open, in it: what is behind it is not seen. */
export function say(words, { error = false } = {}) {
  const place = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
  if (status.parentElement !== place) place.append(status);
  status.textContent = words;
  status.classList.toggle("error", error);
  status.classList.add("shown");
  clearTimeout(fading);
  fading = setTimeout(() => status.classList.remove("shown"), error ? 8000 : 3000);
}

/** Say what went wrong, and what to do about it. */
export function complain(error) {
  if (error.name === "AbortError") return;
  say([error.message, error.remedy].filter(Boolean).join(". "), { error: true });
}

/** Put text on the clipboard, also where the page has no secure address and the browser's own way is shut. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = el("textarea", { class: "unseen", "aria-hidden": "true" });
    field.value = text;
    const holder = document.querySelector("dialog[open]") ?? document.body;
    const before = document.activeElement;
    holder.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    before?.focus?.();
    if (!done) return say("The browser does not let this page copy", { error: true });
  }
  say(`${what} copied`);
}

/** Whether somebody is writing, so that keys are theirs. */
export function writing() {
  return document.activeElement?.matches?.("input, textarea, select, video") ?? false;
}
