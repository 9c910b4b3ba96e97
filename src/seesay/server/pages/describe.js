/** The first view: photographs come in by hand, and go out with words. */

import * as api from "./api.js";
import { complain, el, icon, say, writing } from "./dom.js";
import { describe, PhotoView, Subject } from "./photo.js";
import { cell, count } from "./texts.js";

const ATONCE = 4; // the server puts them into one batch
const PICTURE = /\.(jpe?g|jpe|jfif|a?png|webp|gif|tiff?|bmp|dib|avifs?|hei[cf]|hif)$/i;

export class DescribeView {
  constructor(root, { model, library }) {
    this.root = root;
    this.model = model;
    this.library = library;
    this.subjects = [];
    this.at = -1;
    this.waiting = [];
    this.busy = 0;
    this.view = new PhotoView({
      model,
      save: async (subject, caption, told) => subject.recaption(caption, told?.log_probability ?? null, told ? this.name : ""),
      aside: (subject) => [this.#keeping(subject)],
    });
    model.then((can) => (this.name = can.name)).catch(() => {});
    this.#welcome();
    document.addEventListener("keydown", (event) => this.#keys(event));
  }

  /** Files from wherever they come; what is no picture is passed over. */
  add(files) {
    const pictures = files.filter((file) => file.type.startsWith("image/") || PICTURE.test(file.name));
    if (!pictures.length) return say(files.length ? "No photographs among these" : "No files there", { error: true });
    const first = this.subjects.length;
    const order = new Intl.Collator("en", { numeric: true });
    pictures.sort((one, other) => order.compare(one.webkitRelativePath || one.name, other.webkitRelativePath || other.name));
    for (const file of pictures) {
      const subject = new Subject({
        name: file.name || "photograph.png",
        src: URL.createObjectURL(file),
        blob: async () => file,
      });
      this.subjects.push(subject);
      this.waiting.push(subject);
    }
    this.#work();
    this.#show(first);
    this.#next();
    if (pictures.length > 1) say(`${count(pictures.length, "photograph")} added`);
  }

  // -------------------------------------------------------------------------------------------------------- screens

  #welcome() {
    const chosen = (event) => {
      this.add([...event.target.files]);
      event.target.value = "";
    };
    const files = el("input", { type: "file", id: "files", multiple: true, accept: "image/*,.heic,.heif,.avif", class: "unseen", onchange: chosen });
    const folder = el("input", { type: "file", id: "folder", webkitdirectory: true, class: "unseen", onchange: chosen });
    const where = el("p", { class: "small" }, "");
    this.model.then((can) => (where.textContent = whereTo(can.name))).catch(() => {});
    this.chooser = el(
      "div",
      { class: "row choosers" },
      files,
      el("label", { for: "files", class: "button primary" }, icon("pictures"), el("span", {}, "Choose photographs")),
      folder,
      el("label", { for: "folder", class: "button" }, icon("folder"), el("span", {}, "Choose a folder")),
    );
    this.root.replaceChildren(
      el(
        "div",
        { class: "welcome" },
        el("h1", {}, "What is in the picture?"),
        el("p", { class: "lead by-mouse" }, "Drop photographs anywhere on this page, paste one, or choose them."),
        el("p", { class: "lead by-touch" }, "Choose photographs, or take one."),
        this.chooser,
        where,
        this.#examples(),
      ),
    );
  }

  #examples() {
    const take = async (name) => {
      try {
        this.add([await api.example(name)]);
      } catch (error) {
        complain(error);
      }
    };
    const tiles = api.EXAMPLES.map((name) => {
      const image = el("img", { alt: "", src: api.exampleAt(name), onerror: () => image.closest("li").remove() });
      return el("li", {}, el("button", { "aria-label": `Try the ${name}`, onclick: () => take(name) }, image));
    });
    return el("div", { class: "examples" }, el("p", { class: "small" }, "Or try one of these"), el("ul", {}, tiles));
  }

  #work() {
    if (this.strip) return;
    this.strip = el("ul", { class: "strip", "aria-label": "Photographs", onkeydown: (event) => this.#along(event) });
    this.observer = new IntersectionObserver((seen) => seen.forEach((one) => one.isIntersecting && this.#thumb(one.target)), {
      root: this.strip,
      rootMargin: "0px 400px",
    });
    const csv = () => this.#download();
    this.all = el("div", { class: "row" });
    this.csv = el("button", { class: "quiet", onclick: csv }, icon("save"), el("span", {}, "CSV of all"));
    const tools = el("div", { class: "tools" }, this.csv, this.all, this.chooser);
    this.tray = el("div", { class: "tray" }, this.strip, tools);
    this.root.replaceChildren(el("h1", { class: "unseen" }, "Described photographs"), this.view.element, this.tray);
    this.#saveAll();
  }

  #tile(subject, place) {
    const image = el("img", { alt: "", width: 72, height: 72 });
    const button = el(
      "button",
      { class: "tile", tabindex: "-1", onclick: () => this.#show(place) },
      image,
      el("span", { class: "unseen" }, ""),
    );
    const item = el("li", {}, button);
    subject.tile = button;
    image.subject = subject;
    this.observer.observe(image);
    return item;
  }

  /** A small copy of the picture: a strip of whole ones would fill the memory. */
  async #thumb(image) {
    this.observer.unobserve(image);
    try {
      const small = await createImageBitmap(await image.subject.blob(), { resizeHeight: 144, resizeQuality: "medium" });
      const canvas = el("canvas", { width: small.width, height: small.height });
      canvas.getContext("2d").drawImage(small, 0, 0);
      image.src = canvas.toDataURL("image/jpeg", 0.8);
      small.close();
    } catch {
      image.closest("button").classList.add("unshown");
    }
  }

