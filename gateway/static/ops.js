/** The operations page: figures, charts, health with its truth, and dead letters that can be sent again. */

import { chart } from "./chart.js";
import { make } from "./dom.js";

const $ = (id) => document.getElementById(id);
const number = (value) => (value == null ? "–" : value >= 100 ? Math.round(value).toLocaleString("en") : Number(value.toFixed(1)).toString());
const milliseconds = (seconds) => {
  if (seconds == null) return "–";
  if (seconds === 0) return "0 ms";
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  return seconds < 0.01 ? `${(seconds * 1000).toFixed(1)} ms` : `${Math.round(seconds * 1000)} ms`;
};
const saved = localStorage.getItem("vitrine.theme");
if (saved) document.documentElement.dataset.theme = saved;

async function get(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function figures(now) {
  const of = (name) => now.figures[name];
  const share = of("pages_per_second") ? (of("degraded_per_second") ?? 0) / of("pages_per_second") : null;
  const rows = [
    ["Events", number(of("events_per_second")), "/s"],
    ["Pages", number(of("pages_per_second")), "/s"],
    ["Event to page, p99", milliseconds(of("stage_p99_seconds")?.event_to_page), ""],
    ["Fallback pages", share == null ? "–" : `${(share * 100).toFixed(share < 0.01 ? 2 : 1)} %`, ""],
    ["Events waiting", number(of("lag_messages")), ""],
    ["Sessions", number(of("sessions")), ""],
    ["Products", number(of("index_items")), ""],
    ["Model", of("model")?.version ?? "–", of("model")?.name ?? ""],
  ];
  $("figures").replaceChildren(...rows.map(([name, value, unit]) => make("div", {}, make("dt", {}, name), make("dd", {}, value, make("small", {}, unit)))));
  $("source").textContent = now.source === "prometheus" ? `from Prometheus, ${new Date(now.time).toLocaleTimeString()}` : "Prometheus does not answer: only the gateway's own counters";
  const [p50, p99] = [of("stage_p50_seconds") ?? {}, of("stage_p99_seconds") ?? {}];
  const stages = Object.keys(p99);
  const most = Math.max(...stages.map((stage) => p99[stage] ?? 0), 1e-9);
  const body = stages.map((stage) => {
    const bar = make("span", { class: "bar" });
    bar.style.width = `${((p99[stage] ?? 0) / most) * 100}%`;
    return make("tr", {}, make("td", {}, stage.replaceAll("_", " ")), make("td", { class: "n" }, milliseconds(p50[stage])), make("td", { class: "n" }, milliseconds(p99[stage])), make("td", {}, bar));
  });
  const head = make("tr", {}, ...["stage", "p50", "p99", "p99, drawn"].map((name) => make("th", { scope: "col" }, name)));
  $("stages").replaceChildren(stages.length ? make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)) : make("p", { class: "note" }, "No pages in the last minute."));
}

function charts({ series }) {
  const lines = (name, label = null) => (series[name] ?? []).map((line) => ({ label: label ?? line.label.replaceAll("_", " "), points: line.points }));
  $("charts").replaceChildren(
    chart("Event to page", [...lines("event_to_page_p50_seconds", "p50"), ...lines("event_to_page_p99_seconds", "p99")], { format: milliseconds, goal: 0.25 }),
    chart("Stages, p99", lines("stage_p99_seconds"), { format: milliseconds }),
    chart("Events and pages per second", [...lines("events_per_second", "events"), ...lines("pages_per_second", "pages")], { format: number }),
    chart("Events waiting", lines("lag_messages", "records"), { format: number }),
  );
}

function health(now) {
  const pill = (well) => make("span", { class: `pill ${well ? "good" : "bad"}` }, well ? "healthy" : "not healthy");
  const rows = now.processes.map((each) => make("tr", {}, make("td", {}, each.name), make("td", {}, pill(each.healthy)), make("td", { class: "n" }, each.pid ?? "–"), make("td", { class: "n" }, String(each.restarts))));
  const head = make("tr", {}, ...["process", "canary", "pid", "restarts"].map((name) => make("th", { scope: "col" }, name)));
  $("health").replaceChildren(
    rows.length ? make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)) : "",
    ...(now.notes ?? []).map((note) => make("p", { class: "note" }, note)),
    make("p", { class: "note" }, now.gateway.broker_reachable ? "The gateway reaches the broker." : "The gateway does not reach the broker."),
  );
}

async function again(letter, button) {
  button.disabled = true;
  const answer = await fetch(`/v1/ops/dead-letters/${letter.partition}/${letter.offset}/replay`, { method: "POST" }).catch(() => null);
  button.textContent = answer?.ok ? "sent" : "failed";
}

function letters(found) {
  const rows = found.dead_letters.slice(0, 20).map((letter) => {
    const button = make("button", { class: "plain", type: "button", "aria-label": `Send ${letter.partition}:${letter.offset} again` }, "Send again");
    button.addEventListener("click", () => again(letter, button));
    const error = letter.error ?? letter;
    return make("tr", {}, make("td", {}, `${letter.partition}:${letter.offset}`), make("td", {}, make("code", {}, error.code ?? "")), make("td", {}, make("code", {}, error.path ?? "")), make("td", {}, error.message ?? ""), make("td", {}, button));
  });
  const head = make("tr", {}, ...["place", "code", "field", "what was wrong", ""].map((name) => make("th", { scope: "col" }, name)));
  $("letters").replaceChildren(rows.length ? make("div", { class: "scroll", tabindex: "0" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))) : make("p", { class: "note" }, "None: every event kept the contract."));
}

async function every(seconds, path, draw) {
  for (;;) {
    try {
      draw(await get(path));
    } catch (error) {
      $("source").textContent = `The gateway does not answer: ${error.message}`;
    }
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

every(2, "/v1/ops/summary", figures);
every(5, "/v1/ops/series?minutes=15", charts);
every(2, "/v1/ops/health", health);
every(5, "/v1/ops/dead-letters", letters);
