// The bars above and below the image: tools, what is open, what was saved.

import type { Actions } from "../actions";
import type { Tool } from "../app";
import { button, h, middle } from "../dom";
import type { Help } from "../help";
import type { AgainPanel } from "./again";

const TOOLS: [Tool, string, string][] = [
  ["look", "Look", "look and select (V)"],
  ["split", "Split", "split: draw a line across an object (S)"],
  ["merge", "Merge", "merge: click two objects (M)"],
  ["paint", "Paint", "paint (P); [ and ] change the brush"],
  ["erase", "Erase", "erase (E)"],
  ["outline", "Outline", "outline: click into an object, it grows to its edge (W)"],
];

export function top(actions: Actions, help: Help, again: AgainPanel): HTMLElement {
  const { app } = actions;
  const name = h("strong", {});
  const part = h("span", { class: "part" });
  const saved = h("span", { class: "saved", role: "status" });
  const keep = (): void => {
    const { edits } = app.decided;
    const edited = edits > 0 ? `${edits} ${edits === 1 ? "edit" : "edits"}, saved` : "";
    saved.textContent = app.saving > 0 ? "saving …" : edited;
  };
  app.on(["edits", "field"], keep);
  const draw = (): void => {
    name.textContent = middle(app.shown.name, 44);
    name.title = app.shown.name;
    part.textContent = app.part;
    part.className = `part ${app.part}`;
    document.title = `${app.shown.name} – stainfree`;
  };
  app.on(["field"], draw);
  draw();
  return h(
    "header",
    {},
    h("span", { class: "what" }, `${app.list.what} `, h("b", {}, app.list.name ?? "")),
    button("‹", "previous field (PageUp)", () => actions.nextField(-1)),
    name,
    button("›", "next field (PageDown)", () => actions.nextField(1)),
    part,
    h("span", { class: "grow" }),
    saved,
    h("span", { class: "dim" }, app.list.read_only ? "read-only" : `corrections by ${app.list.who}`),
    app.list.trains ? again.button : null,
    button("wide", "plate and table wide (G)", () => actions.wide(), { class: "quiet" }),
    button("◐", "light and dark (D)", () => actions.theme(), { class: "quiet", "aria-label": "light and dark" }),
    button("?", "all keys (?)", () => help.toggle(), { class: "quiet", "aria-label": "keys" }),
  );
}

export function tools(actions: Actions): HTMLElement {
  const { app, edits } = actions;
  const buttons = TOOLS.map(([tool, text, tip]) => {
    const element = button(text, tip, () => actions.tool(tool));
    element.dataset["tool"] = tool;
    return element;
  });
  const radius = h("span", { class: "dim" });
  const brush = h(
    "span",
    { class: "group" },
    button("−", "smaller brush ([)", () => actions.brush(1 / 1.25), { "aria-label": "smaller brush" }),
    radius,
    button("+", "larger brush (])", () => actions.brush(1.25), { "aria-label": "larger brush" }),
  );
  const judge: [string, string, () => void][] = [
    ["Accept", "accept and go on (A)", () => void actions.judge("accept")],
    ["Reject", "no nucleus; go on (X)", () => void actions.judge("reject")],
    ["Next", "next object (N)", () => actions.next(1)],
    ["Mitotic", "mitotic, not mitotic, not said (T)", () => void actions.mitotic()],
    ["Comment", "comment (C)", () => void actions.comment()],
    ["Unusable", "the field is not to be used (F)", () => void actions.unusable()],
  ];
  const undo = button("↶", "undo (U)", () => void edits.send({ do: "undo" }), { "aria-label": "undo" });
  const redo = button("↷", "redo (Shift+U)", () => void edits.send({ do: "redo" }), { "aria-label": "redo" });
  const bar = h(
    "div",
    { class: "tools", role: "toolbar", "aria-label": "tools" },
    h("div", { class: "group" }, ...buttons, brush),
    h("div", { class: "group" }, ...judge.map(([text, tip, action]) => button(text, tip, action))),
    h("div", { class: "group" }, undo, redo),
  );
  const draw = (): void => {
    for (const element of buttons) {
      const on = element.dataset["tool"] === app.tool;
      element.classList.toggle("on", on);
      element.setAttribute("aria-pressed", String(on));
    }
    const brushes = app.tool === "paint" || app.tool === "erase";
    brush.hidden = !brushes;
    radius.textContent = `⌀ ${Math.round(app.radius * 2)} px`;
    undo.disabled = app.decided.undo === null;
    redo.disabled = app.decided.redo === null;
    undo.title = `undo ${app.decided.undo ?? ""} (U)`;
    bar.hidden = !app.corrects;
  };
  app.on(["tool", "edits", "field", "layers"], draw);
  draw();
  return bar;
}

/** What lies on the image: what a tablet without keys needs to look. */
export function onStage(actions: Actions): HTMLElement {
  const { app, view } = actions;
  const blink = button("Blink", "blink the labels (B)", () => actions.blink(), { class: "small" });
  const hide = button("Hide", "hide all labels (H)", () => actions.hide(), { class: "small" });
  const fit = button("Fit", "show the whole field (0)", () => view.fit(), { class: "small" });
  const draw = (): void => {
    for (const [element, on] of [[blink, app.blink], [hide, app.hidden]] as const) {
      element.classList.toggle("on", on);
      element.setAttribute("aria-pressed", String(on));
      element.hidden = app.layers.length === 0;
    }
  };
  app.on(["layers"], draw);
  draw();
  return h("div", { class: "onstage" }, blink, hide, fit);
}

/** The line below the image: what is under the pointer, and what was said last. */
export function below(actions: Actions): HTMLElement {
  const { app } = actions;
  const said = h("span", { class: "said", role: "status", "aria-live": "polite" });
  let gone = 0;
  app.on(["message"], () => {
    said.textContent = app.message?.text ?? "";
    said.title = said.textContent;
    said.classList.toggle("bad", app.message?.bad === true);
    clearTimeout(gone);
    gone = window.setTimeout(() => (said.textContent = ""), 8000);
  });
  return h("footer", {}, h("span", { id: "readout" }), h("span", { class: "grow" }), said);
}
