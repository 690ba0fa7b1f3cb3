// Server-sent events over fetch, as editors read them: named events, one line of JSON each.

export async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const read = lineReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield* read(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function lineReader() {
  let rest = "", name = "", data = "";
  return function* (text) {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("event:")) name = line.slice(6).trim();
      else if (line.startsWith("data:")) data += line.slice(5).trim();
      else if (line === "" && data !== "") {
        yield { name, data: JSON.parse(data) };
        name = data = "";
      }
    }
  };
}
