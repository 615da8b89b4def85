// The table of fields: sorted by any column, filtered by words and comparisons; only the rows that
// are seen are elements, so thousands of fields scroll.

import type { App } from "../app";
import { button, h, later, middle, short } from "../dom";
import { isNumber } from "./plate";

const ROW = 24;
/** Width of a letter of a name, pixels, on average. */
const LETTER = 7.6;

export class Table {
  readonly element: HTMLElement;
  private readonly body = h("div", { class: "rows", tabindex: "0", role: "grid" });
  private readonly space = h("div", { class: "space" });
  private readonly head = h("div", { class: "heads" });
  private readonly count = h("span", { class: "count" });
  readonly filter: HTMLInputElement;
  /** -1 is the name. */
  private sorted = -1;
  private down = false;
  private readonly numeric: boolean[];
  private readonly columns: number[];
  private readonly pictures: HTMLButtonElement;
  private gallery: { element: HTMLElement; show: (shown: boolean) => void } | null = null;

  constructor(
    private readonly app: App,
    private readonly go: (field: number) => void,
  ) {
    const { columns, fields } = app.list;
    this.numeric = columns.map((_, i) => isNumber(app, i));
    // What the name says already, or says of every field the same, only takes room.
    const dull = new Set(["well", "site", "group", "height", "width", "status", "message"]);
    const first = (i: number): number => {
      const name = columns[i] ?? "";
      const wanted = ["split", "nuclei", "wrong nuclei", "concern", "mitotic", "remarks"];
      const at = wanted.findIndex((word) => name === word || (word === "wrong nuclei" && name.startsWith(word)));
      return at < 0 ? wanted.length : at;
    };
    this.columns = columns
      .map((_, i) => i)
      .filter((i) => !dull.has(columns[i] ?? "") && fields.some((f) => (f.cells[i] ?? "") !== ""))
      .sort((a, b) => first(a) - first(b) || a - b);
    this.filter = h("input", {
      type: "search",
      placeholder: "filter: B02, nuclei>50",
      title: "words, column=text and column>number, with blanks between (/)",
      "aria-label": "filter fields",
      oninput: later(120, () => this.apply()),
    });
    this.pictures = button("▦", "small pictures, or the table (I)", () => this.toggle(), {
      class: "small",
      "aria-label": "small pictures",
      "aria-pressed": "false",
    });
    this.body.append(this.space);
    this.body.addEventListener("scroll", () => {
      this.head.scrollLeft = this.body.scrollLeft;
      this.draw();
    });
    this.body.addEventListener("keydown", (e) => this.key(e));
    this.element = h(
      "section",
      { class: "table", "aria-label": "fields" },
      h("div", { class: "row" }, this.filter, this.count, this.pictures),
      this.head,
      this.body,
    );
    new ResizeObserver(() => {
      this.measure();
      this.draw();
    }).observe(this.body);
    app.on(["field"], () => this.reveal());
    this.apply();
  }

  /** Small pictures, which take the place of the rows. */
  add(element: HTMLElement, show: (shown: boolean) => void): void {
    this.gallery = { element, show };
    element.hidden = true;
    this.element.append(element);
  }

  /** Small pictures, or rows. */
  toggle(): void {
    if (!this.gallery) return;
    const shown = this.gallery.element.hidden === true;
    this.gallery.element.hidden = !shown;
    this.body.hidden = shown;
    this.head.hidden = shown;
    this.pictures.setAttribute("aria-pressed", String(shown));
    this.pictures.classList.toggle("on", shown);
    this.gallery.show(shown);
    if (!shown) this.reveal();
  }

  private name(column: number): string {
    return column < 0 ? "field" : (this.app.list.columns[column] ?? "");
  }

  private cell(field: number, column: number): string {
    const row = this.app.list.fields[field];
    return (column < 0 ? row?.name : row?.cells[column]) ?? "";
  }

  /** Letters of a name that there is room for. */
  private letters = 0;

  /** Gives names the room that they need, up to a half of what there is, and columns that of their titles. */
  private measure(): void {
    const longest = this.app.list.fields.reduce((n, field) => Math.max(n, [...field.name].length), 0);
    const room = this.element.clientWidth;
    const width = Math.min(Math.max(96, longest * LETTER + 14), Math.max(room * 0.45, 96));
    this.letters = Math.floor((width - 14) / LETTER);
    this.element.style.setProperty("--name", `${Math.round(width)}px`);
  }

