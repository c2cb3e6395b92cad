import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { gzipSync } from "node:zlib";

import { Browser, gateway } from "./dom.mjs";

test("a page view is sent at once, with visitor, consent and the clock of sending", async () => {
  const browser = new Browser({ dataset: { key: "browser key", pageType: "product" } });
  await browser.pass();
  const [event] = browser.events;
  assert.equal(event.event_name, "page_view");
  assert.equal(event.page.page_type, "product");
  assert.equal(event.visitor_id, browser.vitrine.visitor);
  assert.deepEqual(event.consent, { personalization: true, ads: true });
  assert.ok(event.sent_at >= event.event_time);
  assert.equal(browser.requests[0].url, "https://gateway.example/v1/events?key=browser%20key");
  assert.equal(browser.storage.get("vitrine.visitor"), event.visitor_id);
});

test("a returning visitor keeps the id", async () => {
  const browser = new Browser({ storage: { "vitrine.visitor": "v-old" } });
  await browser.pass();
  assert.equal(browser.events[0].visitor_id, "v-old");
  assert.match(browser.streams[0].url, /\/v1\/pages\/v-old\/stream$/);
});

test("nothing is sent, stored or opened before consent where it is required", async () => {
  const browser = new Browser({ dataset: { consent: "required" } });
  await browser.pass(5000);
  browser.emit("window", "pagehide");
  assert.equal(browser.requests.length + browser.beacons.length + browser.streams.length, 0);
  assert.equal(browser.storage.size, 0);
  browser.vitrine.consent({ personalization: true, ads: false });
  await browser.pass();
  assert.equal(browser.events[0].event_name, "page_view");
  assert.deepEqual(browser.events[0].consent, { personalization: true, ads: false });
});

test("without personalisation the visitor has a passing id that is not stored", async () => {
  const browser = new Browser({ storage: { "vitrine.visitor": "v-old" }, dataset: { consent: "required" } });
  browser.vitrine.consent({ personalization: false });
  await browser.pass();
  assert.notEqual(browser.events[0].visitor_id, "v-old");
  assert.equal(browser.storage.has("vitrine.visitor"), false);
  assert.equal(browser.events[0].consent.personalization, false);
});

test("the pages of the stream fill the slots with what the gateway says of the items", async () => {
  const browser = new Browser({ answers: gateway });
  const data = JSON.stringify({ placements: [{ item_list_id: "home", items: [{ item_id: "a", reason: ["Looks like"] }] }] });
  browser.streams[0].handlers.page({ data });
  await browser.pass();
  assert.deepEqual(browser.shown("home"), ["a"]);
  const [card] = browser.slot("home").querySelectorAll("[data-vitrine-item]");
  assert.deepEqual(card.childNodes.map((e) => e.src ?? e.textContent), ["/images/a.png", "Title a", "Looks like"]);
  assert.equal(card.childNodes[0].alt, "Title a");
});

test("a swap keeps the nodes that stay, in the new order, and holds the height until it is painted", async () => {
  const browser = new Browser({ answers: gateway });
  await browser.page("home", ["a", "b", "c"]);
  const before = new Map(browser.slot("home").querySelectorAll("[data-vitrine-item]").map((e) => [e.getAttribute("data-vitrine-item"), e]));
  browser.frames.forEach((f) => f());
  assert.equal(browser.slot("home").style.minHeight, "");
  await browser.page("home", ["c", "d", "a"]);
  assert.equal(browser.slot("home").style.minHeight, "240px");
  assert.deepEqual(browser.shown("home"), ["c", "d", "a"]);
  const after = new Map(browser.slot("home").querySelectorAll("[data-vitrine-item]").map((e) => [e.getAttribute("data-vitrine-item"), e]));
  assert.equal(after.get("a"), before.get("a"));
  assert.equal(after.get("c"), before.get("c"));
  assert.equal(browser.observed.has(before.get("b")), false);
});

