// The canvas: camera, pointer and tools, and what is drawn above the tiles.

import * as api from "./api";
import type { App, Tool } from "./app";
import { h, later, short } from "./dom";
import type { Edits } from "./edits";
import type { Renderer } from "./gl/renderer";
import type { Point } from "./types";

const FARTHEST = 0.004;
const NEAREST = 64;

export class View {
  private readonly over: CanvasRenderingContext2D;
  /** The line that is being drawn. */
  private line: Point[] = [];
  private readonly touches = new Map<number, { x: number; y: number }>();
  private moved = false;
  /** More than one finger was down since none was. */
  private pinched = false;
  /** The place of the keyboard's pointer, where it is used. */
  private cross: { y: number; x: number } | null = null;
  /** The scale bar; an element of its own, so that a moving view draws nothing above the tiles. */
  private readonly bar = h("div", { class: "scalebar" });

  constructor(
    private readonly app: App,
    private readonly stage: HTMLElement,
    private readonly above: HTMLCanvasElement,
    private readonly renderer: Renderer,
    private readonly edits: Edits,
  ) {
    const over = above.getContext("2d");
    if (!over) throw new Error("this browser draws no lines");
    this.over = over;
    stage.append(this.bar);
    new ResizeObserver(() => this.resize()).observe(stage);
    stage.addEventListener("pointerdown", (e) => this.down(e));
    stage.addEventListener("pointermove", (e) => this.move(e));
    stage.addEventListener("pointerup", (e) => this.up(e));
    stage.addEventListener("pointercancel", (e) => this.up(e));
    stage.addEventListener("pointerleave", () => this.leave());
    stage.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    stage.addEventListener("contextmenu", (e) => e.preventDefault());
    app.on(["camera", "layers", "selection", "objects"], () => renderer.ask());
    app.on(["field", "layers"], () => renderer.pace.forget());
    app.on(["tool", "selection", "camera"], () => this.drawAbove());
    app.on(["field", "camera"], () => this.drawScaleBar());
    app.on(["tool"], () => {
      this.line = [];
      this.stage.dataset["tool"] = app.tool;
    });
    stage.dataset["tool"] = app.tool;
  }

