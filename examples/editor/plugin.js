/**
 * The TinyMCE plugin `penstock`: a sidebar with chat and reviews, and a menu of quick actions.
 *
 *     tinymce.init({
 *       plugins: "penstock",
 *       toolbar: "penstock-actions penstock",
 *       penstock_service_url: "https://penstock.example.com",
 *       penstock_token_provider: async () => (await fetch("/token")).json(),
 *     });
 */

import { QuickActions } from "./actions.js";
import { ChatPanel } from "./chat.js";
import { Client } from "./client.js";
import { element } from "./dom.js";
import { Models } from "./models.js";
import { MARK } from "./preview.js";
import { Proposals } from "./proposal.js";
import { ReviewPanel } from "./review.js";

tinymce.PluginManager.add("penstock", (editor) => {
  editor.options.register("penstock_service_url", { processor: "string" });
  editor.options.register("penstock_token_provider", { processor: "function" });
  editor.contentCSS.push(new URL("preview.css", import.meta.url).href);
  editor.on("PreInit", () => editor.serializer.addTempAttr(MARK));

  const version = `${tinymce.majorVersion}.${tinymce.minorVersion}`;
  const { get } = editor.options;
  const client = new Client(get("penstock_service_url"), get("penstock_token_provider"), version);
  const models = new Models();
  const proposals = new Proposals(editor);
  const actions = new QuickActions(editor, client, proposals, models);

  editor.ui.registry.addMenuButton("penstock-actions", {
    icon: "improve-writing",
    text: "Improve",
    tooltip: "Improve the selection or the document",
    fetch: (show) => show(actions.menu()),
  });
  editor.ui.registry.addSidebar("penstock", {
    icon: "ai-assistant",
    tooltip: "Assistant",
    onSetup: (api) => {
      const parts = [editor, client, proposals, models];
      const sidebar = tabs(`${editor.id}-penstock`, {
        Chat: new ChatPanel(...parts),
        Review: new ReviewPanel(...parts),
      });
      api.element().append(sidebar);
      models.load(client, editor.options.get("language"));
      return () => sidebar.remove();
    },
  });
});

/** The arrow keys move between the tabs, as they do everywhere. `prefix` makes ids unique on the page. */
function tabs(prefix, panels) {
  const ids = Object.keys(panels).map((name) => [name, `${prefix}-${name}-tab`, `${prefix}-${name}`]);
  const buttons = ids.map(([name, tab, panel]) =>
    element(
      "button",
      { type: "button", role: "tab", id: tab, "aria-controls": panel, onclick: () => show(name) },
      name,
    ),
  );
  const bodies = ids.map(([name, tab, panel]) =>
    element(
      "div",
      { role: "tabpanel", className: "tabpanel", id: panel, "aria-labelledby": tab },
      panels[name].element,
    ),
  );
  const show = (shown) =>
    ids.forEach(([name], index) => {
      buttons[index].setAttribute("aria-selected", name === shown);
      buttons[index].tabIndex = name === shown ? 0 : -1;
      bodies[index].hidden = name !== shown;
    });
  const list = element("div", { role: "tablist", "aria-label": "Assistant" }, ...buttons);
  list.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length;
    buttons[next].click();
    buttons[next].focus();
  };
  show(ids[0][0]);
  return element("aside", { className: "penstock sidebar", "aria-label": "Assistant" }, list, ...bodies);
}
