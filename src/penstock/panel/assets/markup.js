// HTML of models is rebuilt from a short list of harmless elements; nothing else of it gets into the page.

const KEPT = new Set([
  "A", "B", "BLOCKQUOTE", "BR", "CODE", "DEL", "DIV", "EM", "FIGCAPTION", "FIGURE", "H1", "H2", "H3", "H4", "H5", "H6", "HR",
  "I", "INS", "LI", "OL", "P", "PRE", "S", "SPAN", "STRONG", "SUB", "SUP", "TABLE", "TBODY", "TD", "TH", "THEAD", "TR", "U", "UL",
]);
const DROPPED = new Set(["SCRIPT", "STYLE", "IFRAME", "OBJECT", "TEMPLATE"]);

export function rebuilt(html) {
  const source = new DOMParser().parseFromString(html, "text/html").body;
  const made = document.createDocumentFragment();
  for (const child of source.childNodes) add(made, child);
  return made;
}

function add(parent, node) {
  if (node.nodeType === Node.TEXT_NODE) return parent.append(node.data);
  if (node.nodeType !== Node.ELEMENT_NODE || DROPPED.has(node.tagName)) return;
  let into = parent;
  if (KEPT.has(node.tagName)) {
    into = document.createElement(node.tagName);
    if (node.dataset.id) into.dataset.id = node.dataset.id;
    parent.append(into);
  }
  for (const child of node.childNodes) add(into, child);
}

// The nodes of an edit in order: elements, gap marks, removals (see the edit protocol).
export function* editsIn(html) {
  const source = new DOMParser().parseFromString(`<body>${html}`, "text/html").body;
  for (const node of source.childNodes) {
    if (node.nodeType === Node.COMMENT_NODE) {
      const removed = node.data.match(/removed data-id="([^"]+)"/);
      yield removed ? { removed: removed[1] } : { gap: true };
    } else if (node.nodeType === Node.ELEMENT_NODE) {
      yield { id: node.dataset.id || "new-element", element: node };
    }
  }
}

export function applyEdits(paper, html) {
  let anchor = null;
  const isWhole = [...editsIn(html)];
  isWhole.forEach((edit, place) => {
    const here = edit.removed || edit.id ? byId(paper, edit.removed || edit.id) : null;
    if (edit.gap) anchor = null;
    else if (edit.removed) here?.replaceWith(marked("del", here));
    else if (here) anchor = replace(here, edit.element);
    else anchor = insert(paper, edit.element, anchor, place === 0, nextAnchor(paper, isWhole, place));
  });
}

function byId(paper, id) {
  return id === "new-element" ? null : paper.querySelector(`[data-id="${CSS.escape(id)}"]`);
}

function replace(here, element) {
  const now = rebuilt(element.outerHTML).firstElementChild;
  if (!now || now.outerHTML === withoutMarks(here).outerHTML) return here;
  now.classList.add("changed");
  here.replaceWith(now);
  return now;
}

function insert(paper, element, anchor, isFirst, next) {
  const now = rebuilt(element.outerHTML).firstElementChild;
  if (!now) return anchor;
  delete now.dataset.id;
  now.classList.add("added");
  if (anchor) anchor.after(now);
  else if (isFirst) paper.prepend(now);
  else if (next) next.before(now);
  else paper.append(now);
  return now;
}

function nextAnchor(paper, edits, place) {
  for (const edit of edits.slice(place + 1)) {
    if (edit.gap) return null;
    const found = byId(paper, edit.removed || edit.id);
    if (found) return found;
  }
  return null;
}

function withoutMarks(element) {
  const copy = element.cloneNode(true);
  copy.removeAttribute("class");
  return copy;
}

function marked(tag, element) {
  const box = document.createElement(tag);
  box.className = "removed";
  box.append(...element.cloneNode(true).childNodes);
  return box;
}
