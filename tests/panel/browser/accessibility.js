// In the page: what is wrong with it, one line each. See accessibility.py.
() => {
  const faults = [];
  const fault = (what, element) => faults.push(`${what}: ${element ? element.outerHTML.slice(0, 120) : ""}`);
  const shown = (element) => element.checkVisibility({ visibilityProperty: true });
  const every = (selector) => [...document.querySelectorAll(selector)].filter(shown);
  const named = (element) => {
    const by = element.getAttribute("aria-labelledby");
    if (by) return by.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join("").trim();
    return (element.getAttribute("aria-label") || element.textContent || "").trim();
  };

  if (!document.documentElement.lang) fault("no language");
  if (!document.title.trim()) fault("no title");
  if (every("main").length !== 1) fault("not one main");
  if (every("h1").length !== 1) fault("not one h1");
  for (const nav of every("nav")) if (!named(nav)) fault("navigation without a name", nav);
  for (const region of every("section")) if (!region.getAttribute("aria-label") && !region.getAttribute("aria-labelledby"))
    fault("section without a name", region);

  let level = 0;
  for (const heading of every("h1, h2, h3, h4, h5, h6")) {
    if (heading.closest(".paper")) continue;
    const now = Number(heading.tagName[1]);
    if (now > level + 1) fault(`heading skips from ${level}`, heading);
    level = now;
  }

  for (const field of every("input:not([type=hidden]), select, textarea"))
    if (!field.labels?.length && !named(field)) fault("field without a label", field);
  for (const control of every("button, a[href], summary")) if (!named(control)) fault("control without a name", control);
  for (const control of every("button, a.button, summary.button, input, select")) {
    const box = control.getBoundingClientRect();
    if (box.height && Math.min(box.width, box.height) < 24) fault("control smaller than 24 px", control);
  }
  for (const cell of every("th")) if (!cell.scope) fault("head of a table without scope", cell);
  for (const element of document.querySelectorAll("[aria-labelledby], [aria-describedby], label[for]"))
    for (const name of ["aria-labelledby", "aria-describedby", "for"])
      for (const id of (element.getAttribute(name) || "").split(" ").filter(Boolean))
        if (!document.getElementById(id)) fault(`nothing has the id ${id}`, element);
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`id twice: ${id}`);

  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (colour, under) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const one of [under, colour].filter(Boolean)) { canvas.fillStyle = one; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const backdrop = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (paint(colour)[3] === 255) return colour;
    }
    return getComputedStyle(document.body).backgroundColor;
  };
  const light = ([r, g, b]) => [r, g, b]
    .map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !shown(element) || element.closest(":disabled, script, option, .visually-hidden")) continue;
    const under = backdrop(element);
    const [one, other] = [light(paint(getComputedStyle(element).color, under)), light(paint(under))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) fault(`contrast ${ratio.toFixed(2)}`, element);
  }
  if (document.documentElement.scrollWidth > innerWidth) fault(`wider than the screen: ${document.documentElement.scrollWidth}`);
  return faults;
}
