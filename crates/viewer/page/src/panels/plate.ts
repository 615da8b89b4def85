// The plate: wells in rows and columns, coloured by any column of the table.

import type { App } from "../app";
import { button, h, short } from "../dom";
import { cividis, css, ink, OBJECTS } from "../palette";

interface Well {
  row: number;
  column: number;
  fields: number[];
}

/** Row and column of a name such as `B02` or `AA10`, from 0. */
export function place(well: string): [number, number] | null {
  const found = /^([A-Z]{1,2})0*([1-9]\d{0,2})$/i.exec(well);
  if (!found) return null;
  const letters = (found[1] ?? "").toUpperCase();
  const row = [...letters].reduce((n, c) => n * 26 + c.charCodeAt(0) - 64, 0) - 1;
  return [row, Number(found[2]) - 1];
}

/** Columns of which at least one cell is a number, and the others. */
export function isNumber(app: App, column: number): boolean {
  const cells = app.list.fields.map((field) => field.cells[column] ?? "");
  const filled = cells.filter((cell) => cell !== "");
  return filled.length > 0 && filled.every((cell) => Number.isFinite(Number(cell)));
}

export class Plate {
  readonly element = h("section", { class: "plate", "aria-label": "plate" });
  private readonly plates: string[];
  private plate: string;
  private column: number;

  constructor(
    private readonly app: App,
    private readonly go: (field: number) => void,
  ) {
    const fields = app.list.fields.filter((field) => field.well !== null);
    this.plates = [...new Set(fields.map((field) => field.plate ?? ""))];
    this.plate = this.plates[0] ?? "";
    const wanted = ["nuclei", "concern"].map((name) => app.list.columns.indexOf(name));
    this.column = wanted.find((i) => i >= 0) ?? 0;
    app.on(["field"], () => this.draw());
    this.draw();
  }

  private wells(): Map<string, Well> {
    const wells = new Map<string, Well>();
    this.app.list.fields.forEach((field, i) => {
      if (field.well === null || (field.plate ?? "") !== this.plate) return;
      const at = place(field.well);
      if (!at) return;
      const well = wells.get(field.well) ?? { row: at[0], column: at[1], fields: [] };
      well.fields.push(i);
      wells.set(field.well, well);
    });
    return wells;
  }

  private choices(): HTMLElement {
    const { columns } = this.app.list;
    const select = h("select", {
      "aria-label": "colour wells by",
      onchange: () => {
        this.column = select.selectedIndex;
        this.draw();
        this.app.tell("order");
      },
    });
    for (const name of columns) select.append(h("option", {}, name));
    select.selectedIndex = this.column;
    const plates = h("select", {
      "aria-label": "plate",
      onchange: () => {
        this.plate = plates.value;
        this.draw();
      },
    });
    for (const name of this.plates) plates.append(h("option", {}, name));
    plates.value = this.plate;
    return h(
      "div",
      { class: "row" },
      this.plates.length > 1 && plates,
      columns.length > 0 && h("label", {}, "wells by ", select),
    );
  }

  /** The colour of a field by the chosen column; none where nothing is known. */
  colour(field: number): string | null {
    const { fields, columns } = this.app.list;
    const cell = fields[field]?.cells[this.column] ?? "";
    if (cell === "" || columns.length === 0) return null;
    const cells = fields.map((f) => f.cells[this.column] ?? "").filter((c) => c !== "");
    if (!isNumber(this.app, this.column)) {
      const words = [...new Set(cells)];
      const colour = OBJECTS[words.indexOf(cell) % OBJECTS.length];
      return colour ? css(colour) : null;
    }
    let [low, high] = [Infinity, -Infinity];
    for (const value of cells.map(Number)) [low, high] = [Math.min(low, value), Math.max(high, value)];
    return css(cividis(high > low ? (Number(cell) - low) / (high - low) : 0.5));
  }

