// What is known of each object, for the shader to look up by number.

import { cividis } from "../palette";
import { nearest } from "./tiles";

/** Columns of the tables; numbers run on in rows. */
const WIDTH = 2048;

export class Tables {
  readonly states: WebGLTexture;
  readonly values: WebGLTexture;
  readonly map: WebGLTexture;

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

  /** Both tables for objects numbered up to `last`; what is not named is 0. */
  fill(last: number, states: Map<number, number>, values: Map<number, number>): void {
    const gl = this.gl;
    const rows = Math.floor(last / WIDTH) + 1;
    const state = new Uint8Array(rows * WIDTH);
    for (const [label, value] of states) if (label <= last) state[label] = value;
    const value = new Float32Array(rows * WIDTH);
    for (const [label, v] of values) if (label <= last) value[label] = v;
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.bindTexture(gl.TEXTURE_2D, this.states);
    const byte = [gl.R8UI, WIDTH, rows, 0, gl.RED_INTEGER, gl.UNSIGNED_BYTE] as const;
    gl.texImage2D(gl.TEXTURE_2D, 0, ...byte, state);
    nearest(gl);
    gl.bindTexture(gl.TEXTURE_2D, this.values);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R32F, WIDTH, rows, 0, gl.RED, gl.FLOAT, value);
    nearest(gl);
  }
}
