/**
 * What is sent of a document: clean HTML in which every block and every image has a `data-id` of four letters, and the
 * way back from an id to the element in the editor. The ids are made anew for each call; the document never has them.
 */

import { parsed } from "./merge.js";
import { BLOCKS, Cells, MARKED, Passage, SELECTION_END, WITHOUT_TEXT } from "./passage.js";

const TEMPORARY = '[data-mce-bogus="all"]';

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

/** A review looks at text, so ids are given to what holds it: the innermost blocks, and text beside blocks. */
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
    span.dataset.id = newId(
      this.live,
      run.map(([child]) => child),
    );
    run[0][1].before(span);
    span.append(...run.map(([, copied]) => copied));
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
