/** The second view: the photographs of the library, searched as one types, filtered, looked at and told better. */

import * as api from "./api.js";
import { complain, el, icon, say, writing } from "./dom.js";
import { Grid } from "./grid.js";
import { block, PhotoView, Subject } from "./photo.js";
import { count, day, moment, percent } from "./texts.js";

const PAGE = 200; // rows that are fetched at a time
const MOST = 400; // hits
const TYPING = 140; // milliseconds without a key after which the words are searched
const READING = 700; // and after which the best hits are read again, which takes longer
const COLUMNS = { caption: "the caption", text: "the text in it", keywords: "its keywords, people or places", description: "its description", name: "its name" };

/** What is known of the library as a whole; shared by both views. */
export class LibraryState {
  constructor() {
    this.listeners = [];
    this.ready = this.changed();
  }

  get mayChange() {
    return this.about?.may_change ?? false;
  }

  async changed() {
    try {
      this.about = await api.state();
    } catch (error) {
      complain(error);
    }
    for (const listener of this.listeners) listener();
  }
}

export class LibraryView {
  constructor(root, { model, library }) {
    Object.assign(this, { root, model, library });
    this.rows = new Map(); // by index
    this.pages = new Set(); // that are there or on their way
    this.hits = null; // by item, while words are searched
    this.grid = new Grid({
      label: "Photographs",
      row: (index, fetch = true) => this.#row(index, fetch),
      thumbnail: api.thumbnail,
      open: (photo) => (location.hash = `#/library/${photo.item}`),
    });
    this.grid.covered = () => this.head.getBoundingClientRect().bottom;
    this.#draw();
    library.listeners.push(() => this.#about());
    library.ready.then(() => this.load());
    document.addEventListener("keydown", (event) => this.#keys(event));
  }

  // --------------------------------------------------------------------------------------------------------- drawing

  #draw() {
    this.field = el("input", {
      id: "words",
      type: "search",
      autocomplete: "off",
      spellcheck: "false",
      placeholder: "A dog on a beach …",
      "aria-label": "Search the library",
      oninput: () => this.#typed(),
    });
    this.form = this.#filters();
    this.toggle = el(
      "button",
      { "aria-expanded": "false", "aria-controls": "filters", onclick: () => this.#filtersShown(this.form.hidden) },
      icon("filter"),
      el("span", {}, "Filters"),
    );
    this.adding = el("button", { onclick: () => this.#add() }, icon("plus"), el("span", {}, "Add"));
    this.exporting = el("button", { onclick: () => this.#export() }, icon("save"), el("span", {}, "Export"));
    this.head = el(
      "div",
      { class: "head" },
      el(
        "form",
        { class: "search", role: "search", onsubmit: (event) => (event.preventDefault(), this.load({ thorough: true })) },
        el("span", { class: "field" }, icon("search"), this.field),
        ...[this.toggle, this.adding, this.exporting].map((button) => (button.setAttribute("type", "button"), button)),
      ),
      this.form,
    );
    this.count = el("p", { class: "small count", role: "status" });
    this.notes = el("p", { class: "small notes" });
    this.job = el("div", { class: "job", hidden: true });
    this.empty = el("div", { class: "welcome", hidden: true });
    this.root.replaceChildren(
      el("h1", { class: "unseen" }, "Library"),
      this.head,
      this.job,
      el("div", { class: "tally" }, this.count, this.notes),
      this.empty,
      this.grid.element,
      this.#viewer(),
    );
  }

  #filters() {
    const field = (name, label, properties, tag = "input") => {
      const made = el(tag, { id: `filter-${name}`, name, oninput: () => this.#typed(), ...properties });
      return el("div", { class: "one" }, el("label", { for: `filter-${name}` }, label), made);
    };
    const clear = () => {
      form.reset();
      this.load();
    };
    const form = el(
      "form",
      { id: "filters", class: "filters", hidden: true, "aria-label": "Filters", onsubmit: (event) => event.preventDefault() },
      field("after", "From", { type: "date" }),
      field("before", "Until", { type: "date" }),
      field("camera", "Camera", {}, "select"),
      field("near", "Near", { type: "text", placeholder: "Rome, or 41.9, 12.5", autocomplete: "off" }),
      field("within", "Within (km)", { type: "number", min: "0.1", step: "any", value: "10" }),
      el("button", { type: "button", class: "quiet", onclick: clear }, "Clear"),
    );
    return form;
  }

  #filtersShown(shown) {
    this.form.hidden = !shown;
    this.toggle.setAttribute("aria-expanded", String(shown));
  }

  /** What the library as a whole says: counts, cameras, what may be done. */
  #about() {
    const about = this.library.about;
    if (!about) return;
    const cameras = this.form.elements.camera;
    const chosen = cameras.value;
    cameras.replaceChildren(
      el("option", { value: "" }, about.cameras.length ? "Any" : "None is known"),
      ...about.cameras.map(([name, number]) => el("option", { value: name }, `${name} (${number.toLocaleString("en")})`)),
    );
    cameras.value = chosen;
    for (const [name, edge] of [["after", about.first], ["before", about.last]])
      this.form.elements[name].title = edge ? `${name === "after" ? "The oldest" : "The newest"}: ${day(edge)}` : "No photograph has a date";
    this.adding.hidden = !about.may_change;
    const none = !about.there || about.photos + about.videos === 0;
    this.empty.hidden = !none;
    this.exporting.hidden = this.toggle.hidden = none;
    if (none) {
      const way = about.may_change
        ? el("button", { class: "primary", onclick: () => this.#add() }, "Add photographs")
        : el("p", { class: "small" }, "At the server: seesay index FOLDER");
      this.empty.replaceChildren(
        el("h2", {}, "Nothing here yet"),
        el("p", { class: "lead" }, "Photographs are looked at once, and found again by what is in them."),
        el("div", { class: "row choosers" }, way),
      );
    }
  }

  // --------------------------------------------------------------------------------------------------------- loading

  #wanted() {
    const given = Object.fromEntries(new FormData(this.form));
    if (!given.near) delete given.within;
    if (given.before) given.before = dayAfter(given.before); // the day itself counts
    return Object.fromEntries(Object.entries(given).filter(([, value]) => value));
  }

  #typed() {
    clearTimeout(this.typing);
    clearTimeout(this.reading);
    this.typing = setTimeout(() => this.load(), TYPING);
    if (this.field.value.trim()) this.reading = setTimeout(() => this.load({ thorough: true }), READING);
  }

  /** Photographs for the words and filters. `thorough`: the best are read again, where the model can. */
  async load({ thorough = false } = {}) {
    if (!this.library.about?.there) return;
    if (thorough && !(await this.#reads())) return; // what is on its way goes on
    const words = this.field.value.trim(); // as they are now: the model may have kept us waiting
    if (thorough) clearTimeout(this.typing);
    this.going?.abort();
    const { signal } = (this.going = new AbortController());
    const filters = this.#wanted();
    const used = Object.keys(filters).filter((name) => name !== "within").length;
    this.toggle.lastChild.textContent = used ? `Filters (${used})` : "Filters";
    try {
      if (words) {
        const slow = setTimeout(() => (this.count.textContent = "Searching …"), 400);
        try {
          await this.#search(words, filters, thorough ? 8 : 0, signal);
        } finally {
          clearTimeout(slow);
        }
      } else await this.#list(filters, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 404) await this.library.changed();
      complain(error);
    }
  }

  /** Whether the model can read words and picture together. */
  async #reads() {
    const can = await this.model.catch(() => null);
    return Boolean(can?.capabilities.includes("match")) && Boolean(this.field.value.trim());
  }

  async #search(words, filters, rerank, signal) {
    const near = coordinates(filters.near);
    const wanted = { ...filters, ...(near && { near }), text: words, limit: MOST, rerank };
    if (wanted.within) wanted.within = Number(wanted.within);
    const found = await api.search(wanted, signal);
    const items = found.hits.map((hit) => hit.item);
    const { photos } = items.length ? await api.photos({ items: items.join(","), limit: MOST }, signal) : { photos: [] };
    this.hits = new Map(found.hits.map((hit) => [hit.item, hit.why]));
    this.#fill(photos, photos.length);
    const of = `of ${count(found.searched, "photograph")}`;
    this.count.textContent = photos.length ? `${photos.length.toLocaleString("en")} ${of}` : `Nothing matches, ${of}`;
    this.notes.textContent = found.left_out.map((part) => `Left out: ${part}.`).join(" ");
  }

  async #list(filters, signal) {
    const found = await api.photos({ ...filters, limit: PAGE }, signal);
    this.hits = null;
    this.filters = filters;
    this.#fill(found.photos, found.total);
    const failed = this.library.about.failed;
    this.count.textContent = count(found.total, "photograph");
    this.notes.textContent = failed && !Object.keys(filters).length ? `${count(failed, "file")} could not be read.` : "";
  }

  #fill(photos, total) {
    this.rows = new Map(photos.entries());
    this.pages = new Set([0]);
    this.grid.reset(total);
  }

  #row(index, fetch) {
    const row = this.rows.get(index) ?? null;
    const page = Math.floor(index / PAGE);
    if (!row && fetch && !this.hits && !this.pages.has(page)) this.#page(page);
    return row;
  }

  async #page(page) {
    this.pages.add(page);
    const { signal } = this.going;
    try {
      const { photos } = await api.photos({ ...this.filters, offset: page * PAGE, limit: PAGE }, signal);
      photos.forEach((photo, at) => this.rows.set(page * PAGE + at, photo));
      this.grid.refresh();
    } catch (error) {
      this.pages.delete(page);
      complain(error);
    }
  }

  // ---------------------------------------------------------------------------------------------------- one of them

  #viewer() {
    this.view = new PhotoView({
      model: this.model,
      save: (subject, caption) => this.#save(subject, caption),
      aside: (subject) => this.#aside(subject),
      mayEdit: (subject) => this.library.mayChange && subject.known.start === null,
    });
    const to = (step) => () => this.#step(step);
    this.earlier = el("button", { class: "quiet", "aria-label": "Previous photograph", onclick: to(-1) }, icon("back"));
    this.later = el("button", { class: "quiet", "aria-label": "Next photograph", onclick: to(1) }, icon("next"));
    this.title = el("p", { class: "small", id: "viewer-title" });
    this.dialog = el(
      "dialog",
      { class: "viewer", "aria-labelledby": "viewer-title", onclose: () => this.#closed() },
      el(
        "div",
        { class: "bar" },
        this.title,
        this.earlier,
        this.later,
        el("button", { class: "quiet", "aria-label": "Close", onclick: () => this.dialog.close() }, icon("close")),
      ),
      this.view.element,
    );
    return this.dialog;
  }

  /** Show a photograph over the grid, or none. */
  async open(item) {
    if (item === null) return this.dialog.open && this.dialog.close();
    try {
      const known = await api.photo(item);
      if (!this.dialog.open) this.dialog.showModal();
      this.index = [...this.rows].find(([, row]) => row.item === item)?.[0] ?? null;
      this.earlier.disabled = !this.index;
      this.later.disabled = this.index === null || this.index + 1 >= this.grid.total;
      this.title.textContent = known.name;
      this.dialog.scrollTop = 0;
      await this.view.show(this.#subject(known));
    } catch (error) {
      complain(error);
      location.hash = "#/library";
    }
  }

  #subject(known) {
    const subject = new Subject({ name: known.name, src: api.shown(known), blob: () => (subject.file ??= api.fetched(known)) });
    subject.known = known;
    subject.recaption(known.caption, known.log_probability, known.author);
    return subject;
  }

  async #step(step) {
    if (this.index === null) return;
    const index = this.index + step;
    if (index < 0 || index >= this.grid.total) return;
    const row = this.#row(index, true);
    if (row) location.replace(`#/library/${row.item}`);
  }

