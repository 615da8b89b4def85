// What buttons and keys do.

import * as api from "./api";
import type { App, LayerView, Style, Tool } from "./app";
import { h } from "./dom";
import type { Edits } from "./edits";
import type { Renderer } from "./gl/renderer";
import type { Entry, Operation, Runs } from "./types";
import type { View } from "./view";

export class Actions {
  /** The list over all fields that was asked for last. */
  private wanted: number | null = null;

  constructor(
    readonly app: App,
    readonly view: View,
    readonly edits: Edits,
    readonly renderer: Renderer,
  ) {}

  /** Shows a field. */
  async go(field: number): Promise<void> {
    const { app } = this;
    const before = app.shown;
    app.field = field;
    app.selection = null;
    app.picked = null;
    app.mark = null;
    app.z = Math.min(app.z, app.depth - 1);
    const same = before.size.join() === app.shown.size.join() && before.place === app.shown.place;
    if (!same) this.view.fit();
    sessionStorage.setItem("stainfree-field", app.shown.name);
    app.tell("field");
    await Promise.all([this.contrast(), this.edits.load().catch((e: unknown) => this.failed(e))]);
  }

  failed(error: unknown): void {
    this.app.say(error instanceof Error ? error.message : String(error), true);
  }

  /** Contrast of the channels that are shown and follow the field. */
  async contrast(): Promise<void> {
    const { app } = this;
    const field = app.field;
    await Promise.all(
      app.channels.map(async (view, channel) => {
        const depth = app.shown.depth[channel] ?? 0;
        if (depth === 0) return;
        const z = Math.min(app.z, depth - 1);
        try {
          const range = await api.range(field, channel, z);
          if (field !== app.field) return;
          const first = view.range === null;
          view.range = range;
          if (view.auto || first) [view.low, view.high] = [range.low, Math.max(range.high, range.low + 1e-6)];
        } catch (error) {
          if (error instanceof api.Refusal && error.status !== 404) this.failed(error);
        }
      }),
    );
    app.tell("layers");
  }

  /** Contrast of one channel, or of all, by themselves again. */
  auto(channel?: number): void {
    this.app.channels.forEach((view, i) => {
      if (channel === undefined || channel === i) view.auto = true;
    });
    void this.contrast();
  }

  nextField(step: number): void {
    const { order, field } = this.app;
    const at = order.indexOf(field);
    const next = order[at < 0 ? 0 : at + step];
    if (next !== undefined) void this.go(next);
    else this.app.say("that was the last field of the table");
  }

  nextTime(step: number): void {
    const { times, field } = this.app;
    const next = times[times.indexOf(field) + step];
    if (next !== undefined) void this.go(next);
  }

  plane(step: number): void {
    const { app } = this;
    const z = Math.min(Math.max(app.z + step, 0), app.depth - 1);
    if (z === app.z) return;
    app.z = z;
    app.tell("layers");
  }

  select(label: number | null): void {
    this.app.selection = label;
    this.app.mark = null;
    if (label !== null) this.view.show(label);
    this.app.tell("selection");
  }

  /** The next object that is there and not accepted yet, or the next entry of all fields. */
  next(step: number): void {
    if (!this.app.queue) return this.nextObject(step);
    void this.nextEntry(step).catch((e: unknown) => this.failed(e));
  }

  private nextObject(step: number): void {
    const { app } = this;
    const accepted = new Set(app.decided.accepted);
    const open = (label: number): boolean => app.objects.has(label) && !accepted.has(label);
    const at = app.selection === null ? -1 : app.work.indexOf(app.selection);
    let i = at < 0 && step < 0 ? app.work.length : at;
    do i += step;
    while (i >= 0 && i < app.work.length && !open(app.work[i] ?? 0));
    const label = app.work[i];
    if (label !== undefined && i >= 0) return this.select(label);
    const first = app.work.find(open);
    if (first !== undefined && step > 0 && first !== app.selection) this.select(first);
    else app.say("the work list of this field is done; PageDown shows the next field");
  }

  private async nextEntry(step: number): Promise<void> {
    const { queue } = this.app;
    if (!queue) return;
    let i = queue.at;
    do i += step;
    while (queue.entries[i]?.done === true);
    if (queue.entries[i]) await this.entry(i);
    else this.app.say(step > 0 ? "that was the last of this list" : "that was the first of this list");
  }

