// Draws the visible tiles of all layers. Plain WebGL2: OpenSeadragon draws pictures of 8 bits, which
// labels and 16-bit planes are not, and viv brings all of deck.gl for what two shaders do.

import { type App, type ChannelView, isListed, type LayerView } from "../app";
import { CLASSES, DIFFERENCE, OBJECTS } from "../palette";
import type { Field } from "../types";
import { Pace } from "./pace";
import { type Program, Programs } from "./shaders";
import { Tables } from "./tables";
import { type At, type Tile, Tiles } from "./tiles";

/** Width of outlines, pixels of the screen. */
const LINE = 2;
/** Times of so many frames are kept, for scripts that measure. */
const KEPT = 2000;

/** What of a tile is drawn where. */
interface Piece {
  tile: Tile;
  /** Left, top, right, bottom in the image. */
  place: [number, number, number, number];
  /** The same in texels. */
  part: [number, number, number, number];
  /** Pixels of the image under a texel. */
  step: number;
}

export class Renderer {
  readonly tiles: Tiles;
  readonly tables: Tables;
  private readonly gl: WebGL2RenderingContext;
  private readonly programs: Programs;
  private asked = false;
  /** Milliseconds that frames took to be asked for: the page's own part. */
  readonly frames: number[] = [];
  readonly pace = new Pace(() => this.ask());
  /** Width and height of the canvas in pixels of the page. */
  private size = { width: 1, height: 1 };
  /** Pixels that are drawn for one of the page. */
  private ratio = 1;
  hovered = 0;
  blinked = false;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly app: App,
  ) {
    const gl = canvas.getContext("webgl2", { antialias: false, alpha: false, depth: false });
    if (!gl) throw new Error("this browser has no WebGL2; a newer Firefox, Chrome or Safari has");
    this.gl = gl;
    this.programs = new Programs(gl);
    this.tables = new Tables(gl);
    this.tiles = new Tiles(gl, () => this.ask(), (text) => app.say(text, true));
    const corners = new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, corners, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  /** Draws with the next frame of the screen. */
  ask(): void {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame((now) => {
      this.asked = false;
      const begun = performance.now();
      this.fit(this.pace.frame(now));
      this.draw();
      this.frames.push(performance.now() - begun);
      if (this.frames.length > KEPT) this.frames.splice(0, KEPT / 2);
    });
  }

  /** The canvas takes this many pixels of the page. */
  resize(width: number, height: number): void {
    this.size = { width: Math.max(width, 1), height: Math.max(height, 1) };
    this.pace.forget();
    this.ask();
  }

  /** Gives the canvas this share of the screen's own pixels along a side. */
  private fit(share: number): void {
    const { canvas } = this;
    this.ratio = devicePixelRatio * share;
    const width = Math.max(1, Math.round(this.size.width * this.ratio));
    const height = Math.max(1, Math.round(this.size.height * this.ratio));
    // Setting a size throws the canvas's pixels away, also where it is the same.
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
  }

  private draw(): void {
    const { gl, app } = this;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0.06, 0.07, 0.08, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    this.tiles.begin();
    app.channels.forEach((view, channel) => {
      const depth = app.shown.depth[channel] ?? 0;
      if (view.on && view.range && depth > 0) {
        const z = Math.min(app.z, depth - 1);
        this.image(view, `image/${app.field}/${channel}/${z}`);
      }
    });
    const shown = (layer: number): boolean => app.shown.layers[layer] === true;
    if (!app.hidden && !(this.blinked && app.blink)) {
      for (const layer of this.stack) {
        const view = app.layers[layer];
        if (view?.on && shown(layer)) this.labels(view, layer);
      }
    }
    this.tiles.end();
  }

  /** Layers from the bottom: classes, then objects, and what is listed above all. */
  private get stack(): number[] {
    const { active, list } = this.app;
    const height = (layer: number): number =>
      layer === active ? 2 : list.layers.slice(layer, layer + 1).some(isListed) ? 1 : 0;
    const layers = list.layers.map((_, i) => i);
    return layers.sort((a, b) => height(a) - height(b) || b - a);
  }

  private image(view: ChannelView, of: string): void {
    const { gl } = this;
    const covers = !view.adds && view.opacity >= 1;
    // What covers all that lies below it needs not to be mixed with it.
    if (covers) gl.disable(gl.BLEND);
    for (const piece of this.pieces(of)) {
      const texel = piece.step * this.scale;
      const between = texel < 1 || (texel > 1 && texel < 3);
      // Where the graphics are slow, a moving image is not made smooth.
      const smooth = between && this.ratio === devicePixelRatio;
      const { look, one } = piece.tile;
      const way = !smooth ? "nearest" : look === "filtered" ? "filter" : "hand";
      const program = this.programs.image(look === "integers", way);
      program.use();
      const factor = one / Math.max(view.high - view.low, 1e-20);
      gl.uniform2f(program.at("range"), view.low / one, factor);
      gl.uniform3f(program.at("colour"), ...view.colour);
      gl.uniform1f(program.at("opacity"), view.opacity);
      gl.uniform1f(program.at("adds"), view.adds ? 1 : 0);
      gl.uniform2i(program.at("last"), piece.tile.width - 1, piece.tile.height - 1);
      this.put(program, piece);
    }
    if (covers) gl.enable(gl.BLEND);
  }

  private labels(view: LayerView, layer: number): void {
    const { gl, app } = this;
    const kind = app.list.layers[layer]?.kind;
    const classes = kind === "classes" || kind === "difference";
    const active = layer === app.active;
    // What is known of objects is of the layer that is listed alone.
    const values = active && !classes && !["number", "one"].includes(view.colouring);
    const program = this.programs.labels({ states: active && this.tables.decided, values });
    program.use();
    const palette = kind === "difference" ? DIFFERENCE : classes ? CLASSES : OBJECTS;
    gl.uniform3fv(program.at("palette"), palette.flat());
    gl.uniform1i(program.at("colours"), palette.length);
    gl.uniform1i(program.at("colouring"), classes ? 3 : view.colouring === "one" ? 1 : 0);
    gl.uniform3f(program.at("colour"), ...view.colour);
    const inside = view.opacity * { lines: 0, both: 0.35, fill: 0.7 }[view.style];
    gl.uniform2f(program.at("fill"), inside, view.style === "fill" ? inside : view.opacity);
    gl.uniform1f(program.at("border"), app.list.border);
    gl.uniform1ui(program.at("selected"), active ? (app.selection ?? 0) : 0);
    gl.uniform1ui(program.at("picked"), active ? (app.picked ?? 0) : 0);
    gl.uniform1ui(program.at("hovered"), active ? this.hovered : 0);
    const { tables } = this;
    [tables.states, tables.values, tables.map].forEach((texture, i) => {
      gl.activeTexture(gl.TEXTURE1 + i);
      gl.bindTexture(gl.TEXTURE_2D, texture);
    });
    gl.uniform1i(program.at("states"), 1);
    gl.uniform1i(program.at("values"), 2);
    gl.uniform1i(program.at("map"), 3);
    for (const piece of this.pieces(`labels/${app.field}/${layer}`)) {
      const texel = piece.step * this.scale;
      const width = Math.min((LINE * this.ratio) / texel, app.list.border - 0.5);
      gl.uniform1f(program.at("width"), width);
      gl.uniform2i(program.at("last"), piece.tile.width - 1, piece.tile.height - 1);
      this.put(program, piece);
    }
  }

  /** Pixels that are drawn for one of the image. */
  private get scale(): number {
    return this.app.camera.scale * this.ratio;
  }

  private put(program: Program, piece: Piece): void {
    const { gl, canvas, app } = this;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, piece.tile.texture);
    gl.uniform1i(program.at("tile"), 0);
    const { camera } = app;
    const across = (x: number): number => (((x - camera.x) * this.scale) / canvas.width) * 2;
    const down = (y: number): number => (((camera.y - y) * this.scale) / canvas.height) * 2;
    const [left, top, right, bottom] = piece.place;
    const place = [across(left), down(top), across(right), down(bottom)] as const;
    gl.uniform4f(program.at("place"), ...place);
    gl.uniform4f(program.at("part"), ...piece.part);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  /** The level at which a texel is a pixel of the screen or a little less. */
  private level(field: Field): number {
    const side = Math.max(...field.size);
    const last = Math.max(0, Math.ceil(Math.log2(side / this.app.list.tile)));
    // By the screen's own pixels, also while fewer are drawn: other tiles would have to come first.
    const scale = this.app.camera.scale * devicePixelRatio;
    return Math.min(last, Math.max(0, Math.floor(Math.log2(1 / scale))));
  }

  /** What is drawn of a plane: its tiles, or parts of coarser ones while they come. */
  private pieces(of: string): Piece[] {
    const { app, canvas } = this;
    const field = app.shown;
    const [height, width] = field.size;
    const level = this.level(field);
    const side = app.list.tile * 2 ** level;
    const [rows, columns] = [Math.ceil(height / side), Math.ceil(width / side)];
    const [halfY, halfX] = [canvas.height / 2 / this.scale, canvas.width / 2 / this.scale];
    const first = (at: number): number => Math.max(0, Math.floor(at / side));
    const last = (at: number, n: number): number => Math.min(n - 1, Math.floor(at / side));
    const found: Piece[] = [];
    const lastRow = last(app.camera.y + halfY, rows);
    const lastColumn = last(app.camera.x + halfX, columns);
    for (let y = first(app.camera.y - halfY); y <= lastRow; y++) {
      for (let x = first(app.camera.x - halfX); x <= lastColumn; x++) {
        const place: Piece["place"] = [
          x * side,
          y * side,
          Math.min((x + 1) * side, width),
          Math.min((y + 1) * side, height),
        ];
        const piece = this.piece({ of, level, y, x }, place);
        if (piece) found.push(piece);
      }
    }
    return found;
  }

  private piece(at: At, place: Piece["place"]): Piece | null {
    let tile = this.tiles.get(at);
    let { level, y, x } = at;
    for (let up = 1; !tile && up <= 8; up++) {
      [level, y, x] = [at.level + up, at.y >> up, at.x >> up];
      tile = this.tiles.peek({ of: at.of, level, y, x });
    }
    if (!tile) return null;
    const step = 2 ** level;
    const side = this.app.list.tile;
    const across = (v: number): number => v / step - x * side;
    const down = (v: number): number => v / step - y * side;
    const part: Piece["part"] = [
      across(place[0]),
      down(place[1]),
      across(place[2]),
      down(place[3]),
    ];
    return { tile, place, part, step };
  }
}
