// Tiles on the graphics card: asked for when they are seen, kept while there is room.

import { Refusal, tile } from "../api";
import type { Box, Pixels } from "../types";

/** Requests at once: browsers open six connections to one server. */
const AT_ONCE = 6;
/** Tiles that are kept; one of 512 x 512 has half a megabyte at 16 bits, one of labels one. */
const KEPT = 320;
/** Times that are kept, for scripts that measure. */
const MEASURED = 2000;

export interface Tile {
  texture: WebGLTexture;
  /** Whether the graphics card can find values between texels, or reads whole numbers or single ones. */
  look: "filtered" | "integers" | "floats";
  /** The value that is 1 on the graphics card. */
  one: number;
  height: number;
  width: number;
  used: number;
  /** The pixels changed on the server since. */
  stale: boolean;
}

/** Which tile; `of` is the path of its plane or layer. */
export interface At {
  of: string;
  level: number;
  y: number;
  x: number;
}

const key = (at: At): string => `${at.of}/${at.level}/${at.y}/${at.x}`;

export class Tiles {
  private readonly ready = new Map<string, Tile>();
  private readonly asked = new Map<string, AbortController>();
  private readonly failed = new Set<string>();
  private wanted: At[] = [];
  /** By plane or layer: how often its pixels changed. */
  private readonly spoiled = new Map<string, number>();
  private clock = 0;
  /** What can be filtered: 16 bits, floating point. */
  private readonly norm16: EXT_texture_norm16 | null;
  private readonly linear: boolean;
  /** Milliseconds that each tile took to come. */
  readonly latencies: number[] = [];

  constructor(
    private readonly gl: WebGL2RenderingContext,
    private readonly changed: () => void,
    private readonly refused: (sentence: string) => void,
  ) {
    this.norm16 = gl.getExtension("EXT_texture_norm16");
    this.linear = gl.getExtension("OES_texture_float_linear") !== null;
  }

  /** Begins a frame: what it does not ask for is not fetched any more. */
  begin(): void {
    this.clock += 1;
    this.wanted = [];
  }

  /** The tile if it is there; else it is fetched. */
  get(at: At): Tile | null {
    const found = this.ready.get(key(at));
    if (found) found.used = this.clock;
    if ((!found || found.stale) && !this.failed.has(key(at))) this.wanted.push(at);
    return found ?? null;
  }

  /** The tile if it is there. */
  peek(at: At): Tile | null {
    const found = this.ready.get(key(at));
    if (found) found.used = this.clock;
    return found ?? null;
  }

  /** Ends a frame: fetches what it lacked, coarse tiles first since they cover most. */
  end(): void {
    this.wanted.sort((a, b) => b.level - a.level);
    const keys = new Set(this.wanted.map(key));
    for (const [asked, abort] of this.asked) {
      if (!keys.has(asked)) {
        abort.abort();
        this.asked.delete(asked);
      }
    }
    for (const at of this.wanted) {
      if (this.asked.size >= AT_ONCE) break;
      if (!this.asked.has(key(at))) void this.fetch(at);
    }
  }

  /** Whether everything that the last frame wanted is there. */
  get complete(): boolean {
    return this.wanted.length === 0 && this.asked.size === 0;
  }

  private async fetch(at: At): Promise<void> {
    const name = key(at);
    const abort = new AbortController();
    this.asked.set(name, abort);
    const begun = performance.now();
    const spoiled = this.spoiled.get(at.of);
    try {
      const pixels = await tile(name, abort.signal);
      this.latencies.push(performance.now() - begun);
      if (this.latencies.length > MEASURED) this.latencies.splice(0, MEASURED / 2);
      // Changed while it came: it is shown and fetched once more.
      this.keep(name, pixels, this.spoiled.get(at.of) !== spoiled);
    } catch (error) {
      if (!(error instanceof Refusal)) return;
      this.failed.add(name);
      this.refused(error.message);
    } finally {
      if (this.asked.get(name) === abort) this.asked.delete(name);
      this.changed();
    }
  }

