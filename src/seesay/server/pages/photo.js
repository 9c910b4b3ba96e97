/** One photograph, large, and beside it everything that is said of it. Both views show photographs with it. */

import * as api from "./api.js";
import { complain, copy, el, icon, say } from "./dom.js";
import { spotlight } from "./heat.js";
import { FORMS, sure } from "./texts.js";

const COUNT = 4; // sentences to choose from

/**
 * A photograph that can be talked of.
 *
 * `name`, `src` (its address for an <img>), `blob()` (a promise of its file), `caption`, `score` (log-probability, or
 * null), `author` (the model; "" for a person); `alternatives`, `words` and `answers` are filled as they are asked for.
 */
export class Subject {
  constructor(fields) {
    Object.assign(this, { caption: "", score: null, author: "", error: "", answers: [], ...fields });
    this.alternatives = fields.alternatives ?? null;
    this.words = null;
  }

  /** Another caption is in force. */
  recaption(caption, score, author) {
    if (caption !== this.caption) this.words = null;
    Object.assign(this, { caption, score, author });
  }
}

/** Ask the model for captions of the subject: the first is its own where it has none, the others are alternatives. */
export async function describe(subject, model, signal) {
  const told = await api.caption(await subject.blob(), { count: COUNT }, signal);
  subject.alternatives = [told, ...told.alternatives];
  if (!subject.caption) subject.recaption(told.caption, told.log_probability, told.model);
}

