/** A caption as other places want it, and numbers and dates as people read them. */

const HTML = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** What one copies: a name, and the text made of a caption and a file's name. */
export const FORMS = [
  ["Alt text", (caption) => caption],
  ["HTML", (caption, name) => `<img src="${html(encodeURIComponent(name))}" alt="${html(caption)}">`],
  ["Markdown", (caption, name) => `![${markdown(caption)}](${encodeURIComponent(name).replace(/[()]/g, (one) => (one === "(" ? "%28" : "%29"))})`],
];

export function html(text) {
  return text.replace(/[&<>"]/g, (letter) => HTML[letter]);
}

function markdown(text) {
  return text.replace(/[\\[\]*_`]/g, "\\$&");
}

/** "62 %": the geometric mean of the words' probabilities. */
export function sure(logProbability) {
  return percent(Math.exp(logProbability));
}

export function percent(value) {
  if (value > 0 && value < 0.01) return "under 1 %";
  return `${Math.round(100 * value)} %`;
}

export function day(iso) {
  return new Date(iso).toLocaleDateString("en", { year: "numeric", month: "long", day: "numeric" });
}

export function moment(iso) {
  return new Date(iso).toLocaleString("en", { dateStyle: "long", timeStyle: "short" });
}

export function month(iso) {
  return new Date(iso).toLocaleDateString("en", { year: "numeric", month: "long" });
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** A cell of a CSV file. */
export function cell(text) {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
