// Puts the page together.

import { Actions } from "./actions";
import * as api from "./api";
import { App } from "./app";
import { h } from "./dom";
import { Edits } from "./edits";
import { Renderer } from "./gl/renderer";
import { Help } from "./help";
import { listen } from "./keys";
import { AgainPanel } from "./panels/again";
import { below, onStage, tools, top } from "./panels/bar";
import { Gallery } from "./panels/gallery";
import { Layers } from "./panels/layers";
import { Plate } from "./panels/plate";
import { Table } from "./panels/table";
import { Work } from "./panels/work";
import { View } from "./view";

/** Milliseconds that labels are shown and hidden while they blink: below three flashes a second. */
const BLINK = 450;

/** Looks of objects by number: what is decided on them, and the value that colours them. */
function keepTables(app: App, renderer: Renderer): void {
  const fill = (): void => {
    const states = new Map<number, number>();
    const add = (label: number, bit: number): void => {
      states.set(label, (states.get(label) ?? 0) | bit);
    };
    for (const label of app.decided.accepted) add(label, 1);
    for (const [label, is] of Object.entries(app.decided.mitotic)) if (is) add(Number(label), 2);
    const values = new Map<number, number>();
    const by = app.layers[app.active]?.colouring;
    let [last, largest] = [0, 1];
    for (const thing of app.objects.values()) {
      last = Math.max(last, thing.label);
      largest = Math.max(largest, thing.area);
    }
    for (const thing of app.objects.values()) {
      if (by === "area") values.set(thing.label, thing.area / largest);
      else if (by === "iou" || by === "sure") values.set(thing.label, thing[by] ?? 0);
    }
    renderer.tables.fill(last, states, values);
    renderer.ask();
  };
  app.on(["objects", "edits"], fill);
}

async function start(): Promise<void> {
  const theme = localStorage.getItem("stainfree-theme");
  if (theme) document.documentElement.dataset["theme"] = theme;
  const app = new App(await api.list());
  const [canvas, above] = [h("canvas", { class: "pixels" }), h("canvas", { class: "above" })];
  const renderer = new Renderer(canvas, app);
  const edits = new Edits(app, renderer);
  const stage = h("div", { class: "stage" }, canvas, above);
  const view = new View(app, stage, above, renderer, edits);
  const actions = new Actions(app, view, edits, renderer);
  stage.append(onStage(actions));
  const help = new Help();
  const go = (field: number): void => void actions.go(field);
  const table = new Table(app, go);
  const plate = new Plate(app, go);
  const gallery = new Gallery(app, go, (field) => plate.colour(field));
  table.add(gallery.element, (shown) => gallery.show(shown));
  const again = new AgainPanel(app, actions);
  const layers = new Layers(app, (c) => actions.auto(c), go, (l) => actions.activate(l));
  const work = new Work(actions);
  document.body.append(
    top(actions, help, again),
    h("aside", { class: "left" }, plate.element, table.element),
    h("main", {}, tools(actions), stage, below(actions)),
    h("aside", { class: "right" }, layers.element, work.element),
    help.element,
    again.element,
  );
  listen(actions, { help, again, table });
  keepTables(app, renderer);
  window.setInterval(() => {
    if (!app.blink && !renderer.blinked) return;
    renderer.blinked = app.blink && !renderer.blinked;
    renderer.ask();
  }, BLINK);
  for (const note of app.list.notes.slice(0, 1)) app.say(note);
  // A reload shows the field that was shown.
  const last = sessionStorage.getItem("stainfree-field");
  await actions.go(Math.max(0, app.list.fields.findIndex((field) => field.name === last)));
  again.begin();
  // For scripts that drive the page and measure it.
  Object.assign(window, { stainfree: { app, actions, again, edits, renderer, view } });
}

start().catch((error: unknown) => {
  const text = error instanceof Error ? error.message : String(error);
  document.body.replaceChildren(h("p", { class: "fatal" }, text));
});
