// As much of a browser as vitrine.js touches: elements, a clock, storage, fetch, beacon, event stream, observer.
import { readFileSync } from "node:fs";
import vm from "node:vm";

const SNIPPET = new URL("../../gateway/snippet/vitrine.js", import.meta.url);

export class Element {
  constructor(tagName, attributes = {}, children = []) {
    this.tagName = tagName.toUpperCase();
    this.attributes = new Map(Object.entries(attributes));
    this.childNodes = [];
    this.parent = null;
    this.style = {};
    this.offsetHeight = 240;
    this.textContent = "";
    this.moves = 0;
    for (const child of children) this.insertBefore(child, null);
    if (tagName === "template") this.content = { firstElementChild: children[0] };
  }
  getAttribute(name) { return this.attributes.get(name) ?? null; }
  setAttribute(name, value) { this.attributes.set(name, String(value)); }
  hasAttribute(name) { return this.attributes.has(name); }
  get nextElementSibling() {
    const siblings = this.parent.childNodes;
    return siblings[siblings.indexOf(this) + 1] ?? null;
  }
  insertBefore(node, before) {
    if (node.parent) node.parent.childNodes.splice(node.parent.childNodes.indexOf(node), 1);
    node.parent = this;
    node.moves += 1;
    this.childNodes.splice(before ? this.childNodes.indexOf(before) : this.childNodes.length, 0, node);
  }
  remove() { this.parent.childNodes.splice(this.parent.childNodes.indexOf(this), 1); this.parent = null; }
  cloneNode() {
    return new Element(this.tagName.toLowerCase(), Object.fromEntries(this.attributes), this.childNodes.map((c) => c.cloneNode()));
  }
  matches(selector) {
    const match = /^(?:\[([\w-]+)(?:="([^"]*)")?\]|(\w+))$/.exec(selector);
    if (!match) throw new Error(`the fake DOM does not know ${selector}`);
    if (match[3]) return this.tagName === match[3].toUpperCase();
    return this.hasAttribute(match[1]) && (match[2] === undefined || this.getAttribute(match[1]) === match[2]);
  }
  closest(selector) {
    for (let e = this; e; e = e.parent) if (e.matches(selector)) return e;
    return null;
  }
  querySelectorAll(selector) {
    const found = [];
    for (const child of this.tagName === "TEMPLATE" ? [] : this.childNodes) {
      if (child.matches(selector)) found.push(child);
      found.push(...child.querySelectorAll(selector));
    }
    return found;
  }
  querySelector(selector) { return this.querySelectorAll(selector)[0] ?? null; }
}

export function shelf(list) {
  const card = new Element("article", {}, [
    new Element("img", { "data-field": "image_url" }),
    new Element("h3", { "data-field": "title" }),
    new Element("p", { "data-field": "reason" }),
  ]);
  return new Element("section", { "data-vitrine-slot": list }, [new Element("template", {}, [card])]);
}

export class Browser {
  constructor({ dataset = {}, slots = ["home"], storage = {}, answers = () => ({ status: 202 }) } = {}) {
    this.requests = [];
    this.beacons = [];
    this.streams = [];
    this.observed = new Set();
    this.frames = [];
    this.storage = new Map(Object.entries(storage));
    this.answers = answers;
    this.now = 0;
    this.tasks = [];
    this.body = new Element("body", {}, slots.map(shelf));
    this.listeners = { window: {}, document: {} };
    this.run(dataset);
  }

