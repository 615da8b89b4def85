// All keys, as the panel behind `?` shows them; `keys.ts` does what stands here.

import { h } from "./dom";

export const KEYS: [string, [string, string][]][] = [
  [
    "Judge",
    [
      ["N, Enter", "next object of the work list (Shift+N: previous)"],
      ["A", "accept, and go to the next; where only a model has a nucleus, take it over"],
      ["X, Delete", "reject: no nucleus; and go to the next (a field of a list: not to be used)"],
      ["T", "mitotic, not mitotic, not said"],
      ["C", "comment on the object, or the field"],
      ["F", "the field is not to be used, and why"],
      ["Q", "next work list: this field, or all fields (Shift+Q: previous)"],
      ["R", "train again with corrections, and what changed"],
      ["U, Ctrl+Z", "undo (Shift+U, Ctrl+Y: redo), without end"],
    ],
  ],
  [
    "Draw",
    [
      ["S", "split: draw a line across the object"],
      ["M", "merge: click two objects (or select one, Shift+click the other)"],
      ["P", "paint: from an object, of the selected one, or a new one"],
      ["E", "erase"],
      ["W", "outline: click into an object, it grows to its edge"],
      ["[ and ]", "smaller and larger brush"],
      ["V, Esc", "look: no tool"],
      ["arrows, Space", "with a tool: move the pointer, press it"],
    ],
  ],
  [
    "Look",
    [
      ["PageDown, PageUp", "next and previous field of the table"],
      ["wheel, + and -", "zoom (0: whole field, 9: pixel by pixel)"],
      ["drag, arrows", "move"],
      ["1 to 8", "labels on and off (Alt+1 ..: channels)"],
      ["H", "hide all labels"],
      ["B", "blink the labels"],
      ["O", "outlines, filled, both"],
      ["K", "colour by object, one colour, area, agreement, confidence"],
      ["L", "contrast by itself"],
      [", and .", "plane below and above"],
      ["; and '", "time before and after"],
      ["/", "filter the table"],
      ["I", "small pictures of the fields, or the table"],
      ["G", "plate and table wide, and narrow again"],
      ["D", "light and dark"],
      ["?", "this panel"],
    ],
  ],
];

export class Help {
  readonly element = h("dialog", { class: "help", "aria-label": "keys" });

  constructor() {
    const groups = KEYS.map(([title, keys]) =>
      h(
        "section",
        {},
        h("h2", {}, title),
        h("dl", {}, ...keys.flatMap(([key, what]) => [h("dt", {}, key), h("dd", {}, what)])),
      ),
    );
    const close = h("button", { type: "button", onclick: () => this.element.close() }, "Close");
    this.element.append(h("div", { class: "groups" }, ...groups), close);
  }

  toggle(): void {
    if (this.element.open) this.element.close();
    else this.element.showModal();
  }
}
