// Training again with corrections: what is trained, how it goes, and what it changed.

import type { Actions } from "../actions";
import * as api from "../api";
import type { App } from "../app";
import { button, h, short } from "../dom";
import type { Again, ChangedSet, Changes, Choices, Entry, Run } from "../types";
import { curves } from "./curves";

/** How often it is asked what runs, milliseconds: with the panel open, with it closed, with nothing running. */
const [SOON, LATER, SELDOM] = [1000, 3000, 15000];
/** Kept over a reload of the page: the panel was open. */
const OPENED = "stainfree-again";

const PHASES: Record<Run["phase"], string> = {
  preparing: "takes the corrections into the truth",
  training: "trains",
  comparing: "compares both models",
  done: "finished",
  stopped: "stopped",
  failed: "failed",
};

const SCORES: Record<string, string> = {
  "objects f1_50": "F1 of nuclei",
  "objects precision_50": "right of the predicted",
  "objects recall_50": "found of the true",
  "objects count_error": "count error",
  "objects aji_plus": "AJI+",
};

export class AgainPanel {
  readonly element = h("dialog", { class: "again", "aria-label": "train again with corrections" });
  readonly button: HTMLButtonElement;
  private readonly app: App;
  private readonly body = h("div", { class: "panel" });
  private choices: Choices | null = null;
  private changes: Changes | null = null;
  private timer = 0;
  /** What was trained when it was asked last. */
  private was: string | null = null;

  constructor(app: App, private readonly actions: Actions) {
    this.app = app;
    this.button = button("train again", "train again with corrections (R)", () => void this.open(), {
      class: "quiet",
    });
    const close = button("Close", "close (Esc)", () => this.element.close());
    this.element.append(this.body, h("div", { class: "row end" }, close));
    app.on(["again"], () => this.draw());
  }

  /** Begins to ask what is trained; shows the panel where it was open before a reload. */
  begin(): void {
    if (!this.app.list.trains) return;
    if (sessionStorage.getItem(OPENED)) {
      sessionStorage.removeItem(OPENED);
      void this.open();
    } else void this.look();
  }

  async open(): Promise<void> {
    if (!this.app.list.trains) return this.app.say("only a study can be trained again", true);
    if (this.element.open) return this.element.close();
    this.element.showModal();
    try {
      [this.choices] = await Promise.all([api.choices(), this.look()]);
      await this.lookAtChanges();
    } catch (error) {
      this.actions.failed(error);
    }
    this.draw();
  }

  private get current(): Run | null {
    return this.app.again?.runs[0] ?? null;
  }

  private get running(): boolean {
    return this.current?.running === true || !!this.app.again?.starting;
  }

  /** Asks what is trained, and again after a while. */
  private async look(): Promise<void> {
    clearTimeout(this.timer);
    try {
      await this.take(await api.again());
    } catch {
      // A server that is gone is said by whatever is done next.
    }
    const pause = this.running ? (this.element.open ? SOON : LATER) : SELDOM;
    this.timer = window.setTimeout(() => void this.look(), pause);
  }

  private async take(said: Again): Promise<void> {
    this.app.again = said;
    const run = said.runs[0];
    const now = run?.running ? run.name : null;
    if (this.was !== null && now === null && run?.name === this.was) {
      const how = run.phase === "done" ? "is trained; R shows what changed" : PHASES[run.phase];
      this.app.say(`${run.name} ${how}`, run.phase === "failed");
      await this.lookAtChanges();
      this.choices = await api.choices();
    }
    this.was = now;
    this.app.tell("again");
  }

  private async lookAtChanges(): Promise<void> {
    this.changes = this.current?.phase === "done" ? await api.changes(0).catch(() => null) : null;
  }

  private async ask(asked: api.Asked): Promise<void> {
    try {
      await this.take(await api.train(asked));
    } catch (error) {
      this.actions.failed(error);
    }
    await this.look();
    this.draw();
  }

  private draw(): void {
    const run = this.current;
    const share = run?.phase === "training" && run.total > 0 ? ` ${Math.floor((100 * run.done) / run.total)} %` : "";
    this.button.textContent = this.running ? `training …${share}` : "train again";
    this.button.classList.toggle("on", this.running);
    if (!this.element.open) return;
    // What is being typed stays.
    if (this.body.contains(document.activeElement) && document.activeElement?.matches("input, select")) return;
    const trouble = this.app.again?.trouble;
    // Drawn anew every second: the button that has the focus is another element then.
    const focused = this.body.contains(document.activeElement) ? (document.activeElement as HTMLElement).title : "";
    this.body.replaceChildren(
      h("h1", {}, "Train again with corrections"),
      this.running ? "" : this.start(),
      trouble ? h("p", { class: "bad", role: "alert" }, `it did not start: ${trouble}`) : "",
      run ? this.standing(run) : "",
      this.changes ? this.changed(this.changes) : "",
    );
    if (focused) this.body.querySelector<HTMLElement>(`[title="${CSS.escape(focused)}"]`)?.focus();
  }