  run(dataset) {
    const browser = this;
    const listen = (target) => (name, handler) => { (browser.listeners[target][name] ??= []).push(handler); };
    const document = {
      currentScript: { dataset, src: "https://gateway.example/vitrine.js" },
      referrer: "https://search.example/",
      visibilityState: "visible",
      addEventListener: listen("document"),
      querySelectorAll: (selector) => browser.body.querySelectorAll(selector),
    };
    const location = { href: "https://shop.example/" };
    const window = {
      location,
      crypto,
      history: { pushState: (_s, _t, url) => { location.href = url; }, replaceState: (_s, _t, url) => { location.href = url; } },
      localStorage: {
        getItem: (name) => browser.storage.get(name) ?? null,
        setItem: (name, value) => browser.storage.set(name, value),
        removeItem: (name) => browser.storage.delete(name),
      },
      navigator: { sendBeacon: (url, blob) => { if (blob.size > 65_536) return false; browser.beacons.push({ url, body: blob.parts.join("") }); return true; } },
      Blob: class { constructor(parts, options) { this.parts = parts; this.type = options?.type; this.size = Buffer.byteLength(parts.join("")); } },
      EventSource: class {
        constructor(url) { this.url = url; this.handlers = {}; this.readyState = 0; browser.streams.push(this); }
        addEventListener(name, handler) { this.handlers[name] = handler; }
        close() { this.closed = true; }
      },
      IntersectionObserver: class {
        constructor(callback, options) { browser.intersect = callback; browser.thresholds = options.threshold; }
        observe(e) { browser.observed.add(e); }
        unobserve(e) { browser.observed.delete(e); }
      },
      requestAnimationFrame: (f) => browser.frames.push(f),
      setTimeout: (f, ms) => { browser.tasks.push({ f, at: browser.now + ms }); return browser.tasks.length; },
      clearTimeout: (number) => { if (number) browser.tasks[number - 1] = null; },
      addEventListener: listen("window"),
      fetch: async (url, init = {}) => {
        const request = { url, method: init.method ?? "GET", body: init.body && JSON.parse(init.body), keepalive: init.keepalive };
        browser.requests.push(request);
        if (init.keepalive && Buffer.byteLength(init.body) > 65_536) throw new TypeError("Failed to fetch");
        const answer = browser.answers(request);
        if (answer instanceof Error) throw answer;
        return { status: answer.status, headers: { get: (name) => answer.headers?.[name] ?? null }, json: async () => answer.body };
      },
    };
    this.window = window;
    this.document = document;
    vm.runInNewContext(readFileSync(SNIPPET, "utf8"), { window, document, URL, Date, JSON, Math, Map, Promise, Object, Array, encodeURIComponent });
    this.vitrine = window.vitrine;
  }

  // Lets promises settle and runs the timers that are due within `ms`.
  async pass(ms = 0) {
    const until = this.now + ms;
    for (;;) {
      for (let i = 0; i < 10; i += 1) await Promise.resolve();
      const due = this.tasks.filter((t) => t && t.at <= until).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.now = Math.max(this.now, due.at);
      this.tasks[this.tasks.indexOf(due)] = null;
      due.f();
    }
    this.now = until;
  }

  emit(target, name, event = {}) { for (const handler of this.listeners[target][name] ?? []) handler(event); }
  click(element) { this.emit("document", "click", { target: element }); }
  get events() { return this.requests.filter((r) => r.url.includes("/v1/events")).flatMap((r) => r.body); }
  slot(list) { return this.body.querySelector(`[data-vitrine-slot="${list}"]`); }
  shown(list) { return this.slot(list).querySelectorAll("[data-vitrine-item]").map((e) => e.getAttribute("data-vitrine-item")); }
  async page(list, ids, extra = {}) {
    const items = ids.map((id, index) => ({ item_id: id, index, reason: ["Looks like"] }));
    this.vitrine.show({ attribution_token: "at_1", placements: [{ item_list_id: list, items }], ...extra });
    await this.pass();
  }
}

// A gateway that knows every item.
export function gateway(request) {
  if (!request.url.includes("/v1/items")) return { status: 202 };
  const ids = new URL(request.url).searchParams.get("ids").split(",");
  return { status: 200, body: { items: ids.map((id) => ({ item_id: id, title: `Title ${id}`, image_url: `/images/${id}.png` })) } };
}
