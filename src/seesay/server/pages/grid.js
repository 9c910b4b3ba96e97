/**
 * A grid of any number of photographs: only those in sight, and a screen above and below, are in the page.
 *
 * Tab enters it once; arrows, Home, End and the page keys move within it; Enter opens.
 */

import { el } from "./dom.js";
import { month } from "./texts.js";

const GAP = 6;
const SETTLED = 90; // milliseconds without scrolling after which pictures are fetched

export class Grid {
  /** `row(index)`: a photograph, or null while it is being fetched (then `refresh` is called); `thumbnail(photo, side)`. */
  constructor({ label, row, thumbnail, open }) {
    Object.assign(this, { row, thumbnail, open });
    this.total = 0;
    this.focused = 0;
    this.tiles = new Map(); // by index
    this.list = el("ul", { class: "grid", "aria-label": label, onkeydown: (event) => this.#keys(event), onfocusin: (event) => this.#entered(event) });
    this.when = el("p", { class: "when", "aria-hidden": "true" });
    this.element = el("div", { class: "gallery" }, this.list, this.when);
    this.scheduled = 0;
    new ResizeObserver(() => this.#measure()).observe(this.list);
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  /** Other photographs, from the first. */
  reset(total) {
    this.total = total;
    this.focused = 0;
    for (const tile of this.tiles.values()) this.#drop(tile);
    this.tiles.clear();
    this.#measure();
  }

  /** Rows that were being fetched are there, or have changed. */
  refresh() {
    for (const tile of this.tiles.values()) this.#fill(tile);
  }

  /** Put the focus on a photograph, in sight. */
  focus(index) {
    if (index < 0 || index >= this.total) return;
    this.focused = index;
    this.#intoSight(index);
    this.#render();
    this.tiles.get(index)?.link.focus({ preventScroll: true });
  }

  // ---------------------------------------------------------------------------------------------------------- places

  #measure() {
    const width = this.list.clientWidth;
    if (!width) return;
    const wanted = width < 600 ? 118 : width < 1100 ? 180 : 220;
    const columns = Math.max(2, Math.floor((width + GAP) / (wanted + GAP)));
    const keep = this.columns && columns !== this.columns ? this.#first() : null;
    this.columns = columns;
    this.side = (width - GAP * (columns - 1)) / columns;
    this.step = this.side + GAP;
    this.list.style.blockSize = `${Math.max(0, Math.ceil(this.total / columns) * this.step - GAP)}px`;
    for (const tile of this.tiles.values()) this.#put(tile);
    if (keep) this.#intoSight(keep);
    this.#render();
  }

  #put(tile) {
    const [row, column] = [Math.floor(tile.index / this.columns), tile.index % this.columns];
    tile.item.style.transform = `translate(${column * this.step}px, ${row * this.step}px)`;
    tile.item.style.inlineSize = tile.item.style.blockSize = `${this.side}px`;
  }

  /** The first photograph in sight. */
  #first() {
    const top = -this.list.getBoundingClientRect().top;
    return Math.max(0, Math.ceil(top / this.step)) * this.columns;
  }

  #intoSight(index) {
    const box = this.list.getBoundingClientRect();
    const top = box.top + Math.floor(index / this.columns) * this.step;
    const under = this.covered?.() ?? 0;
    if (top < under) scrollBy(0, top - under - GAP);
    else if (top + this.side > innerHeight) scrollBy(0, top + this.side - innerHeight + GAP);
  }

  // ------------------------------------------------------------------------------------------------------- rendering

