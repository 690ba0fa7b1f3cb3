// How failures look to a user of the official Node SDK: classes, fields, and what is tried again.
import assert from "node:assert/strict";
import { test } from "node:test";

import { OpenAI, client, saying } from "./client.mjs";

const openai = client();
const retrying = client({ maxRetries: 2 });
const [LIMITED, LIMITED_BRIEFLY, REFUSED] = process.env.SPARE_MODELS.split(" ");

async function failureOf(promise, kind) {
  const error = await promise.then(
    () => assert.fail("it did not fail"),
    (error) => error,
  );
  assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
  return error;
}

test("S031: a mistyped key says so", async () => {
  const wrong = client({ apiKey: process.env.API_KEY.slice(0, -4), maxRetries: 2 });
  const error = await failureOf(wrong.chat.completions.create(saying("nobody")), OpenAI.AuthenticationError);
  assert.equal(error.status, 401);
  assert.equal(error.code, "invalid_api_key");
  assert.equal(error.type, "authentication_error");
  assert.match(error.message, /mistyped or cut off.*54 characters; this one has 50/);
  assert.equal(error.headers.get("www-authenticate"), "Bearer");
  assert.equal(error.requestID, error.headers.get("x-request-id"));
  assert.match(error.requestID, /^req_/);
});

test("a key that may only list is denied calls", async () => {
  const listing = client({ apiKey: process.env.LISTING_KEY, maxRetries: 2 });
  const error = await failureOf(listing.chat.completions.create(saying("nobody")), OpenAI.PermissionDeniedError);
  assert.equal(error.status, 403);
  assert.equal((await listing.models.retrieve("mock/one")).id, "mock/one");
});

test("an unknown model is not found and the nearest is named", async () => {
  const asked = openai.chat.completions.create(saying("nobody", { model: "mock/onne" }));
  const error = await failureOf(asked, OpenAI.NotFoundError);
  assert.equal(error.code, "model_not_found");
  assert.match(error.message, /mock\/one/);
  await failureOf(openai.models.retrieve("mock/onne"), OpenAI.NotFoundError);
});

test("an operation that is not served is not found", async () => {
  const asked = openai.responses.create({ model: "mock/one", input: "Hello" });
  const error = await failureOf(asked, OpenAI.NotFoundError);
  assert.match(error.message, /\/oai\/v1\/responses/);
});

test("a request that cannot be used names the field", async () => {
  const asked = openai.chat.completions.create({ model: "mock/one", messages: [] });
  const error = await failureOf(asked, OpenAI.BadRequestError);
  assert.equal(error.param, "messages");
  assert.equal(error.type, "invalid_request_error");
});

for (const stream of [false, true])
  test(`a refusal of the provider keeps its sentence, ${stream ? "streamed" : "whole"}`, async () => {
    const asked = retrying.chat.completions.create(saying("too hot", { stream }));
    const error = await failureOf(asked, OpenAI.BadRequestError);
    assert.match(error.message, /temperature must be below 2/);
  });

test("a rate limit says when to come back", async () => {
  const asked = openai.chat.completions.create(saying("slow down", { model: LIMITED }));
  const error = await failureOf(asked, OpenAI.RateLimitError);
  assert.equal(error.status, 429);
  assert.equal(error.type, "rate_limit_error");
  assert.equal(error.headers.get("retry-after"), "7");
});

test("the SDK comes back when it was told to", async () => {
  const completion = await retrying.chat.completions.create(saying("slow down once", { model: LIMITED_BRIEFLY }));
  assert.equal(completion.choices[0].message.content, "Here you are.");
});

test("a refused key of the provider is not tried again", async () => {
  const asked = retrying.chat.completions.create(saying("refused", { model: REFUSED }));
  const error = await failureOf(asked, OpenAI.InternalServerError);
  assert.equal(error.status, 502);
  assert.equal(error.type, "api_error");
  assert.equal(error.headers.get("x-should-retry"), "false");
  assert.match(error.message, /Incorrect API key provided/);
});

test("a provider that fails once is tried again", async () => {
  const completion = await retrying.chat.completions.create(saying("fails once"));
  assert.equal(completion.choices[0].message.content, "Here you are.");
});

for (const how of ["breaks with an error", "breaks off", "ends without an end"])
  test(`a stream that ${how} throws after its text`, async () => {
    let heard = "";
    const reading = (async () => {
      for await (const piece of await openai.chat.completions.create(saying(how, { stream: true })))
        heard += piece.choices[0].delta.content ?? "";
    })();
    const error = await failureOf(reading, OpenAI.APIError);
    assert.ok(!(error instanceof OpenAI.APIConnectionError));
    assert.equal(heard, "so far");
    assert.equal(error.type, "api_error");
    assert.match(error.code, /^upstream_/);
    assert.match(error.requestID, /^req_/);
  });

test("the stream helper rejects too", async () => {
  const stream = openai.chat.completions.stream(saying("breaks with an error"));
  const error = await failureOf(stream.finalChatCompletion(), OpenAI.APIError);
  assert.match(error.message, /it broke/);
});
