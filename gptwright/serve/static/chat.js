// The chat page: one conversation at a time, answered as it is written.

import { at, key, make, models, stream } from "/static/api.js";
import { body, keepOpen, paced, redraw, take } from "/static/message.js";
import { Store, add, branches, path, turn } from "/static/store.js";

const NUMBERS = ["temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"];
const store = new Store();
let current = store.all[0] || store.create();
let answering = null; // the AbortController of the answer that is being written

function say(text) {
  at("status").textContent = text;
}

function keep(...conversations) {
  const changed = conversations.length ? conversations : [current];
  if (!store.save(...changed)) say("The browser has no room left: export your conversations and delete some.");
}

// --- what is seen

function drawList() {
  at("list").replaceChildren(
    ...store.all.map((conversation) => {
      const open = make("button", { className: "plain title", textContent: conversation.title });
      if (conversation === current) open.setAttribute("aria-current", "true");
      open.onclick = () => choose(conversation);
      const remove = make("button", { className: "plain", textContent: "×" });
      remove.setAttribute("aria-label", `Delete ${conversation.title}`);
      remove.onclick = () => forget(conversation);
      return make("li", {}, open, remove);
    }),
  );
}

/** What has not changed stays where it is: a reader is not told of it again, and keeps the keyboard's place. */
function draw() {
  drawList();
  const log = at("log");
  const focused = document.activeElement;
  const place = [...log.children].indexOf(focused?.closest("article"));
  const before = new Map([...log.children].map((article) => [article.dataset.id, article]));
  const articles = path(current).map((node) => {
    const fresh = message(node);
    const old = before.get(node.id);
    if (!old) return fresh;
    keepOpen(old, fresh);
    return old.querySelector(".edit") || old.isEqualNode(fresh) ? old : fresh; // what is being written there stays too
  });
  for (const article of [...log.children]) if (!articles.includes(article)) article.remove();
  articles.forEach((article, i) => {
    if (log.children[i] !== article) log.insertBefore(article, log.children[i] || null);
  });
  if (place >= 0 && !focused.isConnected) {
    const there = [...(log.children[place]?.querySelectorAll("button, summary") || [])];
    (there.find((each) => each.textContent === focused.textContent) || at("question")).focus();
  }
  const names = [...at("model").options].map((option) => option.value);
  if (names.length && !names.includes(current.settings.model)) current.settings.model = names[0];
  at("model").value = current.settings.model;
  log.scrollTop = log.scrollHeight;
}

function action(text, run, label) {
  const button = make("button", { className: "plain", textContent: text, onclick: run });
  if (label) button.setAttribute("aria-label", label);
  return button;
}

function message(node) {
  const article = make("article", { className: node.role });
  article.dataset.id = node.id;
  article.append(make("h2", { textContent: node.role === "user" ? "You" : node.model || "Assistant" }));
  article.append(body(node));
  const actions = make("div", { className: "actions" });
  const others = branches(current, node);
  if (others.length > 1) {
    const place = others.indexOf(node);
    const go = (step) => () => {
      turn(current, others[(place + step + others.length) % others.length]);
      keep();
      draw();
    };
    actions.append(
      action("‹", go(-1), "Previous branch"), make("span", { textContent: `${place + 1} / ${others.length}` }),
      action("›", go(1), "Next branch"),
    );
  }
  if (node.role === "user") {
    actions.append(action("Edit", () => edit(article, node)));
    if (node.id === current.leaf) actions.append(action("Answer", () => answer(node.id))); // the page was left meanwhile
  } else actions.append(action("Again", () => answer(node.parent)));
  actions.append(action("Copy", () => copy(node.content)));
  article.append(actions);
  return article;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    say("The browser does not let this page copy.");
  }
}

function edit(article, node) {
  const field = make("textarea", { value: node.content, rows: Math.min(12, node.content.split("\n").length + 1) });
  field.setAttribute("aria-label", "Your question, changed");
  const cancel = () => {
    form.remove();
    draw();
    at("question").focus();
  };
  const form = make("form", { className: "edit" }, field, make("button", { textContent: "Ask this instead" }), action("Cancel", cancel));
  form.onsubmit = (event) => {
    event.preventDefault();
    if (field.value.trim()) ask(field.value, node.parent);
  };
  article.querySelector(".body").replaceChildren(form);
  field.focus();
}

// --- what is done

function choose(conversation) {
  if (conversation !== current) answering?.abort();
  current = conversation;
  showSide(false);
  draw();
  at("question").focus();
}

/** On a narrow screen the conversations lie over the page. */
function showSide(open) {
  const was = document.body.classList.contains("side-open");
  document.body.classList.toggle("side-open", open);
  at("open-side").setAttribute("aria-expanded", String(open));
  if (was !== open) at(open ? "close-side" : "open-side").focus();
}

function begin() {
  const fresh = store.all.find((conversation) => !Object.keys(conversation.nodes).length);
  choose(fresh || store.create({ ...current.settings }));
}

function forget(conversation) {
  if (!confirm(`Delete “${conversation.title}”?`)) return;
  store.remove(conversation.id);
  choose(conversation === current ? store.all[0] || store.create() : current);
}

function ask(text, parent) {
  if (!Object.keys(current.nodes).length) current.title = text.trim().slice(0, 60);
  const question = add(current, parent, "user", text.trim());
  keep(); // whatever becomes of the answer
  answer(question.id);
}