  #scrolled() {
    if (!this.list.isConnected || !this.list.offsetParent) return;
    this.moving = performance.now();
    if (!this.scheduled) this.scheduled = requestAnimationFrame(() => this.#render());
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.#settle(), SETTLED);
    const photo = this.row(Math.min(this.#first(), this.total - 1), false);
    if (photo?.taken) {
      this.when.textContent = month(photo.taken);
      this.when.classList.add("shown");
    }
  }

  #settle() {
    this.moving = 0;
    this.when.classList.remove("shown");
    for (const tile of this.tiles.values()) this.#fill(tile);
  }

  #render() {
    this.scheduled = 0;
    if (!this.step || !this.list.offsetParent) return;
    const top = -this.list.getBoundingClientRect().top;
    const from = Math.max(0, Math.floor((top - innerHeight) / this.step) * this.columns);
    const to = Math.min(this.total, Math.ceil((top + 2 * innerHeight) / this.step) * this.columns);
    for (const [index, tile] of this.tiles) {
      if ((index < from || index >= to) && tile.link !== document.activeElement) {
        this.#drop(tile);
        this.tiles.delete(index);
      }
    }
    const made = [];
    for (let index = from; index < to; index += 1) {
      if (!this.tiles.has(index)) made.push(this.#tile(index));
    }
    // In the order of the photographs, for those who read the page by its order.
    for (const tile of made) {
      this.tiles.set(tile.index, tile);
      const next = this.tiles.get(tile.index + 1)?.item;
      const before = this.tiles.get(tile.index - 1)?.item;
      if (next) next.before(tile.item);
      else if (before) before.after(tile.item);
      else this.list.append(tile.item);
    }
  }

  #tile(index) {
    const image = el("img", { alt: "", decoding: "async", draggable: false, onload: () => image.classList.add("there") });
    const caption = el("span", { class: "said", "aria-hidden": "true" });
    const link = el("a", { tabindex: index === this.focused ? "0" : "-1", onclick: (event) => this.#opened(event, tile) }, image, caption);
    const item = el("li", { "aria-setsize": String(this.total), "aria-posinset": String(index + 1) }, link);
    const tile = { index, item, link, image, caption, photo: null };
    this.#put(tile);
    this.#fill(tile);
    return tile;
  }

  #fill(tile) {
    const photo = this.row(tile.index);
    if (!photo) return;
    if (tile.photo !== photo) {
      tile.photo = photo;
      tile.link.href = `#/library/${photo.item}`;
      tile.image.alt = photo.caption || photo.name;
      tile.caption.textContent = photo.caption;
      tile.item.classList.toggle("video", photo.kind === "video");
    }
    // While the page flies past, pictures that will be out of sight again are not fetched.
    if (!tile.image.getAttribute("src") && !this.moving) {
      const sharp = this.side * Math.min(2, devicePixelRatio || 1) > 280;
      tile.image.src = this.thumbnail(photo, sharp ? 512 : 320);
    }
  }

  #drop(tile) {
    if (!tile.image.complete) tile.image.removeAttribute("src"); // ends the request
    tile.item.remove();
  }

  // -------------------------------------------------------------------------------------------------------- the keys

  #opened(event, tile) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.#rove(tile.index);
    if (tile.photo) this.open(tile.photo, tile.index);
  }

  #entered(event) {
    for (const tile of this.tiles.values()) if (tile.link === event.target) this.#rove(tile.index);
  }

  #rove(index) {
    const before = this.tiles.get(this.focused);
    if (before) before.link.tabIndex = -1;
    this.focused = index;
    const now = this.tiles.get(index);
    if (now) now.link.tabIndex = 0;
  }

  #keys(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(innerHeight / this.step) - 1) * this.columns;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, PageDown: page, PageUp: -page };
    let index = event.key in steps ? this.focused + steps[event.key] : { Home: 0, End: this.total - 1 }[event.key];
    if (index === undefined) return;
    if (event.key.startsWith("Page")) index = Math.min(Math.max(index, 0), this.total - 1);
    event.preventDefault();
    if (index < 0 || index >= this.total) return;
    this.#rove(index);
    this.focus(index);
    const tile = this.tiles.get(index);
    if (tile) tile.link.tabIndex = 0;
  }
}
