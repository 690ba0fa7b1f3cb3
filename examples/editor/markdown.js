/** The little Markdown that chats answer with, as elements. Nothing in it is ever read as HTML. */

import { element } from "./dom.js";

const INLINE = /(`[^`]+`)|\*\*(.+?)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/g;
const BULLET = /^\s*[-*+]\s+/;
const NUMBER = /^\s*\d+[.)]\s+/;

export function markdown(text) {
  const lines = text.split("\n");
  const blocks = [];
  while (lines.length > 0) {
    if (lines[0].trim() === "") lines.shift();
    else blocks.push(block(lines));
  }
  return blocks;
}

function block(lines) {
  if (lines[0].startsWith("```")) return code(lines);
  const heading = /^#{1,6}\s+(.*)/.exec(lines[0]);
  if (heading) return lines.shift() && element("h4", {}, ...inline(heading[1]));
  if (lines[0].startsWith(">")) {
    return element(
      "blockquote",
      {},
      ...markdown(
        take(lines, (line) => line.startsWith(">"))
          .map((line) => line.replace(/^>\s?/, ""))
          .join("\n"),
      ),
    );
  }
  if (BULLET.test(lines[0])) return list("ul", lines, BULLET);
  if (NUMBER.test(lines[0])) return list("ol", lines, NUMBER);
  return element("p", {}, ...inline(take(lines, (line) => line.trim() !== "" && !isStart(line)).join("\n")));
}

function code(lines) {
  lines.shift();
  const inside = take(lines, (line) => !line.startsWith("```"), 0);
  lines.shift();
  return element("pre", {}, element("code", {}, inside.join("\n")));
}

const list = (tag, lines, sign) =>
  element(
    tag,
    {},
    ...take(lines, (line) => sign.test(line)).map((line) => element("li", {}, ...inline(line.replace(sign, "")))),
  );

const isStart = (line) => /^(```|#{1,6}\s|>)/.test(line) || BULLET.test(line) || NUMBER.test(line);

/** Lines from the top for as long as `isWanted`; at least `least`. */
function take(lines, isWanted, least = 1) {
  let count = least;
  while (count < lines.length && isWanted(lines[count])) count += 1;
  return lines.splice(0, count);
}

function inline(text) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    parts.push(text.slice(from, found.index), span(found));
    from = found.index + found[0].length;
  }
  return [...parts, text.slice(from)].filter((part) => part !== "");
}

function span([, code, strong, emphasis, label, url]) {
  if (code) return element("code", {}, code.slice(1, -1));
  if (strong) return element("strong", {}, ...inline(strong));
  if (emphasis) return element("em", {}, ...inline(emphasis));
  return element("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, label);
}