export class PhotoView {
  /**
   * `model`: a promise of what the model can do. `save(subject, caption)`: keeps an edited caption. `aside(subject)`:
   * more elements for the column beside the picture. `mayEdit(subject)`.
   */
  constructor({ model, save, aside = () => [], mayEdit = () => true }) {
    Object.assign(this, { model, save, aside, mayEdit });
    this.looking = false;
    this.picture = el("img", { class: "picture", alt: "", onload: () => this.#drawn(), onerror: () => this.#unshown() });
    this.canvas = el("canvas", { class: "heat", "aria-hidden": "true" });
    this.stage = el("div", { class: "stage" }, el("div", { class: "frame" }, this.picture, this.canvas));
    this.column = el("div", { class: "column" });
    this.element = el("div", { class: "photo" }, this.stage, this.column);
    new ResizeObserver(() => this.#light(this.lit)).observe(this.picture);
  }

  /** Show a photograph, or the same one again where something about it has changed. */
  async show(subject) {
    const changed = this.subject !== subject;
    this.subject = subject;
    if (changed) {
      this.stage.classList.remove("unshown");
      this.picture.src = subject.src;
      this.#light(null);
    }
    this.picture.alt = subject.caption || subject.name;
    const can = await this.model.catch(() => null);
    if (this.subject !== subject) return;
    const parts = [
      this.#captioned(subject, can),
      this.#copies(subject),
      this.#seen(subject, can),
      this.#ways(subject, can),
      this.#asked(subject, can),
      ...this.aside(subject),
    ];
    this.column.replaceChildren(...parts.filter(Boolean));
    if (this.looking && changed) this.#look(subject);
  }

  // ------------------------------------------------------------------------------------------------------- caption

  #captioned(subject, can) {
    if (subject.error) return el("p", { class: "failure", role: "alert" }, subject.error);
    if (!subject.caption) {
      const waits = can?.capabilities.includes("caption") ?? true;
      return el("p", { class: "caption waiting" }, waits ? "Looking …" : can.cannot.caption);
    }
    const text = el("p", { class: "caption" }, subject.caption);
    const by = subject.author
      ? `${subject.author}${subject.score === null ? "" : `, ${sure(subject.score)} sure of each word`}`
      : "Written by you";
    const meta = el("p", { class: "small", title: subject.score === null ? "" : `mean log-probability ${subject.score}` }, by);
    const block = el("div", { class: "captioned" }, text, meta);
    if (this.mayEdit(subject)) {
      const button = el("button", { class: "quiet", onclick: () => this.#edit(block, subject) }, icon("edit"), "Edit");
      meta.append(" ", button);
    }
    return block;
  }

  #edit(block, subject) {
    const field = el("textarea", { id: "caption-field", rows: 3, maxlength: 4000, "aria-label": "Caption" });
    field.value = subject.caption;
    const back = () => {
      this.show(subject).then(() => this.column.querySelector(".captioned button")?.focus());
    };
    const keep = async (event) => {
      event?.preventDefault();
      const caption = field.value.trim().replace(/\s+/g, " ");
      if (!caption || caption === subject.caption) return back();
      try {
        await this.save(subject, caption);
        back();
      } catch (error) {
        complain(error);
      }
    };
    const keys = (event) => {
      if (event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        back();
      } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) keep(event);
    };
    const form = el(
      "form",
      { class: "edit", onsubmit: keep, onkeydown: keys },
      field,
      el("div", { class: "row" }, el("button", { class: "primary" }, "Save"), el("button", { type: "button", onclick: back }, "Cancel")),
    );
    block.replaceChildren(form);
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }

  #copies(subject) {
    if (!subject.caption) return null;
    const buttons = FORMS.map(([name, form]) =>
      el("button", { onclick: () => copy(form(subject.caption, subject.name), name) }, name),
    );
    return el("div", { class: "copies", role: "group", "aria-label": "Copy as" }, el("span", { class: "label" }, "Copy"), buttons);
  }

  // -------------------------------------------------------------------------------------------------- alternatives

  #ways(subject, can) {
    if (!can?.capabilities.includes("caption") || subject.error || !subject.caption) return null;
    if (!subject.alternatives) {
      const more = async () => {
        button.disabled = true;
        try {
          await describe(subject, this.model);
          await this.show(subject);
          this.column.querySelector(".ways button")?.focus();
        } catch (error) {
          button.disabled = false;
          complain(error);
        }
      };
      const button = el("button", { onclick: more }, "Other ways to say it");
      return el("div", {}, button);
    }
    const others = subject.alternatives.filter((one) => one.caption !== subject.caption);
    if (!others.length) return null;
    const rows = others.map((one) => {
      const told = one.log_probability === null ? "" : sure(one.log_probability);
      const use = async () => {
        try {
          await this.save(subject, one.caption, one);
          await this.show(subject);
          this.column.querySelector(".captioned button")?.focus();
          say("Caption changed");
        } catch (error) {
          complain(error);
        }
      };
      const bar = el("span", { class: "bar-of", "aria-hidden": "true" }, el("span", {}));
      if (told) bar.firstChild.style.inlineSize = `${Math.round(100 * Math.exp(one.log_probability))}%`;
      const inner = [el("span", {}, one.caption), el("span", { class: "figure" }, told), bar];
      return el("li", {}, this.mayEdit(subject) ? el("button", { class: "way", title: "Use this one", onclick: use }, inner) : inner);
    });
    return block("Other ways to say it", el("ul", { class: "ways" }, rows));
  }

  // -------------------------------------------------------------------------------------------------- explanations

  #seen(subject, can) {
    if (!subject.caption || subject.error || !can) return null;
    if (!can.capabilities.includes("explain")) return unable("Where it looked", can.cannot.explain);
    const toggle = el(
      "button",
      { "aria-pressed": String(this.looking), onclick: () => this.#look(subject, !this.looking) },
      icon("eye"),
      "Where each word looked",
    );
    const words = el("div", { class: "words" });
    if (this.looking && subject.words) words.append(...this.#words(subject.words));
    return el("div", { class: "looked" }, toggle, words.hasChildNodes() && words);
  }

  async #look(subject, on = true) {
    this.looking = on;
    this.#light(null);
    if (on && !subject.words) {
      try {
        subject.words = await api.explain(await subject.blob(), subject.caption);
      } catch (error) {
        this.looking = false;
        complain(error);
      }
    }
    if (this.subject !== subject) return;
    const had = this.column.querySelector(".looked button") === document.activeElement;
    await this.show(subject);
    if (had) this.column.querySelector(".looked button")?.focus();
  }

