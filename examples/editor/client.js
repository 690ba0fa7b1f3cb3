/**
 * Everything that goes over the network: tokens, requests and streams. Nothing here touches the page.
 */

const TOKEN_MARGIN_MS = 60_000; // a token is renewed this long before it expires
const ERROR_EVENT = "error";

/** A refusal with the three sentences of the service: what happened, why, and what can be done about it. */
export class ServiceError extends Error {
  constructor({ message, explanation = "", action = "", statusCode = 0, code = "", traceId = "" }) {
    super(message);
    Object.assign(this, { explanation, action, statusCode, code, traceId });
  }
}

export const isAbort = (error) => error?.name === "AbortError";

/**
 * Keeps the token until shortly before it expires; calls that come at once share one request.
 * `provide` answers a promise of `{ token }`.
 */
export class Tokens {
  #provide;
  #token = "";
  #renewAt = 0;
  #pending = null;

  constructor(provide) {
    this.#provide = provide;
  }

  async get() {
    if (Date.now() < this.#renewAt) return this.#token;
    this.#pending ??= this.#renew().finally(() => (this.#pending = null));
    return this.#pending;
  }

  forget() {
    this.#renewAt = 0;
  }

  async #renew() {
    const { token } = await this.#provide();
    this.#renewAt = claims(token).exp * 1000 - TOKEN_MARGIN_MS;
    this.#token = token;
    return token;
  }
}

function claims(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(payload));
  } catch {
    throw new ServiceError({
      message: "The token endpoint did not answer with a token.",
      action: 'It has to answer {"token": "…"} with a signed JWT.',
    });
  }
}

/** One method for each call of the service that the plugin needs. */
export class Client {
  #url;
  #tokens;
  #headers;

  /** `serviceUrl` is an origin, without a path. */
  constructor(serviceUrl, tokenProvider, editorVersion) {
    this.#url = serviceUrl.replace(/\/+$/, "");
    this.#tokens = new Tokens(tokenProvider);
    this.#headers = { "x-editor-version": editorVersion };
  }