/** Whether the model can be told of it: it says or calls something, and did not fail. */
const answered = (node) => node.role === "assistant" && !node.error && Boolean(node.content || node.calls?.length);

function asMessage({ role, content, thinking, calls }) {
  const found = { role, content };
  if (thinking) found.reasoning_content = thinking;
  if (calls?.length) found.tool_calls = calls.map((call, i) => ({ id: `call_${i}`, type: "function", ...call }));
  return found;
}

/** What is asked of the server: the last question, and before it all that were answered. */
function request(question) {
  const { settings } = current;
  const said = path({ ...current, leaf: question });
  const told = said.filter((node, i) => node.id === question || answered(node.role === "user" ? said[i + 1] : node));
  const messages = told.map(asMessage);
  if (settings.system.trim()) messages.unshift({ role: "system", content: settings.system });
  const found = { model: settings.model, messages, truncation: "auto" };
  for (const name of NUMBERS) if (settings[name] !== null) found[name] = settings[name];
  return found;
}

/** Answer the message `parent`, beside whatever answers it has. */
async function answer(parent) {
  answering?.abort();
  const controller = (answering = new AbortController());
  const conversation = current;
  const asked = request(parent);
  const node = add(conversation, parent, "assistant", "");
  node.model = asked.model;
  draw();
  busy(true);
  const show = paced(() => {
    const article = current === conversation && document.querySelector(`[data-id="${CSS.escape(node.id)}"]`);
    if (!article) return;
    const log = at("log");
    const below = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    redraw(article, node);
    if (below) log.scrollTop = log.scrollHeight;
  });
  try {
    for await (const chunk of stream("/v1/chat/completions", asked, controller.signal)) {
      take(node, chunk);
      show();
    }
  } catch (error) {
    if (error.name !== "AbortError") node.error = error.message;
  }
  show.now();
  if (store.all.includes(conversation)) keep(conversation);
  if (answering !== controller) return;
  answering = null;
  busy(false);
  draw();
  const told = controller.signal.aborted ? "Stopped" : "Answered";
  say(node.error ? "The answer failed." : `${told}${node.usage ? ` with ${node.usage.completion_tokens} tokens` : ""}.`);
}

function busy(yes) {
  at("send").hidden = yes;
  at("stop").hidden = !yes;
  at("log").setAttribute("aria-busy", String(yes));
  if (yes) say("Answering…");
}

// --- settings, files, keys

function openSettings() {
  for (const name of NUMBERS) at(name).value = current.settings[name] ?? "";
  at("system").value = current.settings.system;
  at("key").value = key.get();
  at("dialog").showModal();
}

function closeSettings() {
  const refused = [];
  for (const name of NUMBERS) {
    const field = at(name);
    if (field.checkValidity()) current.settings[name] = field.value.trim() === "" ? null : Number(field.value);
    else refused.push(field.closest("label").textContent.trim());
  }
  if (refused.length) say(`Left as it was, because it is out of range: ${refused.join(", ")}.`);
  current.settings.system = at("system").value;
  const changed = key.get() !== at("key").value;
  key.set(at("key").value);
  keep();
  if (changed) listModels();
}

function exportAll() {
  const file = new Blob([JSON.stringify(store.all, null, 1)], { type: "application/json" });
  const link = make("a", { href: URL.createObjectURL(file), download: "conversations.json" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function importAll(event) {
  try {
    const taken = store.take(await event.target.files[0].text());
    say(`${taken.length} conversations taken in.`);
    if (taken.length) keep(...taken);
    at("log").replaceChildren(); // its messages may be others under the same names
    draw();
  } catch (error) {
    say(`Nothing taken in: ${error.message}.`);
  }
  event.target.value = "";
}

async function listModels() {
  try {
    const there = (await models()).filter((model) => model.kind === "assistant");
    at("model").replaceChildren(...there.map((model) => make("option", { value: model.id, textContent: model.id })));
    if (!there.length) say("No assistant is served here: this page needs a finetuned model.");
    else say("");
  } catch (error) {
    say(`The models could not be listed: ${error.message}.`);
  }
  draw();
}

at("form").onsubmit = (event) => {
  event.preventDefault();
  const field = at("question");
  if (!field.value.trim() || answering) return;
  ask(field.value, current.leaf);
  field.value = "";
  grow();
};
const grow = () => {
  at("question").style.height = "auto";
  at("question").style.height = `${Math.min(at("question").scrollHeight, 240)}px`;
};
at("question").oninput = grow;
at("question").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("form").requestSubmit();
};
document.onkeydown = (event) => {
  if (event.key === "Escape" && !at("dialog").open) {
    if (document.body.classList.contains("side-open")) showSide(false);
    else answering?.abort();
  }
  if (event.ctrlKey && event.shiftKey && event.key.toLowerCase() === "o") {
    event.preventDefault();
    begin();
  }
};
at("stop").onclick = () => answering?.abort();
at("new").onclick = begin;
at("settings").onclick = openSettings;
at("dialog").onclose = closeSettings;
at("export").onclick = exportAll;
at("import").onchange = importAll;
at("open-side").onclick = () => showSide(true);
at("close-side").onclick = () => showSide(false);
at("log").onpointerdown = () => showSide(false);
at("model").onchange = () => {
  current.settings.model = at("model").value;
  keep();
};
listModels();
