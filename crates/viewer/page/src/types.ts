// What the server says; crates/viewer/src/server/api.rs is the other side.

export interface Channel {
  name: string;
  role: "brightfield" | "nucleus" | "cytoplasm" | "other";
}

export interface Layer {
  name: string;
  kind: "objects" | "classes" | "corrections";
}

export interface Field {
  name: string;
  /** The place, the same at all its times. */
  place: string | null;
  plate: string | null;
  well: string | null;
  site: number | null;
  time: number | null;
  /** Rows and columns. */
  size: [number, number];
  pixel_um: number | null;
  /** Planes of each channel. */
  depth: number[];
  /** Whether it has each layer. */
  layers: boolean[];
  cells: string[];
}

export interface List {
  program: string;
  what: "study" | "result" | "images";
  name: string | null;
  who: string;
  model: string | null;
  read_only: boolean;
  tile: number;
  border: number;
  notes: string[];
  channels: Channel[];
  layers: Layer[];
  columns: string[];
  fields: Field[];
}

export interface Range {
  low: number;
  high: number;
  min: number;
  max: number;
  full: number;
}

/** `[top, left, bottom, right]`, the last two beyond it. */
export type Box = [number, number, number, number];

export interface Thing {
  label: number;
  y: number;
  x: number;
  area: number;
  box: Box;
  iou?: number;
  other?: number;
}

export interface Comment {
  label: number | null;
  text: string;
  who: string;
  when: string;
}

export interface Decided {
  undo: string | null;
  redo: string | null;
  accepted: number[];
  mitotic: Record<string, boolean>;
  unusable: string | null;
  comments: Comment[];
  edits: number;
}

export interface Applied {
  version: number;
  boxes: Box[];
  objects: Thing[];
  removed: number[];
  state: Decided;
}

/** `[y, x]` in pixels of the image, the centre of the first at 0. */
export type Point = [number, number];

export type Operation =
  | { do: "accept" | "reject"; label: number }
  | { do: "split"; label: number; line: Point[] }
  | { do: "merge"; labels: number[] }
  | { do: "paint" | "erase"; label: number | null; radius: number; line: Point[] }
  | { do: "mitotic"; label: number; is: boolean | null }
  | { do: "unusable"; is: boolean; reason: string }
  | { do: "comment"; label: number | null; text: string }
  | { do: "undo" | "redo" };

export interface Pixels {
  kind: "u8" | "u16" | "f32" | "u32";
  height: number;
  width: number;
  version: number;
  data: ArrayBuffer;
}