  #closed() {
    if (location.hash.startsWith("#/library/")) history.pushState(null, "", "#/library");
    // This is told a frame after the dialog was closed: whoever is somewhere else by then stays there.
    const elsewhere = document.activeElement !== document.body && !this.grid.element.contains(document.activeElement);
    if (this.index !== null && this.index !== undefined && !elsewhere) this.grid.focus(this.index);
  }

  #keys(event) {
    if (!this.dialog.open || writing() || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) this.#step(step);
  }

  async #save(subject, caption) {
    this.#told(subject, await api.writeCaption(subject.known.item, caption));
    say("Saved");
  }

  /** What the library says of it now. */
  #told(subject, known) {
    subject.known = known;
    subject.recaption(known.caption, known.log_probability, known.author);
    for (const row of this.rows.values()) {
      if (row.item === known.item) Object.assign(row, { caption: known.caption, edited: known.edited });
    }
    for (const tile of this.grid.tiles.values()) if (tile.photo?.item === known.item) tile.photo = null;
    this.grid.refresh();
  }

  #aside(subject) {
    return [this.#history(subject), this.#why(subject), this.#facts(subject)];
  }

  #history(subject) {
    const { versions, item } = subject.known;
    if (versions.length < 2) return null;
    const back = async (version) => {
      try {
        this.#told(subject, await api.restoreCaption(item, version));
        await this.view.show(subject);
        this.view.column.querySelector(".captioned button")?.focus();
        say(`Caption is again: ${subject.caption}`);
      } catch (error) {
        complain(error);
      }
    };
    const rows = versions.map((one) => {
      const by = [one.author || "you", one.made ? moment(one.made) : ""].filter(Boolean).join(", ");
      const button = el("button", { class: "quiet", onclick: () => back(one.id), "aria-label": `Restore: ${one.caption}` }, "Restore");
      return el("li", {}, el("span", {}, one.caption), el("span", { class: "small" }, by), one.current ? el("span", { class: "small now" }, "now") : button);
    });
    const undo = subject.known.edited ? el("button", { onclick: () => back(null) }, icon("undo"), "Undo") : null;
    const list = el("details", { class: "history" }, el("summary", {}, `History (${versions.length})`), el("ol", {}, rows));
    return el("div", { class: "edits" }, undo, list);
  }

  /** Why it was found: the words, and what each part of the search thinks. */
  #why(subject) {
    const why = this.hits?.get(subject.known.item);
    if (!why) return null;
    const words = Object.entries(why.words).map(([column, found]) => el("li", {}, el("q", {}, found.join(", ")), ` in ${COLUMNS[column] ?? column}`));
    if (why.missing.length && words.length) words.push(el("li", {}, "Nowhere: ", el("q", {}, why.missing.join(", "))));
    const parts = [
      ["The model, reading words and picture together", why.scores.match, percent],
      ["Likely, by how near picture and words are", why.scores.likely, percent],
      ["Nearness of words and picture", why.scores.image, (value) => value.toFixed(2)],
      ["Nearness of words and caption", why.scores.caption, (value) => value.toFixed(2)],
      ["Weight of the words (BM25)", why.scores.bm25, (value) => value.toFixed(2)],
    ].filter(([, value]) => value !== null);
    const figures = parts.map(([name, value, shown]) => el("div", {}, el("dt", {}, name), el("dd", { class: "figure" }, shown(value))));
    return block("Why it was found", words.length ? el("ul", { class: "plain" }, words) : null, figures.length ? el("dl", { class: "facts" }, figures) : null);
  }

  #facts(subject) {
    const known = subject.known;
    const near = known.coordinates ? known.coordinates.join(", ") : known.place;
    const around = () => {
      this.form.elements.near.value = near;
      this.field.value = "";
      this.#filtersShown(true);
      this.index = null;
      this.dialog.close();
      this.load();
    };
    const rows = [
      ["Taken", known.taken && moment(known.taken)],
      ["Camera", known.camera],
      ["Place", near && el("span", {}, known.place || near, " ", el("button", { class: "quiet", onclick: around }, "Others near it"))],
      ["People", known.people.join(", ")],
      ["Keywords", known.keywords.join(", ")],
      ["Description", known.description],
      ["Text in it", known.text],
      ["Scene", known.start === null ? "" : `${known.start.toFixed(0)} to ${known.stop.toFixed(0)} seconds`],
      [known.paths.length > 1 ? "Files" : "File", el("span", {}, ...known.paths.flatMap((path) => [path, el("br")]).slice(0, -1))],
      ["", el("a", { href: api.original(known), target: "_blank", rel: "noopener" }, known.kind === "video" ? "Play the video" : "Open the original")],
    ].filter(([, value]) => value);
    return block("About it", el("dl", { class: "facts" }, rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))));
  }

  // ----------------------------------------------------------------------------------------- what comes in, goes out

  /** Photographs into the library, from this browser. */
  async upload(files) {
    if (!this.library.mayChange) return say("This server's library cannot be changed from here", { error: true });
    let [done, failed] = [0, 0];
    for (const file of files) {
      this.#tell(done, files.length, "Adding");
      try {
        await api.upload(file.name || "photograph.png", file);
      } catch (error) {
        failed += 1;
        if (files.length === 1) complain(error);
      }
      done += 1;
    }
    this.job.hidden = true;
    await this.library.changed();
    await this.load();
    if (files.length > failed) say(`${count(files.length - failed, "photograph")} added${failed ? `, ${failed} could not be` : ""}`);
    else if (failed > 1) say("None of them could be added", { error: true });
  }

  #add() {
    const about = this.library.about;
    const folder = el("input", { id: "folder-path", type: "text", autocomplete: "off", spellcheck: "false", placeholder: "/home/me/Pictures" });
    const files = el("input", { id: "library-files", type: "file", multiple: true, accept: "image/*,.heic,.heif,.avif", class: "unseen" });
    const sheet = this.#sheet("Add photographs");
    files.addEventListener("change", () => {
      sheet.close();
      this.upload([...files.files]);
    });
    const start = async (event) => {
      event.preventDefault();
      try {
        await api.index(folder.value.trim() ? [folder.value.trim()] : []);
        sheet.close();
        this.watch(true);
      } catch (error) {
        complain(error);
      }
    };
    if (about.may_index) {
      const again = about.folders.length ? el("p", { class: "small" }, `Empty: what is new in ${about.folders.join(", ")}.`) : null;
      sheet.append(
        el(
          "form",
          { onsubmit: start },
          el("label", { for: "folder-path" }, "A folder on this computer; its photographs stay where they are"),
          el("div", { class: "row" }, folder, el("button", { class: "primary" }, "Index")),
          again,
        ),
      );
    }
    sheet.append(
      el("p", {}, about.may_index ? "Or single photographs, which are copied into the library’s own folder:" : "Photographs are copied to the server:"),
      el("div", { class: "row" }, files, el("label", { for: "library-files", class: "button" }, "Choose photographs")),
    );
    sheet.showModal();
  }

  /** Show how far the indexing of a folder is, until it is done. */
  async watch(begun = false) {
    if (this.watching) return;
    this.watching = true;
    try {
      for (;;) {
        const found = await api.progress();
        if (!found.running) {
          if (begun && (found.files || found.error)) this.#done(found); // one that ended before was told of then
          break;
        }
        begun = true;
        this.#tell(found.done, found.files, "Indexing");
        await new Promise((done) => setTimeout(done, 600));
      }
    } catch (error) {
      complain(error);
    } finally {
      this.watching = false;
      this.job.hidden = true;
    }
  }

  async #done(found) {
    await this.library.changed();
    await this.load();
    const failed = found.became.failed ?? 0;
    if (found.error) say(found.error, { error: true });
    else say(`${count(found.became.indexed ?? 0, "photograph")} indexed${failed ? `, ${failed} could not be read` : ""}`);
  }

  #tell(done, total, what) {
    this.job.hidden = false;
    let bar = this.job.querySelector("progress");
    if (!bar) {
      bar = el("progress", { "aria-label": what });
      this.job.replaceChildren(el("span", { class: "small" }), bar);
    }
    this.job.firstChild.textContent = total ? `${what} ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : `${what} …`;
    if (total) Object.assign(bar, { max: total, value: done });
  }

  #export() {
    const items = this.hits ? [...this.hits.keys()].join(",") : "";
    const wanted = this.hits ? { items } : (this.filters ?? {});
    const number = this.grid.total;
    const sheet = this.#sheet("Export captions");
    const forms = [
      ["csv", "CSV", "a table, for spreadsheets"],
      ["jsonl", "JSON lines", "everything that is known, for programs"],
      ["coco", "COCO", "caption annotations, for training"],
      ["xmp", "XMP", "side-cars for photo programs, as a ZIP; what people described in their files is left out"],
    ];
    sheet.append(
      el("p", {}, `Of ${count(number, "photograph")}${this.hits || Object.keys(wanted).length ? " found" : ", the whole library"}.`),
      el(
        "ul",
        { class: "exports" },
        forms.map(([form, name, what]) =>
          el("li", {}, el("a", { href: api.exported(form, wanted), download: true, onclick: () => setTimeout(() => sheet.close()) }, el("strong", {}, name), el("span", { class: "small" }, what))),
        ),
      ),
    );
    sheet.showModal();
  }

  #sheet(title) {
    const sheet = el("dialog", { class: "sheet", "aria-labelledby": "sheet-title", onclose: () => sheet.remove() });
    sheet.append(
      el(
        "div",
        { class: "row" },
        el("h2", { id: "sheet-title" }, title),
        el("button", { class: "quiet", "aria-label": "Close", onclick: () => sheet.close() }, icon("close")),
      ),
    );
    this.root.append(sheet);
    return sheet;
  }
}

function dayAfter(iso) {
  const day = new Date(`${iso}T00:00:00Z`);
  day.setUTCDate(day.getUTCDate() + 1);
  return day.toISOString().slice(0, 10);
}

/** [north, east] of "41.9, 12.5"; null for the name of a place. */
function coordinates(near) {
  const parts = /^\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*$/.exec(near ?? "");
  return parts && [Number(parts[1]), Number(parts[2])];
}
