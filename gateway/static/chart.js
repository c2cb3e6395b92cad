/** A line chart in SVG: times on x, values on y from 0, a dashed goal, the newest value of each line in its legend. */

import { make } from "./dom.js";

const NS = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [560, 190, 52, 20, 10];

function svg(tag, attributes, text) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text != null) element.textContent = text;
  return element;
}

/** A round number at or above `value`, so that the axis ends well. */
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value);
}

export function chart(title, lines, { format, goal = null }) {
  const points = lines.flatMap((line) => line.points);
  const times = points.map(([time]) => time);
  const values = points.map(([, value]) => value).filter((value) => value != null);
  const card = make("div", { class: "card" }, make("h2", {}, title));
  if (!values.length) {
    card.append(make("p", { class: "note" }, "No figures yet."));
    return card;
  }
  const [from, to, top] = [Math.min(...times), Math.max(...times), ceiling(Math.max(...values, (goal ?? 0) * 1.05))];
  const x = (time) => LEFT + ((time - from) / (to - from || 1)) * (WIDTH - LEFT - 8);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - BOTTOM - TOP);
  const newest = lines.map((line) => line.points.findLast(([, value]) => value != null)?.[1]);
  const words = lines.map((line, index) => `${line.label} ${format(newest[index] ?? 0)}`).join(", ");
  const picture = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${words}` });
  for (const share of [0, 0.5, 1]) {
    picture.append(svg("line", { class: "rule", x1: LEFT, x2: WIDTH - 8, y1: y(top * share), y2: y(top * share) }));
    picture.append(svg("text", { x: LEFT - 6, y: y(top * share) + 4, "text-anchor": "end" }, format(top * share)));
  }
  const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  picture.append(svg("text", { x: LEFT, y: HEIGHT - 4 }, clock(from)), svg("text", { x: WIDTH - 8, y: HEIGHT - 4, "text-anchor": "end" }, clock(to)));
  if (goal != null) picture.append(svg("line", { class: "goal", x1: LEFT, x2: WIDTH - 8, y1: y(goal), y2: y(goal) }));
  lines.forEach((line, index) => {
    let pen = "M";
    const path = line.points.map(([time, value]) => {
      if (value == null) { pen = "M"; return ""; }
      const step = `${pen}${x(time).toFixed(1)} ${y(Math.min(value, top)).toFixed(1)}`;
      pen = "L";
      return step;
    }).join("");
    picture.append(svg("path", { class: `l${index % 7}`, d: path }));
    if (line.points.length === 1 && newest[index] != null) picture.append(svg("circle", { class: `l${index % 7}`, cx: x(line.points[0][0]), cy: y(newest[index]), r: 2.5 }));
  });
  const keys = lines.map((line, index) => make("span", { class: `l${index % 7}` }, `${line.label} ${newest[index] == null ? "–" : format(newest[index])}`));
  card.append(picture, make("div", { class: "keys" }, ...keys));
  return card;
}
