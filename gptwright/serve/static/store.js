// Conversations in this browser. A conversation is a tree: asking differently, or asking again, makes a branch.

const PLACE = "gptwright.conversation.";
const DEFAULTS = { system: "", temperature: 0.7, top_p: 1, top_k: 0, min_p: 0, max_tokens: null, seed: null, model: "" };

const name = () => crypto.randomUUID?.() || `${Date.now()}-${Math.random()}`;

const isText = (value) => typeof value === "string";
const textOrNothing = (value) => value === undefined || isText(value);

/** Whether these settings, where they are there, are of the kinds that ours are. */
function fitting(settings) {
  return Object.entries(DEFAULTS).every(([name, usual]) => {
    const value = settings[name];
    if (value === undefined) return true;
    return isText(usual) ? isText(value) : value === null || Number.isFinite(value);
  });
}

/** Whether it is a message that can be shown and asked about. */
function message(node) {
  const calls = node.calls === undefined ? [] : node.calls;
  return (
    ["user", "assistant"].includes(node.role) && isText(node.content) &&
    [node.thinking, node.error, node.model].every(textOrNothing) &&
    Array.isArray(calls) && calls.every((call) => isText(call?.function?.name) && isText(call.function.arguments))
  );
}

/** Whether it is a conversation, whose messages all lead back to its beginning. */
function whole(c) {
  if (!c || !isText(c.id) || !isText(c.title) || !c.nodes || !c.settings || !fitting(c.settings)) return false;
  const nodes = Object.entries(c.nodes);
  const leads = (node) => {
    for (let steps = 0; steps <= nodes.length; steps++) {
      if (node?.parent === null) return true;
      node = c.nodes[node?.parent];
    }
    return false;
  };
  const known = ([id, node]) => node?.id === id && message(node) && leads(node);
  return nodes.every(known) && (c.leaf === null || c.leaf in c.nodes);
}

/** A conversation that was kept, or nothing where it is damaged. */
function read(key) {
  try {
    const found = JSON.parse(localStorage.getItem(key));
    return whole(found) ? { ...found, settings: { ...DEFAULTS, ...found.settings } } : null;
  } catch {
    return null;
  }
}

export class Store {
  constructor() {
    this.all = Object.keys(localStorage)
      .filter((key) => key.startsWith(PLACE))
      .map(read)
      .filter(Boolean)
      .sort((a, b) => b.created - a.created);
  }

  /** Keep these conversations, with what another tab has said in them; false where the browser has no room for it. */
  save(...conversations) {
    try {
      for (const conversation of conversations) {
        const kept = read(PLACE + conversation.id);
        if (kept) conversation.nodes = { ...kept.nodes, ...conversation.nodes };
        localStorage.setItem(PLACE + conversation.id, JSON.stringify(conversation));
      }
      return true;
    } catch {
      return false;
    }
  }

  create(settings = {}) {
    const conversation = {
      id: name(), title: "New conversation", created: Date.now(), settings: { ...DEFAULTS, ...settings }, nodes: {}, leaf: null,
    };
    this.all.unshift(conversation);
    return conversation;
  }

  remove(id) {
    this.all = this.all.filter((conversation) => conversation.id !== id);
    localStorage.removeItem(PLACE + id);
  }

  /** Add conversations from an export; returns them. Throws where it is none. */
  take(text) {
    const found = JSON.parse(text);
    if (!Array.isArray(found) || !found.every(whole)) throw new Error("this file is no export of conversations");
    const known = new Set(this.all.map((conversation) => conversation.id));
    const taken = found.filter((conversation) => !known.has(conversation.id));
    for (const conversation of taken) conversation.settings = { ...DEFAULTS, ...conversation.settings };
    this.all.unshift(...taken);
    return taken;
  }
}

/** Put a message behind `parent` (null: at the beginning), and make it what is shown. */
export function add(conversation, parent, role, content) {
  const node = { id: name(), parent, role, content, created: Date.now() };
  conversation.nodes[node.id] = node;
  conversation.leaf = node.id;
  return node;
}

/** The messages that are shown, first to last. */
export function path(conversation) {
  const found = [];
  for (let node = conversation.nodes[conversation.leaf]; node; node = conversation.nodes[node.parent]) found.unshift(node);
  return found;
}

/** The messages that could stand where this one stands, itself among them, oldest first. */
export function branches(conversation, node) {
  return Object.values(conversation.nodes)
    .filter((other) => other.parent === node.parent && other.role === node.role)
    .sort((a, b) => a.created - b.created);
}

/** Show another branch, down to its newest end. */
export function turn(conversation, node) {
  let leaf = node;
  for (;;) {
    const next = Object.values(conversation.nodes).filter((other) => other.parent === leaf.id);
    if (!next.length) break;
    leaf = next.reduce((a, b) => (a.created >= b.created ? a : b));
  }
  conversation.leaf = leaf.id;
}
