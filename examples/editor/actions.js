/** Quick actions: what is selected, or the whole document, goes to the service and comes back changed. */

import { isAbort } from "./client.js";
import { mergeContinuation, mergeReplacement } from "./merge.js";
import { Snapshot } from "./snapshot.js";

const tone = (name) => ({ text: name, action: { name: `make-tone-${name.toLowerCase()}` } });
const language = (name) => ({ text: name, action: { name: "translate", args: { language: name.toLowerCase() } } });

const TONES = ["Casual", "Direct", "Friendly", "Confident", "Professional"].map(tone);
const LANGUAGES = [
  "English",
  "Chinese",
  "Spanish",
  "German",
  "Japanese",
  "Portuguese",
  "Korean",
  "Italian",
  "Russian",
].map(language);

const MENU = [
  { text: "Improve writing", icon: "improve-writing", action: { name: "improve-writing" } },
  { text: "Fix grammar", icon: "fix-grammar", action: { name: "fix-grammar" } },
  { text: "Make shorter", icon: "text-size-decrease", action: { name: "make-shorter" } },
  { text: "Make longer", icon: "text-size-increase", action: { name: "make-longer" } },
  { text: "Continue writing", icon: "continue-writing", action: { name: "continue" } },
  { text: "Change tone", icon: "change-tone", items: TONES },
  { text: "Translate", icon: "ai-translate", items: LANGUAGES },
];

export class QuickActions {
  #editor;
  #client;
  #proposals;
  #models;
  #running = null;

  constructor(editor, client, proposals, models) {
    this.#editor = editor;
    this.#client = client;
    this.#proposals = proposals;
    this.#models = models;
  }

  /** For a menu button of the toolbar. */
  menu() {
    const custom = { type: "menuitem", text: "Custom …", icon: "ai-prompt", onAction: () => this.#ask() };
    return [...MENU.map((entry) => this.#item(entry)), custom];
  }

  #item({ text, icon, action, items }) {
    if (!items) return { type: "menuitem", text, icon, onAction: () => this.run(text, action) };
    return { type: "nestedmenuitem", text, icon, getSubmenuItems: () => items.map((item) => this.#item(item)) };
  }

  #ask() {
    this.#editor.windowManager.open({
      title: "Change the text",
      body: { type: "panel", items: [{ type: "textarea", name: "prompt", label: "What should be done with it?" }] },
      buttons: [
        { type: "cancel", text: "Cancel" },
        { type: "submit", text: "Go", buttonType: "primary" },
      ],
      onSubmit: (dialog) => {
        const prompt = dialog.getData().prompt.trim();
        dialog.close();
        if (prompt) this.run("Custom", { prompt, model: this.#models.selected?.id });
      },
    });
  }

  async run(title, action) {
    this.#running?.abort();
    const running = (this.#running = new AbortController());
    this.#proposals.discard();
    const snapshot = Snapshot.selection(this.#editor);
    const rules = action.name === "continue" ? mergeContinuation : mergeReplacement;
    const merge = (html, ended, stage) => rules(html, ended, stage, snapshot.top);
    const proposal = this.#proposals.open(title, snapshot, merge, () => running.abort());
    try {
      for await (const { name, data } of this.#client.act(action, snapshot.html, running.signal)) {
        if (name === "modification-delta") proposal.add(data.textDelta);
      }
      if (!proposal.finish({ focus: true })) this.#say("Nothing to change was found.", "info");
    } catch (error) {
      proposal.reject();
      if (!isAbort(error))
        this.#say([error.message, error.explanation, error.action].filter(Boolean).join(" "), "error");
    }
  }

  #say(text, type) {
    this.#editor.notificationManager.open({
      text: this.#editor.dom.encode(text),
      type,
      timeout: type === "info" ? 5000 : 0,
    });
  }
}
