// The work list: the objects of a field, the doubtful ones first, and what is decided on them.

import type { App } from "../app";
import { button, h, short } from "../dom";
import type { Thing } from "../types";

/** Rows that are shown; the list goes on from the selected one. */
const SHOWN = 60;

export class Work {
  readonly element = h("section", { class: "work", "aria-label": "work list" });
  private readonly head = h("div");
  private readonly list = h("ol", { class: "objects" });
  /** Test fields are listed by doubt only after somebody asked for it. */
  private readonly allowed = new Set<number>();

  constructor(
    private readonly app: App,
    private readonly select: (label: number) => void,
  ) {
    this.element.append(this.head, this.list);
    app.on(["objects", "selection", "edits", "field"], () => this.draw());
  }

  /** Whether the list may be shown by doubt here. */
  get open(): boolean {
    return this.app.part !== "test" || this.app.other === null || this.allowed.has(this.app.field);
  }

  private draw(): void {
    const { app } = this;
    const layer = app.list.layers[app.active];
    const { decided } = app;
    const done = decided.accepted.length;
    const title = layer ? layer.name : "no labels";
    const count = `${app.objects.size} objects${done > 0 ? `, ${done} accepted` : ""}`;
    const other = app.other === null ? null : app.list.layers[app.other];
    const why = other && app.objects.size > 0 ? `those that agree least with “${other.name}” first` : "the smallest first";
    this.head.replaceChildren(
      h("h2", {}, title),
      h("p", { class: "dim" }, count, app.objects.size > 0 ? `; ${why}` : ""),
      decided.unusable !== null
        ? h("p", { class: "warn" }, `not to be used: ${decided.unusable || "no reason given"}`)
        : "",
      ...decided.comments.slice(-3).map((c) => {
        const of = c.label === null ? "" : `object ${c.label}: `;
        return h("p", { class: "comment", title: `${c.who}, ${c.when}` }, `${of}${c.text}`);
      }),
    );
    if (this.open) this.rows();
    else this.warn();
  }

  private warn(): void {
    const text =
      "This is a test field. Correcting it where the model disagrees brings the truth nearer to " +
      "the model, and its scores mean less.";
    const show = button("List its objects by doubt all the same", "", () => {
      this.allowed.add(this.app.field);
      this.draw();
    });
    this.list.replaceChildren(h("li", { class: "warn" }, text, show));
  }

  private rows(): void {
    const { app } = this;
    const at = app.selection === null ? 0 : Math.max(0, app.work.indexOf(app.selection));
    const first = Math.max(0, Math.min(at - 8, app.work.length - SHOWN));
    const accepted = new Set(app.decided.accepted);
    const rows = app.work.slice(first, first + SHOWN).map((label) => {
      const thing = app.objects.get(label);
      return this.row(label, thing, accepted.has(label));
    });
    this.list.replaceChildren(...rows);
    this.list.querySelector(".here")?.scrollIntoView({ block: "nearest" });
  }

  private row(label: number, thing: Thing | undefined, accepted: boolean): HTMLElement {
    const { app } = this;
    const mitotic = app.decided.mitotic[String(label)];
    const um = app.shown.pixel_um;
    const area = !thing ? "gone" : um === null ? `${short(thing.area)} px` : `${short(thing.area * um * um)} µm²`;
    const iou = thing?.iou === undefined ? "" : `IoU ${thing.iou.toFixed(2)}`;
    const marks = `${accepted ? "✓" : ""}${mitotic ? " M" : ""}${thing ? "" : " ✗"}`;
    const classes = ["object"];
    if (label === app.selection) classes.push("here");
    if (!thing || accepted) classes.push("done");
    return h(
      "li",
      { class: classes.join(" "), onclick: () => this.select(label) },
      h("span", { class: "label" }, String(label)),
      h("span", {}, area),
      h("span", {}, iou),
      h("span", { class: "marks" }, marks),
    );
  }
}
