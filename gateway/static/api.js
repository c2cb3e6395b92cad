/** The gateway's HTTP interface as the demo uses it. */

const known = new Map();

const WAITS = [100, 200, 400, 800, 1600, 3200, 6400, 6400]; // milliseconds: longer than a gateway takes to start again

/** The answer, once there is one: a gateway that is away is asked again. Every request may come twice, for events, products
 *  and pictures are told apart by their ids. */
async function reach(path, options) {
  for (const wait of WAITS) {
    try {
      return await fetch(path, options);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
  return fetch(path, options);
}

async function json(path, options) {
  const answer = await reach(path, options);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(body.detail || `${answer.status} ${answer.statusText}`), { status: answer.status });
  return body;
}

const post = (path, body) =>
  json(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** Send one event; resolves once the broker has it. */
export const sendEvent = (event) => post("/v1/events", event);

/** Items by id, in the order asked for; what is known already is not asked again. */
export async function items(ids) {
  const missing = ids.filter((id) => !known.has(id));
  if (missing.length) remember((await json(`/v1/items?limit=200&ids=${encodeURIComponent(missing.join(","))}`)).items);
  return ids.map((id) => known.get(id)).filter(Boolean);
}

export async function item(id) {
  return known.get(id) ?? remember([await json(`/v1/items/${encodeURIComponent(id)}`)])[0];
}

export async function search(query, category = "", limit = 24) {
  const words = new URLSearchParams({ query, category, limit });
  const found = await json(`/v1/items?${words}`);
  remember(found.items);
  return found;
}

export const categories = async () => (await json("/v1/categories")).categories;
export const status = (id) => json(`/v1/items/${encodeURIComponent(id)}/status`);
export const publishItem = (item) => post("/v1/catalog", item);

export async function upload(file) {
  return json("/v1/images", { method: "POST", headers: { "Content-Type": file.type }, body: file });
}

function remember(found) {
  for (const each of found) known.set(each.item_id, each);
  return found;
}

/** Pages of a visitor as they come. After a cut the browser reconnects by itself and resumes after the last one seen; after a
 *  refusal (too many streams, a gateway that starts) it never would, so we do. Returns what ends it. */
export function pages(visitor, onPage) {
  let stream, timer, last = "";
  const open = () => {
    stream = new EventSource(`/v1/pages/${encodeURIComponent(visitor)}/stream${last && `?last_event_id=${encodeURIComponent(last)}`}`);
    stream.addEventListener("page", (message) => {
      last = message.lastEventId;
      onPage(JSON.parse(message.data));
    });
    stream.addEventListener("error", () => {
      if (stream.readyState === EventSource.CLOSED) timer = setTimeout(open, 2000 + Math.random() * 3000);
    });
  };
  open();
  return () => {
    clearTimeout(timer);
    stream.close();
  };
}
