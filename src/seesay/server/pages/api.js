/** What the page asks of the server. Addresses are relative, so that a proxy may put it anywhere. */

import { el } from "./dom.js";

const PATIENCE = 6; // times that a busy server is asked again

/** What went wrong, with what to do about it. */
export class Failure extends Error {
  constructor(message, remedy = "", status = 0) {
    super(message);
    this.remedy = remedy;
    this.status = status;
  }
}

export const state = () => ask("v1/library");
export const model = () => ask("v1/library/model");
export const progress = () => ask("v1/library/index");
export const photo = (item, signal) => ask(`v1/library/photos/${item}`, { signal });
export const photos = (wanted, signal) => ask(`v1/library/photos?${query(wanted)}`, { signal });
export const search = (wanted, signal) => ask("v1/search", { ...json(wanted), signal });
export const writeCaption = (item, caption) =>
  ask(`v1/library/photos/${item}/caption`, { ...json({ caption }), method: "PUT" });
export const restoreCaption = (item, version) =>
  ask(`v1/library/photos/${item}/caption/undo`, json(version ? { version } : {}));
export const index = (folders) => ask("v1/library/index", json({ folders }));
export const upload = (name, file) => ask(`v1/library/photos?${query({ name })}`, picture(file));
export const caption = (file, wanted = {}, signal) => ask(`v1/caption?${query(wanted)}`, { ...picture(file), signal });
export const question = (file, text) => ask(`v1/ask?${query({ question: text })}`, picture(file));
export const explain = (file, text) => ask(`v1/explain?${query({ text })}`, picture(file));

export const EXAMPLES = ["cat", "coffee", "astronaut", "rocket"];
export const exampleAt = (name) => `v1/library/examples/${name}`;

/** A photograph of the package's own, as a file. */
export async function example(name) {
  const answer = await fetch(exampleAt(name));
  if (!answer.ok) throw new Failure("The example is not there");
  return new File([await answer.blob()], `${name}.jpg`, { type: "image/jpeg" });
}

export const thumbnail = (photo, side) => `v1/library/photos/${photo.item}/thumbnail?side=${side}&key=${photo.key}`;
export const shown = (photo) => `v1/library/photos/${photo.item}/picture?key=${photo.key}`;
export const original = (photo) => `v1/library/photos/${photo.item}/original`;
export const exported = (format, wanted) => `v1/library/export?${query({ format, ...wanted })}`;

/** The file of a photograph in the library. */
export async function fetched(photo) {
  const answer = await fetch(photo.kind === "video" ? shown(photo) : original(photo));
  if (!answer.ok) throw new Failure(`${photo.name} cannot be read any more`, "Index its folder again");
  return answer.blob();
}

function query(wanted) {
  const given = Object.entries(wanted).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return new URLSearchParams(given);
}

function json(body) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

function picture(file) {
  const type = file.type.startsWith("image/") ? file.type : "application/octet-stream";
  return { method: "POST", headers: { "Content-Type": type }, body: file };
}

/** The answer. A server that is busy is asked again when it says; one that wants a key is given one. */
async function ask(address, options = {}) {
  for (let attempt = 1; ; attempt += 1) {
    let answer;
    try {
      answer = await fetch(address, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Failure("The server does not answer", "Is seesay serve still running?");
    }
    if (answer.ok) return answer.json();
    if (answer.status === 401 && (await keyGiven())) continue;
    if ((answer.status === 429 || answer.status === 503) && attempt < PATIENCE) {
      await pause(Number(answer.headers.get("Retry-After") || 1), options.signal);
      continue;
    }
    const said = (await answer.json().catch(() => ({}))).error ?? {};
    throw new Failure(said.message ?? `The server answers ${answer.status}`, said.remedy, answer.status);
  }
}

function pause(seconds, signal) {
  return new Promise((done, stop) => {
    setTimeout(done, 1000 * seconds);
    signal?.addEventListener("abort", () => stop(signal.reason), { once: true });
  });
}

let asking = null;

/** Ask whoever is here for the server's key; it stays in a cookie, since pictures cannot send a header. */
function keyGiven() {
  asking ??= new Promise((done) => {
    const field = el("input", { id: "key", type: "password", autocomplete: "current-password", required: true });
    const dialog = el(
      "dialog",
      { class: "sheet", "aria-labelledby": "key-title" },
      el("h2", { id: "key-title" }, "A key, please"),
      el("p", {}, "This server answers those who have one. It stays in this browser."),
      el(
        "form",
        { method: "dialog" },
        el("label", { for: "key" }, "Key"),
        field,
        el("div", { class: "row end" }, el("button", { class: "primary" }, "Go on")),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      asking = null;
      if (!field.value) return done(false);
      const secure = location.protocol === "https:" ? "; Secure" : "";
      document.cookie = `seesay-key=${quoted(field.value)}; SameSite=Strict; Path=/; Max-Age=31536000${secure}`;
      return done(true);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

/** A cookie's value that may hold anything: in quotes, with what is special as its octal number. */
function quoted(text) {
  return `"${text.replace(/[^\w.~!#$%&'*+^`|-]/g, (one) => `\\${one.charCodeAt(0).toString(8).padStart(3, "0")}`)}"`;
}
