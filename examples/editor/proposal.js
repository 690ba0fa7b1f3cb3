/** One edit at a time is shown in the document, above a bar on which it is accepted or rejected. */

import { button, element } from "./dom.js";
import { Preview } from "./preview.js";

export class Proposals {
  #editor;
  #current = null;

  constructor(editor) {
    this.#editor = editor;
  }

  /**
   * `merge(html, ended, stage)` is one of merge.js. `stop` is called when the user stops an edit that is still coming.
   * Another edit that is still shown is given up.
   */
  open(title, snapshot, merge, stop) {
    this.discard();
    this.#current = new Proposal(this.#editor, title, snapshot, merge, stop);
    return this.#current;
  }

  discard() {
    this.#current?.reject();
    this.#current = null;
  }
}

export class Proposal {
  /** Settles with "accepted", "rejected" or "empty". */
  decided;
  #decide;
  #editor;
  #preview;
  #merge;
  #html = "";
  #bar;
  #status = element("span", { role: "status" });

  constructor(editor, title, snapshot, merge, stop) {
    this.#editor = editor;
    this.#preview = new Preview(editor, snapshot);
    this.#merge = merge;
    this.decided = new Promise((resolve) => (this.#decide = resolve));
    this.#status.textContent = `${title} …`;
    this.#bar = element(
      "div",
      {
        className: "penstock proposal",
        role: "region",
        "aria-label": "Proposed edit",
        onkeydown: (event) => event.key === "Escape" && stop(),
      },
      this.#status,
      button("Stop", stop),
    );
    editor.getContainer().querySelector(".tox-edit-area").append(this.#bar);
  }

  get isDecided() {
    return this.#bar === null;
  }

  add(html) {
    if (this.isDecided) return;
    const isFirst = this.#html === "";
    this.#html += html;
    this.#show(false);
    if (isFirst) this.#preview.scrollToFirst();
  }

  /** All of it has arrived: now it can be accepted. Whether there is anything to accept. */
  finish({ focus = false } = {}) {
    if (this.isDecided) return false;
    this.#show(true);
    if (this.#preview.isEmpty) {
      this.#close("empty");
      return false;
    }
    const accept = button("Accept", () => this.accept(), { className: "primary" });
    const reject = () => {
      this.reject();
      this.#editor.focus();
    };
    this.#bar.onkeydown = (event) => event.key === "Escape" && reject();
    this.#bar.replaceChildren(this.#status, accept, button("Reject", reject));
    this.#status.textContent = described(this.#preview.counts);
    this.#preview.scrollToFirst();
    if (focus) accept.focus();
    return true;
  }

  accept() {
    if (this.isDecided) return;
    this.#preview.accept();
    this.#close("accepted");
    this.#editor.focus();
  }

  reject() {
    if (!this.isDecided) this.#close("rejected");
  }

  #show(ended) {
    this.#preview.show((stage) => this.#merge(this.#html, ended, stage));
  }

  #close(decision) {
    if (decision !== "accepted") this.#preview.reject();
    this.#bar.remove();
    this.#bar = null;
    this.#decide(decision);
  }
}

function described({ changed, added, removed }) {
  const said = [
    [changed, "changed"],
    [added, "added"],
    [removed, "removed"],
  ].filter(([count]) => count > 0);
  return `Proposed: ${said.map(([count, what]) => `${count} ${what}`).join(", ")}`;
}
