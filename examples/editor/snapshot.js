/**
 * What is sent of a document: clean HTML in which every block and every image has a `data-id` of four letters, and the
 * way back from an id to the element in the editor. The ids are made anew for each call; the document never has them.
 */

import { parsed } from "./merge.js";

const BLOCKS =
  "address,article,aside,blockquote,caption,dd,details,dir,div,dl,dt,fieldset,figcaption,figure,footer,form," +
  "h1,h2,h3,h4,h5,h6,header,hgroup,hr,li,main,menu,nav,ol,p,pre,section,summary,table,tbody,td,tfoot,th,thead,tr,ul";
const WITHOUT_TEXT = "table,tbody,thead,tfoot,tr,ul,ol,dl,menu,dir";
const MARKED = `${BLOCKS},img`;
const TEMPORARY = '[data-mce-bogus="all"]';
const SELECTION_END = "\uE0F5"; // stands at both ends of the selection for a moment; no text has it

export class Snapshot {
  /** id → element in the editor */
  live = new Map();
  /** id → element as it is saved, also of what is not sent */
  original = new Map();
  /** id → element as it was sent */
  sent = new Map();
  /** ids of the outermost elements that were sent, in order */
  top = [];
  html = "";
  /** `[{start, end}]` in UTF-16 code units of `html` */
  selection = [];
  #part = null;

  /** The whole document, and where the selection is in it. */
  static document(editor) {
    const snapshot = new Snapshot();
    const [before, selected, after] = snapshot.#read(editor, selectedRange(editor)).split(SELECTION_END);
    snapshot.#send(before + (selected ?? "") + (after ?? ""));
    if (selected) snapshot.selection = [{ start: before.length, end: before.length + selected.length }];
    return snapshot;
  }

  /** What is selected, with the elements around it; the whole document if that is nothing. */
  static selection(editor) {
    const cells = editor.dom.select("td[data-mce-selected],th[data-mce-selected]");
    const range = selectedRange(editor);
    if (!range && cells.length === 0) return Snapshot.document(editor);
    const snapshot = new Snapshot();
    const root = parsed(snapshot.#read(editor, cells.length ? null : range));
    const ids = [...snapshot.live].filter(([, element]) => cells.includes(element)).map(([id]) => id);
    snapshot.#part = cells.length ? new Cells(root, ids) : new Passage(root);
    snapshot.#send(snapshot.#part.html);
    return snapshot;
  }

  /** The answered element with what was not sent of the element that it stands for. Without an answer: only that. */
  complete(id, fresh = null) {
    return this.#part ? this.#part.complete(id, fresh) : fresh;
  }

  /** As the editor would save it, with ids, and with a mark at both ends of the range. */
  #read(editor, range) {
    const body = editor.getBody();
    const copy = body.cloneNode(true);
    for (const [element, twin] of pairs(body.querySelectorAll("*"), copy.querySelectorAll("*"))) {
      if (twin.matches(MARKED) && !twin.closest(TEMPORARY)) twin.setAttribute("data-id", newId(this.live, element));
    }
    if (range) mark(copy, body, range);
    const html = serialized(editor, copy);
    this.original = byId(html.replaceAll(SELECTION_END, ""));
    return html;
  }

  #send(html) {
    this.html = html;
    this.sent = byId(html);
    this.top = [...parsed(html).children].map((one) => one.dataset.id).filter(Boolean);
  }
}

/** A review looks at text, so ids are given to what holds it: the innermost blocks, and text that stands beside blocks. */
export class ReviewSnapshot {
  /** id → the nodes in the editor: one element, or a run of text beside blocks */
  live = new Map();
  /** id → element as it was sent */
  sent;
  html;

  constructor(editor) {
    const copy = editor.getBody().cloneNode(true);
    this.#mark(editor.getBody(), copy);
    this.html = serialized(editor, copy);
    this.sent = byId(this.html);
  }

  #mark(element, twin) {
    const children = pairs(element.childNodes, twin.childNodes);
    const hasBlocks = twin.querySelector(BLOCKS) !== null;
    if (!hasBlocks && twin.matches(BLOCKS)) twin.setAttribute("data-id", newId(this.live, [element]));
    for (const [child, copied] of children) {
      if (copied.nodeName === "IMG") copied.setAttribute("data-id", newId(this.live, [child]));
      else if (copied.nodeType === Node.ELEMENT_NODE) this.#mark(child, copied);
    }
    if (hasBlocks && !twin.matches(WITHOUT_TEXT)) this.#wrapLooseText(children);
  }

  #wrapLooseText(children) {
    let run = [];
    for (const [child, copied] of [...children, [null, null]]) {
      const isInline = copied && !copied.matches?.(MARKED) && !copied.querySelector?.(MARKED);
      if (isInline) {
        run.push([child, copied]);
      } else {
        if (run.some(([, one]) => one.textContent.trim())) this.#wrap(run);
        run = [];
      }
    }
  }

  #wrap(run) {
    const span = document.createElement("span");
    span.dataset.textWrapper = "true";
    span.dataset.id = newId(this.live, run.map(([child]) => child));
    run[0][1].before(span);
    span.append(...run.map(([, copied]) => copied));
  }
}

