/** The page's own part: an editor with the plugin. This is all that an application has to do. */

import "./plugin.js";

const { serviceUrl } = await (await fetch("settings.json")).json();
const isDark = matchMedia("(prefers-color-scheme: dark)").matches;

tinymce.init({
  selector: "#document",
  license_key: "gpl",
  height: "100%",
  promotion: false,
  menubar: false,
  skin: isDark ? "oxide-dark" : "oxide",
  content_css: isDark ? "dark" : "default",
  content_style: "body { max-width: 44em; margin: 24px auto; padding: 0 24px 80px; line-height: 1.6 }",
  plugins: "penstock lists link table image code",
  toolbar: "penstock-actions | undo redo | blocks | bold italic | bullist numlist | link table | code | penstock",
  sidebar_show: "penstock",

  penstock_service_url: serviceUrl,
  penstock_token_provider: async () => (await fetch("token", { cache: "no-store" })).json(),
});