  private keep(name: string, pixels: Pixels, stale: boolean): void {
    const old = this.ready.get(name);
    if (old) this.gl.deleteTexture(old.texture);
    this.ready.set(name, {
      ...this.upload(pixels, name.startsWith("labels/")),
      height: pixels.height,
      width: pixels.width,
      used: this.clock,
      stale,
    });
    if (this.ready.size <= KEPT) return;
    const oldest = [...this.ready].sort((a, b) => a[1].used - b[1].used);
    for (const [name, tile] of oldest.slice(0, KEPT / 8)) {
      if (tile.used === this.clock) break;
      this.gl.deleteTexture(tile.texture);
      this.ready.delete(name);
    }
  }

  /** Marks the tiles of a layer that a box of its pixels touches, and forgets refusals. */
  spoil(of: string, box: Box, side: number, border: number): void {
    this.failed.clear();
    this.spoiled.set(of, (this.spoiled.get(of) ?? 0) + 1);
    for (const [name, tile] of this.ready) {
      if (!name.startsWith(`${of}/`)) continue;
      const [level = 0, y = 0, x = 0] = name.slice(of.length + 1).split("/").map(Number);
      const reach = border << level;
      const [top, left] = [(y * side) << level, (x * side) << level];
      const [bottom, right] = [top + (side << level), left + (side << level)];
      const apart =
        box[0] >= bottom + reach ||
        box[2] <= top - reach ||
        box[1] >= right + reach ||
        box[3] <= left - reach;
      if (!apart) tile.stale = true;
    }
  }

  private upload(pixels: Pixels, labels: boolean): Pick<Tile, "texture" | "look" | "one"> {
    const { gl, norm16, linear } = this;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    const { width, height, data } = pixels;
    const put = (inner: number, format: number, type: number, view: ArrayBufferView): void =>
      gl.texImage2D(gl.TEXTURE_2D, 0, inner, width, height, 0, format, type, view);
    nearest(gl);
    if (pixels.kind === "u32") {
      put(gl.R32UI, gl.RED_INTEGER, gl.UNSIGNED_INT, new Uint32Array(data));
    } else if (labels || (pixels.kind === "u16" && !norm16 && !linear)) {
      if (pixels.kind === "u8") put(gl.R8UI, gl.RED_INTEGER, gl.UNSIGNED_BYTE, new Uint8Array(data));
      else put(gl.R16UI, gl.RED_INTEGER, gl.UNSIGNED_SHORT, new Uint16Array(data));
    } else {
      let one = 1;
      if (pixels.kind === "u8") {
        put(gl.R8, gl.RED, gl.UNSIGNED_BYTE, new Uint8Array(data));
        one = 255;
      } else if (pixels.kind === "u16" && norm16) {
        put(norm16.R16_EXT, gl.RED, gl.UNSIGNED_SHORT, new Uint16Array(data));
        one = 65535;
      } else {
        // Floats hold 16 bits as they are.
        const values = pixels.kind === "u16" ? Float32Array.from(new Uint16Array(data)) : new Float32Array(data);
        put(gl.R32F, gl.RED, gl.FLOAT, values);
        if (!linear) return { texture, look: "floats", one };
      }
      for (const way of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
        gl.texParameteri(gl.TEXTURE_2D, way, gl.LINEAR);
      }
      return { texture, look: "filtered", one };
    }
    return { texture, look: "integers", one: 1 };
  }
}

/** Integer textures cannot be filtered; an unfiltered one needs no smaller copies. */
export function nearest(gl: WebGL2RenderingContext): void {
  for (const [name, value] of [
    [gl.TEXTURE_MIN_FILTER, gl.NEAREST],
    [gl.TEXTURE_MAG_FILTER, gl.NEAREST],
    [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE],
    [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE],
  ] as const) {
    gl.texParameteri(gl.TEXTURE_2D, name, value);
  }
}