  async models(language) {
    return (await this.#json("GET", `/v1/models/1?languageCode=${encodeURIComponent(language)}`)).items;
  }

  createConversation(id) {
    return this.#json("POST", "/v1/conversations", { id });
  }

  /** Newest first, without those that nothing was said in. Follow `nextCursor` until it is null. */
  conversations(pinned, cursor) {
    const query = new URLSearchParams({ excludeEmpty: true, pinned, sortBy: "updatedAt", order: "desc", limit: 30 });
    if (cursor) query.set("cursor", cursor);
    return this.#json("GET", `/v1/conversations?${query}`);
  }

  conversation(id) {
    return this.#json("GET", conversationPath(id));
  }

  async messages(id) {
    return (await this.#json("GET", `${conversationPath(id)}/messages`)).items;
  }

  /** `fields`: `{ title }` or `{ pinned }`. */
  changeConversation(id, fields) {
    return this.#json("PATCH", conversationPath(id), fields);
  }

  deleteConversation(id) {
    return this.#json("DELETE", conversationPath(id));
  }

  async addDocument(id, content, signal) {
    return (await this.#json("POST", `${conversationPath(id)}/documents`, { content }, signal)).id;
  }

  async addFile(id, file, signal) {
    const form = new FormData();
    form.append("file", file, file.name);
    form.append("attributes", JSON.stringify({ mimeType: file.type }));
    return (await this.#json("POST", `${conversationPath(id)}/files`, form, signal)).id;
  }

  async addWebPage(id, url, signal) {
    return (await this.#json("POST", `${conversationPath(id)}/web-resources`, { url }, signal)).id;
  }

  /** `kind` as in the message's content: `file` or `web-resource`. */
  removeAttachment(id, kind, attachmentId) {
    return this.#json("DELETE", `${conversationPath(id)}/${kind}s/${encodeURIComponent(attachmentId)}`);
  }

  say(id, message, signal) {
    return this.#stream(`${conversationPath(id)}/messages`, message, signal);
  }

  /** `action`: `{ name, args }` for the actions of the service, `{ prompt, model }` for one's own. */
  act(action, html, signal) {
    return this.#stream(callsPath("actions", action), callBody(action, html, { outputFormat: "html" }), signal);
  }

  review(review, html, signal) {
    return this.#stream(callsPath("reviews", review), callBody(review, html, {}), signal);
  }

  async #json(method, path, body, signal) {
    const response = await this.#fetch(method, path, body, signal);
    return response.status === 204 ? undefined : response.json();
  }

  /** Yields `{ name, data }`. An `error` event is thrown, and so is a stream that broke off. */
  async *#stream(path, body, signal) {
    const response = await this.#fetch("POST", path, body, signal);
    try {
      for await (const event of readEvents(response.body)) {
        if (event.name === ERROR_EVENT) throw new ServiceError(event.data);
        yield event;
      }
    } catch (error) {
      if (error instanceof TypeError) throw brokenOff();
      throw error;
    }
  }

  async #fetch(method, path, body, signal) {
    const isForm = body instanceof FormData;
    const headers = { ...this.#headers, Authorization: `Bearer ${await this.#tokens.get()}` };
    if (body && !isForm) headers["Content-Type"] = "application/json";
    const sent = body && !isForm ? JSON.stringify(body) : body;
    let response;
    try {
      response = await fetch(this.#url + path, { method, headers, body: sent, signal });
    } catch (error) {
      throw isAbort(error) ? error : unreachable(this.#url);
    }
    if (response.ok) return response;
    if (response.status === 401) this.#tokens.forget();
    throw await refusal(response);
  }
}

/** Unique without asking anyone; `crypto.randomUUID` is missing on pages without TLS. */
export function newConversationId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `penstock-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

const conversationPath = (id) => `/v1/conversations/${encodeURIComponent(id)}`;

const callsPath = (family, { name }) =>
  name ? `/v1/${family}/system/${encodeURIComponent(name)}/calls` : `/v1/${family}/custom/calls`;

function callBody({ name, args, prompt, model }, html, forCustom) {
  const content = [{ type: "text", content: html }];
  if (!name) return { content, prompt, model, ...forCustom };
  return args ? { content, args } : { content };
}

/**
 * Server-sent events: a blank line ends an event, lines that begin with a colon are there to keep the connection alive,
 * and what follows the last line feed is not an event.
 */
export async function* readEvents(body) {
  let rest = "";
  let event = { name: "", data: [] };
  for await (const text of chunks(body.pipeThrough(new TextDecoderStream()))) {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line !== "") {
        readField(line, event);
        continue;
      }
      if (event.data.length > 0) yield { name: event.name, data: JSON.parse(event.data.join("\n")) };
      event = { name: "", data: [] };
    }
  }
}

function readField(line, event) {
  const colon = line.indexOf(":");
  const field = line.slice(0, colon);
  const value = line.slice(colon + 1).trim();
  if (field === "event") event.name = value;
  if (field === "data") event.data.push(value);
}

/** Not every browser can iterate over a stream; leaving the loop cancels it, which closes the connection. */
async function* chunks(stream) {
  const reader = stream.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function refusal(response) {
  try {
    const body = await response.json();
    if (typeof body.message === "string") return new ServiceError(body);
  } catch {
    // Something in between answered, not the service.
  }
  return new ServiceError({
    message: `The request failed with status ${response.status}.`,
    explanation: "The answer did not come from the service: something between it and this page gave it.",
    statusCode: response.status,
  });
}

const unreachable = (url) =>
  new ServiceError({
    message: `The service at ${url} cannot be reached.`,
    explanation: "It is not running, or it does not let this page call it.",
    action: `Start it, and name ${location.origin} in its ALLOWED_ORIGINS.`,
  });

const brokenOff = () =>
  new ServiceError({
    message: "The answer broke off.",
    explanation: "The connection was closed before the answer was complete.",
    action: "Ask again.",
  });