/** What the reader of a passage needs of the elements in which it begins and ends, and what it does not. */
class Passage {
  #heads;
  #tails;
  #rest;

  /** `root` has a mark at both ends of the passage. */
  constructor(root) {
    const range = trimmed(unmarked(root));
    this.html = markup(cut(root, range));
    this.#heads = outside(marked(root, range.startContainer), head, range);
    this.#tails = outside(marked(root, range.endContainer), tail, range);
    range.deleteContents();
    this.#rest = root;
  }

  complete(id, fresh) {
    if (!fresh) return this.#left(id);
    giveBack(fresh, from(this.#heads, id), "prepend");
    giveBack(fresh, from(this.#tails, id), "append");
    return fresh;
  }

  #left(id) {
    const rest = this.#rest.querySelector(`[data-id="${id}"]`);
    const hasContent = rest && (rest.textContent.trim() || rest.querySelector("img"));
    return hasContent ? rest.cloneNode(true) : null;
  }
}

/** Cells of a table: the table is sent with these alone. */
class Cells {
  #root;
  #ids;

  constructor(root, ids) {
    this.#root = root;
    this.#ids = ids;
    const table = this.#cell(root, ids[0]).closest("table").cloneNode(true);
    for (const cell of table.querySelectorAll("td,th")) if (!ids.includes(cell.dataset.id)) cell.remove();
    for (const row of table.querySelectorAll("tr")) if (!row.firstElementChild) row.remove();
    this.html = table.outerHTML;
  }

  complete(id, fresh) {
    const whole = this.#cell(this.#root, id).cloneNode(true);
    for (const cell of this.#ids) {
      const answered = fresh && this.#cell(fresh, cell);
      if (answered) this.#cell(whole, cell).replaceWith(answered.cloneNode(true));
    }
    return whole;
  }

  #cell(root, id) {
    return root.querySelector(`[data-id="${id}"]`);
  }
}

const selectedRange = (editor) => (editor.selection.isCollapsed() ? null : editor.selection.getRng());

const pairs = (elements, twins) => Array.from(elements, (element, index) => [element, twins[index]]);

const byId = (html) => new Map(Array.from(parsed(html).querySelectorAll("[data-id]"), (one) => [one.dataset.id, one]));

/** Clean: without the editor's own attributes, fillers of empty lines and bookmarks. */
function serialized(editor, copy) {
  const html = editor.serializer.serialize(copy, { getInner: true, no_events: true, indent: false });
  return html.replaceAll(/&#(57589|xe0f5);/gi, SELECTION_END); // where `entity_encoding` is numeric
}

/** Four lower-case letters, remembered for `what`. */
function newId(taken, what) {
  for (;;) {
    const letters = crypto.getRandomValues(new Uint8Array(4));
    const id = Array.from(letters, (letter) => String.fromCharCode(97 + (letter % 26))).join("");
    if (taken.has(id)) continue;
    taken.set(id, what);
    return id;
  }
}

function mark(copy, body, range) {
  const ends = [
    [...textPlace(range.endContainer, range.endOffset, true)],
    [...textPlace(range.startContainer, range.startOffset, false)],
  ];
  for (const [container, offset] of ends) {
    const place = document.createRange();
    place.setStart(twin(container, body, copy), offset);
    place.insertNode(document.createTextNode(SELECTION_END));
  }
}

/** A place where text may stand: not between the rows of a table or the items of a list. */
function textPlace(container, offset, isEnd) {
  while (container.nodeType === Node.ELEMENT_NODE && container.matches(WITHOUT_TEXT) && container.hasChildNodes()) {
    const at = Math.min(Math.max(isEnd ? offset - 1 : offset, 0), container.childNodes.length - 1);
    container = container.childNodes[at];
    offset = isEnd ? (container.data ?? container.childNodes).length : 0;
  }
  return [container, offset];
}

/** The node at the same place in a copy of the body. */
function twin(node, body, copy) {
  if (node === body) return copy;
  return twin(node.parentNode, body, copy).childNodes[[...node.parentNode.childNodes].indexOf(node)];
}

/** Take the marks out again; the range between them. */
function unmarked(root) {
  const range = root.ownerDocument.createRange();
  const texts = root.ownerDocument.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  let isStart = true;
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    for (let at = text.data.indexOf(SELECTION_END); at >= 0; at = text.data.indexOf(SELECTION_END)) {
      text.deleteData(at, 1);
      if (isStart) range.setStart(text, at);
      else range.setEnd(text, at);
      isStart = false;
    }
  }
  return range;
}

/** A triple click selects up to the beginning of the next block, which is then not meant. */
function trimmed(range) {
  for (;;) {
    const container = range.endContainer;
    const last = (container.nodeType === Node.ELEMENT_NODE ? container : container.parentElement)?.closest("[data-id]");
    if (!last || last.contains(range.startContainer)) return range;
    const inside = range.cloneRange();
    inside.setStartBefore(last);
    const content = inside.cloneContents();
    if (content.textContent.trim() || content.querySelector("img")) return range;
    range.setEndBefore(last);
  }
}

/** The content of the range, within copies of all elements around it. */
function cut(root, range) {
  const made = root.ownerDocument.createDocumentFragment();
  let inner = made;
  for (const one of elementsAround(root, range.commonAncestorContainer)) inner = inner.appendChild(one.cloneNode(false));
  inner.append(range.cloneContents());
  return made;
}

/** From the outside in, `node` itself included if it is an element. */
function elementsAround(root, node) {
  const found = [];
  for (let one = node; one !== root; one = one.parentNode) if (one.nodeType === Node.ELEMENT_NODE) found.unshift(one);
  return found;
}

const marked = (root, node) => elementsAround(root, node).filter((one) => one.dataset.id);

const outside = (blocks, side, range) =>
  blocks.map((block, at) => ({ id: block.dataset.id, content: side(block, blocks[at + 1], range) }));

/** The parts of this element and of what is in it. */
function from(parts, id) {
  const at = parts.findIndex((one) => one.id === id);
  return at < 0 ? [] : parts.slice(at);
}

function markup(fragment) {
  const holder = document.createElement("div");
  holder.append(fragment);
  return holder.innerHTML;
}

/** What stands before the passage in `block`, and not in `next`, the block within it. */
function head(block, next, range) {
  const part = block.ownerDocument.createRange();
  part.setStart(block, 0);
  if (next) part.setEndBefore(next);
  else part.setEnd(range.startContainer, range.startOffset);
  return withContent(part.cloneContents());
}

function tail(block, next, range) {
  const part = block.ownerDocument.createRange();
  if (next) part.setStartAfter(next);
  else part.setStart(range.endContainer, range.endOffset);
  part.setEnd(block, block.childNodes.length);
  return withContent(part.cloneContents());
}

/** At the edge of an element, a copy of the range has empty pieces of the elements around the edge. */
function withContent(fragment) {
  for (const one of [...fragment.children]) {
    if (!one.textContent && !one.matches(`${MARKED},br`) && !one.querySelector("img,br")) one.remove();
  }
  return fragment;
}

/** From the inside out; what belongs to an element that the answer lacks goes to the one around it. */
function giveBack(fresh, parts, method) {
  let carried = document.createDocumentFragment();
  for (const { id, content } of [...parts].reverse()) {
    const whole = document.createDocumentFragment();
    const copy = content.cloneNode(true);
    whole.append(...(method === "prepend" ? [copy, carried] : [carried, copy]));
    const target = fresh.dataset.id === id ? fresh : fresh.querySelector(`[data-id="${id}"]`);
    carried = whole;
    if (!target) continue;
    put(target, carried, method);
    carried = document.createDocumentFragment();
  }
  put(fresh, carried, method);
}

function put(target, content, method) {
  const [left, right] = method === "prepend" ? [content.lastChild, target.firstChild] : [target.lastChild, content.firstChild];
  target[method](content);
  if (left && right) join(left, right);
}

/** Bold text and the like that the selection had cut in two is one again. */
function join(left, right) {
  if (left.nodeType !== Node.ELEMENT_NODE || left.matches(MARKED) || !left.cloneNode().isEqualNode(right.cloneNode())) return;
  const [innerLeft, innerRight] = [left.lastChild, right.firstChild];
  left.append(...right.childNodes);
  right.remove();
  if (innerLeft && innerRight) join(innerLeft, innerRight);
}
