/** The demo shop: one page that finds its way by address; the gateway's page stream fills its grid. */

import * as api from "./api.js";
import { euros, make, part, swap } from "./dom.js";
import { PERSONAS, Visitor } from "./visitor.js";
import { explain } from "./why.js";

const $ = (id) => document.getElementById(id);
const main = $("main");
let visitor = new Visitor();
let closeStream = () => {};
let latest = null;
let clicked = {}; // place and token of the recommended item that was just clicked
let view = { page_type: "home", uri: "/" };

const unanswered = (error) => { $("announce").textContent = `The shop does not answer: ${error.message}`; };

// ---- the page stream

function follow() {
  closeStream();
  latest = null;
  closeStream = api.pages(visitor.id, (page) => {
    latest = page;
    if (page.page_type === view.page_type && page.page_view_id === visitor.pageView) show(page).catch(unanswered);
  });
}

async function show(page) {
  const grid = $("grid");
  if (!grid) return;
  const placement = page.placements[0];
  const found = new Map((await api.items(placement.items.map((each) => each.item_id))).map((each) => [each.item_id, each]));
  if (page !== latest) return; // a newer page came while the products were asked for
  $("grid-title").textContent = placement.item_list_name;
  $("flag").hidden = !page.degraded;
  $("flag").textContent = page.fallback_reason === "triton_slow" ? "fewer candidates: the model is busy" : "without the model: it is away";
  swap(grid, placement.items.filter((each) => found.has(each.item_id)).map((each) => tile(found.get(each.item_id), each, page.attribution_token)));
  main.dataset.sequence = page.sequence;
  const sentAt = visitor.sentAt;
  visitor.sentAt = null;
  requestAnimationFrame(() => {
    const pixels = sentAt == null ? null : performance.now() - sentAt;
    if (pixels != null) main.dataset.pixels = pixels.toFixed(1);
    explain($("why-body"), visitor, page, pixels).catch(unanswered);
    $("announce").textContent = `${placement.items.length} products updated`;
  });
}

// ---- pieces

function tile(item, recommended = null, token = null) {
  const href = `/shop/product/${encodeURIComponent(item.item_id)}`;
  const price = make("span", { class: "price" }, euros(item.price));
  if (item.original_price > item.price) price.append(make("s", { class: "was" }, euros(item.original_price)));
  const shares = recommended?.shares && Object.keys(recommended.shares).length
    ? make("span", { class: "shares", "aria-hidden": "true" }, ...["text", "image", "behaviour"].map((name) => part(`s-${name}`, recommended.shares[name])))
    : null;
  const element = make("li", { class: "tile" },
    make("a", { href, "data-link": true },
      make("img", { src: item.image_url ?? "/static/mark.svg", alt: "", width: 256, height: 256, loading: "lazy", decoding: "async" }),
      make("span", { class: "words" }, make("span", { class: "title" }, item.title), price,
        recommended ? make("span", { class: "reason" }, recommended.reason.join(" · ")) : null, shares)),
    recommended ? make("button", { class: "dismiss", type: "button", "aria-label": `Do not show ${item.title}`, onclick: () => act("dismiss_item", [item.item_id]) }, "×") : null,
  );
  element.dataset.key = item.item_id;
  if (recommended) element.querySelector("a").addEventListener("click", () => { clicked = { [item.item_id]: { index: recommended.index, attribution_token: token } }; });
  return element;
}

function grid(title) {
  const skeletons = Array.from({ length: 8 }, () => make("li", { class: "tile skeleton", "aria-hidden": "true" }));
  return [
    make("div", { class: "lead" }, make("h2", { id: "grid-title" }, title), make("span", { class: "pill warn", id: "flag", hidden: true })),
    make("ul", { class: "grid", id: "grid", "aria-label": title }, ...skeletons),
  ];
}

// ---- what visitors do

async function act(name, ids = [], extra = {}) {
  try {
    await visitor.send(name, { page_type: view.page_type, uri: view.uri, page_categories: view.categories ?? [] }, ids, extra, name === "view_item" ? clicked : {});
  } catch (error) {
    $("announce").textContent = `The event was not accepted: ${error.message}`;
  }
  if (name === "view_item") clicked = {};
  $("cart-count").textContent = visitor.cart.length;
}