  /** Shows an entry of the list over all fields. */
  async entry(i: number): Promise<void> {
    const { app } = this;
    const entry = app.queue?.entries[i];
    if (!app.queue || !entry) return;
    app.queue.at = i;
    app.tell("queue");
    if (entry.field !== app.field) await this.go(entry.field);
    // Somebody went on while it was loaded.
    if (app.entry !== entry) return;
    if (!entry.at) {
      this.view.fit();
      return;
    }
    const [y, x] = entry.at;
    const said = await api.pixel(entry.field, app.z, Math.round(y), Math.round(x));
    if (app.entry !== entry) return;
    const label = said.labels[app.active] ?? 0;
    if (app.objects.has(label)) this.select(label);
    else {
      this.select(null);
      this.view.showPlace(y, x);
      if (app.corrects) app.say("the truth has nothing here: A takes the model's nucleus over, X leaves it so");
    }
  }

  /** Takes a list over all fields, or with none the one of the field. */
  async take(list: number | null, withTests = false): Promise<void> {
    const { app } = this;
    this.wanted = list;
    if (list === null) app.queue = null;
    else {
      const found = await api.work(list, withTests);
      // Another one was chosen meanwhile.
      if (this.wanted !== list) return;
      const { title, layer } = app.list.lists[list] ?? { title: "", layer: null };
      app.queue = { title, list, withTests, at: -1, ...found };
      if (layer !== null) this.beside(layer);
    }
    app.tell("queue");
    if (app.queue) await this.nextEntry(1);
  }

  /** Shows what a list is about beside what is corrected. */
  private beside(layer: number): void {
    const { app } = this;
    const view = app.layers[layer];
    if (view) view.on = true;
    if (layer !== app.active && layer !== app.other) this.compare(layer);
    else app.tell("layers");
  }

  /** Goes through places that the page knows. */
  async takeEntries(title: string, entries: Entry[]): Promise<void> {
    this.wanted = null;
    this.app.queue = { title, list: null, entries, more: 0, tests: 0, withTests: false, at: -1 };
    this.app.tell("queue");
    await this.nextEntry(1);
  }

  async nextList(step: number): Promise<void> {
    const choices = this.app.list.lists.length + 1;
    const now = this.wanted === null ? 0 : this.wanted + 1;
    const next = (now + step + choices) % choices;
    await this.take(next === 0 ? null : next - 1).catch((e: unknown) => this.failed(e));
  }

  /** Accepts or rejects the selected object, or what an entry of a list is about, and goes on. */
  async judge(how: "accept" | "reject"): Promise<void> {
    const label = this.app.selection;
    const { entry } = this.app;
    if (label !== null && entry && !entry.at) {
      // A field as a whole: its objects are judged one after the other, the field stays.
      void this.edits.send({ do: how, label });
      return this.nextObject(1);
    }
    if (label !== null) return this.settle(entry, { do: how, label });
    if (!entry) return this.app.say("no object is selected; N takes the next", true);
    if (!entry.at) return this.judgeField(entry, how);
    if (how === "reject") return this.settle(entry, { do: "nothing", at: entry.at });
    const runs = await this.drawn(entry).catch((e: unknown) => this.failed(e));
    if (!runs) return;
    if (runs.length > 0) return this.settle(entry, { do: "outline", label: null, runs });
    this.app.say("no model has an object here; P or W draws one, X leaves the truth as it is", true);
  }

  /** A field as a whole: to be used, or not. */
  private async judgeField(entry: Entry, how: "accept" | "reject"): Promise<void> {
    const is = how === "reject";
    const reason = is ? await this.ask("Why is this field not to be used?", "out of focus") : "";
    if (reason !== null) await this.settle(entry, { do: "unusable", is, reason });
  }

  /** Sends what is decided on an entry, and goes on at once: the answer comes behind it. */
  private async settle(entry: Entry | null, operation: Operation): Promise<void> {
    const sent = this.edits.send(operation);
    if (entry && this.app.corrects) entry.done = true;
    this.next(1);
    if (!(await sent) && entry) {
      entry.done = false;
      this.app.tell("queue");
    }
  }

  /** What a model draws at an entry's place: the model that the list is of, else any. */
  private async drawn(entry: Entry): Promise<Runs> {
    const { app } = this;
    const [y, x] = (entry.at ?? [0, 0]).map(Math.round) as [number, number];
    const said = await api.pixel(entry.field, app.z, y, x);
    const of = app.list.lists[app.queue?.list ?? -1]?.layer ?? app.other;
    const layers = app.list.layers.map((_, i) => i);
    if (of !== null) layers.sort((a, b) => Number(b === of) - Number(a === of));
    const has = (i: number): boolean => {
      const layer = app.list.layers[i];
      return i !== app.active && layer?.kind === "objects" && !layer.name.endsWith("cells") && !!said.labels[i];
    };
    const layer = layers.find(has);
    return layer === undefined ? [] : (await api.shape(entry.field, layer, y, x)).runs;
  }

