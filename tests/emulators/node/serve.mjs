// Starts aimock on a free port, prints its address, and ends with its standard input.
import { LLMock } from "@copilotkit/aimock";

const mock = new LLMock({ port: 0, logLevel: "silent" });
// Each format reads the counts under its own names.
const usage = {
  prompt_tokens: 7, completion_tokens: 5, total_tokens: 12,
  input_tokens: 7, output_tokens: 5,
  promptTokenCount: 7, candidatesTokenCount: 5, totalTokenCount: 12,
};
mock.onMessage("hello", { content: "Hello from an emulator.", usage });
mock.onMessage("weather", { toolCalls: [{ name: "weather", arguments: JSON.stringify({ town: "Köln" }) }] });
await mock.start();
console.log(mock.url);
process.stdin.on("end", async () => {
  await mock.stop();
  process.exit(0);
});
process.stdin.resume();
