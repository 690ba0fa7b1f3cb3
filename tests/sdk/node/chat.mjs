// What the official Node SDK gets when all goes well.
import assert from "node:assert/strict";
import { test } from "node:test";

import { client, saying, textOf } from "./client.mjs";

const openai = client();
const tools = ["weather", "clock"].map((name) => ({
  type: "function",
  function: { name, parameters: { type: "object", properties: {} } },
}));

test("an answer has its text, its end, its usage and its request id", async () => {
  const completion = await openai.chat.completions.create(saying("hello"));
  assert.equal(completion.choices[0].message.content, "Hello from the upstream.");
  assert.equal(completion.choices[0].finish_reason, "stop");
  assert.equal(completion.usage.total_tokens, 12);
  assert.match(completion._request_id, /^req_/);
});

test("the request id is the one of the header", async () => {
  const { data, response, request_id } = await openai.chat.completions.create(saying("hello")).withResponse();
  assert.equal(request_id, response.headers.get("x-request-id"));
  assert.equal(data._request_id, request_id);
});

test("images, unknown fields and a wanted format go as they are", async () => {
  const parts = [
    { type: "text", text: "What is this?" },
    { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } },
  ];
  const response_format = { type: "json_schema", json_schema: { name: "city", strict: true, schema: {} } };
  const fields = { top_k: 40, vendor: { deep: [1, null] }, reasoning_effort: "low", response_format };
  const completion = await openai.chat.completions.create(saying(parts, fields));
  assert.equal(completion.choices[0].message.content, "Hello from the upstream.");
});

test("a stream is read piece by piece", async () => {
  const stream = await openai.chat.completions.create(saying("two pieces", { stream: true }));
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  assert.deepEqual(pieces.map((piece) => piece.choices[0].delta.content).filter(Boolean), ["one", " two"]);
  assert.equal(pieces.at(-1).choices[0].finish_reason, "stop");
});

test("usage is the last chunk of a stream that asked for it", async () => {
  const asking = { stream: true, stream_options: { include_usage: true } };
  let last;
  for await (const piece of await openai.chat.completions.create(saying("hello", asking))) last = piece;
  assert.deepEqual(last.choices, []);
  assert.equal(last.usage.total_tokens, 12);
});

test("comments in a pause are not taken for pieces", async () => {
  const stream = await openai.chat.completions.create(saying("pause", { stream: true }));
  assert.equal(await textOf(stream), "one two");
});

test("the body of a stream can be read as it is", async () => {
  const response = await openai.chat.completions.create(saying("hello", { stream: true })).asResponse();
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  assert.ok((await response.text()).endsWith("data: [DONE]\n\n"));
});

test("the stream helper collects text and usage", async () => {
  const heard = [];
  const stream = openai.chat.completions.stream(saying("two pieces", { stream_options: { include_usage: true } }));
  stream.on("content", (text) => heard.push(text));
  const completion = await stream.finalChatCompletion();
  assert.deepEqual(heard, ["one", " two"]);
  assert.equal(completion.choices[0].message.content, "one two");
  assert.equal((await stream.totalUsage()).total_tokens, 12);
});

test("parallel tool calls are assembled", async () => {
  const completion = await openai.chat.completions.stream(saying("two tools", { tools })).finalChatCompletion();
  assert.equal(completion.choices[0].finish_reason, "tool_calls");
  const calls = completion.choices[0].message.tool_calls;
  assert.deepEqual(
    calls.map((call) => [call.id, call.function.name, JSON.parse(call.function.arguments)]),
    [
      ["call_a", "weather", { city: "Köln" }],
      ["call_b", "clock", { zone: "UTC" }],
    ],
  );
});

test("mixed pieces of tool calls keep their order", async () => {
  const given = ["", ""];
  for await (const piece of await openai.chat.completions.create(saying("mixed tools", { tools, stream: true })))
    for (const call of piece.choices[0].delta.tool_calls ?? []) given[call.index] += call.function.arguments ?? "";
  assert.deepEqual(given.map((one) => JSON.parse(one)), [{ city: "Köln" }, { zone: "UTC" }]);
});

for (const stream of [false, true])
  test(`a tool is run and its result goes back, ${stream ? "streamed" : "whole"}`, async () => {
    const asked = [];
    const weather = {
      type: "function",
      function: {
        name: "weather",
        description: "The weather of a city.",
        parameters: { type: "object", properties: { city: { type: "string" } } },
        parse: JSON.parse,
        function: ({ city }) => (asked.push(city), stream ? "rain, streamed" : "rain"),
      },
    };
    const question = stream ? "which weather, streamed" : "which weather";
    const runner = openai.chat.completions.runTools(saying(question, { stream, tools: [weather] }));
    assert.equal(await runner.finalContent(), "It rains.");
    assert.deepEqual(asked, ["Köln"]);
  });

test("twenty streams at the same time keep apart", async () => {
  const numbers = [...Array(20).keys()];
  const texts = await Promise.all(
    numbers.map(async (number) =>
      textOf(await openai.chat.completions.create(saying(`number ${number}`, { stream: true }))),
    ),
  );
  assert.deepEqual(texts, numbers.map((number) => `${number}:0 ${number}:1 ${number}:2 `));
});

test("models are listed and found, slashes and all", async () => {
  const ids = [];
  for await (const model of openai.models.list()) ids.push(model.id);
  assert.ok(["agent-1", "mock/one", "mock/two"].every((id) => ids.includes(id)));
  const model = await openai.models.retrieve("mock/one");
  assert.equal(model.id, "mock/one");
  assert.equal(model.object, "model");
});
