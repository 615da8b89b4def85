// The work list: the objects of a field, the doubtful ones first, or places in all fields.

import type { Actions } from "../actions";
import { type App, isListed, type Queue } from "../app";
import { button, h, middle, short } from "../dom";
import type { Entry, Thing } from "../types";

/** Rows that are shown; the list goes on from the selected one. */
const SHOWN = 60;

export class Work {
  readonly element = h("section", { class: "work", "aria-label": "work list" });
  private readonly head = h("div");
  private readonly list = h("ol", { class: "objects" });
  private readonly choice: HTMLSelectElement;
  /** Test fields are listed by doubt only after somebody asked for it. */
  private readonly allowed = new Set<number>();
  private readonly app: App;

  constructor(private readonly actions: Actions) {
    this.app = actions.app;
    const { app } = this;
    this.choice = h("select", {
      "aria-label": "work list (Q)",
      title: "work list (Q)",
      onchange: () => {
        const list = this.choice.selectedIndex - 1;
        void actions.take(list < 0 ? null : list).catch((e: unknown) => actions.failed(e));
        this.choice.blur();
      },
    });
    this.element.append(this.choice, this.head, this.list);
    app.on(["objects", "selection", "edits", "field", "queue"], () => this.draw());
    this.draw();
  }

  /** Whether the list may be shown by doubt here. */
  get open(): boolean {
    return this.app.part !== "test" || this.app.other === null || this.allowed.has(this.app.field);
  }

  private choices(): void {
    const { queue, list } = this.app;
    const titles = list.lists.map(({ title }) => title);
    if (queue?.list === null) titles.push(queue.title);
    this.choice.hidden = titles.length === 0;
    // Made anew only where it differs: it may be open.
    if (this.choice.options.length !== titles.length + 1 || this.choice.options[titles.length]?.text !== titles.at(-1)) {
      const all = h("optgroup", { label: "all fields" }, ...titles.map((title) => h("option", {}, title)));
      this.choice.replaceChildren(h("option", {}, "this field"), all);
    }
    this.choice.selectedIndex = !queue ? 0 : queue.list === null ? titles.length : queue.list + 1;
  }

  private draw(): void {
    const { app } = this;
    this.choices();
    const { decided, queue } = app;
    this.head.replaceChildren(
      ...(queue ? this.ofAll(queue) : this.ofField()),
      decided.unusable !== null
        ? h("p", { class: "warn" }, `not to be used: ${decided.unusable || "no reason given"}`)
        : "",
      ...decided.comments.slice(-3).map((c) => {
        const of = c.label === null ? "" : `object ${c.label}: `;
        return h("p", { class: "comment", title: `${c.who}, ${c.when}` }, `${of}${c.text}`);
      }),
    );
    if (queue) this.entries(queue);
    else if (this.open) this.rows();
    else this.warn();
  }

  private ofField(): Node[] {
    const { app } = this;
    const layer = app.list.layers[app.active];
    const done = app.decided.accepted.length;
    const count = `${app.objects.size} objects${done > 0 ? `, ${done} accepted` : ""}`;
    const some = app.objects.size > 0;
    const why = app.other !== null && some ? "those that agree least first" : "the smallest first";
    return [
      h("h2", {}, layer ? layer.name : "no labels"),
      h("p", { class: "dim" }, count, some ? `; ${why}` : ""),
      ...this.compared(),
    ];
  }

  /** Which layer the listed objects are compared with. */
  private compared(): Node[] {
    const { app } = this;
    const others = app.list.layers
      .map((layer, i) => ({ layer, i }))
      .filter(({ layer, i }) => i !== app.active && isListed(layer) && app.shown.layers[i]);
    if (others.length === 0) return [];
    const select = h("select", {
      "aria-label": "compared with",
      onchange: () => {
        const chosen = others[select.selectedIndex - 1];
        this.actions.compare(chosen ? chosen.i : null);
      },
    });
    select.append(h("option", {}, "nothing"), ...others.map(({ layer }) => h("option", {}, layer.name)));
    select.selectedIndex = others.findIndex(({ i }) => i === app.other) + 1;
    return [h("label", { class: "row dim" }, "compared with", select)];
  }

