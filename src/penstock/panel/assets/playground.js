// The playground: what an editor does, with the same calls.
import { eventsOf } from "./stream.js";
import { applyEdits, rebuilt } from "./markup.js";

const root = document.querySelector("[data-playground]");
const environment = document.getElementById("environment");
const model = document.getElementById("model");
const formToken = document.querySelector("meta[name=form-token]").content;

// --- the public API

let token = { text: "", environment: "", until: 0 };

async function tokenFor(wanted) {
  if (token.environment === wanted && Date.now() < token.until) return token.text;
  const answer = await fetch("/panel/playground/token", {
    method: "POST",
    headers: { "X-Form-Token": formToken, "Content-Type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams({ environment: wanted }),
  });
  if (!answer.ok || !answer.headers.get("content-type")?.startsWith("application/json")) {
    throw new Error("No token could be made: load the page again, and look at the environment's access keys.");
  }
  const made = await answer.json();
  token = { text: made.token, environment: wanted, until: Date.now() + (made.expiresInSeconds - 60) * 1000 };
  return token.text;
}

async function call(path, { method = "POST", body, signal } = {}) {
  const headers = { Authorization: `Bearer ${await tokenFor(environment.value)}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(`/v1/${path}`, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function refusal(answer) {
  const said = await answer.json().catch(() => ({}));
  const words = [said.message || `The service answered ${answer.status}.`, said.explanation, said.action];
  return new Error(words.filter(Boolean).join(" "));
}

// --- one run at a time in each form: send, stop, timing

// `work` may show more in what `begin` made; `fail` is told why it ended early, with null for "stopped".
function runs(form, { begin, work, fail }) {
  const send = form.querySelector("button[type=submit]");
  const stop = form.querySelector("[data-stop]");
  const timing = form.querySelector("[data-timing]");
  let running = null;
  stop.addEventListener("click", () => running?.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    running = new AbortController();
    send.disabled = true;
    stop.hidden = false;
    const clock = stopwatch(timing);
    const begun = begin();
    try {
      await work(begun, running.signal, clock);
      clock.end();
    } catch (error) {
      const stopped = running.signal.aborted;
      clock.end(stopped ? "stopped" : "failed");
      fail(begun, stopped ? null : error);
    } finally {
      send.disabled = false;
      stop.hidden = true;
      running = null;
    }
  });
}

function stopwatch(place) {
  const began = performance.now();
  let first = 0, events = 0;
  place.textContent = "waiting…";
  return {
    event() {
      events += 1;
      if (!first) first = performance.now() - began;
      place.textContent = `${events} events, the first after ${Math.round(first)} ms`;
    },
    end(word = "done") {
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      place.textContent = events ? `${place.textContent}; ${word} after ${seconds} s` : word;
    },
  };
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function notice(kind, text) {
  return element("p", `notice ${kind}`, text);
}

// --- chat

const paper = root.querySelector("[data-document]");
const talk = root.querySelector("[data-talk]");
const original = paper.innerHTML;
let conversation = null;

function clean(source) {
  const copy = source.cloneNode(true);
  for (const gone of copy.querySelectorAll("del.removed")) gone.remove();
  for (const one of copy.querySelectorAll("*")) one.removeAttribute("class");
  let number = 0;
  for (const block of copy.children) if (!block.dataset.id) block.dataset.id = `new${number++}`;
  return copy;
}

function settle() {
  const accepted = clean(paper);
  paper.replaceChildren(...accepted.childNodes);
  return paper.innerHTML.trim();
}

root.querySelector("[data-reset]").addEventListener("click", () => { paper.replaceChildren(rebuilt(original)); });

async function openConversation(signal) {
  if (conversation?.environment === environment.value) return conversation.id;
  const made = await call("conversations", { body: { title: "Playground" }, signal });
  conversation = { id: (await made.json()).id, environment: environment.value };
  return conversation.id;
}

function turn(who, text = "") {
  talk.querySelector("[data-talk-empty]")?.remove();
  const box = element("div", `turn ${who}`);
  box.append(element("span", "visually-hidden", who === "user" ? "You:" : "Answer:"), element("p", "turn-text", text));
  talk.append(box);
  talk.scrollTop = talk.scrollHeight;
  return box;
}

runs(root.querySelector("[data-chat]"), {
  begin() {
    const prompt = document.getElementById("prompt");
    const asked = prompt.value;
    prompt.value = "";
    turn("user", asked);
    return { asked, box: turn("assistant"), before: settle() };
  },
  async work({ asked, box, before }, signal, clock) {
    const id = encodeURIComponent(await openConversation(signal));
    const uploaded = await (await call(`conversations/${id}/documents`, { body: { content: before }, signal })).json();
    const content = [{ type: "document", id: uploaded.id, selection: [] }];
    const answer = await call(`conversations/${id}/messages`, { body: { prompt: asked, model: model.value, content }, signal });
    await follow(answer, box, before, clock);
  },
  fail({ box }, error) {
    status(box, "");
    box.append(error ? notice("bad", error.message) : element("p", "muted small-text", "Stopped."));
  },
});

async function follow(answer, box, before, clock) {
  const text = box.querySelector(".turn-text");
  let edits = "";
  for await (const { name, data } of eventsOf(answer)) {
    clock.event();
    if (name === "text-delta") text.textContent += data.textDelta;
    else if (name === "modification-delta") edits = showEdits(before, edits + data.textDelta);
    else if (name === "reasoning") status(box, "Thinking…");
    else if (name === "web-search") status(box, "Searching the web…");
    else if (name === "error") throw new Error([data.message, data.cause?.explanation, data.cause?.hint].filter(Boolean).join(" "));
    if (name.endsWith("-delta")) status(box, "");
    talk.scrollTop = talk.scrollHeight;
  }
  if (edits) box.append(element("p", "muted small-text", "The document was changed; changes are marked in it."));
}

function showEdits(before, edits) {
  paper.replaceChildren(rebuilt(before));
  applyEdits(paper, edits);
  return edits;
}

function status(box, words) {
  const line = box.querySelector(".status") || box.appendChild(element("p", "status muted small-text"));
  line.textContent = words;
}

// --- actions and reviews

for (const field of root.querySelectorAll("[data-language-of]")) {
  const choice = document.getElementById(field.dataset.languageOf);
  choice.addEventListener("change", () => { field.hidden = choice.value !== "translate"; });
}

function paragraphs(text) {
  const lines = text.split("\n").filter((line) => line.trim());
  return lines.map((line, place) => {
    const block = element("p", "", line);
    block.dataset.id = `row${String.fromCharCode(97 + (place % 26))}`;
    return block;
  });
}

function asked(name, kind) {
  const blocks = paragraphs(document.getElementById(`${kind}-text`).value);
  const body = { content: [{ type: "text", content: blocks.map((block) => block.outerHTML).join("") }] };
  if (name === "translate") body.args = { language: document.getElementById(`${kind}-language`).value };
  return { blocks, body };
}

const actionForm = root.querySelector("[data-action]");
const actionResult = actionForm.querySelector("[data-result]");

runs(actionForm, {
  begin() {
    actionResult.replaceChildren(element("p", "muted", "…"));
    return document.getElementById("action-name").value;
  },
  async work(name, signal, clock) {
    let html = "";
    for await (const event of eventsOf(await call(`actions/system/${name}/calls`, { body: asked(name, "action").body, signal }))) {
      clock.event();
      if (event.name === "error") throw new Error(event.data.message);
      if (event.name === "modification-delta") actionResult.replaceChildren(rebuilt((html += event.data.textDelta)));
    }
    if (!html) actionResult.replaceChildren(element("p", "muted", "Nothing was suggested."));
  },
  fail(name, error) {
    if (error) actionResult.replaceChildren(notice("bad", error.message));
  },
});

const reviewForm = root.querySelector("[data-review]");
const reviewResult = reviewForm.querySelector("[data-result]");

runs(reviewForm, {
  begin() {
    const name = document.getElementById("review-name").value;
    const { blocks, body } = asked(name, "review");
    reviewResult.replaceChildren(...blocks);
    return { name, body };
  },
  async work({ name, body }, signal, clock) {
    for await (const event of eventsOf(await call(`reviews/system/${name}/calls`, { body, signal }))) {
      clock.event();
      if (event.name === "error") throw new Error(event.data.message);
      if (event.name === "review-delta") showFinding(reviewResult, event.data);
    }
  },
  fail(begun, error) {
    if (error) reviewResult.append(notice("bad", error.message));
  },
});

function showFinding(result, finding) {
  const block = result.querySelector(`[data-id="${CSS.escape(finding.dataId)}"]`);
  if (!block) return;
  if (finding.operation === "unmodified") return block.classList.add("fine");
  const gone = element("del", "removed");
  gone.append(...block.cloneNode(true).childNodes);
  const made = rebuilt(finding.textDelta).firstElementChild;
  if (!made) return;
  made.classList.add("changed");
  block.replaceWith(gone, made);
}

// --- nothing is left behind

function dropConversation() {
  if (!conversation || !token.text) return;
  const path = `/v1/conversations/${encodeURIComponent(conversation.id)}`;
  if (token.environment === conversation.environment) {
    fetch(path, { method: "DELETE", headers: { Authorization: `Bearer ${token.text}` }, keepalive: true }).catch(() => {});
  }
  conversation = null;
}

environment.addEventListener("change", dropConversation);
addEventListener("pagehide", dropConversation);
