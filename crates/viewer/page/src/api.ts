// Requests to the server, with the token that the address brought.

import type { Again, Applied, Changes, Choices, Entries, List, Operation, Pixels, Range, Runs, Thing } from "./types";

const STORED = "stainfree-token";

/** The token: behind `#` when the page is opened, then kept for this tab, so that it can be reloaded. */
function token(): string {
  const given = location.hash.slice(1);
  if (/^[0-9a-f]{32}$/.test(given)) {
    sessionStorage.setItem(STORED, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(STORED) ?? "";
}

const headers = { "X-Stainfree-Token": token() };

/** What the server refused, in its words. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** For an edit that met another's: what changed. */
    readonly since?: Applied,
  ) {
    super(message);
  }
}

async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`/api/${path}`, { ...init, headers });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refusal(0, "the program does not answer; start it again and open its new address");
  }
  if (response.ok) return response;
  const said: { error?: string; since?: Applied } = await response.json().catch(() => ({}));
  throw new Refusal(response.status, said.error ?? `refused (${response.status})`, said.since);
}

async function json<T>(path: string): Promise<T> {
  const response = await ask(path);
  return (await response.json()) as T;
}

async function pixels(path: string, signal: AbortSignal): Promise<Pixels> {
  const response = await ask(path, { signal });
  const number = (name: string): number => Number(response.headers.get(name) ?? 0);
  return {
    kind: response.headers.get("x-pixels") as Pixels["kind"],
    height: number("x-height"),
    width: number("x-width"),
    version: number("x-version"),
    data: await response.arrayBuffer(),
  };
}

export const list = (): Promise<List> => json("list");

export const range = (field: number, channel: number, z: number): Promise<Range> =>
  json(`range/${field}/${channel}/${z}`);

export const objects = (
  field: number,
  layer: number,
  other: number | null,
): Promise<{ version: number; objects: Thing[] }> =>
  json(`objects/${field}/${layer}/${other ?? "-"}`);

export const pixel = (
  field: number,
  z: number,
  y: number,
  x: number,
): Promise<{ values: (number | null)[]; labels: (number | null)[] }> =>
  json(`pixel/${field}/${z}/${y}/${x}`);

export const tile = (path: string, signal: AbortSignal): Promise<Pixels> => pixels(path, signal);

export const since = (field: number, known: number): Promise<Applied> =>
  json(`edits/${field}/${known}`);

export async function edit(
  field: number,
  id: string,
  version: number,
  operation: Operation,
): Promise<Applied> {
  const body = JSON.stringify({ id, version, edit: operation });
  const response = await ask(`edits/${field}`, { method: "POST", body });
  return (await response.json()) as Applied;
}

export const thumb = (field: number, channel: number, z: number, signal: AbortSignal): Promise<Pixels> =>
  pixels(`thumb/${field}/${channel}/${z}`, signal);

export const outline = (
  field: number,
  channel: number,
  z: number,
  [y, x]: [number, number],
  reach: number,
): Promise<{ runs: Runs }> => json(`outline/${field}/${channel}/${z}/${y}/${x}/${reach}`);

/** The pixels of the object at a place of a layer. */
export const shape = (field: number, layer: number, y: number, x: number): Promise<{ runs: Runs }> =>
  json(`shape/${field}/${layer}/${y}/${x}`);

export const work = (list: number, tests: boolean): Promise<Entries> =>
  json(`work/${list}/${tests ? 1 : 0}`);

export const again = (): Promise<Again> => json("again");

export const choices = (): Promise<Choices> => json("again/choices");

export const changes = (run: number): Promise<Changes> => json(`again/changes/${run}`);

export type Asked =
  | { do: "start"; from: number; steps: number | null }
  | { do: "go_on"; run: number; begun: string }
  | { do: "stop" };

export async function train(asked: Asked): Promise<Again> {
  const response = await ask("again", { method: "POST", body: JSON.stringify(asked) });
  return (await response.json()) as Again;
}

/** Opens the study anew on the server; the page has to be loaded again then. */
export const reload = (): Promise<Response> => ask("reload", { method: "POST" });
