// Colours that people with any colour vision tell apart.

export type Rgb = [number, number, number];

/** Okabe and Ito (2008), without black; neighbours in the list differ in lightness too. */
export const OBJECTS: Rgb[] = [
  [0.9, 0.62, 0.0],
  [0.34, 0.71, 0.91],
  [0.0, 0.62, 0.45],
  [0.94, 0.89, 0.26],
  [0.2, 0.5, 0.85],
  [0.84, 0.37, 0.0],
  [0.8, 0.47, 0.65],
  [0.75, 0.75, 0.75],
];

/** Classes: nucleus, cytoplasm, further ones; 255 (ignored) is grey. */
export const CLASSES: Rgb[] = [
  [0.9, 0.62, 0.0],
  [0.2, 0.5, 0.85],
  [0.0, 0.62, 0.45],
  [0.8, 0.47, 0.65],
];

/** A difference: in the first layer alone, in the second alone, in both. */
export const DIFFERENCE: Rgb[] = [
  [0.9, 0.62, 0.0],
  [0.2, 0.5, 0.85],
  [0.6, 0.6, 0.6],
];

/** Channels by role. */
export const CHANNELS: Record<string, Rgb> = {
  brightfield: [1, 1, 1],
  nucleus: [0.25, 0.65, 1],
  cytoplasm: [1, 0.65, 0.1],
};

/** Channels of which nothing is known but the name. */
export const OTHER_CHANNELS: Rgb[] = [
  [0.2, 0.9, 0.6],
  [1, 0.45, 0.75],
  [0.95, 0.9, 0.25],
  [0.35, 0.75, 1],
];

/** Anchors of cividis (Nuñez, Anderton and Renslow 2018), which every colour vision reads alike. */
const CIVIDIS: Rgb[] = [
  [0.0, 0.135, 0.305],
  [0.19, 0.265, 0.425],
  [0.34, 0.36, 0.43],
  [0.485, 0.48, 0.47],
  [0.65, 0.605, 0.465],
  [0.82, 0.74, 0.395],
  [0.995, 0.91, 0.145],
];

/** The colour of `t` between 0 and 1. */
export function cividis(t: number): Rgb {
  const at = Math.min(Math.max(t, 0), 1) * (CIVIDIS.length - 1);
  const i = Math.min(Math.floor(at), CIVIDIS.length - 2);
  const a = CIVIDIS[i] ?? [0, 0, 0];
  const b = CIVIDIS[i + 1] ?? a;
  const f = at - i;
  return [a[0] + f * (b[0] - a[0]), a[1] + f * (b[1] - a[1]), a[2] + f * (b[2] - a[2])];
}

export const css = ([r, g, b]: Rgb): string =>
  `rgb(${Math.round(r * 255)} ${Math.round(g * 255)} ${Math.round(b * 255)})`;

/** Black or white, whichever is read on it. */
export const ink = ([r, g, b]: Rgb): string =>
  0.299 * r + 0.587 * g + 0.114 * b > 0.5 ? "#111" : "#fff";
