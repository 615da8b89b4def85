// What the server says; crates/viewer/src/server/api.rs is the other side.

export interface Channel {
  name: string;
  role: "brightfield" | "nucleus" | "cytoplasm" | "other";
}

export interface Layer {
  name: string;
  kind: "objects" | "classes" | "corrections" | "difference";
  /** The two layers that a difference is of. */
  of: [number, number] | null;
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
  /** Whether it is known how sure a model is of each layer's objects. */
  sure: boolean[];
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
  /** Work lists over all fields. */
  lists: { title: string; /** What it is about, beside what is corrected. */ layer: number | null }[];
  /** Whether models can be trained here. */
  trains: boolean;
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
  /** How sure a model is of it, 0 to 1. */
  sure?: number;
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

/** Rows of pixels: `[y, first x, x after the last]`. */
export type Runs = [number, number, number][];

export type Operation =
  | { do: "accept" | "reject"; label: number }
  | { do: "split"; label: number; line: Point[] }
  | { do: "merge"; labels: number[] }
  | { do: "paint" | "erase"; label: number | null; radius: number; line: Point[] }
  | { do: "outline"; label: number | null; runs: Runs }
  | { do: "nothing"; at: Point }
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

/** An entry of a work list over all fields. */
export interface Entry {
  field: number;
  /** A place in the field, `[y, x]`; none for a whole one. */
  at?: Point;
  value: number;
  what: string;
  done: boolean;
}

export interface Entries {
  entries: Entry[];
  more: number;
  /** Test fields that have some, which are listed only on request. */
  tests: number;
}

/** A training from the page, as the study says; crates/project/src/retrain is the other side. */
export interface Run {
  name: string;
  from: string;
  steps: number | null;
  who: string;
  begun: string;
  phase: "preparing" | "training" | "comparing" | "done" | "stopped" | "failed";
  done: number;
  total: number;
  message: string;
  notes: string[];
  running: boolean;
}

export interface Validated {
  step: number;
  mean_f1: number | null;
  object_f1: number | null;
}

export interface Again {
  runs: Run[];
  curves: { losses: [number, number][]; validations: Validated[] } | null;
  starting: string | null;
  trouble: string | null;
}

export interface Choices {
  can: boolean;
  models: { name: string; next: string; steps: number | null }[];
  from: number;
  corrected: { train: number; validation: number; test: number };
}

export interface Difference {
  name: string;
  first: number | null;
  second: number | null;
  difference: number | null;
  ci95: [number, number] | null;
}

export interface ChangedSet {
  fields: { field: string; truth: number; f1: [number | null, number | null]; gained: number; lost: number }[];
  better: number;
  worse: number;
  same: number;
  truth: number;
  predicted: [number, number];
  wrong: [number, number];
  gained: number;
  lost: number;
  scores: Difference[];
  unit: string;
  flipped: { field: string; label: number; y_px: number; x_px: number; before: string; after: string }[];
}

export interface Changes {
  before: string;
  after: string;
  corrected: ChangedSet | null;
  validation: ChangedSet | null;
  notes: string[];
}