  #show(place) {
    for (let next = this.strip.children.length; next < this.subjects.length; next += 1)
      this.strip.append(this.#tile(this.subjects[next], next));
    this.at = place;
    const subject = this.subjects[place];
    for (const one of this.subjects) {
      const here = one === subject;
      one.tile.tabIndex = here ? 0 : -1;
      one.tile.toggleAttribute("aria-current", here);
      if (here) one.tile.setAttribute("aria-current", "true");
    }
    this.#label(subject);
    this.strip.classList.toggle("single", this.subjects.length < 2);
    this.csv.hidden = this.all.hidden = this.subjects.length < 2;
    subject.tile.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.view.show(subject);
  }

  #label(subject) {
    subject.tile.querySelector(".unseen").textContent = `${subject.name}: ${subject.error || subject.caption || "waiting"}`;
    subject.tile.classList.toggle("done", Boolean(subject.caption));
    subject.tile.classList.toggle("failed", Boolean(subject.error));
  }

  #along(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const place = step ? this.at + step : { Home: 0, End: this.subjects.length - 1 }[event.key];
    if (place === undefined || !this.subjects[place]) return;
    event.preventDefault();
    event.stopPropagation();
    this.#show(place);
    this.subjects[place].tile.focus();
  }

  #keys(event) {
    if (this.root.hidden || writing() || event.altKey || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step && this.subjects[this.at + step]) this.#show(this.at + step);
  }

  // ----------------------------------------------------------------------------------------------------------- words

  async #next() {
    while (this.busy < ATONCE && this.waiting.length) {
      const subject = this.waiting.shift();
      this.busy += 1;
      this.#describe(subject).finally(() => {
        this.busy -= 1;
        this.#next();
      });
    }
  }

  async #describe(subject) {
    try {
      const can = await this.model;
      if (!can.capabilities.includes("caption")) return;
      await describe(subject, this.model);
      if (this.subjects.length === 1) say(subject.caption);
    } catch (error) {
      subject.error = [error.message, error.remedy].filter(Boolean).join(". ");
    }
    this.#label(subject);
    if (this.subjects[this.at] === subject) this.view.show(subject);
    if (this.subjects.length > 1 && this.subjects.every((one) => one.caption || one.error)) say("All described");
  }

  #download() {
    const rows = this.subjects.filter((one) => one.caption).map((one) => `${cell(one.name)},${cell(one.caption)}\n`);
    const file = new Blob(["path,caption\n", ...rows], { type: "text/csv;charset=utf-8" });
    const address = URL.createObjectURL(file);
    el("a", { href: address, download: "captions.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }

  // --------------------------------------------------------------------------------------------------------- keeping

  #keeping(subject) {
    if (!subject.caption || !this.library.mayChange) return null;
    if (subject.item) return el("p", { class: "row kept" }, el("a", { href: `#/library/${subject.item}` }, "In your library"));
    const keep = async (event) => {
      event.currentTarget.disabled = true;
      try {
        await this.#keep(subject);
        say("Saved to your library");
      } catch (error) {
        complain(error);
      }
      this.view.show(subject);
    };
    return el("div", { class: "row" }, el("button", { onclick: keep }, icon("plus"), "Save to the library"));
  }

  async #keep(subject) {
    const { item } = await api.upload(subject.name, await subject.blob());
    const known = await api.photo(item);
    if (known.caption !== subject.caption) await api.writeCaption(item, subject.caption);
    subject.item = item;
    this.library.changed();
  }

  async #saveAll() {
    await this.library.ready;
    if (!this.library.mayChange) return;
    const all = async (event) => {
      const button = event.currentTarget;
      button.disabled = true;
      let failed = 0;
      for (const subject of this.subjects.filter((one) => one.caption && !one.item))
        await this.#keep(subject).catch(() => (failed += 1));
      button.disabled = false;
      say(failed ? `${count(failed, "photograph")} could not be saved` : "All saved to your library", { error: failed > 0 });
      this.view.show(this.subjects[this.at]);
    };
    this.all.append(el("button", { class: "quiet", onclick: all }, icon("plus"), el("span", {}, "All to the library")));
  }
}

/** Where pictures go, in a sentence that is true. */
function whereTo(name) {
  const service = /^([a-z]+):/.exec(name)?.[1];
  if (service) return `${name} answers: photographs are sent there.`;
  const here = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  return here ? "They never leave this computer." : `They go to ${location.hostname}, and nowhere else.`;
}

/** Files of what was dropped, those in folders too. */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

async function walk(entry, found) {
  if (entry.name.startsWith(".")) return;
  if (entry.isFile) {
    found.push(await new Promise((done, stop) => entry.file(done, stop)));
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done, stop) => reader.readEntries(done, stop)); // a hundred at a time
    if (!some.length) return;
    for (const one of some) await walk(one, found);
  }
}
