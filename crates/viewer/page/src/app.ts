// What the page shows, in one place; panels listen to what concerns them.

import { CHANNELS, OTHER_CHANNELS, type Rgb } from "./palette";
import type { Again, Decided, Entry, Field, Layer, List, Range, Thing } from "./types";

export type Topic =
  | "field"
  | "camera"
  | "layers"
  | "objects"
  | "selection"
  | "tool"
  | "edits"
  | "message"
  | "order"
  | "queue"
  | "again"
  | "pointer";

export type Tool = "look" | "split" | "merge" | "paint" | "erase" | "outline";

export interface ChannelView {
  on: boolean;
  opacity: number;
  colour: Rgb;
  /** Brightfield covers what lies below it; stains add light. */
  adds: boolean;
  range: Range | null;
  low: number;
  high: number;
  /** Whether contrast follows each field. */
  auto: boolean;
}

export type Style = "lines" | "fill" | "both";

export interface LayerView {
  on: boolean;
  opacity: number;
  style: Style;
  /** One colour for all objects, or by number, or by a value of the table of objects. */
  colouring: "number" | "one" | "iou" | "area" | "sure";
  colour: Rgb;
}

/** A list of places in all fields that is gone through. */
export interface Queue {
  title: string;
  /** Its number on the server; none for one that the page made. */
  list: number | null;
  entries: Entry[];
  more: number;
  tests: number;
  /** Whether those of test fields are among them. */
  withTests: boolean;
  /** The entry that is shown; -1 before the first. */
  at: number;
}

export const NOTHING_DECIDED: Decided = {
  undo: null,
  redo: null,
  accepted: [],
  mitotic: {},
  unusable: null,
  comments: [],
  edits: 0,
};

/** Whether a layer has objects that can be listed, and not classes of pixels. */
export const isListed = (layer: Layer): boolean =>
  layer.kind === "objects" || layer.kind === "corrections";

export class App {
  field = 0;
  z = 0;
  camera = { y: 0, x: 0, scale: 1 };
  readonly channels: ChannelView[];
  readonly layers: LayerView[];
  /** The layer whose objects are listed and corrected. */
  active: number;
  /** The layer that it is compared with. */
  other: number | null;
  objects = new Map<number, Thing>();
  /** The list over all fields, where one is gone through. */
  queue: Queue | null = null;
  /** A place that is pointed at where no object is. */
  mark: { y: number; x: number } | null = null;
  /** Trainings from the page. */
  again: Again | null = null;
  /** The work list: labels in the order in which they are gone through. */
  work: number[] = [];
  selection: number | null = null;
  /** The first object of a merge. */
  picked: number | null = null;
  tool: Tool = "look";
  radius = 6;
  version = 0;
  decided: Decided = NOTHING_DECIDED;
  saving = 0;
  blink = false;
  hidden = false;
  /** Fields in the order of the table, filtered. */
  order: number[];
  pointer: { y: number; x: number } | null = null;
  message: { text: string; bad: boolean } | null = null;
  private readonly listeners = new Map<Topic, (() => void)[]>();

  constructor(readonly list: List) {
    this.order = list.fields.map((_, i) => i);
    const lit = list.channels.some((c) => c.role === "brightfield");
    this.channels = list.channels.map((channel, i) => ({
      on: lit ? channel.role === "brightfield" : i === 0,
      opacity: 1,
      colour: CHANNELS[channel.role] ?? OTHER_CHANNELS[i % OTHER_CHANNELS.length] ?? [1, 1, 1],
      adds: channel.role !== "brightfield",
      range: null,
      low: 0,
      high: 1,
      auto: true,
    }));
    // The middle plane is the one in focus, or nearest to it.
    this.z = Math.floor((this.depth - 1) / 2);
    const first = list.layers.findIndex(isListed);
    const corrected = list.layers.findIndex((l) => l.kind === "corrections");
    this.active = corrected >= 0 ? corrected : Math.max(first, 0);
    const nuclei = (name: string): boolean => name.endsWith("nuclei");
    const usual = list.layers.findIndex((l) => l.name === `${list.model}: nuclei`);
    const some = list.layers.findIndex((l, i) => i !== this.active && isListed(l) && nuclei(l.name));
    const other = usual >= 0 ? usual : some;
    this.other = other >= 0 && corrected >= 0 ? other : null;
    const fixed: Rgb[] = [
      [0.94, 0.89, 0.26],
      [0.9, 0.25, 0.6],
      [0.34, 0.71, 0.91],
      [0.0, 0.75, 0.5],
    ];
    this.layers = list.layers.map((layer, i) => ({
      on: i === this.active,
      opacity: isListed(layer) ? 0.9 : 0.5,
      style: isListed(layer) ? "lines" : "fill",
      colouring: i === this.active ? "number" : "one",
      colour: fixed[i % fixed.length] ?? [1, 1, 0],
    }));
  }

  on(topics: Topic[], listener: () => void): void {
    for (const topic of topics) {
      const listeners = this.listeners.get(topic) ?? [];
      listeners.push(listener);
      this.listeners.set(topic, listeners);
    }
  }

  tell(...topics: Topic[]): void {
    const called = new Set<() => void>();
    for (const topic of topics) {
      for (const listener of this.listeners.get(topic) ?? []) called.add(listener);
    }
    for (const listener of called) listener();
  }

  say(text: string, bad = false): void {
    this.message = { text, bad };
    this.tell("message");
  }

  get shown(): Field {
    const field = this.list.fields[this.field];
    if (!field) throw new Error("there is no field");
    return field;
  }

  get part(): string {
    const column = this.list.columns.indexOf("split");
    return column < 0 ? "" : (this.shown.cells[column] ?? "");
  }

  /** Whether nuclei can be corrected here and now. */
  get corrects(): boolean {
    const kind = this.list.layers[this.active]?.kind;
    return kind === "corrections" && !this.list.read_only && !!this.shown.layers[this.active];
  }

  /** Whether it is known how sure a model is of the listed objects. */
  get isSure(): boolean {
    const known = (layer: number | null): boolean => layer !== null && this.shown.sure[layer] === true;
    return known(this.active) || known(this.other);
  }

  /** The entry of the work list over all fields that is shown. */
  get entry(): Entry | null {
    return this.queue?.entries[this.queue.at] ?? null;
  }

  /** The number of planes of the deepest channel. */
  get depth(): number {
    return Math.max(1, ...this.shown.depth);
  }

  /** Fields of the same place at other times, in order. */
  get times(): number[] {
    const { place, plate } = this.shown;
    if (place === null) return [this.field];
    const same = this.list.fields
      .map((field, i) => ({ field, i }))
      .filter(({ field }) => field.place === place && field.plate === plate);
    return same.map(({ i }) => i);
  }
}
