/**
 * Shows an edit in the document before it is part of it. Old elements stay where they are until they are replaced for
 * good; new ones are marked as bogus, so that neither `getContent` nor the undo history ever sees a preview.
 */

import { isSame } from "./merge.js";

/** Says how an element differs: `added`, `changed`, `old`; or `noted`, when a card is about it. */
export const MARK = "data-penstock";
const BOGUS = "data-mce-bogus";

/** Elements that only stand within others, which the editor's parser has to see around them. */
const AROUND = {
  IMG: ["p"],
  SPAN: ["p"],
  A: ["p"],
  LI: ["ul"],
  DT: ["dl"],
  DD: ["dl"],
  SUMMARY: ["details"],
  FIGCAPTION: ["figure"],
  CAPTION: ["table"],
  THEAD: ["table"],
  TBODY: ["table"],
  TFOOT: ["table"],
  TR: ["table", "tbody"],
  TD: ["table", "tbody", "tr"],
  TH: ["table", "tbody", "tr"],
};

export class Preview {
  #editor;
  #snapshot;
  #mode;
  #fresh = new Map(); // id → element that now stands for it
  #added = new Set();
  #old = new Set();

  constructor(editor, snapshot) {
    this.#editor = editor;
    this.#snapshot = snapshot;
    this.#mode = editor.mode.get();
    editor.mode.set("readonly");
  }

  get isEmpty() {
    return this.#added.size === 0 && this.#old.size === 0;
  }

