// The compare page: what each model makes of one prompt. A base model is given it as text to go on with.

import { at, key, make, models, number, stream } from "/static/api.js";
import { body, paced, redraw, take } from "/static/message.js";

let asking = null;

async function begin() {
  at("key").value = key.get();
  try {
    const there = (await models()).filter((model) => model.kind !== "reward");
    at("models").replaceChildren(
      make("legend", { textContent: "Models" }),
      ...there.map((model) => {
        const box = make("input", { type: "checkbox", name: "model", value: model.id, checked: true });
        box.dataset.kind = model.kind;
        return make("label", {}, box, ` ${model.id}${model.kind === "base" ? " (base)" : ""}`);
      }),
    );
    at("status").textContent = "";
  } catch (error) {
    at("status").textContent = `The models could not be listed: ${error.message}.`;
  }
}

function request(box, text) {
  const found = { model: box.value, temperature: number("temperature"), max_tokens: number("max_tokens"), seed: number("seed") };
  if (box.dataset.kind === "base") return ["/v1/completions", { ...found, prompt: `${text}\n` }];
  return ["/v1/chat/completions", { ...found, messages: [{ role: "user", content: text }] }];
}

/** Ask one model; whether it has answered to the end. */
async function fill(box, text, signal) {
  const node = { role: box.dataset.kind, content: "" };
  const note = make("p", { className: "note" });
  const article = make("article", {}, make("h2", { textContent: box.value }), body(node), note);
  article.setAttribute("aria-busy", "true"); // a screen reader is told of it once, when it is there
  at("answers").append(article);
  const show = paced(() => redraw(article, node));
  const began = performance.now();
  try {
    for await (const chunk of stream(...request(box, text), signal)) {
      take(node, chunk);
      show();
    }
    note.textContent = `${node.usage?.completion_tokens ?? 0} tokens, ${((performance.now() - began) / 1000).toFixed(1)} s`;
    return true;
  } catch (error) {
    note.className = error.name === "AbortError" ? "note" : "error";
    note.textContent = error.name === "AbortError" ? "Stopped." : error.message;
    return false;
  } finally {
    show.now();
    article.setAttribute("aria-busy", "false");
  }
}

at("form").onsubmit = async (event) => {
  event.preventDefault();
  const boxes = [...document.querySelectorAll("[name=model]:checked")];
  const text = at("question").value.trim();
  if (!boxes.length || !text) {
    at("status").textContent = text ? "Choose a model." : "Write a prompt.";
    return;
  }
  asking?.abort();
  const controller = (asking = new AbortController());
  at("answers").replaceChildren();
  at("stop").hidden = false;
  at("status").textContent = "Answering…";
  const ended = await Promise.all(boxes.map((box) => fill(box, text, controller.signal)));
  if (asking !== controller) return;
  at("stop").hidden = true;
  const answered = ended.filter(Boolean).length;
  at("status").textContent = answered === ended.length ? "All have answered." : `${answered} of ${ended.length} have answered.`;
};
at("stop").onclick = () => asking?.abort();
at("key").onchange = () => {
  key.set(at("key").value);
  begin();
};
begin();