  private ofAll(queue: Queue): Node[] {
    const done = queue.entries.filter((entry) => entry.done).length;
    const more = queue.more > 0 ? `, the first of ${queue.entries.length + queue.more}` : "";
    const found: Node[] = [
      h("p", { class: "dim" }, `${queue.entries.length} entries${more}; ${done} judged`),
    ];
    if (queue.tests > 0) {
      const fields = queue.tests === 1 ? "1 test field is" : `${queue.tests} test fields are`;
      const text =
        `${fields} left out. Correcting them where the model disagrees or is not sure brings the ` +
        "truth nearer to the model, and its scores mean less.";
      const show = button("List them all the same", "", () => {
        void this.actions.take(queue.list, true).catch((e: unknown) => this.actions.failed(e));
      });
      found.push(h("p", { class: "warn" }, text), show);
    }
    if (queue.withTests) found.push(h("p", { class: "warn" }, "Test fields are among them."));
    return found;
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

  private show(rows: HTMLElement[]): void {
    this.list.replaceChildren(...rows);
    this.list.querySelector(".here")?.scrollIntoView({ block: "nearest" });
  }

  private entries(queue: Queue): void {
    const first = Math.max(0, Math.min(queue.at - 8, queue.entries.length - SHOWN));
    const shown = queue.entries.slice(first, first + SHOWN);
    if (shown.length === 0) return this.show([h("li", { class: "dim" }, "nothing is on this list")]);
    this.show(shown.map((entry, i) => this.entry(entry, first + i, queue)));
  }

  private entry(entry: Entry, i: number, queue: Queue): HTMLElement {
    const classes = ["object", "entry"];
    if (i === queue.at) classes.push("here");
    if (entry.done) classes.push("done");
    const action = (): void => {
      void this.actions.entry(i).catch((e: unknown) => this.actions.failed(e));
    };
    return h(
      "li",
      { class: classes.join(" "), onclick: action, title: `${this.app.list.fields[entry.field]?.name ?? ""} ${entry.what}` },
      h("span", {}, entry.what || (queue.title.startsWith("least sure") ? "sure" : "")),
      h("span", { class: "number" }, Number.isFinite(entry.value) ? entry.value.toPrecision(2) : ""),
      h("span", { class: "marks" }, entry.done ? "✓" : ""),
      h("span", { class: "of" }, middle(this.app.list.fields[entry.field]?.name ?? "", 33)),
    );
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
    this.show(rows);
  }

  private row(label: number, thing: Thing | undefined, accepted: boolean): HTMLElement {
    const { app } = this;
    const mitotic = app.decided.mitotic[String(label)];
    const um = app.shown.pixel_um;
    const area = !thing ? "gone" : um === null ? `${short(thing.area)} px` : `${short(thing.area * um * um)} µm²`;
    const iou = thing?.iou === undefined ? "" : `IoU ${thing.iou.toFixed(2)}`;
    const sure = thing?.sure === undefined ? "" : `${Math.round(100 * thing.sure)} %`;
    const marks = `${accepted ? "✓" : ""}${mitotic ? " M" : ""}${thing ? "" : " ✗"}`;
    const classes = ["object"];
    if (label === app.selection) classes.push("here");
    if (!thing || accepted) classes.push("done");
    return h(
      "li",
      { class: classes.join(" "), onclick: () => this.actions.select(label) },
      h("span", { class: "label" }, String(label)),
      h("span", {}, area),
      h("span", {}, iou),
      h("span", { title: "how sure the model is" }, sure),
      h("span", { class: "marks" }, marks),
    );
  }
}