  /** How many places differ: `{ changed, added, removed }`. */
  get counts() {
    const outermost = [...this.#added].filter((one) => !one.parentElement.closest(`[${MARK}]`));
    const changed = outermost.filter((one) => one.getAttribute(MARK) === "changed").length;
    return { changed, added: outermost.length - changed, removed: this.#old.size - changed };
  }

  /** `merge` gets a stage: the document as it was when the preview began. */
  show(merge) {
    this.#reset();
    merge(this);
  }

  scrollToFirst() {
    const [first] = this.#editor.getBody().querySelectorAll(`[${MARK}]`);
    first?.scrollIntoView({ block: "center", behavior: "smooth" });
  }

  /** One step that can be undone. */
  accept() {
    this.#editor.mode.set(this.#mode);
    this.#editor.undoManager.transact(() => this.#settle());
    this.#editor.nodeChanged();
  }

  reject() {
    this.#reset();
    this.#editor.mode.set(this.#mode);
  }

  #settle() {
    for (const old of this.#old) old.remove();
    for (const added of this.#added) {
      added.removeAttribute(MARK);
      added.removeAttribute(BOGUS);
      withoutIds(added, (id) => this.#snapshot.live.get(id));
    }
  }

  #reset() {
    for (const added of this.#added) added.remove();
    for (const old of this.#old) old.removeAttribute(MARK);
    this.#added.clear();
    this.#old.clear();
    this.#fresh.clear();
  }

  // The stage of merge.js

  knows(id) {
    return this.#snapshot.sent.has(id);
  }

  find(id) {
    if (!this.knows(id)) return undefined;
    const element = this.#fresh.get(id) ?? this.#snapshot.live.get(id);
    return element.isConnected && !element.closest(`[${MARK}="old"]`) ? element : undefined;
  }

  isUnchanged(fresh) {
    return isSame(fresh, this.#snapshot.sent.get(fresh.dataset.id));
  }

  isBeginning(fresh) {
    const [whole, begun] = [this.#snapshot.sent.get(fresh.dataset.id), fresh].map((one) => one.textContent.trim());
    return whole.startsWith(begun);
  }

  replace(id, fresh) {
    const original = this.#snapshot.original.get(id);
    return this.#swap(this.find(id), original, this.#snapshot.complete(id, fresh.cloneNode(true)));
  }

  remove(id) {
    const old = this.find(id);
    const rest = this.#snapshot.complete(id);
    if (rest) return this.#swap(old, this.#snapshot.original.get(id), rest);
    this.#retire(old);
    return old;
  }

  insert(fresh, side, element) {
    const made = this.#made(fresh, "added");
    element[side](made);
    this.#remember(made);
    return made;
  }

  prepend(fresh) {
    const made = this.#made(fresh, "added");
    this.#editor.getBody().prepend(made);
    this.#remember(made);
    return made;
  }

  append(fresh) {
    const made = this.#made(fresh, "added");
    this.#editor.getBody().append(made);
    this.#remember(made);
    return made;
  }

  /** Only what differs is exchanged: of a list the items, of a table the cells. */
  #swap(old, original, fresh) {
    if (isSame(original, fresh)) return old;
    if (this.#added.has(old) || !hasSameParts(original, fresh)) return this.#exchange(old, fresh);
    [...fresh.children].forEach((part, index) => {
      const id = part.dataset.id;
      this.#swap(this.#fresh.get(id) ?? this.#snapshot.live.get(id), original.children[index], part);
    });
    return old;
  }

  #exchange(old, fresh) {
    const made = this.#made(fresh, "changed");
    old.after(made);
    if (this.#added.has(old)) this.#withdraw(old, made);
    else this.#retire(old);
    this.#remember(made);
    return made;
  }

  #withdraw(old, made) {
    made.setAttribute(MARK, old.getAttribute(MARK));
    this.#added.delete(old);
    old.remove();
  }

  #retire(element) {
    if (this.#added.delete(element)) element.remove();
    else if (element.closest(`[${BOGUS}="all"]`)) element.remove();
    else {
      element.setAttribute(MARK, "old");
      this.#old.add(element);
    }
  }

  /** Elements of the document that a new one has in it have moved there. */
  #remember(made) {
    for (const one of [made, ...made.querySelectorAll("[data-id]")]) {
      const id = one.dataset.id;
      const before = one === made ? undefined : this.find(id);
      if (before && !made.contains(before)) this.#retire(before);
      if (this.knows(id)) this.#fresh.set(id, one);
    }
    this.#added.add(made);
  }

  #made(fresh, mark) {
    const made = allowed(this.#editor, fresh);
    made.setAttribute(MARK, mark);
    made.setAttribute(BOGUS, "all");
    return made;
  }
}

/** The ids are ours, unless the document had an attribute of that name itself. */
export function withoutIds(element, liveElement) {
  for (const one of [element, ...element.querySelectorAll("[data-id]")]) {
    const own = liveElement(one.dataset.id)?.getAttribute?.("data-id");
    if (own) one.setAttribute("data-id", own);
    else one.removeAttribute("data-id");
  }
  return element;
}

/** An answered element through the editor's own parser, which lets nothing in that the editor does not allow. */
export function allowed(editor, fresh) {
  const around = AROUND[fresh.nodeName] ?? [];
  const html = around.map((tag) => `<${tag}>`).join("") + fresh.outerHTML; // the parser closes what is open
  const clean = tinymce.html.Serializer({ validate: false }, editor.schema).serialize(editor.parser.parse(html));
  const holder = editor.dom.create("div", {}, clean);
  const made = around.length > 0 ? holder.querySelector(fresh.nodeName) : holder.firstElementChild;
  return made ?? editor.dom.create("p", {}, editor.dom.encode(fresh.textContent));
}

/** Whether one has the other's elements, in the same order, and no text beside them. */
function hasSameParts(one, other) {
  const ids = [one, other].map((element) => [...element.children].map((part) => part.dataset.id ?? ""));
  if (ids[0].length === 0 || ids[0].includes("") || ids[0].join() !== ids[1].join()) return false;
  return one.cloneNode().isEqualNode(other.cloneNode()) && !hasOwnText(one) && !hasOwnText(other);
}

const hasOwnText = (element) =>
  [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== "");
