// Channels with contrast, layers of labels with their looks, planes and times.

import { type App, type ChannelView, isListed, type LayerView, type Style } from "../app";
import { button, h } from "../dom";
import { css, DIFFERENCE, type Rgb } from "../palette";
import type { Layer } from "../types";

const hex = ([r, g, b]: Rgb): string =>
  `#${[r, g, b].map((v) => Math.round(v * 255).toString(16).padStart(2, "0")).join("")}`;

const rgb = (text: string): Rgb => [
  parseInt(text.slice(1, 3), 16) / 255,
  parseInt(text.slice(3, 5), 16) / 255,
  parseInt(text.slice(5, 7), 16) / 255,
];

function slider(
  label: string,
  [low, high, step]: [number, number, number],
  value: number,
  change: (value: number) => void,
): HTMLInputElement {
  const input = h("input", {
    type: "range",
    min: String(low),
    max: String(high),
    step: String(step),
    "aria-label": label,
    title: label,
    oninput: () => change(Number(input.value)),
  });
  input.value = String(value);
  return input;
}

export class Layers {
  readonly element = h("section", { class: "layers", "aria-label": "layers" });

  constructor(
    private readonly app: App,
    private readonly auto: (channel: number) => void,
    private readonly go: (field: number) => void,
    private readonly activate: (layer: number) => void,
  ) {
    app.on(["field", "layers"], () => this.draw());
    this.draw();
  }

  private readonly changed = (): void => this.app.tell("camera");

  private draw(): void {
    // A slider that is being moved must stay the element that it is.
    if (this.element.contains(document.activeElement) && document.activeElement?.matches("input[type=range]:active")) return;
    const { app } = this;
    const channels = app.list.channels.map((_, i) => this.channel(i));
    const layers = app.list.layers.map((_, i) => this.layer(i));
    this.element.replaceChildren(
      ...this.stack(),
      h("h2", {}, "Channels"),
      ...channels,
      layers.length > 0 ? h("h2", {}, "Labels") : "",
      ...layers,
    );
  }

  private stack(): HTMLElement[] {
    const { app } = this;
    const found: HTMLElement[] = [];
    if (app.depth > 1) {
      const change = (z: number): void => {
        app.z = z;
        app.tell("layers");
      };
      const z = slider("plane (, and .)", [0, app.depth - 1, 1], app.z, change);
      found.push(h("label", { class: "row" }, `z ${app.z + 1}/${app.depth}`, z));
    }
    const times = app.times;
    if (times.length > 1) {
      const at = times.indexOf(app.field);
      const change = (i: number): void => this.go(times[i] ?? app.field);
      const time = slider("time (; and ')", [0, times.length - 1, 1], at, change);
      found.push(h("label", { class: "row" }, `time ${at + 1}/${times.length}`, time));
    }
    return found;
  }

  private toggle(view: ChannelView | LayerView, name: string, key: string): HTMLElement {
    const box = h("input", {
      type: "checkbox",
      onchange: () => {
        view.on = box.checked;
        this.app.tell("layers");
      },
    });
    box.checked = view.on;
    return h("label", { class: "name", title: `${name} (${key})` }, box, name);
  }

  private colour(view: ChannelView | LayerView): HTMLInputElement {
    const input = h("input", {
      type: "color",
      title: "colour",
      "aria-label": "colour",
      oninput: () => {
        view.colour = rgb(input.value);
        this.changed();
      },
    });
    input.value = hex(view.colour);
    return input;
  }

  private opacity(view: ChannelView | LayerView): HTMLInputElement {
    return slider("opacity", [0, 1, 0.01], view.opacity, (value) => {
      view.opacity = value;
      this.changed();
    });
  }

  private channel(i: number): HTMLElement {
    const { app } = this;
    const view = app.channels[i];
    const channel = app.list.channels[i];
    if (!view || !channel) return h("div");
    const head = h(
      "div",
      { class: "row" },
      this.toggle(view, channel.name, `Alt+${i + 1}`),
      this.colour(view),
    );
    if (!view.on) return h("div", { class: "layer" }, head);
    return h(
      "div",
      { class: "layer" },
      head,
      view.range && this.contrast(view, i),
      h("label", { class: "row dim" }, "opacity", this.opacity(view)),
    );
  }

