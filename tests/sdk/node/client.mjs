// What every group needs: a client of the service under test, and the shortest request.
import OpenAI from "openai";

export { default as OpenAI } from "openai";

const { API_KEY, BASE_URL } = process.env;

/** Without retries: a test that wants them says so. */
export function client(options = {}) {
  return new OpenAI({ apiKey: API_KEY, baseURL: BASE_URL, maxRetries: 0, timeout: 20_000, ...options });
}

/** The text decides what the provider answers; the scripts stand in test_node.py. */
export function saying(content, fields = {}) {
  return { model: "mock/one", messages: [{ role: "user", content }], ...fields };
}

export async function textOf(stream) {
  let text = "";
  for await (const piece of stream) text += piece.choices[0]?.delta.content ?? "";
  return text;
}
