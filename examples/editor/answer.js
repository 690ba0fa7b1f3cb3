/** What is said in a conversation: an answer while it arrives, and messages as the service remembers them. */

import { isAbort } from "./client.js";
import { element, notice } from "./dom.js";
import { markdown } from "./markdown.js";

const DECISIONS = {
  accepted: "The edit was accepted.",
  rejected: "The edit was rejected.",
  empty: "The edit would change nothing.",
};

export const said = (who, ...content) =>
  element("article", { className: who, "aria-label": who === "you" ? "You" : "Assistant" }, ...content);

/** An answer while it arrives. */
export class Answer {
  /** Opens the proposal for the first piece of an edit. */
  proposes = null;
  #log;
  #text = "";
  #body = element("div", { className: "text" });
  #status = element("p", { className: "quiet", role: "status" }, "Thinking …");
  #sources = element("ul", { className: "sources", "aria-label": "Sources" });
  #element;
  #proposal = null;

  constructor(log) {
    this.#log = log;
    this.#element = said("assistant", this.#body, this.#status);
    this.#element.setAttribute("aria-busy", "true");
    log.append(this.#element);
    this.#follow(true);
  }

  get hasContent() {
    return this.#text !== "" || this.#proposal !== null;
  }

  take({ name, data }) {
    const isNearEnd = this.#isNearEnd();
    if (name === "text-delta") this.#write(data.textDelta);
    else if (name === "reasoning") this.#say("Thinking …");
    else if (name === "web-search") this.#say("Searching the web …");
    else if (name === "source") this.#cite(data.source);
    else if (name === "modification-delta") this.#edit(data.textDelta);
    this.#follow(isNearEnd);
  }

  complete() {
    this.#say("");
    if (!this.#proposal) return;
    this.#say("An edit is proposed in the document: accept or reject it there.");
    this.#proposal.decided.then((decision) => this.#say(DECISIONS[decision]));
    this.#proposal.finish();
  }

  giveUp(error) {
    this.#proposal?.reject();
    this.#say(isAbort(error) ? "Stopped." : "");
    if (!isAbort(error)) this.#element.append(notice(error));
  }

  end() {
    this.#element.removeAttribute("aria-busy");
    this.#follow(this.#isNearEnd());
  }

  #write(text) {
    this.#say("");
    this.#text += text;
    this.#body.replaceChildren(...markdown(this.#text));
  }

  #edit(html) {
    this.#proposal ??= this.proposes();
    this.#say("Editing the document …");
    this.#proposal.add(html);
  }

  #cite(source) {
    this.#sources.append(sourceLink(source));
    this.#status.after(this.#sources);
  }

  #say(text) {
    if (this.#status.textContent !== text) this.#status.textContent = text;
  }

  #isNearEnd() {
    return this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < 80;
  }

  #follow(isNearEnd) {
    if (isNearEnd) this.#log.scrollTop = this.#log.scrollHeight;
  }
}

const sourceLink = ({ url, title }) =>
  element(
    "li",
    {},
    element("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, title || new URL(url).host),
  );

/** A message as the service remembers it. */
export function remembered(message) {
  if (message.role === "user") {
    const prompt = message.attributes?.quickActionData?.displayedPrompt ?? message.prompt;
    const names = (message.content ?? []).map((item) => item.name ?? item.url).filter(Boolean);
    return said(
      "you",
      element("p", {}, prompt),
      names.length > 0 ? element("p", { className: "quiet" }, names.join(", ")) : null,
    );
  }
  const text = message.content
    .filter((item) => item.type === "text")
    .map((item) => item.content)
    .join("");
  const sources = message.content.filter((item) => item.type === "url");
  const edits = message.content.some((item) => item.type === "modification");
  return said(
    "assistant",
    element("div", { className: "text" }, ...markdown(text)),
    edits ? element("p", { className: "quiet" }, "An edit of the document was proposed here.") : null,
    sources.length > 0
      ? element("ul", { className: "sources", "aria-label": "Sources" }, ...sources.map(sourceLink))
      : null,
  );
}
