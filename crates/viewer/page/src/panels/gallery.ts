// Small pictures of the fields in the order of the table; only those that are seen are fetched.

import * as api from "../api";
import type { App } from "../app";
import { h } from "../dom";

/** Width and height of a picture with its name. */
const [WIDTH, HEIGHT] = [88, 114];
/** Side of the picture alone. */
const SIDE = 80;
/** Pictures that are fetched at once; tiles of the field that is shown go before. */
const AT_ONCE = 3;
/** Pictures that are kept. */
const KEPT = 600;

export class Gallery {
  readonly element = h("div", { class: "gallery", tabindex: "0", role: "grid", "aria-label": "small pictures of the fields" });
  private readonly space = h("div", { class: "space" });
  private readonly pictures = new Map<number, HTMLCanvasElement>();
  private wanted: number[] = [];
  private readonly asked = new Set<number>();
  private readonly failed = new Set<number>();

  constructor(
    private readonly app: App,
    private readonly go: (field: number) => void,
    private readonly colour: (field: number) => string | null,
  ) {
    this.element.append(this.space);
    this.element.addEventListener("scroll", () => this.draw());
    this.element.addEventListener("keydown", (e) => this.key(e));
    new ResizeObserver(() => this.draw()).observe(this.element);
    app.on(["order"], () => this.draw());
    app.on(["field"], () => this.reveal());
  }

  show(shown: boolean): void {
    if (shown) this.reveal();
    else this.wanted = [];
  }

  private get across(): number {
    return Math.max(1, Math.floor(this.element.clientWidth / WIDTH));
  }

  private reveal(): void {
    if (this.element.hidden) return;
    const at = this.app.order.indexOf(this.app.field);
    const top = Math.floor(at / this.across) * HEIGHT;
    const { scrollTop, clientHeight } = this.element;
    if (at >= 0 && (top < scrollTop || top + HEIGHT > scrollTop + clientHeight)) {
      this.element.scrollTop = top - clientHeight / 2 + HEIGHT / 2;
    }
    this.draw();
  }

  private draw(): void {
    if (this.element.hidden) return;
    const { order } = this.app;
    const { across } = this;
    this.space.style.height = `${Math.ceil(order.length / across) * HEIGHT}px`;
    const first = Math.max(0, Math.floor(this.element.scrollTop / HEIGHT)) * across;
    const rows = Math.ceil(this.element.clientHeight / HEIGHT) + 1;
    const seen = order.slice(first, first + rows * across);
    this.wanted = seen.filter((field) => !this.pictures.has(field) && !this.failed.has(field));
    this.space.replaceChildren(...seen.map((field, i) => this.cell(field, first + i)));
    this.fetch();
  }

  private cell(field: number, at: number): HTMLElement {
    const shown = this.app.list.fields[field];
    const here = field === this.app.field;
    const picture = this.pictures.get(field) ?? h("span", { class: "blank" });
    const bar = h("span", { class: "bar" });
    const colour = this.colour(field);
    if (colour) bar.style.background = colour;
    const cell = h(
      "div",
      {
        class: here ? "picture here" : "picture",
        role: "gridcell",
        title: shown?.name ?? "",
        onclick: () => this.go(field),
      },
      picture,
      bar,
      h("span", { class: "label" }, shown?.name ?? ""),
    );
    cell.style.top = `${Math.floor(at / this.across) * HEIGHT}px`;
    cell.style.left = `${(at % this.across) * WIDTH}px`;
    return cell;
  }

  private fetch(): void {
    for (const field of this.wanted) {
      if (this.asked.size >= AT_ONCE) return;
      if (!this.asked.has(field)) void this.one(field);
    }
  }

  private async one(field: number): Promise<void> {
    this.asked.add(field);
    try {
      const shown = this.app.list.fields[field];
      const lit = this.app.list.channels.findIndex((c) => c.role === "brightfield");
      const channel = Math.max(0, lit);
      const depth = shown?.depth[channel] ?? 0;
      if (depth === 0) throw new api.Refusal(404, "no image");
      const z = Math.floor((depth - 1) / 2);
      this.keep(field, await picture(field, channel, z));
    } catch {
      // A field without an image has no picture; what is wrong with one is said where it is shown.
      this.failed.add(field);
    } finally {
      this.asked.delete(field);
      this.draw();
    }
  }

  private keep(field: number, canvas: HTMLCanvasElement): void {
    this.pictures.set(field, canvas);
    const oldest = this.pictures.keys().next();
    if (this.pictures.size > KEPT && !oldest.done) this.pictures.delete(oldest.value);
  }

  private key(e: KeyboardEvent): void {
    const { order, field } = this.app;
    const steps: Record<string, number> = {
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: this.across,
      ArrowUp: -this.across,
    };
    const step = steps[e.key];
    if (step === undefined) return;
    const next = order[order.indexOf(field) + step];
    if (next !== undefined) this.go(next);
    e.preventDefault();
    e.stopPropagation();
  }
}

async function picture(field: number, channel: number, z: number): Promise<HTMLCanvasElement> {
  const { data, height, width } = await api.thumb(field, channel, z, new AbortController().signal);
  const grey = new Uint8Array(data);
  const colours = new Uint8ClampedArray(4 * grey.length);
  grey.forEach((value, i) => colours.set([value, value, value, 255], 4 * i));
  const canvas = h("canvas", { width: String(width), height: String(height) });
  canvas.getContext("2d")?.putImageData(new ImageData(colours, width, height), 0, 0);
  const scale = SIDE / Math.max(width, height);
  canvas.style.width = `${Math.round(width * scale)}px`;
  canvas.style.height = `${Math.round(height * scale)}px`;
  return canvas;
}
