/** A short way to build elements: `element("button", { type: "button", onclick }, "Stop")`. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name in made && !name.startsWith("aria")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const button = (label, onclick, properties = {}) =>
  element("button", { type: "button", className: "plain", onclick, ...properties }, label);

/** A button with one of the editor's icons; its name is read and shown as a tooltip. */
export function iconButton(icon, label, onclick) {
  const made = button("", onclick, { title: label, "aria-label": label, className: "icon" });
  made.innerHTML = tinymce.IconManager.get("default").icons[icon] ?? "";
  return made;
}

let labelled = 0;

/** A control under its visible label. */
export function field(label, control) {
  control.id ||= `penstock-field-${(labelled += 1)}`;
  return element("div", { className: "field" }, element("label", { htmlFor: control.id }, label), control);
}

/** An error as the service words it. Call without an error for one that has none. */
export function notice(error) {
  const lines = [error.explanation, error.action].filter(Boolean);
  console.debug("Penstock:", error.code ?? "", error.traceId ?? "", error);
  return element(
    "div",
    { className: "notice", role: "alert" },
    element("strong", {}, error.message),
    ...lines.map((line) => element("p", {}, line)),
  );
}