const VIEWS = {
  async home() {
    main.replaceChildren(make("div", { class: "lead" }, make("h1", {}, "Good to see you"), make("p", { class: "muted" }, "Look at a few things: this page follows every click.")), ...grid("For you"));
    return act("page_view");
  },
  async category(path) {
    const title = path.split(" > ").at(-1);
    main.replaceChildren(make("div", { class: "lead" }, make("h1", {}, title)), ...grid("Picked for you in this category"), make("h2", { class: "section" }, `All in ${title}`), make("ul", { class: "grid", id: "all" }));
    act("page_view");
    const found = await current(api.search("", path, 48));
    swap($("all"), found.items.map((each) => tile(each)));
  },
  async product(id) {
    const item = await current(api.item(id));
    const facts = [["Category", item.categories?.[0]], ["Brand", item.brands?.join(", ")], ["Colour", item.color_families?.join(", ")], ["Material", item.materials?.join(", ")], ["Stock", item.is_in_stock ? "available" : "sold out"]];
    main.replaceChildren(
      make("article", { class: "product" },
        make("img", { src: item.image_url ?? "/static/mark.svg", alt: item.title, width: 512, height: 512 }),
        make("div", {},
          make("p", { class: "muted" }, item.categories?.[0] ?? ""), make("h1", {}, item.title), make("p", {}, item.description ?? ""),
          make("p", { class: "price" }, euros(item.price)),
          make("button", { class: "primary", id: "add", type: "button", disabled: !item.is_in_stock, onclick: () => act("add_to_cart", [id], { currency: "EUR", value: item.price ?? 0 }) }, "Add to cart"),
          make("dl", { class: "facts" }, ...facts.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])))),
      ...grid("You may also like"));
    return act("view_item", [id]);
  },
  async cart() {
    const lines = await current(api.items(visitor.cart));
    const total = lines.reduce((sum, each) => sum + (each.price ?? 0), 0);
    const buy = async () => { await act("purchase", [...visitor.cart], { currency: "EUR", value: total, transaction_id: crypto.randomUUID() }); await navigate("/"); };
    main.replaceChildren(
      make("div", { class: "lead" }, make("h1", {}, "Your cart"), make("span", { class: "muted" }, lines.length ? euros(total) : "empty so far")),
      make("ul", { class: "lines" }, ...lines.map((each) => make("li", {},
        make("img", { src: each.image_url ?? "/static/mark.svg", alt: "", width: 72, height: 72 }), make("a", { href: `/shop/product/${each.item_id}`, "data-link": true }, each.title),
        make("span", { class: "price" }, euros(each.price)),
        make("button", { class: "plain", type: "button", "aria-label": `Remove ${each.title}`, onclick: async () => { await act("remove_from_cart", [each.item_id]); await navigate("/shop/cart"); } }, "Remove")))),
      lines.length ? make("button", { class: "primary", type: "button", id: "buy", onclick: buy }, "Buy") : null ?? "",
      ...grid("Goes well with your cart"));
    return act("view_cart");
  },
  async search(query) {
    main.replaceChildren(make("div", { class: "lead" }, make("h1", {}, `“${query}”`), make("span", { class: "muted", id: "hits" })), make("ul", { class: "grid", id: "all" }), ...grid("You may also like"));
    act("search", [], { search_term: query });
    const found = await current(api.search(query));
    $("hits").textContent = `${found.total} products`;
    swap($("all"), found.items.slice(0, 12).map((each) => tile(each)));
  },
};

// ---- addresses

function route(path, query) {
  const [, , kind, rest] = path.split("/");
  const value = decodeURIComponent(rest ?? "");
  if (kind === "category") return { page_type: "category", argument: value, categories: [value] };
  if (kind === "product") return { page_type: "product", argument: value };
  if (kind === "cart") return { page_type: "cart" };
  if (kind === "search") return { page_type: "search", argument: query.get("q") ?? "" };
  return { page_type: "home" };
}

class Left extends Error {} // the visitor has gone on to another view meanwhile

/** The answer, if the view that asked is still the one that is looked at. */
async function current(answer) {
  const asked = visitor.pageView;
  const found = await answer.catch((error) => {
    throw asked === visitor.pageView ? error : new Left();
  });
  if (asked !== visitor.pageView) throw new Left();
  return found;
}

