// What both pages share: asking the server, and showing text that nobody has checked.

import { marked } from "/static/vendor/marked.js";
import DOMPurify from "/static/vendor/purify.js";

const KEY = "gptwright.key";

export const key = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

function headers() {
  const found = { "Content-Type": "application/json" };
  if (key.get()) found.Authorization = `Bearer ${key.get()}`;
  return found;
}

async function refused(response) {
  const body = await response.json().catch(() => null);
  return new Error(body?.error?.message || `the server answered with status ${response.status}`);
}

/** The models that the server has: [{id, kind}]. */
export async function models() {
  const response = await fetch("/v1/models", { headers: headers() });
  if (!response.ok) throw await refused(response);
  return (await response.json()).data;
}

/** The chunks of a streamed answer, as the server sends them. */
export async function* stream(path, body, signal) {
  const response = await fetch(path, {
    method: "POST",
    headers: headers(),
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!response.ok) throw await refused(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    waiting += value;
    const events = waiting.split("\n\n");
    waiting = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      yield chunk;
    }
  }
}

// Nothing in an answer may reach outside, run, or look like a part of the page.
const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "li", "ol", "p",
    "pre", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["href", "start", "align"],
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  ADD_URI_SAFE_ATTR: ["start", "align"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
};
DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  }
});

/** Markdown as elements that are safe to show. */
export function shown(text) {
  const holder = document.createElement("div");
  holder.className = "text";
  holder.innerHTML = DOMPurify.sanitize(marked.parse(text, { breaks: true, async: false }), ALLOWED);
  return holder;
}

/** A new element: make("p", {className: "x"}, "text", child). */
export function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

export const at = (id) => document.getElementById(id);

/** The number in a field, or undefined where there is none. */
export function number(id) {
  const value = at(id).value.trim();
  return value === "" ? undefined : Number(value);
}