  async mitotic(): Promise<void> {
    const label = this.app.selection;
    if (label === null) return this.app.say("no object is selected", true);
    const now = this.app.decided.mitotic[String(label)];
    const is = now === undefined ? true : now ? false : null;
    await this.edits.send({ do: "mitotic", label, is });
  }

  async unusable(): Promise<void> {
    if (this.app.decided.unusable !== null) {
      await this.edits.send({ do: "unusable", is: false, reason: "" });
      return;
    }
    const reason = await this.ask("Why is this field not to be used?", "out of focus");
    if (reason !== null) await this.edits.send({ do: "unusable", is: true, reason });
  }

  async comment(): Promise<void> {
    const label = this.app.selection;
    const on = label === null ? "the field" : `object ${label}`;
    const text = await this.ask(`Comment on ${on}`, "");
    if (text) await this.edits.send({ do: "comment", label, text });
  }

  private ask(question: string, hint: string): Promise<string | null> {
    return new Promise((answer) => {
      const input = h("input", { type: "text", maxlength: "2000", placeholder: hint });
      const form = h(
        "form",
        { method: "dialog" },
        h("label", {}, question, input),
        h("div", { class: "row" }, h("button", { value: "yes" }, "OK"), h("button", { value: "" }, "Cancel")),
      );
      const dialog = h("dialog", {}, form);
      dialog.addEventListener("close", () => {
        dialog.remove();
        answer(dialog.returnValue === "yes" ? input.value.trim() : null);
      });
      document.body.append(dialog);
      dialog.showModal();
    });
  }

  tool(tool: Tool): void {
    this.app.picked = null;
    this.app.tool = this.app.tool === tool ? "look" : tool;
    this.app.tell("tool", "selection");
  }

  brush(factor: number): void {
    const { app } = this;
    app.radius = Math.min(Math.max(app.radius * factor, 0.6), 200);
    app.tell("tool");
  }

  private get layer(): LayerView | undefined {
    return this.app.layers[this.app.active];
  }

  style(): void {
    const styles: Style[] = ["lines", "fill", "both"];
    if (!this.layer) return;
    this.layer.style = styles[(styles.indexOf(this.layer.style) + 1) % 3] ?? "lines";
    this.app.tell("layers");
  }

  colouring(): void {
    const ways: LayerView["colouring"][] = ["number", "one", "area"];
    if (this.app.other !== null) ways.push("iou");
    if (this.app.isSure) ways.push("sure");
    if (!this.layer) return;
    const next = (ways.indexOf(this.layer.colouring) + 1) % ways.length;
    this.layer.colouring = ways[next] ?? "number";
    this.app.tell("layers", "objects");
  }

  /** All labels away, or there again. */
  hide(): void {
    this.app.hidden = !this.app.hidden;
    this.app.tell("layers");
  }

  blink(): void {
    this.app.blink = !this.app.blink;
    this.app.tell("layers");
  }

  toggle(kind: "channels" | "layers", i: number): void {
    const view = this.app[kind][i];
    if (!view) return;
    view.on = !view.on;
    this.app.tell("layers");
  }

  /** Lists the objects of another layer. */
  activate(layer: number): void {
    const { app } = this;
    app.active = layer;
    const view = app.layers[layer];
    if (view) view.on = true;
    const corrected = app.list.layers.findIndex((l) => l.kind === "corrections");
    if (app.other === layer || app.other === null) {
      app.other = corrected >= 0 && corrected !== layer ? corrected : null;
    }
    app.selection = null;
    app.tell("layers");
    void this.edits.load().catch((e: unknown) => this.failed(e));
  }

  /** Compares the listed objects with those of another layer. */
  compare(other: number | null): void {
    this.app.other = other;
    this.app.tell("layers");
    void this.edits.load().catch((e: unknown) => this.failed(e));
  }

  theme(): void {
    const root = document.documentElement;
    const dark = getComputedStyle(root).colorScheme.includes("dark");
    root.dataset["theme"] = dark ? "light" : "dark";
    localStorage.setItem("stainfree-theme", root.dataset["theme"]);
  }

  /** Plate and table over the whole width, or beside the image. */
  wide(): void {
    document.body.classList.toggle("wide");
  }
}
