// The page: a listing in, tags as they come, and why. It knows the API and no model; whatever others wrote becomes text, never HTML.

import { WORDS } from "./words.js";

const EXAMPLES = {
  en: "Linen camp shirt, relaxed fit\nA breathable shirt for hot days, woven from European flax. Coconut buttons, chest pocket.",
  zh: "高品质蓝牙耳机，降噪效果显著\n头戴式设计，续航40小时，可折叠收纳，通勤旅行都方便。",
};
const element = (id) => document.getElementById(id);
const [form, text, tags, problem, explanation, facts, empty, answer] =
  ["listing", "text", "tags", "problem", "explanation", "facts", "empty", "answer"].map(element);

let language = navigator.language.startsWith("zh") ? "zh" : "en";
let asking = null;

const say = (name, ...values) => {
  const words = WORDS[language][name];
  return typeof words === "function" ? words(...values) : words;
};

function speak(chosen) {
  language = chosen;
  document.documentElement.lang = chosen;
  for (const place of document.querySelectorAll("[data-say]")) place.textContent = say(place.dataset.say);
  text.placeholder = say("placeholder");
  const other = chosen === "en" ? "zh" : "en";
  element("language").lang = other;
  element("language").textContent = WORDS[other].name;
}

function headers() {
  const key = element("key").value.trim();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

function clear() {
  tags.replaceChildren();
  for (const place of [problem, explanation, facts]) place.replaceChildren();
  empty.hidden = true;
}

function showTag(found) {
  const row = element("tag").content.cloneNode(true).firstElementChild;
  row.querySelector(".label").textContent = found.label;
  row.querySelector(".facet").textContent = found.facet;
  row.style.setProperty("--confidence", found.confidence);
  row.querySelector(".confidence").textContent = `${Math.round(100 * found.confidence)}%`;
  row.classList.toggle("sure", found.auto);
  tags.append(row);
}

function showAnswer(whole) {
  tags.replaceChildren();
  whole.tags.forEach(showTag);
  if (!whole.tags.length) explanation.append(say("none"));
  for (const part of whole.explanation.split(/(“[^”]*”)/)) {
    if (!part.startsWith("“")) explanation.append(part);
    else explanation.append(Object.assign(document.createElement("mark"), { textContent: part }));
  }
  const promise = whole.promise !== null && whole.tags.some((tag) => tag.auto) ? [say("sure", Math.round(100 * whole.promise))] : [];
  const doubt = whole.calibrated ? [] : [say("uncalibrated")];
  facts.textContent = [...promise, ...doubt, ...whole.notices, `${whole.model} · ${whole.vocabulary.name}`].join("\n");
}

function showProblem(message) {
  problem.textContent = message;
}

// Server-sent events of a response, as [name, value]; EventSource can't POST.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]));
      if (fields.event) yield [fields.event, JSON.parse(fields.data)];
    }
  }
}

async function refusal(response) {
  element("keys").hidden &&= response.status !== 401;
  if (response.status === 401) return say(element("key").value ? "wrongKey" : "needsKey");
  if (response.status === 429) return say("busy", response.headers.get("Retry-After"));
  try {
    return (await response.json()).error.message;
  } catch {
    return say("failed", response.status);
  }
}

async function ask() {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const [title, ...lines] = text.value.trim().split("\n");
  const body = { title, description: lines.join("\n").trim(), max_tags: Number(element("most").value) };
  if (element("adapter").value) body.adapter = element("adapter").value;
  clear();
  answer.setAttribute("aria-busy", "true");
  try {
    const response = await fetch("v1/suggestions?stream=true", {
      method: "POST", headers: { "Content-Type": "application/json", ...headers() }, body: JSON.stringify(body), signal,
    });
    if (!response.ok) return showProblem(await refusal(response));
    let ended = false;
    for await (const [name, value] of events(response)) {
      ended ||= name !== "tag";
      if (name === "tag") showTag(value);
      else if (name === "answer") showAnswer(value);
      else showProblem(value.error.message);
    }
    if (!ended) showProblem(say("lost"));
    sessionStorage.setItem("key", element("key").value.trim());
    if (!element("adapter").options.length) await listAdapters();
  } catch (error) {
    if (error.name !== "AbortError") showProblem(say("unreachable"));
  } finally {
    if (!signal.aborted) answer.setAttribute("aria-busy", "false");
  }
}

async function listAdapters() {
  const response = await fetch("v1/adapters", { headers: headers() });
  if (response.status === 401) element("keys").hidden = false;
  if (!response.ok) return;
  const { adapters } = await response.json();
  element("adapter").replaceChildren(...adapters.map(({ name, default: chosen }) => new Option(name, name, chosen, chosen)));
  element("adapters").hidden = adapters.length < 2;
}

form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
text.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(); });
element("language").addEventListener("click", () => speak(element("language").lang));
element("key").addEventListener("change", () => listAdapters().catch(() => {}));
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => { text.value = EXAMPLES[button.dataset.example]; form.requestSubmit(); });
}
element("key").value = sessionStorage.getItem("key") ?? "";
speak(language);
listAdapters().catch(() => showProblem(say("unreachable")));
