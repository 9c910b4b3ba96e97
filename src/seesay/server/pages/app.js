/** The page: two views, and what comes into them from outside. */

import * as api from "./api.js";
import { complain } from "./dom.js";
import { DescribeView, dropped } from "./describe.js";
import { LibraryState, LibraryView } from "./library.js";

const model = api.model();
const library = new LibraryState();
const roots = { describe: document.getElementById("describe"), library: document.getElementById("library") };
const views = {
  describe: new DescribeView(roots.describe, { model, library }),
  library: new LibraryView(roots.library, { model, library }),
};

model
  .then((can) => (document.getElementById("model").textContent = can.name))
  .catch((error) => {
    document.getElementById("model").textContent = "no model";
    complain(error);
  });

/** "#/" describes, "#/library" lists, "#/library/12" shows one. */
function route() {
  const [, name, item] = /^#\/(library)(?:\/(\d+))?$/.exec(location.hash) ?? [];
  const view = name ?? "describe";
  for (const [other, root] of Object.entries(roots)) root.hidden = other !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = view === "library" ? "Library · Seesay" : "Seesay";
  if (view === "library") {
    views.library.open(item ? Number(item) : null);
    views.library.watch();
  }
}

function take(files) {
  if (!files.length) return;
  if (roots.library.hidden) views.describe.add(files);
  else views.library.upload(files);
}

addEventListener("hashchange", route);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});

addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    take(files);
  }
});

let within = 0;
addEventListener("dragenter", (event) => {
  if (event.dataTransfer?.types.includes("Files")) {
    within += 1;
    document.body.classList.add("dragged");
  }
});
addEventListener("dragleave", () => {
  within = Math.max(0, within - 1);
  if (!within) document.body.classList.remove("dragged");
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", async (event) => {
  event.preventDefault();
  within = 0;
  document.body.classList.remove("dragged");
  try {
    take(await dropped(event.dataTransfer));
  } catch (error) {
    complain(error);
  }
});

route();