  private start(): HTMLElement {
    const { choices } = this;
    if (!choices) return h("p", { class: "dim" }, "…");
    const { train, validation, test } = choices.corrected;
    const left = test > 0 ? `; ${test} corrected test fields stay out of it` : "";
    const what = h("p", {}, `Corrected: ${train} training and ${validation} validation fields${left}.`);
    if (!choices.can) {
      return h("div", {}, what, h("p", { class: "dim" }, "This viewer only shows, so nothing can be trained here."));
    }
    if (choices.models.length === 0) {
      return h("div", {}, what, h("p", {}, "The study has no model yet: “stainfree train” makes the first."));
    }
    const model = h("select", { "aria-label": "model to start from" });
    model.append(...choices.models.map(({ name }) => h("option", {}, name)));
    model.selectedIndex = choices.from;
    const steps = h("input", { type: "number", min: "1", max: "10000000", "aria-label": "steps" });
    const next = h("b", {});
    const change = (): void => {
      const chosen = choices.models[model.selectedIndex];
      steps.placeholder = chosen?.steps ? String(chosen.steps) : "as before";
      next.textContent = chosen?.next ?? "";
    };
    model.addEventListener("change", change);
    change();
    const go = button("Start", "start the training", () => {
      choices.from = model.selectedIndex;
      const number = Math.floor(Number(steps.value));
      (document.activeElement as HTMLElement | null)?.blur();
      this.changes = null;
      void this.ask({ do: "start", from: model.selectedIndex, steps: number > 0 ? number : null });
    });
    return h(
      "div",
      { class: "start" },
      what,
      h(
        "div",
        { class: "row" },
        h("label", { class: "row" }, "from", model),
        h("label", { class: "row" }, "steps", steps),
        h("span", {}, "→ ", next),
        go,
      ),
      h(
        "p",
        { class: "dim" },
        "A new model from this one's weights; the present one stays. It goes on when this page or the " +
          "viewer is closed. Test fields are neither learned from nor looked at.",
      ),
    );
  }

  private standing(run: Run): HTMLElement {
    const killed = !run.running && !["done", "stopped", "failed"].includes(run.phase);
    const phase = killed ? "ended early" : PHASES[run.phase];
    const parts: Node[] = [h("h2", {}, `${run.name}, from ${run.from}: ${phase}`)];
    if (run.running) {
      const bar = h("progress", { "aria-label": phase });
      if (run.total > 0) [bar.max, bar.value] = [run.total, run.done];
      const count = run.total > 0 ? `${short(run.done)} of ${short(run.total)}` : "";
      const stop = button("Stop", "stop after this step; it can go on later", () => void this.ask({ do: "stop" }));
      parts.push(h("div", { class: "row" }, bar, h("span", { class: "dim" }, count), stop));
      parts.push(h("p", { class: "dim", role: "status" }, run.message));
    } else if (run.phase !== "done") {
      if (run.phase === "failed") parts.push(h("p", { class: "bad", role: "alert" }, run.message));
      const on = button("Go on", "go on where it stood", () => {
        void this.ask({ do: "go_on", run: 0, begun: run.begun });
      });
      if (this.choices?.can) parts.push(h("div", { class: "row" }, on));
    }
    const drawn = this.app.again?.curves;
    if (drawn && (drawn.losses.length > 1 || drawn.validations.length > 0)) parts.push(curves(drawn));
    const last = run.notes.slice(-3).map((note) => h("p", { class: "dim" }, note));
    if (run.phase !== "done") parts.push(...last);
    return h("section", {}, ...parts);
  }

  private changed(changes: Changes): HTMLElement {
    const { before, after } = changes;
    const sets: [string, ChangedSet | null][] = [
      ["Corrected fields", changes.corrected],
      ["Validation fields that nobody corrected", changes.validation],
    ];
    const shown = this.app.list.layers.some((layer) => layer.name === `${after}: nuclei`);
    const show = button("Show both models on the images", "loads the page again", () => {
      sessionStorage.setItem(OPENED, "yes");
      void api.reload().then(() => location.reload(), (e: unknown) => this.actions.failed(e));
    });
    return h(
      "section",
      {},
      h("h2", {}, `What changed from ${before} to ${after}`),
      advice(changes),
      ...sets.map(([title, set]) => (set ? this.set(title, set, changes, shown) : h("p", { class: "dim" }, `${title}: none`))),
      ...changes.notes.map((note) => h("p", { class: "dim" }, note)),
      shown ? "" : show,
    );
  }