  private draw(): void {
    const wells = this.wells();
    if (wells.size === 0) {
      this.element.replaceChildren();
      return;
    }
    const numeric = this.app.list.columns.length > 0 && isNumber(this.app, this.column);
    const value = new Map<string, number | string>();
    for (const [name, well] of wells) value.set(name, this.value(well, numeric));
    const numbers = [...value.values()].filter((v): v is number => typeof v === "number");
    const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
    const words = [...new Set(value.values())].filter((v) => typeof v === "string" && v !== "");
    const [rows, columns] = extent([...wells.values()]);
    const grid = h("div", { class: "wells", role: "grid" });
    grid.style.gridTemplateColumns = `1.2em repeat(${columns[1] - columns[0] + 1}, minmax(0, 1fr))`;
    grid.append(h("span"));
    // Of many columns every second is numbered: there is no room for two digits in each.
    const every = columns[1] - columns[0] >= 14 ? 2 : 1;
    for (let c = columns[0]; c <= columns[1]; c++) {
      const text = (c - columns[0]) % every === 0 ? String(c + 1) : "";
      grid.append(h("span", { class: "head" }, text));
    }
    const byPlace = new Map([...wells].map(([name, w]) => [`${w.row},${w.column}`, name]));
    for (let r = rows[0]; r <= rows[1]; r++) {
      grid.append(h("span", { class: "head" }, letters(r)));
      for (let c = columns[0]; c <= columns[1]; c++) {
        const name = byPlace.get(`${r},${c}`);
        const well = name === undefined ? undefined : wells.get(name);
        if (name === undefined || !well) {
          grid.append(h("span", { class: "none" }));
          continue;
        }
        grid.append(this.well(name, well, value.get(name) ?? "", low, high, words));
      }
    }
    const scale = numeric && numbers.length > 0 && legend(low, high);
    this.element.replaceChildren(this.choices(), grid, scale || "");
  }

  private value(well: Well, numeric: boolean): number | string {
    const cells = well.fields.map((i) => this.app.list.fields[i]?.cells[this.column] ?? "");
    const filled = cells.filter((cell) => cell !== "");
    if (!numeric) return [...new Set(filled)].join(", ");
    if (filled.length === 0) return "";
    return filled.reduce((sum, cell) => sum + Number(cell), 0) / filled.length;
  }

  private well(
    name: string,
    well: Well,
    value: number | string,
    low: number,
    high: number,
    words: (number | string)[],
  ): HTMLElement {
    const here = well.fields.includes(this.app.field);
    const said = typeof value === "number" ? short(value) : value;
    const tip = `${name}: ${said === "" ? "nothing known" : said} (${well.fields.length} fields)`;
    const element = button("", tip, () => this.go(next(well.fields, this.app.field)), {
      class: here ? "well here" : "well",
      "aria-label": tip,
    });
    const colour =
      typeof value === "number"
        ? cividis(high > low ? (value - low) / (high - low) : 0.5)
        : OBJECTS[words.indexOf(value) % OBJECTS.length];
    if (colour) {
      element.style.background = css(colour);
      element.style.color = ink(colour);
    }
    return element;
  }
}

/** The field of a well after the one that is shown. */
function next(fields: number[], now: number): number {
  const at = fields.indexOf(now);
  return fields[(at + 1) % fields.length] ?? now;
}

function extent(wells: Well[]): [[number, number], [number, number]] {
  const span = (values: number[]): [number, number] => [Math.min(...values), Math.max(...values)];
  return [span(wells.map((w) => w.row)), span(wells.map((w) => w.column))];
}

function letters(row: number): string {
  const last = String.fromCharCode(65 + (row % 26));
  return row < 26 ? last : String.fromCharCode(64 + Math.floor(row / 26)) + last;
}

function legend(low: number, high: number): HTMLElement {
  const bar = h("span", { class: "ramp" });
  const stops = Array.from({ length: 7 }, (_, i) => css(cividis(i / 6)));
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  return h("div", { class: "legend" }, short(low), bar, short(high));
}
