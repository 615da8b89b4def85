// How finely frames are drawn while the view moves, so that slow graphics keep up.
//
// What a frame costs a rasteriser is its pixels. Where frames come late while the view moves, the next
// are drawn with fewer of them, and once it rests with all. JavaScript is not told how long a graphics
// card takes; that the screen's next frame comes late says it.

/** Smallest share of the screen's own pixels along a side. */
const COARSEST = 0.3;
/** By what the share shrinks when frames come late: half of the pixels go. */
const COARSER = Math.SQRT1_2;
/** Late, milliseconds: 60 frames a second are 16.7. */
const LATE = 20;
/** Frames that are judged together: one late one is chance. */
const TOGETHER = 5;
/** Milliseconds without a move after which the view rests. */
const REST = 150;
/** A pause between two frames that no drawing takes: the browser did something else. */
const PAUSE = 1000;

export class Pace {
  private share = 1;
  private moving = false;
  private last: number | null = null;
  private times: number[] = [];
  private timer = 0;

  /** Calls `rested` when the view rests and was drawn coarsely. */
  constructor(private readonly rested: () => void) {}

  /** The view moves. */
  moved(): void {
    this.moving = true;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      this.moving = false;
      this.last = null;
      this.times = [];
      if (this.share < 1) this.rested();
    }, REST);
  }

  /** The share of pixels along a side to draw with, for a frame that begins at `now`. */
  frame(now: number): number {
    if (!this.moving) return 1;
    if (this.last !== null && now - this.last < PAUSE) this.times.push(now - this.last);
    this.last = now;
    if (this.times.length < TOGETHER) return this.share;
    const usual = this.times.sort((a, b) => a - b)[Math.floor(TOGETHER / 2)] ?? 0;
    this.times = [];
    if (usual > LATE) this.share = Math.max(this.share * COARSER, COARSEST);
    return this.share;
  }

  /** Other things are drawn, or another size: how long they take is to be seen anew. */
  forget(): void {
    this.share = 1;
    this.times = [];
    this.last = null;
  }
}
