/** Reviews: a card for each element that could be better; the user applies or dismisses them one by one. */

import { isAbort } from "./client.js";
import { button, element, field, notice } from "./dom.js";
import { isSame, parsed } from "./merge.js";
import { MARK, allowed, withoutIds } from "./preview.js";
import { ReviewSnapshot } from "./snapshot.js";
import { wordDiff } from "./words.js";

const REVIEWS = [
  ["correctness", "Proofread"],
  ["clarity", "Improve clarity"],
  ["readability", "Improve readability"],
  ["make-shorter", "Make shorter"],
  ["make-longer", "Make longer"],
  ["make-tone-casual", "Tone: casual"],
  ["make-tone-direct", "Tone: direct"],
  ["make-tone-friendly", "Tone: friendly"],
  ["make-tone-confident", "Tone: confident"],
  ["make-tone-professional", "Tone: professional"],
  ["", "My own instruction"],
];

export class ReviewPanel {
  element;
  #editor;
  #client;
  #proposals;
  #models;
  #running = null;
  #choice = element("select", {}, ...REVIEWS.map(([value, label]) => element("option", { value }, label)));
  #prompt = element("textarea", { rows: 2 });
  #own = field("What should be looked for?", this.#prompt);
  #start = button("Start review", () => this.#run(), { className: "primary" });
  #stop = button("Stop", () => this.#running?.abort(), { hidden: true });
  #status = element("p", { role: "status", className: "quiet" });
  #cards = element("ul", { className: "cards", "aria-label": "Suggestions" });

  constructor(editor, client, proposals, models) {
    this.#editor = editor;
    this.#client = client;
    this.#proposals = proposals;
    this.#models = models;
    this.#choice.onchange = () => this.#showOwn();
    this.#showOwn();
    const form = element(
      "div",
      { className: "form" },
      field("Review", this.#choice),
      this.#own,
      element("div", { className: "row" }, this.#start, this.#stop),
    );
    this.element = element("div", { className: "panel" }, form, this.#status, this.#cards);
  }

  #showOwn() {
    this.#own.hidden = this.#choice.value !== "";
  }

  #review() {
    if (this.#choice.value) return { name: this.#choice.value };
    return { prompt: this.#prompt.value.trim(), model: this.#models.selected?.id };
  }

  async #run() {
    const review = this.#review();
    if (!review.name && !review.prompt) return this.#prompt.focus();
    this.#proposals.discard();
    const running = (this.#running = new AbortController());
    const snapshot = new ReviewSnapshot(this.#editor);
    this.#begin();
    try {
      for await (const { name, data } of this.#client.review(review, snapshot.html, running.signal)) {
        if (name === "review-metadata") this.#status.textContent = `Reviewing, ${data.pendingElements} to go …`;
        if (name === "review-delta" && data.operation === "edit") this.#add(snapshot, data);
      }
      this.#status.textContent = this.#cards.children.length > 0 ? "" : "No improvements found.";
    } catch (error) {
      this.#status.textContent = isAbort(error) ? "Stopped." : "";
      if (!isAbort(error)) this.#status.after(notice(error));
    } finally {
      this.#end();
    }
  }

  #begin() {
    this.#cards.replaceChildren();
    this.element.querySelector(":scope > .notice")?.remove();
    this.#status.textContent = "Reviewing …";
    this.#start.disabled = true;
    this.#stop.hidden = false;
  }

  #end() {
    this.#start.disabled = false;
    this.#stop.hidden = true;
  }

  #add(snapshot, { dataId, textDelta }) {
    const nodes = snapshot.live.get(dataId);
    const sent = snapshot.sent.get(dataId);
    if (!nodes || !sent) return;
    const fresh = freshElement(textDelta, dataId);
    if (!fresh || isSame(sent, fresh)) return;
    const suggestion = new Suggestion(this.#editor, nodes, sent, fresh);
    const card = suggestion.card(() => this.#next(card));
    this.#cards.append(card);
  }

  /** The keyboard's place moves on to the next card. */
  #next(card) {
    const neighbour = card.nextElementSibling ?? card.previousElementSibling;
    card.remove();
    (neighbour?.querySelector("button") ?? this.#start).focus();
    if (this.#cards.children.length === 0) this.#status.textContent = "All suggestions are dealt with.";
  }
}

function freshElement(html, id) {
  const root = parsed(html);
  return root.querySelector(`[data-id="${CSS.escape(id)}"]`) ?? root.firstElementChild;
}

class Suggestion {
  #editor;
  #nodes;
  #sent;
  #fresh;
  #before;

  constructor(editor, nodes, sent, fresh) {
    this.#editor = editor;
    this.#nodes = nodes;
    this.#sent = sent;
    this.#fresh = fresh;
    this.#before = textOf(nodes);
  }

  card(onDone) {
    const outcome = element("p", { className: "quiet", role: "status" });
    const apply = () => {
      this.#show(false);
      if (this.#isStale()) {
        outcome.textContent = "The text has changed since. Run the review again.";
        return;
      }
      this.#apply();
      onDone();
    };
    const dismiss = () => {
      this.#show(false);
      onDone();
    };
    const buttons = element(
      "div",
      { className: "row" },
      button("Apply", apply, { className: "primary" }),
      button("Dismiss", dismiss),
    );
    const card = element("li", { className: "card" }, this.#difference(), outcome, buttons);
    for (const event of ["mouseenter", "focusin"]) card.addEventListener(event, () => this.#show(true));
    for (const event of ["mouseleave", "focusout"]) card.addEventListener(event, () => this.#show(false));
    return card;
  }

  #difference() {
    const pieces = wordDiff(words(this.#sent), words(this.#fresh));
    const tags = { old: "del", new: "ins", same: "span" };
    return element("p", { className: "difference" }, ...pieces.map(([kind, text]) => element(tags[kind], {}, text)));
  }

  /** Let the reader see which element this is about. */
  #show(isShown) {
    for (const node of this.#nodes) {
      if (node.nodeType !== Node.ELEMENT_NODE) continue;
      if (isShown) node.setAttribute(MARK, "noted");
      else node.removeAttribute(MARK);
    }
    if (isShown) this.#nodes[0].scrollIntoView?.({ block: "nearest", behavior: "smooth" });
  }

  #isStale() {
    return this.#nodes.some((node) => !node.isConnected) || textOf(this.#nodes) !== this.#before;
  }

  #apply() {
    const [first, ...others] = this.#nodes;
    const fresh = withoutIds(allowed(this.#editor, this.#fresh), () => first);
    const isRun = this.#sent.dataset.textWrapper === "true";
    this.#editor.undoManager.transact(() => {
      first.replaceWith(...(isRun ? fresh.childNodes : [fresh]));
      for (const node of others) node.remove();
    });
    this.#editor.nodeChanged();
  }
}

const textOf = (nodes) => nodes.map((node) => node.textContent).join("");

const words = (one) => (one.nodeName === "IMG" ? `Picture: ${one.alt}` : one.textContent);
