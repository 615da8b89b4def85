// What is known of each object, for the shader to look up by number.

import { cividis } from "../palette";
import { nearest } from "./tiles";

/** Columns of the tables; numbers run on in rows. */
const WIDTH = 2048;
/** Rows at most, which every WebGL2 takes: numbers up to 4 million. */
const MOST_ROWS = 2048;

export class Tables {
  readonly states: WebGLTexture;
  readonly values: WebGLTexture;
  readonly map: WebGLTexture;
  /** Whether anything is decided on any object. */
  decided = false;
  /** What was uploaded last. */
  private readonly held = new Map<WebGLTexture, Uint8Array | Float32Array>();

  constructor(private readonly gl: WebGL2RenderingContext) {
    this.states = gl.createTexture();
    this.values = gl.createTexture();
    this.map = gl.createTexture();
    const colours = new Uint8Array(256 * 4);
    for (let i = 0; i < 256; i++) {
      const rgb = cividis(i / 255).map((v) => Math.round(v * 255));
      colours.set([...rgb, 255], 4 * i);
    }
    gl.bindTexture(gl.TEXTURE_2D, this.map);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, colours);
    nearest(gl);
    this.fill(0, new Map(), new Map());
  }

  /**
   * Both tables for objects numbered up to `last`; what is not named is 0. Objects of numbers
   * beyond what a graphics card holds look as if nothing was known of them.
   */
  fill(last: number, states: Map<number, number>, values: Map<number, number>): void {
    const rows = Math.min(Math.floor(last / WIDTH) + 1, MOST_ROWS);
    const end = rows * WIDTH;
    const state = new Uint8Array(end);
    for (const [label, value] of states) if (label < end) state[label] = value;
    const value = new Float32Array(end);
    for (const [label, v] of values) if (label < end) value[label] = v;
    const { gl } = this;
    this.put(this.states, [gl.R8UI, gl.RED_INTEGER, gl.UNSIGNED_BYTE], rows, state);
    this.put(this.values, [gl.R32F, gl.RED, gl.FLOAT], rows, value);
    this.decided = states.size > 0;
  }

  /** Uploads a table unless it is what is there. */
  private put(
    texture: WebGLTexture,
    [inner, format, type]: [number, number, number],
    rows: number,
    data: Uint8Array | Float32Array,
  ): void {
    const { gl } = this;
    const old = this.held.get(texture);
    if (old?.length === data.length && old.every((value, i) => value === data[i])) return;
    this.held.set(texture, data);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, inner, WIDTH, rows, 0, format, type, data);
    nearest(gl);
  }
}
