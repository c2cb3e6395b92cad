/** The side panel: the event just sent, the stages with their milliseconds, why each item is there, what the model holds. */

import { items } from "./api.js";
import { make, part } from "./dom.js";

const STAGES = [
  ["queue", "queue: broker to worker", (l) => l.queue],
  ["fold", "fold: into the session", (l) => l.fold],
  ["rpc", "rpc: to Triton and back", (l) => Math.max(0, l.rpc - l.session_update - l.retrieval - l.inference)],
  ["step", "model: session step", (l) => l.session_update],
  ["retrieve", "model: retrieval", (l) => l.retrieval],
  ["rank", "model: ranking", (l) => l.inference],
  ["rules", "rules: stock, cart, variety", (l) => l.rules],
];
const MODALITIES = ["text", "image", "behaviour"];
const VOICES = { encoder: "taste of this visit", neighbours: "similar visits", trend: "what is touched now", visit: "seen in this visit" };
const ms = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

export async function explain(body, visitor, page, clickToPixels) {
  const grid = page.placements[0];
  const found = new Map((await items(grid.items.map((each) => each.item_id))).map((each) => [each.item_id, each]));
  body.replaceChildren(
    times(page, clickToPixels),
    reasons(grid, found),
    await memory(visitor, page),
    make("section", {}, make("h3", {}, "Event just sent"), make("pre", { class: "event", tabindex: "0" }, brief(visitor.lastEvent))),
  );
}

function times(page, clickToPixels) {
  const parts = STAGES.map(([, , value]) => value(page.latency_ms));
  const total = parts.reduce((sum, value) => sum + value, 0) || 1;
  const legend = STAGES.flatMap(([, title], index) => [
    make("span", { class: `dot c${index}` }), make("span", {}, title), make("span", {}, ms(parts[index])),
  ]);
  const flag = page.degraded ? make("span", { class: "pill warn" }, `fallback: ${page.fallback_reason}`) : null;
  return make("section", {},
    make("h3", {}, "From event to page"),
    make("div", { class: "row" }, make("span", { class: "big" }, ms(page.latency_ms.event_to_emit)), flag,
      clickToPixels == null ? null : make("span", { class: "muted", id: "pixels" }, `${Math.round(clickToPixels)} ms from click to pixels`)),
    make("div", { class: "stack", "aria-hidden": "true" }, ...parts.map((value, index) => part(`c${index}`, value / total))),
    make("div", { class: "legend" }, ...legend),
  );
}

function reasons(grid, found) {
  const rows = grid.items.slice(0, 6).map((each) => {
    const shares = MODALITIES.map((name) => each.shares?.[name] ?? 0);
    const words = MODALITIES.map((name, index) => `${name} ${Math.round(shares[index] * 100)} %`).join(", ");
    return make("li", {},
      make("div", { class: "name" }, make("span", {}, found.get(each.item_id)?.title ?? each.item_id),
        make("span", { class: "muted" }, each.reason[0])),
      make("div", { class: "shares", role: "img", "aria-label": words }, ...MODALITIES.map((name, index) => part(`s-${name}`, shares[index]))),
      spoken(each),
    );
  });
  const keys = MODALITIES.map((name) => make("span", { class: `k-${name}` }, name));
  return make("section", {}, make("h3", {}, "Why these products"), make("div", { class: "keys" }, ...keys), make("ul", { class: "whylist" }, ...rows));
}

/** Whose word put the product there, where several had a say. */
function spoken(item) {
  const said = Object.entries(item.voices ?? {}).filter(([, share]) => share >= 0.05).sort((one, other) => other[1] - one[1]);
  const words = said.map(([name, share]) => `${VOICES[name]} ${Math.round(share * 100)} %`);
  return words.length > 1 ? make("div", { class: "muted" }, words.join(", ")) : null;
}

async function memory(visitor, page) {
  const seen = (await items(visitor.seen.slice(0, 5))).map((each) => each.title);
  const cart = (await items(visitor.cart)).map((each) => each.title);
  const lines = visitor.consent
    ? [
        `${page.sequence} ${page.sequence === 1 ? "event" : "events"} of this visit are folded into a state of about a kilobyte.`,
        seen.length ? `It leans on what was looked at last: ${seen.join("; ")}.` : "Nothing was looked at yet, so the page shows what is popular.",
        cart.length ? `In the cart, and therefore not shown: ${cart.join("; ")}.` : null,
      ]
    : ["Personalisation is off: the page answers this event alone, and nothing is kept."];
  return make("section", {}, make("h3", {}, "What the model holds of you"), ...lines.filter(Boolean).map((line) => make("p", {}, line)),
    make("p", { class: "muted" }, `Model ${page.model.name} ${page.model.version}, item index ${page.index_version}, page ${page.recommendation_id.slice(0, 8)}.`));
}

function brief(event) {
  if (!event) return "none yet";
  const { event_name, event_id, visitor_id, page, items: touched, consent } = event;
  return JSON.stringify({ event_name, event_id, visitor_id, page, items: touched, consent }, null, 1);
}
