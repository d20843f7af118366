// A message as both pages show it, while it comes and when it is there.

import { make, shown } from "/static/api.js";

/** What a message says, with what it thinks and calls folded away. Only an assistant's text is Markdown. */
export function body(node) {
  const holder = make("div", { className: "body" });
  if (node.thinking) holder.append(folded("Thinking", shown(node.thinking)));
  for (const call of node.calls || []) {
    const told = make("pre", { textContent: call.function.arguments });
    holder.append(folded(`Calls ${call.function.name}`, told));
  }
  holder.append(node.role === "assistant" ? shown(node.content) : make("div", { className: "text as-is", textContent: node.content }));
  if (node.error) holder.append(make("p", { className: "error", textContent: node.error }));
  if (node.dropped) holder.append(make("p", { className: "note", textContent: "The model was not given the oldest messages: its context does not hold them all." }));
  if (node.finish === "length") holder.append(make("p", { className: "note", textContent: "The answer was cut off: it reached its longest length." }));
  return holder;
}

function folded(title, inner) {
  return make("details", {}, make("summary", { textContent: title }), inner);
}

/** What a reader has unfolded stays so. */
export function keepOpen(old, fresh) {
  const before = old.querySelectorAll("details");
  fresh.querySelectorAll("details").forEach((each, i) => (each.open = Boolean(before[i]?.open)));
}

/** Show in `article` what the message has become. */
export function redraw(article, node) {
  const old = article.querySelector(".body");
  const fresh = body(node);
  keepOpen(old, fresh);
  const focused = [...old.querySelectorAll("summary")].indexOf(document.activeElement);
  old.replaceWith(fresh);
  fresh.querySelectorAll("summary")[focused]?.focus();
}

/** Add to a message what a chunk of its answer brings. */
export function take(node, chunk) {
  const choice = chunk.choices[0];
  if (chunk.usage) node.usage = chunk.usage;
  if (chunk.truncated_messages) node.dropped = chunk.truncated_messages;
  if (!choice) return;
  const delta = choice.delta || { content: choice.text };
  node.content += delta.content || "";
  if (delta.reasoning_content) node.thinking = (node.thinking || "") + delta.reasoning_content;
  for (const { index, id, function: called } of delta.tool_calls || []) {
    node.calls ||= [];
    const known = (node.calls[index] ||= { id, type: "function", function: { name: "", arguments: "" } });
    known.function.name += called.name || "";
    known.function.arguments += called.arguments || "";
  }
  if (choice.finish_reason) node.finish = choice.finish_reason;
}

/** `show`, but once a frame however often it is called; `now` shows what still waits. */
export function paced(show) {
  let next = 0;
  const later = () => {
    next ||= requestAnimationFrame(() => {
      next = 0;
      show();
    });
  };
  later.now = () => {
    cancelAnimationFrame(next);
    show();
  };
  return later;
}
