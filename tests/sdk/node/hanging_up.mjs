// An application that stops listening, in each way that the official Node SDK offers.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";

import { OpenAI, client, saying } from "./client.mjs";

const openai = client();

// The end of this process would close the connections, so it stays until the other side has seen them closed.
after(async () => {
  process.stdin.resume();
  await once(process.stdin, "end");
});

test("a signal before the answer begins", async () => {
  const controller = new AbortController();
  const asked = openai.chat.completions.create(saying("silence"), { signal: controller.signal });
  setTimeout(() => controller.abort(), 300);
  await assert.rejects(asked, OpenAI.APIUserAbortError);
});

test("a signal in the middle of a stream", async () => {
  const controller = new AbortController();
  const asking = saying("begins", { stream: true });
  const heard = [];
  for await (const piece of await openai.chat.completions.create(asking, { signal: controller.signal })) {
    if (!piece.choices[0].delta.content) continue;
    heard.push(piece.choices[0].delta.content);
    controller.abort();
  }
  assert.deepEqual(heard, ["one"]);
});

test("the controller of a stream", async () => {
  const stream = await openai.chat.completions.create(saying("begins", { stream: true }));
  for await (const _ of stream) stream.controller.abort();
});

test("leaving the loop", async () => {
  for await (const _ of await openai.chat.completions.create(saying("begins", { stream: true }))) break;
});

test("the stream helper", async () => {
  const stream = openai.chat.completions.stream(saying("begins"));
  stream.once("content", () => stream.abort());
  await assert.rejects(stream.done(), OpenAI.APIUserAbortError);
});

test("the time-out of the SDK", async () => {
  const asked = openai.chat.completions.create(saying("silence"), { timeout: 300 });
  await assert.rejects(asked, OpenAI.APIConnectionTimeoutError);
});