  private set(title: string, set: ChangedSet, { before, after }: Changes, shown: boolean): HTMLElement {
    const rows = set.scores.map((score) => {
      const interval = score.ci95;
      const sure = interval !== null && (interval[0] > 0 || interval[1] < 0);
      const change = h("td", { class: sure ? "sure" : "" }, signed(score.difference));
      const span = interval ? `${signed(interval[0])} to ${signed(interval[1])}` : "";
      return h("tr", {}, h("th", {}, SCORES[score.name] ?? score.name), cell(score.first), cell(score.second), change, h("td", { class: "dim" }, span));
    });
    const count = (name: string, [one, two]: [number, number]): HTMLElement =>
      h(
        "tr",
        {},
        h("th", {}, name),
        h("td", {}, String(one)),
        h("td", {}, String(two)),
        h("td", {}, two > one ? `+${two - one}` : String(two - one).replace("-", "−")),
        h("td", {}),
      );
    const go = button(
      `Look at the ${set.flipped.length} that flipped (${set.lost} lost, ${set.gained} gained)`,
      "one after the other, with N",
      () => this.flipped(title, set),
    );
    go.disabled = set.flipped.length === 0 || !shown;
    const head = ["", before, after, "change", `95 % (${set.unit})`].map((text) => h("th", { scope: "col" }, text));
    return h(
      "div",
      { class: "set" },
      h("h3", {}, title),
      h(
        "p",
        {},
        `${set.fields.length} ${set.fields.length === 1 ? "field" : "fields"}: ${set.better} better, ${set.worse} worse, ${set.same} the same. ` +
          `${set.truth} true nuclei: ${set.gained} found anew, ${set.lost} no more.`,
      ),
      h(
        "table",
        {},
        h("tr", {}, ...head),
        ...rows,
        count("predicted nuclei", set.predicted),
        count("of them wrong", set.wrong),
      ),
      this.fields(set),
      go,
    );
  }

  /** The fields that changed most, either way. */
  private fields(set: ChangedSet): HTMLElement {
    type Field = ChangedSet["fields"][number];
    const most = 4;
    const change = (one: Field): number => (one.f1[1] ?? 0) - (one.f1[0] ?? 0);
    const changed = set.fields.filter((one) => change(one) !== 0);
    const worst = changed.slice(0, most);
    const best = changed.slice(Math.max(most, changed.length - most));
    const entry = (one: Field): HTMLElement => {
      const at = this.app.list.fields.findIndex((field) => field.name === one.field);
      const text = `${one.field}: F1 ${number(one.f1[0])} → ${number(one.f1[1])}`;
      const kind = change(one) < 0 ? "worse" : "better";
      return button(`${text} (${kind})`, "show this field", () => {
        this.element.close();
        if (at >= 0) void this.actions.go(at);
      }, { class: "small" });
    };
    return h("div", { class: "fields" }, ...[...worst, ...best].map(entry));
  }

  private flipped(title: string, set: ChangedSet): void {
    const places = new Map(this.app.list.fields.map((field, i) => [field.name, i]));
    const entries = set.flipped.flatMap((one): Entry[] => {
      const field = places.get(one.field);
      const words = (fate: string): string => fate.replace("_", " ");
      const what = `${words(one.before)} → ${words(one.after)}`;
      return field === undefined ? [] : [{ field, at: [one.y_px, one.x_px], value: NaN, what, done: false }];
    });
    // Both models as outlines over the truth.
    const names = [this.changes?.before, this.changes?.after].map((name) => `${name}: nuclei`);
    this.app.list.layers.forEach((layer, i) => {
      const view = this.app.layers[i];
      if (view && names.includes(layer.name)) view.on = true;
    });
    this.app.tell("layers");
    this.element.close();
    void this.actions
      .takeEntries(`flipped: ${title.toLowerCase()}`, entries)
      .catch((e: unknown) => this.actions.failed(e));
  }
}

/** What the untouched validation fields say, in a sentence: the one that a person decides by. */
function advice({ before, after, validation }: Changes): HTMLElement | string {
  const score = validation?.scores.find(({ name }) => name === "objects f1_50");
  if (!score?.ci95 || score.difference === null) return "";
  const [low, high] = score.ci95;
  const span = `F1 of nuclei ${signed(score.difference)}, 95 % ${signed(low)} to ${signed(high)}`;
  const on = "on the validation fields that nobody corrected";
  if (high < 0) return h("p", { class: "warn" }, `${after} is worse ${on} (${span}): stay with ${before}, or train longer.`);
  if (low > 0) return h("p", {}, `${after} is better ${on} (${span}).`);
  return h("p", {}, `Whether ${after} is better or worse cannot be told ${on} (${span}).`);
}

const number = (value: number | null): string =>
  value === null ? "–" : value.toFixed(3).replace("-", "−");
const signed = (value: number | null): string =>
  value === null ? "–" : `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(3)}`;
const cell = (value: number | null): HTMLElement => h("td", {}, number(value));
