// The keyboard does everything; `help.ts` lists what is here.

import type { Actions } from "./actions";
import type { Help } from "./help";
import type { AgainPanel } from "./panels/again";
import type { Table } from "./panels/table";

/** What keys open beside what they do. */
interface Panels {
  help: Help;
  again: AgainPanel;
  table: Table;
}

export function listen(actions: Actions, { help, again, table }: Panels): void {
  const { app, view, edits } = actions;
  const undo = (): void => void edits.send({ do: "undo" });
  const redo = (): void => void edits.send({ do: "redo" });

  const arrow = (e: KeyboardEvent, dy: number, dx: number): void => {
    if (app.tool !== "look") view.step(dy * (e.shiftKey ? 10 : 1), dx * (e.shiftKey ? 10 : 1));
    else view.pan(dy * 80, dx * 80);
  };

  const escape = (): void => {
    if (view.drop()) return;
    if (app.tool !== "look") actions.tool("look");
    else actions.select(null);
  };

  const plain: Record<string, (e: KeyboardEvent) => void> = {
    n: (e) => actions.next(e.shiftKey ? -1 : 1),
    Enter: (e) => actions.next(e.shiftKey ? -1 : 1),
    a: () => void actions.judge("accept"),
    x: () => void actions.judge("reject"),
    Delete: () => void actions.judge("reject"),
    t: () => void actions.mitotic(),
    c: () => void actions.comment(),
    f: () => void actions.unusable(),
    u: (e) => (e.shiftKey ? redo() : undo()),
    s: () => actions.tool("split"),
    m: () => actions.tool("merge"),
    p: () => actions.tool("paint"),
    e: () => actions.tool("erase"),
    w: () => actions.tool("outline"),
    v: () => actions.tool("look"),
    Escape: escape,
    "[": () => actions.brush(1 / 1.25),
    "]": () => actions.brush(1.25),
    " ": () => view.press(),
    PageDown: () => actions.nextField(1),
    PageUp: () => actions.nextField(-1),
    "+": () => view.zoom(1.25),
    "=": () => view.zoom(1.25),
    "-": () => view.zoom(1 / 1.25),
    "0": () => view.fit(),
    "9": () => view.zoom(1 / (app.camera.scale * devicePixelRatio)),
    ArrowUp: (e) => arrow(e, -1, 0),
    ArrowDown: (e) => arrow(e, 1, 0),
    ArrowLeft: (e) => arrow(e, 0, -1),
    ArrowRight: (e) => arrow(e, 0, 1),
    h: () => actions.hide(),
    b: () => actions.blink(),
    o: () => actions.style(),
    k: () => actions.colouring(),
    l: () => actions.auto(),
    ",": () => actions.plane(-1),
    ".": () => actions.plane(1),
    ";": () => actions.nextTime(-1),
    "'": () => actions.nextTime(1),
    "/": () => table.filter.focus(),
    i: () => table.toggle(),
    r: () => void again.open(),
    q: (e) => void actions.nextList(e.shiftKey ? -1 : 1),
    g: () => actions.wide(),
    d: () => actions.theme(),
    "?": () => help.toggle(),
  };

  document.addEventListener("keydown", (e) => {
    const target = e.target as HTMLElement;
    const typing = target.matches("input:not([type=checkbox]):not([type=range]), select, textarea");
    if (typing) {
      if (e.key === "Escape") target.blur();
      return;
    }
    if (document.querySelector("dialog[open]")) {
      if (e.key === "?") help.toggle();
      return;
    }
    // A button that has the focus is pressed by these.
    if ((e.key === "Enter" || e.key === " ") && target.matches("button, input")) return;
    if (target.matches("input[type=range]") && e.key.startsWith("Arrow")) return;
    if (e.ctrlKey || e.metaKey) {
      const key = e.key.toLowerCase();
      if (key === "z") e.shiftKey ? redo() : undo();
      else if (key === "y") redo();
      else return;
      e.preventDefault();
      return;
    }
    const digit = /^Digit([1-8])$/.exec(e.code);
    if (digit && !e.shiftKey) actions.toggle(e.altKey ? "channels" : "layers", Number(digit[1]) - 1);
    else {
      const key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
      const action = plain[key];
      if (!action || e.altKey) return;
      action(e);
    }
    e.preventDefault();
  });
}
