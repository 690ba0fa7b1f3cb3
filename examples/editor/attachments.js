/** Files and web pages that go with the next message. They are uploaded as soon as they are added. */

import { isAbort } from "./client.js";
import { button, element, iconButton, notice } from "./dom.js";

const ACCEPTED = ".pdf,.docx,.png,.jpg,.jpeg,.md,.html,.htm,.txt";

export class Attachments {
  element;
  #client;
  #conversationId;
  #entries = new Set();
  #chips = element("ul", { className: "chips", "aria-label": "Attachments" });
  #errors = element("div");
  #file = element("input", { type: "file", accept: ACCEPTED, multiple: true, hidden: true, "aria-label": "Files" });
  #url = element("input", {
    type: "url",
    required: true,
    placeholder: "https://…",
    "aria-label": "Address of the page",
  });
  #form;

  /** `conversationId` answers a promise: uploading begins a conversation when there is none. */
  constructor(client, conversationId) {
    this.#client = client;
    this.#conversationId = conversationId;
    this.#file.onchange = () => this.#addFiles();
    this.#form = element(
      "form",
      { className: "row", hidden: true },
      this.#url,
      button("Add", null, { type: "submit" }),
    );
    this.#form.onsubmit = (event) => this.#addPage(event);
    const tools = element(
      "div",
      { className: "row" },
      button("Attach file", () => this.#file.click()),
      button("Add URL", () => this.#openForm()),
    );
    this.element = element(
      "div",
      { className: "attachments" },
      this.#errors,
      this.#chips,
      this.#form,
      this.#file,
      tools,
    );
  }

  /** What the next message carries; it is then no longer here. Waits for uploads. */
  async take() {
    await Promise.allSettled([...this.#entries].map((entry) => entry.uploaded));
    const ready = [...this.#entries].filter((entry) => entry.id);
    this.clear();
    return ready.map(({ kind, id }) => ({ type: kind, id }));
  }

  clear() {
    this.#entries.clear();
    this.#chips.replaceChildren();
    this.#errors.replaceChildren();
  }

  #openForm() {
    this.#form.hidden = !this.#form.hidden;
    if (!this.#form.hidden) this.#url.focus();
  }

  #addFiles() {
    for (const file of this.#file.files)
      this.#add("file", file.name, (id, signal) => this.#client.addFile(id, file, signal));
    this.#file.value = "";
  }

  #addPage(event) {
    event.preventDefault();
    const url = this.#url.value;
    this.#add("web-resource", url, (id, signal) => this.#client.addWebPage(id, url, signal));
    this.#form.hidden = true;
    this.#form.reset();
  }

  #add(kind, name, upload) {
    const entry = { kind, name, id: "", uploading: new AbortController() };
    const chip = element(
      "li",
      { "aria-busy": "true" },
      element("span", {}, name),
      iconButton("close", `Remove ${name}`, () => this.#remove(entry, chip)),
    );
    this.#entries.add(entry);
    this.#chips.append(chip);
    entry.uploaded = this.#upload(entry, chip, upload);
  }

  async #upload(entry, chip, upload) {
    try {
      entry.conversation = await this.#conversationId();
      entry.id = await upload(entry.conversation, entry.uploading.signal);
      chip.removeAttribute("aria-busy");
    } catch (error) {
      this.#entries.delete(entry);
      chip.remove();
      if (isAbort(error)) return;
      error.message = `Failed to add ${entry.name}: ${error.message}`;
      this.#errors.replaceChildren(notice(error));
    }
  }

  #remove(entry, chip) {
    this.#entries.delete(entry);
    chip.remove();
    entry.uploading.abort();
    if (!entry.id) return;
    const removed = this.#client.removeAttachment(entry.conversation, entry.kind, entry.id);
    removed.catch((error) => this.#errors.replaceChildren(notice(error)));
  }
}