async function navigate(address, push = true) {
  const url = new URL(address, location.href);
  if (push) history.pushState(null, "", url);
  view = { ...route(url.pathname, url.searchParams), uri: url.pathname };
  visitor.turn();
  scrollTo({ top: 0 });
  document.querySelectorAll("#departments a").forEach((link) => link.setAttribute("aria-current", link.pathname === url.pathname ? "page" : "false"));
  try {
    await VIEWS[view.page_type](view.argument);
  } catch (error) {
    if (error instanceof Left) return;
    main.replaceChildren(make("h1", {}, error.status === 404 ? "Not found" : "The shop does not answer"), make("p", { class: "muted" }, error.message));
  }
}

document.addEventListener("click", (click) => {
  const link = click.target.closest("a[data-link]");
  if (!link || click.metaKey || click.ctrlKey || click.button) return;
  click.preventDefault();
  navigate(link.getAttribute("href"));
});
addEventListener("popstate", () => navigate(location.href, false));
$("search").addEventListener("submit", (submit) => {
  submit.preventDefault();
  const words = $("query").value.trim();
  if (words) navigate(`/shop/search?q=${encodeURIComponent(words)}`);
});

// ---- persona, theme, consent

async function become(name) {
  localStorage.removeItem("vitrine.visitor");
  visitor = new Visitor(name);
  follow();
  $("cart-count").textContent = 0;
  view = { page_type: "product", uri: "/" };
  for (const words of PERSONAS[name]) {
    const found = await api.search(words, "", 6);
    const chosen = found.items[Math.floor(Math.random() * Math.min(found.items.length, 6))];
    if (chosen) await act("view_item", [chosen.item_id]);
  }
  await navigate("/");
}

const persona = $("persona");
persona.append(...Object.keys(PERSONAS).map((name) => make("option", { value: name, selected: name === visitor.persona }, name)));
persona.append(make("option", { value: "-", selected: !visitor.consent }, "nobody (consent off)"));
persona.addEventListener("change", async () => {
  if (persona.value !== "-") return become(persona.value).catch(unanswered);
  localStorage.removeItem("vitrine.visitor");
  visitor = new Visitor("a new visitor");
  visitor.consent = false;
  visitor.save();
  follow();
  await navigate("/");
});

const saved = localStorage.getItem("vitrine.theme");
if (saved) document.documentElement.dataset.theme = saved;
$("theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  localStorage.setItem("vitrine.theme", document.documentElement.dataset.theme);
});

// ---- a new product

const dialog = $("product-dialog");
$("new-product").addEventListener("click", () => dialog.showModal());
$("product-cancel").addEventListener("click", () => dialog.close());
$("product-form").addEventListener("submit", async (submit) => {
  submit.preventDefault();
  const form = new FormData(submit.target);
  const say = (text) => { $("product-status").textContent = text; };
  try {
    say("Uploading the picture…");
    const picture = await api.upload(form.get("picture"));
    const item_id = `new-${crypto.randomUUID().slice(0, 8)}`;
    const item = { item_id, title: form.get("title"), categories: [form.get("category")], price: Number(form.get("price")), currency: "EUR", availability: "IN_STOCK", images: [{ uri: picture.uri, width: picture.width, height: picture.height }] };
    await api.publishItem(item);
    const started = performance.now();
    for (;;) {
      const now = await api.status(item_id).catch(() => ({}));
      if (now.eligible) {
        say(`Recommendable after ${Number(now.seconds).toFixed(1)} s.`);
        $("product-status").replaceChildren(`Recommendable after ${Number(now.seconds).toFixed(1)} s: `, make("a", { href: `/shop/product/${item_id}`, "data-link": true, onclick: () => dialog.close() }, "look at it"));
        return;
      }
      say(`Encoding… ${((performance.now() - started) / 1000).toFixed(1)} s`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  } catch (error) {
    say(error.message);
  }
});

// ---- start

$("cart-count").textContent = visitor.cart.length;
follow();
navigate(location.href, false);
api.categories().then((found) => {
  const departments = [...new Set(found.map((each) => each.path.split(" > ")[0]))];
  $("departments").append(...departments.map((name) => make("a", { href: `/shop/category/${encodeURIComponent(name)}`, "data-link": true }, name)));
  dialog.querySelector("select").append(...found.map((each) => make("option", { value: each.path }, each.path)));
}).catch(unanswered);
