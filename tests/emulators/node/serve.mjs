// Starts aimock on a free port, prints its address, and ends with its standard input.
import { LLMock } from "@copilotkit/aimock";

const mock = new LLMock({ port: 0, logLevel: "silent" });
mock.onMessage("hello", { content: "Hello from an emulator." });
mock.onMessage("weather", { toolCalls: [{ name: "weather", arguments: JSON.stringify({ town: "Köln" }) }] });
await mock.start();
console.log(mock.url);
process.stdin.on("end", async () => {
  await mock.stop();
  process.exit(0);
});
process.stdin.resume();