test("an unchanged page moves no node", async () => {
  const browser = new Browser({ answers: gateway });
  await browser.page("home", ["a", "b"]);
  const moves = () => browser.slot("home").querySelectorAll("[data-vitrine-item]").map((e) => e.moves);
  const before = moves();
  await browser.page("home", ["a", "b"]);
  assert.deepEqual(moves(), before);
});

test("details of an item are asked once", async () => {
  const browser = new Browser({ answers: gateway });
  await browser.page("home", ["a", "b"]);
  await browser.page("home", ["b", "c"]);
  const asked = browser.requests.filter((r) => r.url.includes("/v1/items")).map((r) => new URL(r.url).searchParams.get("ids"));
  assert.deepEqual(asked, ["a,b", "c"]);
});

test("a page that comes while an older one waits for its details wins", async () => {
  let release;
  const browser = new Browser();
  browser.window.fetch = (url) => url.includes("ids=old")
    ? new Promise((resolve) => { release = () => resolve({ json: async () => ({ items: [{ item_id: "old" }] }) }); })
    : Promise.resolve({ status: 202, json: async () => ({ items: [{ item_id: "new", title: "N" }] }) });
  await browser.page("home", ["old"]);
  await browser.page("home", ["new"]);
  release();
  await browser.pass();
  assert.deepEqual(browser.shown("home"), ["new"]);
});

test("a click names the item, its place, its list and the page's token, at once", async () => {
  const browser = new Browser({ answers: gateway });
  await browser.page("home", ["a", "b"]);
  browser.click(browser.slot("home").querySelectorAll("[data-vitrine-item]")[1].childNodes[0]);
  await browser.pass();
  const click = browser.events.at(-1);
  assert.equal(click.event_name, "select_item");
  assert.deepEqual(click.items, [{ item_id: "b", index: 1 }]);
  assert.equal(click.item_list_id, "home");
  assert.equal(click.attribution_token, "at_1");
});

test("an impression is half of the item in view for one whole second, once per page view", async () => {
  const browser = new Browser({ answers: gateway });
  await browser.page("home", ["a", "b"]);
  const [a, b] = browser.slot("home").querySelectorAll("[data-vitrine-item]");
  const see = (target, intersectionRatio) => browser.intersect([{ target, intersectionRatio, isIntersecting: intersectionRatio > 0 }]);
  assert.equal(browser.thresholds, 0.5);
  see(a, 0.6);
  see(b, 0.4);
  await browser.pass(900);
  see(a, 0.1);
  await browser.pass(2000);
  see(a, 1);
  await browser.pass(2000);
  see(a, 0);
  see(a, 1);
  await browser.pass(2000);
  const seen = browser.events.filter((e) => e.event_name === "item_impression").map((e) => e.items[0].item_id);
  assert.deepEqual(seen, ["a"]);
});

test("what waits is handed to a beacon when the page goes away", async () => {
  const browser = new Browser({ dataset: { key: "k" } });
  await browser.pass();
  browser.vitrine.track("view_item", { items: [{ item_id: "a" }] });
  browser.emit("window", "pagehide");
  const [beacon] = browser.beacons;
  assert.equal(beacon.url, "https://gateway.example/v1/events?key=k");
  assert.equal(JSON.parse(beacon.body)[0].items[0].item_id, "a");
  await browser.pass(1000);
  assert.equal(browser.events.filter((e) => e.event_name === "view_item").length, 0);
});

test("a refused or failed send is repeated with the same ids after the time that was asked for", async () => {
  const answers = [{ status: 503, headers: { "Retry-After": "2" } }, new Error("offline"), { status: 202 }];
  const browser = new Browser({ answers: () => answers.shift() ?? { status: 202 } });
  await browser.pass();
  assert.equal(browser.requests.length, 1);
  await browser.pass(1900);
  assert.equal(browser.requests.length, 1);
  await browser.pass(200);
  assert.equal(browser.requests.length, 2);
  await browser.pass(10_000);
  assert.equal(browser.requests.length, 3);
  assert.equal(new Set(browser.events.map((e) => e.event_id)).size, 1);
});