  /** Width and height of what is shown, pixels of the page. */
  private size = { width: 1, height: 1 };
  private fitted = false;

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.stage;
    this.size = { width, height };
    this.above.width = Math.round(width * devicePixelRatio);
    this.above.height = Math.round(height * devicePixelRatio);
    this.renderer.resize(width, height);
    if (!this.fitted && width > 0) {
      this.fitted = true;
      this.fit();
    }
    this.drawAbove();
    this.drawScaleBar();
  }

  /** Whether a line is being drawn, or what was drawn is not sent yet. */
  get busy(): boolean {
    return this.line.length > 0;
  }

  /** Shows the whole field. */
  fit(): void {
    const [height, width] = this.app.shown.size;
    const scale = 0.96 * Math.min(this.size.width / width, this.size.height / height);
    this.app.camera = { y: height / 2, x: width / 2, scale: clamp(scale, FARTHEST, NEAREST) };
    this.app.tell("camera");
  }

  pan(dy: number, dx: number): void {
    this.renderer.pace.moved();
    const { camera } = this.app;
    const [height, width] = this.app.shown.size;
    camera.y = clamp(camera.y + dy / camera.scale, 0, height);
    camera.x = clamp(camera.x + dx / camera.scale, 0, width);
    this.app.tell("camera");
  }

  /** Zooms so that the place under `at` stays; in the middle without one. */
  zoom(factor: number, at?: { y: number; x: number }): void {
    this.renderer.pace.moved();
    const { camera } = this.app;
    const scale = clamp(camera.scale * factor, FARTHEST, NEAREST);
    if (at) {
      camera.y = at.y + ((camera.y - at.y) * camera.scale) / scale;
      camera.x = at.x + ((camera.x - at.x) * camera.scale) / scale;
    }
    camera.scale = scale;
    this.app.tell("camera");
  }

  /** Moves to an object, and near enough to judge it. */
  show(label: number): void {
    const thing = this.app.objects.get(label);
    if (!thing) return;
    const [top, left, bottom, right] = thing.box;
    const side = Math.max(bottom - top, right - left, 40);
    const room = Math.min(this.size.width, this.size.height);
    const scale = clamp(room / (side * 4), this.app.camera.scale * 0.999, NEAREST);
    const near = this.app.camera.scale >= room / (side * 9);
    const { camera } = this.app;
    camera.scale = near ? camera.scale : scale;
    camera.y = thing.y + 0.5;
    camera.x = thing.x + 0.5;
    this.cross = null;
    this.app.tell("camera");
  }

  /** Moves to a place where no object is, and marks it. */
  showPlace(y: number, x: number): void {
    const { camera } = this.app;
    const room = Math.min(this.size.width, this.size.height);
    camera.scale = Math.max(camera.scale, Math.min(room / 360, NEAREST));
    camera.y = y + 0.5;
    camera.x = x + 0.5;
    this.cross = null;
    this.app.mark = { y: y + 0.5, x: x + 0.5 };
    this.app.tell("camera");
  }

  /** The place in the image under a place of the canvas. */
  private at(e: { offsetX: number; offsetY: number }): { y: number; x: number } {
    const { camera } = this.app;
    return {
      y: camera.y + (e.offsetY - this.size.height / 2) / camera.scale,
      x: camera.x + (e.offsetX - this.size.width / 2) / camera.scale,
    };
  }

  private down(e: PointerEvent): void {
    if (e.target !== this.stage) return;
    this.stage.setPointerCapture(e.pointerId);
    if (this.touches.size === 0) this.pinched = false;
    this.touches.set(e.pointerId, { x: e.offsetX, y: e.offsetY });
    this.moved = false;
    this.cross = null;
    if (this.touches.size > 1) [this.line, this.pinched] = [[], true];
    else if (this.draws(e)) this.begin(this.at(e));
  }

  private draws(e: PointerEvent): boolean {
    const tools: Tool[] = ["split", "paint", "erase"];
    return e.button === 0 && !e.altKey && tools.includes(this.app.tool);
  }

  private begin(at: { y: number; x: number }): void {
    this.line = [toPoint(at)];
    this.drawAbove();
  }

  private move(e: PointerEvent): void {
    // Buttons that lie on the stage have places of their own.
    if (e.target !== this.stage) return;
    const at = this.at(e);
    const last = this.touches.get(e.pointerId);
    if (last && this.touches.size === 2) this.pinch(e, last);
    else if (last && this.line.length > 0) {
      // Every place between two events, so that fast strokes are round.
      const between = e.getCoalescedEvents?.() ?? [];
      for (const one of between.length > 0 ? between : [e]) this.line.push(toPoint(this.at(one)));
      this.drawAbove();
    } else if (last) {
      if (Math.hypot(e.offsetX - last.x, e.offsetY - last.y) > 2) this.moved = true;
      if (this.moved) this.pan(last.y - e.offsetY, last.x - e.offsetX);
    }
    if (last && (this.moved || this.touches.size === 2)) {
      this.touches.set(e.pointerId, { x: e.offsetX, y: e.offsetY });
    }
    this.app.pointer = at;
    this.read();
    if (this.brushes) this.drawAbove();
  }

  private pinch(e: PointerEvent, last: { x: number; y: number }): void {
    const other = [...this.touches].find(([id]) => id !== e.pointerId)?.[1];
    if (!other) return;
    this.moved = true;
    const before = Math.hypot(last.x - other.x, last.y - other.y);
    const now = Math.hypot(e.offsetX - other.x, e.offsetY - other.y);
    this.pan((last.y - e.offsetY) / 2, (last.x - e.offsetX) / 2);
    if (before > 0 && now > 0) this.zoom(now / before, this.at(e));
  }

  private up(e: PointerEvent): void {
    const was = this.touches.delete(e.pointerId);
    if (!was || e.type === "pointercancel") {
      this.line = [];
    } else if (this.line.length > 0) {
      void this.finish();
    } else if (!this.moved && !this.pinched && e.button === 0) {
      void this.click(this.at(e), e.shiftKey);
    }
    this.drawAbove();
  }

  private leave(): void {
    this.app.pointer = null;
    this.renderer.hovered = 0;
    this.app.tell("pointer");
    this.renderer.ask();
    this.drawAbove();
  }

  private wheel(e: WheelEvent): void {
    e.preventDefault();
    if (e.target !== this.stage) return;
    const lines = e.deltaMode === 1 ? 20 : 1;
    const step = clamp(e.deltaY * lines, -240, 240);
    this.zoom(Math.exp(-step / 300), this.at(e));
  }

  /** The object at a place, by the server, which has every pixel at full resolution. */
  private async label(at: { y: number; x: number }): Promise<number> {
    const { app } = this;
    const [y, x] = [Math.floor(at.y), Math.floor(at.x)];
    const [height, width] = app.shown.size;
    if (y < 0 || x < 0 || y >= height || x >= width) return 0;
    const found = await api.pixel(app.field, app.z, y, x);
    return found.labels[app.active] ?? 0;
  }

  private async click(at: { y: number; x: number }, more: boolean): Promise<void> {
    const { app } = this;
    const label = await this.label(at).catch(() => 0);
    if (app.tool === "outline") return this.outline(at, label);
    if (app.tool === "merge" || (more && app.selection !== null && app.corrects)) {
      if (label === 0) return;
      const first = app.tool === "merge" ? app.picked : app.selection;
      if (first === null || first === label) {
        app.picked = label;
        app.say(`object ${label}; now click the one that belongs to it`);
      } else {
        app.picked = null;
        await this.edits.send({ do: "merge", labels: [first, label] });
        app.selection = app.objects.has(first) ? first : null;
      }
    } else {
      app.selection = label === 0 ? null : label;
    }
    app.tell("selection");
  }

  /** Makes the object at a place, or a new one, what the edge around the place encloses. */
  private async outline(at: { y: number; x: number }, label: number): Promise<void> {
    const { app } = this;
    const [y, x] = [Math.floor(at.y), Math.floor(at.x)];
    const [height, width] = app.shown.size;
    const channel = this.edged();
    if (channel < 0 || y < 0 || x < 0 || y >= height || x >= width) return;
    const z = Math.min(app.z, (app.shown.depth[channel] ?? 1) - 1);
    try {
      const { runs } = await api.outline(app.field, channel, z, [y, x], this.reach());
      const known = app.objects.has(label) ? label : null;
      await this.edits.send({ do: "outline", label: known, runs });
    } catch (error) {
      if (error instanceof api.Refusal) app.say(error.message, true);
      else throw error;
    }
  }

  /** The channel whose edges count: a shown stain of nuclei, else the first that is shown. */
  private edged(): number {
    const { app } = this;
    const shown = (i: number): boolean => app.channels[i]?.on === true && (app.shown.depth[i] ?? 0) > 0;
    const nuclei = app.list.channels.findIndex((c, i) => c.role === "nucleus" && shown(i));
    return nuclei >= 0 ? nuclei : app.list.channels.findIndex((_, i) => shown(i));
  }

  /** How far an edge may lie from a click: twice the radius of the field's usual objects. */
  private reach(): number {
    const areas = [...this.app.objects.values()].map((thing) => thing.area).sort((a, b) => a - b);
    const usual = areas[Math.floor(areas.length / 2)] ?? 400;
    return Math.round(Math.min(Math.max(2 * Math.sqrt(usual / Math.PI), 8), 250));
  }

  /** Sends the line that was drawn. */
  private async finish(): Promise<void> {
    const { app } = this;
    const line = this.line;
    const { tool } = app;
    try {
      if (tool === "split") {
        if (line.length < 2) return;
        const label = await this.crossed(line);
        if (label === 0) app.say("the line crosses no object", true);
        else await this.edits.send({ do: "split", label, line });
      } else if (tool === "paint" || tool === "erase") {
        const first = line[0];
        if (!first) return;
        let label = app.selection;
        // A stroke that begins on an object is of that object; else of the selected, or a new one.
        const under = await this.label({ y: first[0] + 0.5, x: first[1] + 0.5 });
        if (under > 0 || tool === "erase") label = under > 0 ? under : null;
        const { radius } = app;
        await this.edits.send({ do: tool, label, radius, line });
      }
    } finally {
      this.line = [];
      this.drawAbove();
    }
  }

  /** The object that most of a line lies on. */
  private async crossed(line: Point[]): Promise<number> {
    const counts = new Map<number, number>();
    const parts = 12;
    const first = line[0] ?? [0, 0];
    const last = line[line.length - 1] ?? first;
    const places = Array.from({ length: parts + 1 }, (_, i) => {
      const of = line.length > parts ? line[Math.round((i * (line.length - 1)) / parts)] : null;
      const t = i / parts;
      const [y, x] = of ?? [
        first[0] + t * (last[0] - first[0]),
        first[1] + t * (last[1] - first[1]),
      ];
      return { y: y + 0.5, x: x + 0.5 };
    });
    for (const label of await Promise.all(places.map((at) => this.label(at)))) {
      if (label > 0) counts.set(label, (counts.get(label) ?? 0) + 1);
    }
    const best = [...counts].sort((a, b) => b[1] - a[1])[0];
    return best?.[0] ?? 0;
  }

  /** Arrow keys with a tool: the keyboard's pointer. */
  step(dy: number, dx: number): void {
    const { camera } = this.app;
    this.cross ??= { y: Math.floor(camera.y) + 0.5, x: Math.floor(camera.x) + 0.5 };
    this.cross.y += dy;
    this.cross.x += dx;
    if (this.line.length > 0 && this.app.tool !== "split") this.line.push(toPoint(this.cross));
    this.app.pointer = this.cross;
    this.read();
    this.drawAbove();
  }

  /** The space bar: what a press of the pointer does; a second one ends a line. */
  press(): void {
    const at = this.cross;
    if (!at) return this.step(0, 0);
    if (["merge", "look", "outline"].includes(this.app.tool)) void this.click(at, false);
    else if (this.line.length === 0) this.begin(at);
    else {
      this.line.push(toPoint(at));
      void this.finish();
    }
  }

  /** Forgets the line that is being drawn; whether there was one. */
  drop(): boolean {
    const was = this.line.length > 0 || this.cross !== null;
    this.line = [];
    this.cross = null;
    this.drawAbove();
    return was;
  }

  private readonly read = later(40, () => void this.readNow());

  private async readNow(): Promise<void> {
    const { app } = this;
    const at = app.pointer;
    const out = document.getElementById("readout");
    if (!out) return;
    const [height, width] = app.shown.size;
    if (!at || at.y < 0 || at.x < 0 || at.y >= height || at.x >= width) {
      out.textContent = "";
      return;
    }
    const [y, x] = [Math.floor(at.y), Math.floor(at.x)];
    const said = await api.pixel(app.field, app.z, y, x).catch(() => null);
    if (!said) return;
    const values = app.list.channels.map((channel, i) => {
      const value = said.values[i];
      return app.channels[i]?.on && value != null ? `${channel.name} ${short(value)}` : "";
    });
    const labels = app.list.layers.map((layer, i) => {
      const label = said.labels[i];
      return (app.layers[i]?.on || i === app.active) && label ? `${layer.name} ${label}` : "";
    });
    const texts = [`y ${y}, x ${x}`, ...values, ...labels].filter((text) => text !== "");
    out.textContent = texts.join("   ");
    const hovered = said.labels[app.active] ?? 0;
    if (hovered !== this.renderer.hovered) {
      this.renderer.hovered = hovered;
      this.renderer.ask();
    }
  }

  private toScreen([y, x]: Point): [number, number] {
    const { camera } = this.app;
    // Pixels of a line are counted from the centre of the first.
    const across = (x + 0.5 - camera.x) * camera.scale + this.size.width / 2;
    const down = (y + 0.5 - camera.y) * camera.scale + this.size.height / 2;
    return [across, down];
  }

  private get brushes(): boolean {
    return this.app.tool === "paint" || this.app.tool === "erase";
  }

  /** Draws what lies above the tiles; the canvas is there only while something does. */
  private drawAbove(): void {
    const { over, app, brushes: brush } = this;
    const something = this.line.length > 0 || (brush && app.pointer) || this.cross || app.mark;
    this.above.hidden = !something;
    if (!something) return;
    over.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    over.clearRect(0, 0, this.above.width, this.above.height);
    const width = brush ? 2 * app.radius * app.camera.scale : 2;
    if (this.line.length > 0) this.drawLine(brush, width);
    if (brush && app.pointer) {
      const [x, y] = this.toScreen(toPoint(app.pointer));
      over.beginPath();
      over.arc(x, y, Math.max(1, width / 2), 0, 2 * Math.PI);
      over.lineWidth = 3;
      over.strokeStyle = "#000a";
      over.stroke();
      over.lineWidth = 1.5;
      over.strokeStyle = "#fff";
      over.stroke();
    }
    if (this.cross) this.drawCross(this.cross);
    if (app.mark) this.drawMark(app.mark);
  }

  private drawLine(brush: boolean, width: number): void {
    const { over } = this;
    over.lineCap = "round";
    over.lineJoin = "round";
    over.beginPath();
    this.line.forEach((point, i) => {
      const [x, y] = this.toScreen(point);
      if (i === 0) over.moveTo(x, y);
      over.lineTo(x, y);
    });
    if (this.cross && this.app.tool === "split") {
      over.lineTo(...this.toScreen(toPoint(this.cross)));
    }
    over.lineWidth = brush ? width : 4;
    over.strokeStyle = brush ? (this.app.tool === "paint" ? "#f0e44288" : "#d55e0088") : "#000c";
    over.stroke();
    if (brush) return;
    over.lineWidth = 2;
    over.strokeStyle = "#fff";
    over.stroke();
  }

  private drawCross(at: { y: number; x: number }): void {
    const { over } = this;
    const [x, y] = this.toScreen(toPoint(at));
    for (const [width, colour] of [
      [4, "#000c"],
      [1.5, "#fff"],
    ] as const) {
      over.lineWidth = width;
      over.strokeStyle = colour;
      over.beginPath();
      for (const [dx, dy] of [
        [1, 0],
        [-1, 0],
        [0, 1],
        [0, -1],
      ] as const) {
        over.moveTo(x + 4 * dx, y + 4 * dy);
        over.lineTo(x + 14 * dx, y + 14 * dy);
      }
      over.stroke();
    }
  }

  /** A broken ring around a place where no object is. */
  private drawMark(at: { y: number; x: number }): void {
    const { over } = this;
    const [x, y] = this.toScreen(toPoint(at));
    for (const [width, colour] of [
      [5, "#000c"],
      [2, "#fff"],
    ] as const) {
      over.lineWidth = width;
      over.strokeStyle = colour;
      for (let part = 0; part < 4; part++) {
        over.beginPath();
        over.arc(x, y, 26, (part + 0.15) * (Math.PI / 2), (part + 0.85) * (Math.PI / 2));
        over.stroke();
      }
    }
  }

  /** A bar of a round length, about a sixth of the view; in pixels where no size is known. */
  private drawScaleBar(): void {
    const um = this.app.shown.pixel_um;
    const per = this.app.camera.scale / (um ?? 1);
    const goal = this.size.width / 6 / per;
    const ten = 10 ** Math.floor(Math.log10(goal));
    const length = ([5, 2, 1].find((n) => n * ten <= goal) ?? 1) * ten;
    const text = um === null ? `${short(length)} px` : `${short(length)} µm`;
    const width = `${Math.round(length * per)}px`;
    // Only what changed: a text or a width that is set makes the browser lay the page out.
    if (this.bar.textContent !== text) this.bar.textContent = text;
    if (this.bar.style.width !== width) this.bar.style.width = width;
  }
}

const clamp = (v: number, low: number, high: number): number => Math.min(Math.max(v, low), high);

/** To two decimals: finer is no person's hand, and the log is read by people. */
const toPoint = ({ y, x }: { y: number; x: number }): Point => [
  Math.round((y - 0.5) * 100) / 100,
  Math.round((x - 0.5) * 100) / 100,
];