  private contrast(view: ChannelView, i: number): HTMLElement {
    const range = view.range ?? { min: 0, max: 1, low: 0, high: 1, full: 1 };
    const whole = Number.isInteger(range.min) && Number.isInteger(range.max);
    // A few hot or dead pixels would leave the rest a hair's breadth of the slider.
    const usual = Math.max(range.high - range.low, 1e-9);
    const from = Math.min(Math.max(range.min, range.low - usual), view.low);
    const to = Math.max(Math.min(range.max, range.high + 2 * usual), view.high, from + 1e-9);
    const step = whole ? 1 : (to - from) / 1000;
    const bounds: [number, number, number] = [from, to, step];
    const shown = { low: this.value("darkest value"), high: this.value("brightest value") };
    const write = (): void => {
      for (const end of ["low", "high"] as const) shown[end].value = String(Number(view[end].toPrecision(5)));
    };
    const set = (end: "low" | "high", value: number): void => {
      if (!Number.isFinite(value)) return write();
      view[end] = end === "low" ? Math.min(value, view.high - step) : Math.max(value, view.low + step);
      view.auto = false;
      write();
      this.changed();
    };
    const low = slider("darkest value", bounds, view.low, (value) => set("low", value));
    const high = slider("brightest value", bounds, view.high, (value) => set("high", value));
    for (const end of ["low", "high"] as const) {
      shown[end].addEventListener("change", () => {
        set(end, shown[end].value === "" ? NaN : Number(shown[end].value));
        (end === "low" ? low : high).value = String(view[end]);
      });
    }
    write();
    const auto = button("auto", "contrast of this field by itself (L)", () => this.auto(i), {
      class: view.auto ? "small on" : "small",
      "aria-pressed": String(view.auto),
    });
    return h("div", { class: "contrast" }, h("div", {}, low, shown.low, high, shown.high), auto);
  }

  /** A number that can be typed as well. */
  private value(label: string): HTMLInputElement {
    return h("input", { type: "number", step: "any", "aria-label": label, title: label });
  }

  private layer(i: number): HTMLElement {
    const { app } = this;
    const view = app.layers[i];
    const layer = app.list.layers[i];
    if (!view || !layer) return h("div");
    const there = app.shown.layers[i] === true;
    const active = i === app.active;
    const name = h("div", { class: "row" }, this.toggle(view, layer.name, String(i + 1)));
    const listed = isListed(layer);
    if (listed) {
      const choose = button(active ? "listed" : "list", "list and judge its objects", () => this.activate(i), {
        class: active ? "small on" : "small",
        "aria-pressed": String(active),
      });
      if (view.colouring === "one") name.append(this.colour(view));
      name.append(choose);
    }
    const classes = there ? "layer" : "layer absent";
    if (!view.on) return h("div", { class: classes }, name);
    const style = this.choice(
      "look",
      [["lines", "outlines"], ["fill", "filled"], ["both", "both"]],
      view.style,
      (value) => (view.style = value as Style),
    );
    const ways: [string, string][] = [["number", "by object"], ["one", "one colour"]];
    if (active) ways.push(["area", "by area"]);
    if (active && app.other !== null) ways.push(["iou", "by agreement"]);
    if (active && app.isSure) ways.push(["sure", "by confidence"]);
    const colouring = this.choice("colour", ways, view.colouring, (value) => {
      view.colouring = value as LayerView["colouring"];
    });
    return h(
      "div",
      { class: classes },
      name,
      h("div", { class: "row" }, style, listed ? colouring : null),
      layer.kind === "difference" ? key(app, layer) : null,
      h("label", { class: "row dim" }, "opacity", this.opacity(view)),
    );
  }

  private choice(
    label: string,
    choices: [string, string][],
    value: string,
    change: (value: string) => void,
  ): HTMLSelectElement {
    const select = h("select", {
      "aria-label": label,
      onchange: () => {
        change(select.value);
        this.app.tell("layers", "objects");
      },
    });
    for (const [key, text] of choices) select.append(h("option", { value: key }, text));
    select.value = value;
    return select;
  }
}

/** What the colours of a difference mean. */
function key(app: App, layer: Layer): HTMLElement {
  const names = (layer.of ?? []).map((i) => app.list.layers[i]?.name ?? "");
  const texts = [...names.map((name) => `only ${name}`), "both"];
  const entries = texts.map((text, i) => {
    const patch = h("span", { class: "patch" });
    patch.style.background = css(DIFFERENCE[i] ?? [0, 0, 0]);
    return h("div", {}, patch, text);
  });
  return h("div", { class: "key dim" }, ...entries);
}
