// The programs that draw tiles: intensities and labels.

const VERTEX = `#version 300 es
in vec2 corner;
uniform vec4 place;   // left, top, right, bottom in clip space
uniform vec4 part;    // the same in texels of the tile
out vec2 texel;
void main() {
  texel = mix(part.xy, part.zw, corner);
  gl_Position = vec4(mix(place.xy, place.zw, corner), 0.0, 1.0);
}`;

const VALUE = {
  nearest: "  float value = at(ivec2(floor(texel)));",
  filter: "  float value = texture(tile, texel / vec2(last + 1)).r;",
  hand: `  vec2 p = texel - 0.5;
  ivec2 i = ivec2(floor(p));
  vec2 f = p - vec2(i);
  float top = mix(at(i), at(i + ivec2(1, 0)), f.x);
  float bottom = mix(at(i + ivec2(0, 1)), at(i + ivec2(1, 1)), f.x);
  float value = mix(top, bottom, f.y);`,
};

/** How the value between texels is found: that of the nearest one, by the texture's own filter, or by hand. */
export type Between = "nearest" | "filter" | "hand";

/**
 * Intensities; values keep their bits until here, so contrast is two numbers. What costs a software
 * rasteriser is texels that are read: a filtered read is one, by hand there are four.
 */
const image = (sampler: string, between: Between): string => `#version 300 es
precision highp float;
precision highp ${sampler};
uniform ${sampler} tile;
uniform ivec2 last;       // texel of the tile
uniform vec2 range;       // darkest value, and what a value is multiplied by
uniform vec3 colour;
uniform float opacity;
uniform float adds;
in vec2 texel;
out vec4 drawn;
float at(ivec2 p) {
  return float(texelFetch(tile, clamp(p, ivec2(0), last), 0).r);
}
void main() {
${VALUE[between]}
  // A number that is none is drawn black.
  float light = clamp((value - range.x) * range.y, 0.0, 1.0);
  drawn = vec4(colour * light * opacity, opacity * (1.0 - adds));
}`;

/** What of labels is looked up; a program reads no more than what is shown wants. */
export interface Looks {
  /** Something is decided on objects. */
  states: boolean;
  /** Colours are by the table of values. */
  values: boolean;
}

/**
 * Labels; what an object looks like is looked up by its number, so another colouring moves no
 * pixel. `states`: 1 accepted, 2 mitotic. `values`: 0 to 1. A pixel is of an edge where one of the
 * four that lie diagonally from it at the width of the line is of another object.
 */
const labels = ({ states, values }: Looks): string => `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;
precision highp sampler2D;
uniform usampler2D tile;
uniform ivec2 last;       // texel of the tile
uniform usampler2D states;
uniform sampler2D values;
uniform sampler2D map;
uniform vec3 palette[8];
uniform int colours;      // of the palette
uniform int colouring;    // 0 by number, 1 one colour, 3 classes
uniform vec3 colour;
uniform vec2 fill;        // opacity of the inside and of the edge
uniform float width;      // of the edge in texels
uniform float border;
uniform uint selected;
uniform uint picked;
uniform uint hovered;
in vec2 texel;
out vec4 drawn;
uint at(vec2 p) {
  return texelFetch(tile, clamp(ivec2(floor(p + border)), ivec2(0), last), 0).r;
}
ivec2 place(uint id, ivec2 size) {
  return ivec2(int(id % uint(size.x)), int(id / uint(size.x)));
}
vec3 look(uint id) {
${
  values
    ? `  ivec2 size = textureSize(values, 0);
  ivec2 p = place(id, size);
  float value = p.y < size.y ? texelFetch(values, p, 0).r : 0.0;
  return texture(map, vec2(value * 0.99 + 0.005, 0.5)).rgb;`
    : `  if (colouring == 1) return colour;
  if (colouring == 3) return id == 255u ? vec3(0.5) : palette[int((id - 1u) % uint(colours))];
  return palette[int(((id * 2654435761u) >> 16u) % uint(colours))];`
}
}
void main() {
  uint id = at(texel);
  if (id == 0u) discard;
  bool near = id == selected || id == picked;
  float w = near ? width * 1.6 : width;
  bool edge = at(texel - w) != id || at(texel + w) != id
    || at(texel + vec2(w, -w)) != id || at(texel + vec2(-w, w)) != id;
  float alpha = edge ? fill.y : fill.x;
${
  states
    ? `  ivec2 size = textureSize(states, 0);
  ivec2 p = place(id, size);
  uint state = p.y < size.y ? texelFetch(states, p, 0).r : 0u;
  if ((state & 1u) != 0u && !edge) alpha = max(alpha, 0.22);
  if ((state & 2u) != 0u && !edge) {
    // Mitotic: stripes.
    float stripe = step(0.5, fract((texel.x + texel.y) / (6.0 * max(width, 0.34))));
    alpha = max(alpha, 0.45 * stripe);
  }`
    : ""
}
  if (id == hovered && !edge) alpha = max(alpha, 0.15);
  if (near) alpha = edge ? 1.0 : max(alpha, 0.3);
  if (alpha == 0.0) discard;
  vec3 rgb = near && edge ? vec3(1.0) : look(id);
  drawn = vec4(rgb * alpha, alpha);
}`;

function compile(gl: WebGL2RenderingContext, kind: number, source: string): WebGLShader {
  const shader = gl.createShader(kind);
  if (!shader) throw new Error("the graphics driver makes no shader");
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) {
    throw new Error(gl.getShaderInfoLog(shader) ?? "a shader does not compile");
  }
  return shader;
}

/** A program with the places of its uniforms. */
export class Program {
  private readonly program: WebGLProgram;
  private readonly places = new Map<string, WebGLUniformLocation | null>();

  constructor(
    private readonly gl: WebGL2RenderingContext,
    fragment: string,
  ) {
    const program = gl.createProgram();
    gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, fragment));
    gl.bindAttribLocation(program, 0, "corner");
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      throw new Error(gl.getProgramInfoLog(program) ?? "a program does not link");
    }
    this.program = program;
  }

  use(): void {
    this.gl.useProgram(this.program);
  }

  at(name: string): WebGLUniformLocation | null {
    if (!this.places.has(name)) {
      this.places.set(name, this.gl.getUniformLocation(this.program, name));
    }
    return this.places.get(name) ?? null;
  }
}

/** Programs, made when they are wanted first. */
export class Programs {
  private readonly made = new Map<string, Program>();

  constructor(private readonly gl: WebGL2RenderingContext) {}

  /** What draws intensities; `integers` are tiles of a type that cannot be filtered. */
  image(integers: boolean, between: Between): Program {
    const sampler = integers ? "usampler2D" : "sampler2D";
    return this.get(`${sampler} ${between}`, () => image(sampler, between));
  }

  /** What draws labels. */
  labels(looks: Looks): Program {
    return this.get(`labels ${looks.states} ${looks.values}`, () => labels(looks));
  }

  private get(name: string, source: () => string): Program {
    const made = this.made.get(name) ?? new Program(this.gl, source());
    this.made.set(name, made);
    return made;
  }
}
