/** The models that may be chosen, and what the chosen one can do besides answering. */

import { element, field, notice } from "./dom.js";

const CAPABILITIES = [
  ["webSearch", "Search the web"],
  ["reasoning", "Think longer"],
];

export class Models {
  element = element("div", { className: "models" });
  #items = [];
  #picker = element("select", { onchange: () => this.#showCapabilities() });
  #switches = element("div", { className: "switches" });

  async load(client, language) {
    try {
      this.#items = (await client.models(language)).filter((item) => item.features?.includes("conversations") ?? true);
    } catch (error) {
      this.element.replaceChildren(notice(error));
      return;
    }
    const options = this.#items.map((item) =>
      element("option", { value: item.id, title: item.description, disabled: item.allowed === false }, nameOf(item)),
    );
    this.#picker.replaceChildren(...options);
    this.select(this.#items.find((item) => item.allowed !== false)?.id);
    this.element.replaceChildren(field("Model", this.#picker), this.#switches);
  }

  get selected() {
    return this.#items.find((item) => item.id === this.#picker.value);
  }

  /** An unknown id changes nothing: the model of an old conversation may be gone. */
  select(id) {
    if (this.#items.some((item) => item.id === id && item.allowed !== false)) this.#picker.value = id;
    this.#showCapabilities();
  }

  /** As a message wants them: what is on has an empty object. */
  get capabilities() {
    const on = [...this.#switches.querySelectorAll("input:checked")].map((input) => [input.name, {}]);
    return Object.fromEntries(on);
  }

  #showCapabilities() {
    const on = this.capabilities;
    const offered = CAPABILITIES.filter(([name]) => {
      const capability = this.selected?.capabilities?.[name];
      return capability?.enabled && capability.allowed;
    });
    this.#switches.replaceChildren(
      ...offered.map(([name, label]) =>
        element("label", {}, element("input", { type: "checkbox", name, checked: name in on }), ` ${label}`),
      ),
    );
  }
}

const nameOf = (item) => (item.id.startsWith("agent-") ? "Automatic" : item.name);
