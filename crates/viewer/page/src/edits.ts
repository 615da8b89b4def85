// Corrections: sent one after the other, shown when the server has them on its disk.

import * as api from "./api";
import { type App, NOTHING_DECIDED } from "./app";
import type { Renderer } from "./gl/renderer";
import type { Applied, Operation, Thing } from "./types";

/** How often others' edits are asked for, milliseconds. */
const LOOK_EVERY = 2000;

export class Edits {
  private queue: Promise<void> = Promise.resolve();
  private loaded = -1;
  /** By field: the version that is known, also of fields that were left with an edit under way. */
  private readonly versions = new Map<number, number>();

  constructor(
    private readonly app: App,
    private readonly renderer: Renderer,
  ) {
    window.setInterval(() => void this.look(), LOOK_EVERY);
  }

  /**
   * The objects of the active layer and what is decided on them; `again` keeps what is shown until
   * they are there.
   */
  async load(again = false): Promise<void> {
    const { app } = this;
    const { field, active } = app;
    const there = (layer: number | null): boolean => layer !== null && !!app.shown.layers[layer];
    if (!again) {
      app.objects = new Map();
      app.decided = NOTHING_DECIDED;
      app.version = 0;
      this.loaded = -1;
    }
    if (there(active)) {
      const other = there(app.other) ? app.other : null;
      const corrected = app.list.layers[active]?.kind === "corrections";
      const said = await api.objects(field, active, other);
      const since = corrected ? await api.since(field, said.version) : null;
      if (field !== app.field || active !== app.active) return;
      // An edit since that the list does not know; others' edits before it are in the list alone.
      if (said.version < app.version) return this.load(true);
      app.objects = new Map(said.objects.map((thing) => [thing.label, thing]));
      app.version = said.version;
      this.versions.set(field, said.version);
      if (since && since.version === said.version) app.decided = since.state;
    }
    this.loaded = field;
    if (app.selection !== null && !app.objects.has(app.selection)) app.selection = null;
    if (again) this.keepOrder();
    else this.order();
    app.tell("objects", "edits", "selection");
  }

  /** Sends an edit; what follows waits for it. */
  send(operation: Operation): Promise<boolean> {
    const { app } = this;
    if (!app.corrects) {
      app.say(this.why, true);
      return Promise.resolve(false);
    }
    const field = app.field;
    const id = crypto.randomUUID();
    app.saving += 1;
    app.tell("edits");
    const done = this.queue.then(async () => {
      try {
        this.take(field, await this.once(field, id, operation), operation);
        return true;
      } catch (error) {
        if (error instanceof api.Refusal) {
          if (error.since) this.take(field, error.since, null);
          app.say(error.message, true);
        } else throw error;
        return false;
      } finally {
        app.saving -= 1;
        app.tell("edits");
      }
    });
    this.queue = done.then(() => undefined);
    return done;
  }

  /** Why nothing can be corrected here and now. */
  private get why(): string {
    const { what, read_only, layers } = this.app.list;
    if (what === "result") {
      return "a result is only shown; a study made of a copy of its nuclei can be corrected";
    }
    if (what === "images") return "images are only shown; nuclei of a study can be corrected";
    if (read_only) return "this viewer was started with --read-only";
    const corrected = layers.findIndex((layer) => layer.kind === "corrections");
    return this.app.shown.layers[corrected] ? "choose the layer of corrected nuclei first" : "this field has no nuclei yet; “stainfree prepare” makes them";
  }

  /** Asks again where no answer came: the server knows an edit that it has made by its id. */
  private async once(field: number, id: string, operation: Operation): Promise<Applied> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await api.edit(field, id, this.versions.get(field) ?? 0, operation);
      } catch (error) {
        const silent = error instanceof api.Refusal && error.status === 0;
        if (!silent || attempt === 2) throw error;
        await new Promise((wait) => setTimeout(wait, 500));
      }
    }
  }

  /** Shows what the server says; `own` is the edit that it answers. */
  private take(field: number, said: Applied, own: Operation | null): void {
    const { app } = this;
    this.versions.set(field, said.version);
    if (field !== app.field) return;
    const foreign = own === null || said.version > app.version + 1;
    const before = app.version;
    app.version = said.version;
    app.decided = said.state;
    for (const box of said.boxes) {
      const { tile, border } = app.list;
      app.list.layers.forEach((layer, i) => {
        const shows = i === app.active || layer.of?.includes(app.active) === true;
        if (shows) this.renderer.tiles.spoil(`labels/${field}/${i}`, box, tile, border);
      });
    }
    for (const label of said.removed) app.objects.delete(label);
    for (const thing of said.objects) this.put(thing);
    if (app.selection !== null && !app.objects.has(app.selection)) app.selection = null;
    if (said.version !== before && foreign && said.boxes.length > 0) void this.load(true);
    this.renderer.ask();
    app.tell("objects", "edits", "selection");
  }

  private put(thing: Thing): void {
    const old = this.app.objects.get(thing.label);
    // How well a changed object agrees is not known until the list is loaded again.
    if (old?.iou !== undefined) thing = { iou: old.iou, other: old.other ?? 0, ...thing };
    this.app.objects.set(thing.label, thing);
    if (!old && !this.app.work.includes(thing.label)) this.app.work.push(thing.label);
  }

  private async look(): Promise<void> {
    const { app } = this;
    if (app.saving > 0 || document.hidden || this.loaded !== app.field) return;
    if (app.list.layers[app.active]?.kind !== "corrections" || !app.shown.layers[app.active]) return;
    const field = app.field;
    try {
      const said = await api.since(field, app.version);
      const news = said.version > app.version && app.saving === 0 && field === app.field;
      if (!news) return;
      this.take(field, said, null);
      app.say("somebody else corrected this field; it is shown as it is now");
    } catch (error) {
      if (error instanceof api.Refusal) app.say(error.message, true);
    }
  }

  /** New objects come at the end of the work list, so that nobody loses the place in it. */
  private keepOrder(): void {
    const { app } = this;
    const known = new Set(app.work);
    app.work.push(...[...app.objects.keys()].filter((label) => !known.has(label)));
  }

  /** Sorts the work list: the least agreed on first, or the smallest where nothing is compared. */
  order(): void {
    const { app } = this;
    const things = [...app.objects.values()];
    const doubt = (thing: Thing): number => thing.iou ?? thing.area;
    things.sort((a, b) => doubt(a) - doubt(b) || a.label - b.label);
    app.work = things.map((thing) => thing.label);
  }
}
