// Curves of a training: loss, and F1 of the validation fields, drawn as SVG.

import { h, short } from "../dom";
import type { Again } from "../types";

const [WIDTH, HEIGHT] = [330, 130];
const MARGIN = { left: 40, right: 8, top: 8, bottom: 20 };
const SPACE = "http://www.w3.org/2000/svg";

interface Line {
  name: string;
  /** A class of the style sheet, which knows light and dark. */
  kind: string;
  points: [number, number][];
}

function svg(tag: string, attributes: Record<string, string | number>, text = ""): SVGElement {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text) element.textContent = text;
  return element;
}

function span(values: number[]): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return high > low ? [low, high] : [low - 0.5, high + 0.5];
}

function chart(title: string, lines: Line[], last: number): HTMLElement {
  const points = lines.flatMap((line) => line.points);
  const [low, high] = span(points.map((point) => point[1]));
  const across = (step: number): number =>
    MARGIN.left + (step / Math.max(last, 1)) * (WIDTH - MARGIN.left - MARGIN.right);
  const down = (value: number): number =>
    HEIGHT - MARGIN.bottom - ((value - low) / (high - low)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const end = lines.map((line) => `${line.name} ${short(line.points[line.points.length - 1]?.[1] ?? NaN)}`);
  const drawn = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": `${title}: ${end.join(", ")} after ${last} steps`,
  });
  for (const value of [low, high]) {
    drawn.append(
      svg("line", { class: "grid", x1: MARGIN.left, x2: WIDTH - MARGIN.right, y1: down(value), y2: down(value) }),
      svg("text", { x: MARGIN.left - 4, y: down(value) + 4, "text-anchor": "end" }, short(value)),
    );
  }
  drawn.append(
    svg("text", { x: MARGIN.left, y: HEIGHT - 4 }, "0"),
    svg("text", { x: WIDTH - MARGIN.right, y: HEIGHT - 4, "text-anchor": "end" }, `step ${short(last)}`),
  );
  for (const { kind, points: of } of lines) {
    const path = of.map(([x, y]) => `${across(x).toFixed(1)},${down(y).toFixed(1)}`).join(" ");
    drawn.append(svg("polyline", { class: kind, points: path }));
    // A line of one point would not be seen.
    const at = of[of.length - 1];
    if (at) drawn.append(svg("circle", { class: kind, cx: across(at[0]), cy: down(at[1]), r: 2.5 }));
  }
  const names = lines.map((line) => h("span", { class: `name ${line.kind}` }, line.name));
  const figure = h("figure", {}, h("figcaption", {}, title, " ", ...names));
  figure.append(drawn);
  return figure;
}

/** Both charts of a training. */
export function curves({ losses, validations }: NonNullable<Again["curves"]>): HTMLElement {
  const steps = [...losses.map((point) => point[0]), ...validations.map((v) => v.step)];
  const last = Math.max(1, ...steps);
  const charts: HTMLElement[] = [];
  if (losses.length > 1) {
    charts.push(chart("Training loss", [{ name: "", kind: "first", points: losses }], last));
  }
  const of = (value: (v: (typeof validations)[number]) => number | null): [number, number][] =>
    validations.flatMap((v) => {
      const y = value(v);
      return y === null ? [] : [[v.step, y] as [number, number]];
    });
  const lines: Line[] = [
    { name: "pixels", kind: "first", points: of((v) => v.mean_f1) },
    { name: "whole nuclei", kind: "second", points: of((v) => v.object_f1) },
  ].filter((line) => line.points.length > 0);
  if (lines.length > 0) charts.push(chart("Validation F1:", lines, last));
  return h("div", { class: "curves" }, ...charts);
}
