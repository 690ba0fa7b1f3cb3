// What pages can do with JavaScript on top of plain forms. Loaded with `defer`; htmx is there already.
"use strict";

// --- theme: the system's, light, dark

const THEMES = ["system", "light", "dark"];

function showTheme(button, theme) {
  button.querySelector("[data-theme-name]").textContent = theme;
  button.hidden = false;
}

function setTheme(theme) {
  if (theme === "system") {
    localStorage.removeItem("penstock-theme");
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem("penstock-theme", theme);
    document.documentElement.dataset.theme = theme;
  }
}

for (const button of document.querySelectorAll("[data-theme-switch]")) {
  let theme = document.documentElement.dataset.theme || "system";
  showTheme(button, theme);
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    setTheme(theme);
    showTheme(button, theme);
  });
}

for (const element of document.querySelectorAll("[data-needs-script]")) element.hidden = false;

// --- on a narrow screen the menu scrolls sideways

const here = document.querySelector(".menu [aria-current]");
const menu = here?.closest("nav");
if (menu) menu.scrollLeft = here.offsetLeft - (menu.clientWidth - here.offsetWidth) / 2;

// --- copying

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Pages that did not come by TLS have no clipboard but this one.
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "visually-hidden";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("not allowed");
}

async function answerCopy(button) {
  const source = button.dataset.copyFrom && document.getElementById(button.dataset.copyFrom);
  const before = button.textContent;
  try {
    await copy(source ? source.value : button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    if (source) source.select();
    button.textContent = source ? "Press Ctrl+C" : "Not allowed";
  }
  setTimeout(() => { button.textContent = before; }, 2000);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (button) answerCopy(button);
});

// --- typed confirmation

for (const field of document.querySelectorAll("[data-must-equal]")) {
  const button = field.form.querySelector("button[type=submit]");
  const check = () => { button.disabled = field.value.trim() !== field.dataset.mustEqual; };
  field.addEventListener("input", check);
  check();
}

// --- one open confirmation at a time, closed by Escape

document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.("details.confirm[open]")) return;
  for (const other of document.querySelectorAll("details.confirm[open]")) if (other !== event.target) other.open = false;
}, true);

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll("details.confirm[open]")) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});

// --- filtering a list

for (const field of document.querySelectorAll("[data-filter]")) {
  const items = [...document.querySelectorAll(field.dataset.filter)];
  const groups = [...document.querySelectorAll("details.group")];
  const wereOpen = new Map(groups.map((group) => [group, group.open]));
  const count = document.querySelector("[data-filter-count]");
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    for (const item of items) item.hidden = wanted !== "" && !item.textContent.toLowerCase().includes(wanted);
    for (const group of groups) {
      const some = group.querySelector(`${field.dataset.filter}:not([hidden])`) !== null;
      group.hidden = !some;
      group.open = wanted === "" ? wereOpen.get(group) : some;
    }
    if (count) count.textContent = wanted === "" ? "" : `${items.filter((item) => !item.hidden).length} found`;
  });
}

// --- htmx

document.body.addEventListener("htmx:beforeSwap", (event) => {
  // What refreshes by itself keeps its last state while the service cannot answer.
  if (event.detail.xhr.status >= 400 && event.detail.requestConfig.verb === "get") event.detail.shouldSwap = false;
});

document.body.addEventListener("htmx:afterSwap", () => {
  const secret = document.getElementById("secret-value");
  if (secret) secret.focus();
});
