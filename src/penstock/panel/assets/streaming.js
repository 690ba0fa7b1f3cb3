// Measures whether events arrive one by one. Judged by order and spread, never by absolute speed.
import { eventsOf } from "./stream.js";

const box = document.querySelector("[data-stream-test]");
const ticks = box.querySelector("[data-ticks]");
const verdict = box.querySelector("[data-verdict]");
const start = box.querySelector("[data-start]");
const wanted = Number(box.dataset.events);
const apart = Number(box.dataset.apartMs);

start.addEventListener("click", async () => {
  start.disabled = true;
  verdict.replaceChildren();
  ticks.replaceChildren(...Array.from({ length: wanted }, () => document.createElement("li")));
  try {
    judge(await measure());
  } catch (error) {
    say("bad", "The stream broke off.", `${error.message}. A proxy may have cut it: its read time-out has to be 300 s.`);
  }
  start.disabled = false;
  start.textContent = "Test again";
});

async function measure() {
  const arrivals = [];
  const began = performance.now();
  const response = await fetch("/panel/streaming/events", { cache: "no-store" });
  if (!response.ok) throw new Error(`The service answered ${response.status}`);
  const type = response.headers.get("content-type");
  for await (const event of eventsOf(response)) {
    if (event.name !== "tick") continue;
    arrivals.push(performance.now() - began);
    ticks.children[event.data.number].classList.add("here");
  }
  return { arrivals, type };
}

function judge({ arrivals, type }) {
  const span = arrivals[arrivals.length - 1] - arrivals[0];
  const together = arrivals.filter((at, place) => place > 0 && at - arrivals[place - 1] < apart / 5).length;
  const detail = `The first event came after ${Math.round(arrivals[0])} ms, the last ${Math.round(span)} ms later.`;
  if (arrivals.length < wanted) {
    say("bad", `Only ${arrivals.length} of ${wanted} events arrived.`, "Something cut the stream.");
  } else if (span < (apart * wanted) / 4) {
    say("bad", "The events arrived all at once: something buffers them.", `${detail} Set proxy_buffering off in your proxy, as below.`);
  } else if (together > wanted / 3) {
    say("warn", "The events arrived in bursts.", `${detail} Something collects some of them: look at buffering and compression in your proxy.`);
  } else if (type !== "text/event-stream") {
    say("warn", "The events arrived one by one, but a proxy changed their type.", `It is “${type}”; editors accept text/event-stream only, without anything behind it.`);
  } else {
    say("good", "The events arrived one by one.", detail);
  }
}

function say(kind, head, more) {
  const notice = document.createElement("div");
  notice.className = `notice ${kind}`;
  const strong = document.createElement("strong");
  strong.textContent = head;
  const first = document.createElement("p");
  first.append(strong);
  const second = document.createElement("p");
  second.textContent = more;
  notice.append(first, second);
  verdict.replaceChildren(notice);
}
