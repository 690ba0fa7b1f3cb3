/** Earlier conversations: open, rename, pin, delete. */

import { button, element, iconButton, notice } from "./dom.js";

const UNNAMED = "Unnamed conversation";

export class History {
  element = element("section", { className: "history", "aria-label": "History", hidden: true });
  #client;
  #on;

  /** `on`: what the chat does when a conversation was opened, renamed or deleted here. */
  constructor(client, on) {
    this.#client = client;
    this.#on = on;
    this.element.onkeydown = (event) => event.key === "Escape" && this.close();
  }

  close() {
    this.element.hidden = true;
  }

  async toggle() {
    this.element.hidden = !this.element.hidden;
    if (!this.element.hidden) await this.#load();
  }

  async #load() {
    this.element.replaceChildren(element("p", { className: "quiet", role: "status" }, "Loading …"));
    try {
      const pinned = await this.#list(true);
      const others = await this.#list(false);
      const isEmpty = !pinned.querySelector("li") && !others.querySelector("li");
      this.element.replaceChildren(
        ...(isEmpty ? [element("p", { className: "quiet" }, "No conversations yet.")] : [pinned, others]),
      );
      this.element.querySelector("button")?.focus();
    } catch (error) {
      this.element.replaceChildren(notice(error));
    }
  }

  async #list(pinned) {
    const list = element("ul", { "aria-label": pinned ? "Pinned conversations" : "Conversations" });
    const more = button("Show more", () =>
      this.#page(list, more, pinned).catch((error) => more.replaceWith(notice(error))),
    );
    await this.#page(list, more, pinned);
    return element("div", {}, list, more);
  }

  async #page(list, more, pinned) {
    const { items, nextCursor } = await this.#client.conversations(pinned, more.dataset.cursor);
    list.append(...items.map((item) => this.#entry(item)));
    more.dataset.cursor = nextCursor ?? "";
    more.hidden = !nextCursor;
  }

  #entry(item) {
    const open = button(item.title ?? UNNAMED, () => this.#on.open(item.id), { className: "open" });
    const entry = element("li", {}, open);
    const change = (work) => work().catch((error) => entry.append(notice(error)));
    entry.append(
      iconButton("edit-block", "Rename", () => this.#rename(item, entry, open, change)),
      iconButton(item.pinned ? "unpin" : "pin", item.pinned ? "Unpin" : "Pin", () => change(() => this.#pin(item))),
      iconButton("remove", "Delete", () => change(() => this.#delete(item, entry))),
    );
    return entry;
  }

  #rename(item, entry, open, change) {
    const input = element("input", { value: item.title ?? "", maxLength: 255, "aria-label": "New title" });
    const done = () => input.replaceWith(open);
    input.onkeydown = (event) => {
      event.stopPropagation();
      if (event.key === "Escape") done();
      if (event.key === "Enter") change(() => this.#save(item, input.value.trim(), open).finally(done));
    };
    open.replaceWith(input);
    input.select();
  }

  async #save(item, title, open) {
    if (!title) return;
    Object.assign(item, await this.#client.changeConversation(item.id, { title }));
    open.textContent = item.title;
    this.#on.changed(item.id, item.title);
  }

  async #pin(item) {
    await this.#client.changeConversation(item.id, { pinned: !item.pinned });
    await this.#load();
  }

  async #delete(item, entry) {
    await this.#client.deleteConversation(item.id);
    const neighbour = entry.nextElementSibling ?? entry.previousElementSibling;
    entry.remove();
    neighbour?.querySelector("button").focus();
    this.#on.deleted(item.id);
  }
}
