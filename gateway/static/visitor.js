/** Who is looking: id, consent, cart, and the events sent so far, kept in this browser only. */

import { sendEvent } from "./api.js";

const random = () => crypto.randomUUID();

export const PERSONAS = {
  "a new visitor": [],
  student: ["laptop", "notebook", "hoodie"],
  runner: ["running shoe", "drinking bottle", "running shoe"],
  "new parent": ["pram", "teddy bear", "baby bottle"],
  designer: ["lamp", "chair", "vase"],
  cook: ["pan", "kettle", "knife"],
  gamer: ["controller", "keyboard", "headphones"],
  gardener: ["watering can", "plant", "cactus"],
  musician: ["guitar", "speaker", "headphones"],
};

export class Visitor {
  constructor(name) {
    const saved = JSON.parse(localStorage.getItem("vitrine.visitor") || "null");
    if (saved && (name == null || name === saved.persona)) Object.assign(this, saved);
    else Object.assign(this, { id: `web-${random().slice(0, 8)}`, persona: name ?? "a new visitor", cart: [], seen: [], consent: true });
    this.pageView = random();
    this.save();
  }

  save() {
    const { id, persona, cart, seen, consent } = this;
    localStorage.setItem("vitrine.visitor", JSON.stringify({ id, persona, cart, seen, consent }));
  }

  /** A new page view; events carry its id, so a page can be told to belong to it. */
  turn() {
    this.pageView = random();
  }

  /** `places` gives the index and the attribution token of items that a page of ours showed. */
  event(name, page, ids = [], extra = {}, places = {}) {
    return {
      schema_version: "1-0-0",
      event_id: random(),
      event_name: name,
      event_time: Date.now(),
      sent_at: Date.now(),
      visitor_id: this.id,
      page_view_id: this.pageView,
      page,
      items: ids.map((item_id) => ({ item_id, ...places[item_id] })),
      consent: { personalization: this.consent, ads: false },
      ...extra,
    };
  }

  async send(name, page, ids = [], extra = {}, places = {}) {
    const event = this.event(name, page, ids, extra, places);
    if (name === "add_to_cart") this.cart = [...this.cart.filter((id) => !ids.includes(id)), ...ids];
    if (name === "remove_from_cart" || name === "purchase") this.cart = this.cart.filter((id) => !ids.includes(id));
    if (name === "view_item" && this.consent) this.seen = [...ids, ...this.seen.filter((id) => !ids.includes(id))].slice(0, 10);
    this.save();
    this.sentAt = performance.now();
    this.lastEvent = event;
    await sendEvent(event);
    return event;
  }
}