  private width(column: number): string {
    const least = this.numeric[column] === true ? 58 : 80;
    return `${Math.min(Math.max(least, this.name(column).length * 6 + 24), 170)}px`;
  }

  private heads(): void {
    const heads = [-1, ...this.columns].map((column) => {
      const mark = column === this.sorted ? (this.down ? " ↓" : " ↑") : "";
      const action = (): void => {
        this.down = column === this.sorted ? !this.down : this.numeric[column] === true;
        this.sorted = column;
        this.apply();
      };
      const kind = column < 0 ? "name" : this.numeric[column] ? "cell number" : "cell";
      const title = `${this.name(column)}: sort`;
      const head = h("button", { type: "button", class: kind, onclick: action, title }, this.name(column) + mark);
      if (column >= 0) head.style.width = this.width(column);
      return head;
    });
    this.head.replaceChildren(...heads);
  }

  private apply(): void {
    const tests = this.filter.value.split(/[\s,]+/).filter((word) => word !== "");
    const kept = this.app.list.fields
      .map((_, i) => i)
      .filter((field) => tests.every((test) => this.passes(field, test)));
    if (this.sorted >= 0 || this.down) kept.sort((a, b) => this.compare(a, b));
    this.app.order = kept;
    this.count.textContent = `${kept.length} of ${this.app.list.fields.length}`;
    this.heads();
    this.draw();
    this.app.tell("order");
  }

  /** A word of the filter: `column=text`, `column>number`, or part of any cell. */
  private passes(field: number, test: string): boolean {
    const found = /^(.+?)(>=|<=|=|>|<)(.*)$/.exec(test);
    const wanted = (found?.[1] ?? "").toLowerCase();
    const { columns } = this.app.list;
    const column = columns.findIndex((name) => name.toLowerCase().replace(/\s/g, "_") === wanted);
    if (found && column >= 0) {
      const cell = this.cell(field, column);
      const [sign, value] = [found[2], found[3] ?? ""];
      if (sign === "=") return cell.toLowerCase() === value.toLowerCase();
      if (cell === "") return false;
      const [a, b] = [Number(cell), Number(value)];
      return sign === ">" ? a > b : sign === "<" ? a < b : sign === ">=" ? a >= b : a <= b;
    }
    const word = test.toLowerCase();
    const cells = [-1, ...this.columns].map((i) => this.cell(field, i).toLowerCase());
    return cells.some((cell) => cell.includes(word));
  }

  private compare(a: number, b: number): number {
    const [left, right] = [this.cell(a, this.sorted), this.cell(b, this.sorted)];
    // Fields of which nothing is known come last, whichever way.
    if ((left === "") !== (right === "")) return left === "" ? 1 : -1;
    const by =
      this.numeric[this.sorted] === true
        ? Number(left) - Number(right)
        : left.localeCompare(right, "en", { numeric: true });
    return (this.down ? -by : by) || a - b;
  }

  private draw(): void {
    const { order } = this.app;
    this.space.style.height = `${order.length * ROW}px`;
    const first = Math.max(0, Math.floor(this.body.scrollTop / ROW) - 2);
    const last = Math.min(order.length, first + Math.ceil(this.body.clientHeight / ROW) + 4);
    const rows = order.slice(first, last).map((field, i) => {
      const here = field === this.app.field;
      const cells = this.columns.map((column) => {
        const text = this.cell(field, column);
        const numeric = this.numeric[column] === true;
        const shown = numeric && text !== "" ? short(Number(text)) : text;
        const cell = h("span", { class: numeric ? "cell number" : "cell", title: text }, shown);
        cell.style.width = this.width(column);
        return cell;
      });
      const full = this.cell(field, -1);
      const name = h("span", { class: "name", title: full }, middle(full, this.letters));
      const row = h(
        "div",
        { class: here ? "line here" : "line", onclick: () => this.go(field), role: "row" },
        name,
        ...cells,
      );
      row.style.top = `${(first + i) * ROW}px`;
      return row;
    });
    this.space.replaceChildren(...rows);
  }

  private reveal(): void {
    const at = this.app.order.indexOf(this.app.field) * ROW;
    const { scrollTop, clientHeight } = this.body;
    if (at >= 0 && (at < scrollTop || at + ROW > scrollTop + clientHeight)) {
      this.body.scrollTop = at - clientHeight / 2;
    }
    this.draw();
  }

  private key(e: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (step === undefined) return;
    const { order, field } = this.app;
    const next = order[order.indexOf(field) + step];
    if (next !== undefined) this.go(next);
    e.preventDefault();
    e.stopPropagation();
  }
}
