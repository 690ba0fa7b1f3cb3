/** The conversation: questions about the document, answers that stream, and edits that are proposed in it. */

import { Answer, remembered, said } from "./answer.js";
import { Attachments } from "./attachments.js";
import { newConversationId } from "./client.js";
import { button, element, iconButton, notice } from "./dom.js";
import { History } from "./history.js";
import { mergeChat } from "./merge.js";
import { Snapshot } from "./snapshot.js";

const GREETING =
  "Ask about the document, or say what should change in it. Proposed edits are shown before anything changes.";
const UNNAMED = "Unnamed conversation";
export class ChatPanel {
  element;
  #editor;
  #client;
  #proposals;
  #models;
  #attachments;
  #history;
  #id = "";
  #beginning = null;
  #running = null;
  #title = element("h2", {}, "New conversation");
  #log = element("div", { className: "log", role: "log", "aria-label": "Conversation", tabIndex: 0 });
  #prompt = element("textarea", { rows: 3, placeholder: "Ask, or say what should change …", "aria-label": "Message" });
  #withDocument = element("input", { type: "checkbox", checked: true });
  #send = button("Send", () => this.#sendPrompt(), { className: "primary" });
  #stop = button("Stop", () => this.#running?.abort(), { hidden: true, className: "primary" });

  constructor(editor, client, proposals, models) {
    this.#editor = editor;
    this.#client = client;
    this.#proposals = proposals;
    this.#models = models;
    this.#attachments = new Attachments(client, () => this.#conversation());
    this.#history = new History(client, {
      open: (id) => this.#open(id),
      changed: (id, title) => this.#renamed(id, title),
      deleted: (id) => id === this.#id && this.#begin(),
    });
    this.#prompt.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#sendPrompt();
    };
    this.element = element(
      "div",
      { className: "panel" },
      this.#head(),
      this.#history.element,
      this.#log,
      this.#composer(),
    );
    this.#begin();
  }

  #head() {
    return element(
      "div",
      { className: "head" },
      this.#title,
      iconButton("new-chat", "New conversation", () => this.#begin()),
      iconButton("revision-history", "History", () => this.#history.toggle()),
    );
  }

  #composer() {
    const document = element("label", {}, this.#withDocument, " Use the document");
    const tools = element(
      "div",
      { className: "row" },
      this.#attachments.element,
      element("span", { className: "grow" }),
      this.#stop,
      this.#send,
    );
    return element("div", { className: "composer" }, this.#prompt, document, this.#models.element, tools);
  }

  #begin() {
    this.#running?.abort();
    this.#proposals.discard();
    this.#id = "";
    this.#beginning = null;
    this.#attachments.clear();
    this.#title.textContent = "New conversation";
    this.#log.replaceChildren(element("p", { className: "quiet" }, GREETING));
    this.#history.close();
  }

  /** Its id; it is begun when something is to be kept in it. */
  #conversation() {
    this.#beginning ??= this.#create();
    return this.#beginning;
  }

  async #create() {
    const id = newConversationId();
    try {
      await this.#client.createConversation(id);
    } catch (error) {
      this.#beginning = null;
      throw error;
    }
    this.#id = id;
    return id;
  }

  async #sendPrompt() {
    const prompt = this.#prompt.value.trim();
    if (!prompt || this.#running) return;
    this.#prompt.value = "";
    if (!this.#id) this.#log.replaceChildren();
    this.#proposals.discard();
    const running = (this.#running = new AbortController());
    this.#toggle(true);
    this.#log.append(said("you", element("p", {}, prompt)));
    const answer = new Answer(this.#log);
    try {
      await this.#ask(prompt, answer, running);
    } catch (error) {
      answer.giveUp(error);
      if (error.statusCode && !answer.hasContent) this.#prompt.value = prompt;
    } finally {
      answer.end();
      if (this.#running === running) {
        this.#running = null;
        this.#toggle(false);
      }
    }
  }

  #toggle(isRunning) {
    this.#send.hidden = isRunning;
    this.#stop.hidden = !isRunning;
  }

  async #ask(prompt, answer, running) {
    const id = await this.#conversation();
    const content = await this.#attachments.take();
    const snapshot = this.#withDocument.checked ? Snapshot.document(this.#editor) : null;
    if (snapshot) {
      const documentId = await this.#client.addDocument(id, snapshot.html, running.signal);
      content.push({ type: "document", id: documentId, selection: snapshot.selection });
    }
    const { selected, capabilities } = this.#models;
    const message = { prompt, content, capabilities, model: selected?.id, attributes: {} };
    answer.proposes = () => this.#proposals.open("Editing", snapshot, mergeChat, () => running.abort());
    for await (const event of this.#client.say(id, message, running.signal)) {
      if (event.name === "conversation-title") this.#title.textContent = event.data.conversationTitle;
      else answer.take(event);
    }
    answer.complete();
  }

  async #open(id) {
    this.#begin();
    try {
      const [conversation, messages] = await Promise.all([this.#client.conversation(id), this.#client.messages(id)]);
      this.#id = id;
      this.#beginning = Promise.resolve(id);
      this.#title.textContent = conversation.title ?? UNNAMED;
      this.#log.replaceChildren(...messages.map(remembered));
      this.#models.select(messages.findLast((message) => message.model)?.model);
      this.#log.scrollTop = this.#log.scrollHeight;
      this.#prompt.focus();
    } catch (error) {
      this.#log.replaceChildren(notice(error));
    }
  }

  #renamed(id, title) {
    if (id === this.#id) this.#title.textContent = title;
  }
}
