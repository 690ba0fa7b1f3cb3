/**
 * Where edits land. The service answers with HTML whose elements name, by `data-id`, the elements of the document that
 * they replace; what is new stands beside what is there. Here is decided what happens to which; a stage does it:
 *
 *     knows(id)            whether an element was sent under this id
 *     find(id)             the element that stands for it now, or undefined if it is gone
 *     isUnchanged(fresh)   whether it is what was sent under its id; isBeginning(fresh): or may become that
 *     replace(id, fresh), remove(id), insert(fresh, "before" | "after", element), prepend(fresh), append(fresh)
 *                          each returns the element that stands there now
 *
 * The stream is read from its beginning for each piece that arrives, so a stage starts each time with the document as
 * it was. While `ended` is false, the last node is still being written.
 */

const GAP = "existing document";
const REMOVED = /\bremoved data-id="([^"]*)"/;
const NEW = "new-element";

/** A chat's edit: whatever it does not mention stays. */
export function mergeChat(html, ended, stage) {
  const nodes = topNodes(html);
  const entries = [];
  let waiting = [];
  const forTheEnd = [];
  for (const node of nodes) {
    const entry = readEntry(node, stage, !ended && node === nodes.at(-1));
    if (!entry) continue;
    if (entry.kind === "new") {
      placeBehind(entry, entries, stage);
      if (!entry.place) waiting.push(entry);
    } else {
      if (entry.kind === "gap") forTheEnd.push(...waiting);
      else for (const one of waiting) one.place = stage.insert(one.fresh, "before", entry.place ?? entry.removed);
      waiting = [];
    }
    entries.push(entry);
  }
  if (ended) for (const entry of [...forTheEnd, ...waiting]) stage.append(entry.fresh);
}

function readEntry(node, stage, isUnfinished) {
  if (node.nodeType === Node.COMMENT_NODE) return readRemark(node.data.trim(), stage);
  const id = node.dataset.id;
  if (!stage.knows(id)) return { kind: "new", fresh: node };
  if (!stage.find(id)) return null; // a part of something that this answer has replaced or removed
  return { kind: "old", place: keepOrReplace(node, stage, isUnfinished) };
}

function readRemark(text, stage) {
  if (text === GAP) return { kind: "gap" };
  const id = REMOVED.exec(text)?.[1];
  return stage.find(id) ? { kind: "removal", removed: stage.remove(id) } : null;
}

/** The first node of all goes to the start; another goes behind the nearest element, if no gap or removal is nearer. */
function placeBehind(entry, entries, stage) {
  if (entries.length === 0) {
    entry.place = stage.prepend(entry.fresh);
    return;
  }
  const behind = entries.findLast((one) => one.kind !== "new" || one.place);
  if (behind?.place) entry.place = stage.insert(entry.fresh, "after", behind.place);
}

/** An action's answer replaces the elements `sent`, in their order; one that is not in the answer is removed. */
export function mergeReplacement(html, ended, stage, sent) {
  const left = [...sent];
  const nodes = elementsOf(html);
  let last = null;
  for (const node of nodes) {
    const at = left.indexOf(node.dataset.id);
    if (at >= 0) {
      left
        .splice(0, at + 1)
        .slice(0, -1)
        .forEach((id) => stage.remove(id));
      last = keepOrReplace(node, stage, !ended && node === nodes.at(-1));
    } else {
      last = last ? stage.insert(node, "after", last) : stage.insert(node, "before", stage.find(sent[0]));
    }
  }
  if (ended && nodes.length > 0) left.forEach((id) => stage.remove(id));
}

/** A continuation: what is new goes behind the last of the elements `sent`, and nothing is removed. */
export function mergeContinuation(html, ended, stage, sent) {
  let last = stage.find(sent.at(-1));
  const nodes = elementsOf(html);
  for (const node of nodes) {
    const id = node.dataset.id;
    if (!stage.find(id)) {
      last = stage.insert(node, "after", last);
      continue;
    }
    const placed = keepOrReplace(node, stage, !ended && node === nodes.at(-1));
    if (id === sent.at(-1)) last = placed;
  }
}

function keepOrReplace(node, stage, isUnfinished) {
  const isKept = stage.isUnchanged(node) || (isUnfinished && stage.isBeginning(node));
  return isKept ? stage.find(node.dataset.id) : stage.replace(node.dataset.id, node);
}

const elementsOf = (html) => topNodes(html).filter((node) => node.nodeType === Node.ELEMENT_NODE);

/** Elements and comments at the top. A tag that has not arrived whole is not there yet. */
function topNodes(html) {
  const root = parsed(html);
  for (const inner of root.querySelectorAll("*")) {
    removeComments(inner);
    if (inner.parentNode !== root && inner.dataset?.id === NEW) inner.removeAttribute("data-id");
  }
  return [...root.childNodes].filter((node) => node.nodeType !== Node.TEXT_NODE);
}

function removeComments(element) {
  for (const child of [...element.childNodes]) if (child.nodeType === Node.COMMENT_NODE) child.remove();
}

/** Inert: no script runs, and no picture is loaded. */
export function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/** Whether two elements show the same, whatever comments and line breaks their sources have. */
export const isSame = (one, other) => comparable(one).isEqualNode(comparable(other));

function comparable(element) {
  const copy = element.cloneNode(true);
  for (const one of [copy, ...copy.querySelectorAll("*")]) removeComments(one);
  copy.normalize();
  const texts = document.createTreeWalker(copy, NodeFilter.SHOW_TEXT);
  const empty = [];
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    if (/^\s*\n\s*$/.test(text.data)) empty.push(text);
    else text.data = text.data.replace(/\s+/g, " ");
  }
  empty.forEach((text) => text.remove());
  return copy;
}
