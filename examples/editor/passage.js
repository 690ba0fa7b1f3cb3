/**
 * A part of a document: what is sent of it, and how an answer is made whole again with what was not sent. Where a
 * selection begins or ends within an element, the element is sent with the selected part of its content.
 */

export const BLOCKS =
  "address,article,aside,blockquote,caption,dd,details,dir,div,dl,dt,fieldset,figcaption,figure,footer,form," +
  "h1,h2,h3,h4,h5,h6,header,hgroup,hr,li,main,menu,nav,ol,p,pre,section,summary,table,tbody,td,tfoot,th,thead,tr,ul";
export const WITHOUT_TEXT = "table,tbody,thead,tfoot,tr,ul,ol,dl,menu,dir";
export const MARKED = `${BLOCKS},img`;
export const SELECTION_END = "\uE0F5"; // stands at both ends of the selection for a moment; no text has it

/** What the reader of a passage needs of the elements in which it begins and ends, and what it does not. */
export class Passage {
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
export class Cells {
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
  for (const one of elementsAround(root, range.commonAncestorContainer))
    inner = inner.appendChild(one.cloneNode(false));
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
  const [left, right] =
    method === "prepend" ? [content.lastChild, target.firstChild] : [target.lastChild, content.firstChild];
  target[method](content);
  if (left && right) join(left, right);
}

/** Bold text and the like that the selection had cut in two is one again. */
function join(left, right) {
  if (left.nodeType !== Node.ELEMENT_NODE || left.matches(MARKED) || !left.cloneNode().isEqualNode(right.cloneNode()))
    return;
  const [innerLeft, innerRight] = [left.lastChild, right.firstChild];
  left.append(...right.childNodes);
  right.remove();
  if (innerLeft && innerRight) join(innerLeft, innerRight);
}