test("what the gateway calls broken is not sent again", async () => {
  const browser = new Browser({ answers: () => ({ status: 422 }) });
  await browser.pass(60_000);
  assert.equal(browser.requests.length, 1);
});

test("the queue is bounded while the gateway is away", async () => {
  const browser = new Browser({ answers: () => new Error("offline") });
  await browser.pass();
  for (let i = 0; i < 500; i += 1) browser.vitrine.track("view_item", { items: [{ item_id: String(i) }] });
  browser.emit("window", "pagehide");
  assert.equal(browser.beacons.flatMap((b) => JSON.parse(b.body)).length, 200);
});

test("long events are sent in parts that a browser takes, also when the page is left", async () => {
  const browser = new Browser({ dataset: { consent: "required" } });
  const term = "é".repeat(600);
  for (let i = 0; i < 150; i += 1) browser.vitrine.track("search", { search_term: term });
  browser.vitrine.consent({ personalization: true, ads: true });
  await browser.pass();
  assert.equal(browser.events.filter((e) => e.search_term === term).length, 150);
  for (let i = 0; i < 150; i += 1) browser.vitrine.track("search", { search_term: term });
  browser.emit("window", "pagehide");
  assert.equal(browser.beacons.flatMap((b) => JSON.parse(b.body)).length, 150);
  assert.ok(browser.beacons.length > 2);
});

test("an address longer than the contract allows is cut", async () => {
  const browser = new Browser();
  await browser.pass();
  browser.window.history.pushState({}, "", `https://shop.example/?q=${"x".repeat(5000)}`);
  await browser.pass();
  assert.equal(browser.events.at(-1).page.uri.length, 2048);
});

test("a stream that was refused is opened again after a while, one that a browser reopens itself is left alone", async () => {
  const browser = new Browser();
  await browser.pass();
  browser.streams[0].handlers.error({});
  await browser.pass(10_000);
  assert.equal(browser.streams.length, 1);
  browser.streams[0].readyState = 2;
  browser.streams[0].handlers.error({});
  await browser.pass(1000);
  assert.equal(browser.streams.length, 1);
  await browser.pass(5000);
  assert.equal(browser.streams.length, 2);
});

test("a tenant without a key is named wherever pages and items come from", async () => {
  const browser = new Browser({ dataset: { tenant: "t 1" }, answers: gateway });
  await browser.page("home", ["a"]);
  assert.equal(browser.events[0].tenant_id, "t 1");
  assert.match(browser.streams[0].url, /stream\?tenant=t%201$/);
  assert.match(browser.requests.find((r) => r.url.includes("/v1/items")).url, /\?tenant=t%201&ids=a$/);
});

test("an address change of a single-page shop is a page view, an unchanged one is not", async () => {
  const browser = new Browser();
  browser.window.history.pushState({}, "", "https://shop.example/c/shoes");
  browser.window.history.replaceState({}, "", "https://shop.example/c/shoes");
  await browser.pass();
  const views = browser.events.filter((e) => e.event_name === "page_view");
  assert.deepEqual(views.map((e) => e.page.uri), ["https://shop.example/", "https://shop.example/c/shoes"]);
  assert.notEqual(views[0].page_view_id, views[1].page_view_id);
});

test("a shop without storage or observer still works", async () => {
  const browser = new Browser();
  browser.storage.get = () => { throw new Error("denied"); };
  browser.vitrine.consent({ personalization: true, ads: true });
  await browser.pass();
  assert.ok(browser.vitrine.visitor);
});

test("the snippet is below 4 KB on the wire", () => {
  const size = gzipSync(readFileSync(new URL("../../gateway/snippet/vitrine.js", import.meta.url)), { level: 9 }).length;
  assert.ok(size <= 3800, `${size} bytes`);
});