  /** A button for each word: to point at it, to focus it or to press it shows where it looked. */
  #words(told) {
    const light = (word) => () => this.#light(word);
    const buttons = told.words.map((word) => {
      const doubtful = word.supported === false;
      const press = () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        for (const other of buttons) other.setAttribute("aria-pressed", "false");
        button.setAttribute("aria-pressed", String(on));
        this.kept = on ? word : null;
        this.#light(this.kept);
        if (on && word.peak) say(`“${word.text}” looked ${place(word.peak)}`);
      };
      const button = el(
        "button",
        {
          class: doubtful ? "word doubtful" : "word",
          "aria-pressed": "false",
          title: doubtful ? "The picture does not bear this out" : "",
          onclick: press,
          onpointerenter: light(word),
          onfocus: light(word),
          onpointerleave: () => this.#light(this.kept ?? null),
          onblur: () => this.#light(this.kept ?? null),
        },
        word.text,
      );
      return button;
    });
    this.kept = null;
    const notes = told.words.some((word) => word.supported === false)
      ? [el("p", { class: "small" }, "Words with a wavy line are not borne out by the picture.")]
      : [];
    return [el("p", { class: "sentence" }, buttons.flatMap((button) => [button, " "])), ...notes];
  }

  #light(word) {
    this.lit = word;
    this.canvas.classList.toggle("shown", Boolean(word));
    if (word && this.picture.clientWidth) spotlight(this.canvas, word.heat);
  }

  // ------------------------------------------------------------------------------------------------------- answers

  #asked(subject, can) {
    if (!can || subject.error) return null;
    if (!can.capabilities.includes("ask")) return unable("Questions", can.cannot.ask);
    const field = el("input", { id: "question", type: "text", autocomplete: "off", placeholder: "What is on the table?", enterkeyhint: "send" });
    const answers = el("dl", { class: "answers", "aria-live": "polite" }, subject.answers.flatMap(pair));
    const send = async (event) => {
      event.preventDefault();
      const asked = field.value.trim();
      if (!asked || form.hasAttribute("aria-busy")) return;
      form.setAttribute("aria-busy", "true");
      try {
        const told = await api.question(await subject.blob(), asked);
        subject.answers.push({ question: asked, answer: told.answer, probability: told.probability });
        answers.append(...pair(subject.answers.at(-1)));
        field.value = "";
      } catch (error) {
        complain(error);
      } finally {
        form.removeAttribute("aria-busy");
        field.focus();
      }
    };
    const form = el("form", { class: "ask", onsubmit: send }, field, el("button", {}, "Ask"));
    return block(el("label", { for: "question" }, "Ask about it"), form, answers);
  }

  // ------------------------------------------------------------------------------------------------------- picture

  #drawn() {
    this.stage.style.setProperty("--ratio", this.picture.naturalWidth / this.picture.naturalHeight);
    this.stage.style.setProperty("--wide", this.picture.naturalWidth);
    this.#light(this.lit);
  }

  #unshown() {
    this.stage.classList.add("unshown");
  }
}

/** A part of the column, with its heading. */
export function block(title, ...children) {
  return el("section", { class: "block" }, el("h2", {}, title), ...children);
}

function unable(title, sentence) {
  return block(title, el("p", { class: "small" }, sentence));
}

function pair({ question, answer, probability }) {
  const figure = probability === null ? [] : [" ", el("span", { class: "figure" }, `${Math.round(100 * probability)} %`)];
  return [el("dt", {}, question), el("dd", {}, answer || "(no answer)", ...figure)];
}

/** A point, from the left and from the top, in words. */
function place([right, down]) {
  const across = right < 0.38 ? "left" : right > 0.62 ? "right" : "";
  const along = down < 0.38 ? "at the top" : down > 0.62 ? "at the bottom" : "";
  return [along, across && `on the ${across}`].filter(Boolean).join(", ") || "in the middle";
}
