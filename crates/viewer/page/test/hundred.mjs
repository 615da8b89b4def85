// A hundred corrections of mixed kinds, as a person makes them: every key, pointing and click is
// counted, and how long the page lets one wait.
//
// What a person would take is estimated by the keystroke-level model of Card, Moran and Newell, "The
// keystroke-level model for user performance time with interactive systems", Communications of the ACM
// 23 (1980), 396-410: the sum of keystrokes and button presses, of pointing with a mouse, of getting
// ready in the mind, and of waiting. One hand stays on the keys and one on the mouse, so none moves
// between them. A stroke is pointed to where it begins and to where it ends.

/** Seconds: a key or button of an average typist who is no secretary; pointing; getting ready. */
const TIMES = { key: 0.28, point: 1.1, mind: 1.35 };

/** Kinds by turns; a merge joins what the split before it cut. */
const TURNS = [
  "accept", "accept", "reject", "accept", "split", "merge", "accept", "paint", "accept", "reject",
  "accept", "outline", "accept", "erase", "accept", "mitotic", "accept", "reject",
];

/** Makes `wanted` corrections in `fields`; `hands` drives the page. */
export async function hundred(hands, fields, wanted = 100) {
  const { page, app, until, loaded, settled, click, drag, thing, labels } = hands;
  // What the last split of the shown field made.
  let pair = null;
  const counts = {};
  const sum = { key: 0, point: 0, mind: 0 };
  const waits = [];
  let [used, made, skipped] = [0, 0, 0];
  const key = async (text) => {
    used += 1;
    sum.key += 1;
    await page.keyboard.press(text);
  };
  const point = async (y, x) => {
    used += 1;
    sum.key += 1;
    sum.point += 1;
    await click(y, x);
  };
  const stroke = async (line) => {
    used += 1;
    sum.key += 2;
    sum.point += 2;
    await drag(line);
  };
  const wait = async (text, v) => {
    const begun = performance.now();
    if (text) await until(text, v);
    else await settled();
    waits.push(performance.now() - begun);
  };
  const inside = (now) => ({ y: Math.round(now.y), x: Math.round(now.x) });

  /** One correction of the selected object; whether it could be made. */
  const correct = async (kind, label) => {
    const now = await thing(label);
    const wide = now.box[3] - now.box[1] > 12 && now.box[2] - now.box[0] > 12;
    const edits = await app("s.app.decided.edits");
    switch (kind) {
      case "accept":
      case "reject":
        await key(kind === "accept" ? "a" : "x");
        // The next one is there at once; what was decided is saved behind it.
        await wait("s.app.selection !== v || s.app.message?.text.startsWith('the work list')", label);
        await until("s.app.saving === 0");
        return true;
      case "mitotic":
        await key("t");
        break;
      case "split": {
        if (!wide) return false;
        const known = await labels();
        await key("s");
        await stroke([[now.box[0] - 2, now.x], [now.y, now.x], [now.box[2] + 2, now.x]]);
        await wait();
        await page.keyboard.press("Escape");
        const more = (await labels()).filter((one) => !known.includes(one));
        if (more.length !== 1) return false;
        pair = [label, more[0]];
        return true;
      }
      case "merge": {
        const [first, second] = pair;
        pair = null;
        const [a, b] = [await thing(first), await thing(second)];
        if (!a || !b) return false;
        await key("m");
        await point(a.y + 0.5, a.x + 0.5);
        await until("s.app.picked !== null");
        await point(b.y + 0.5, b.x + 0.5);
        await wait("!s.app.objects.has(v)", second);
        await settled();
        await page.keyboard.press("Escape");
        await app("s.actions.select(v)", first);
        return true;
      }
      case "paint":
      case "erase": {
        const { y } = inside(now);
        await key(kind === "paint" ? "p" : "e");
        await stroke([[y, now.box[3] - 3], [y, now.box[3] + 4]]);
        break;
      }
      case "outline":
        await key("w");
        await point(now.y + 0.5, now.x + 0.5);
        break;
    }
    await wait();
    await page.keyboard.press("Escape");
    return (await app("s.app.decided.edits")) > edits;
  };

  const begun = Date.now();
  for (let turn = 0; made < wanted && turn < 4 * fields.length; turn++) {
    pair = null;
    await app("s.actions.go(v)", fields[turn % fields.length]);
    await loaded();
    await settled();
    await page.keyboard.press("n");
    for (let i = 0; i < 14 && made < wanted; i++) {
      if ((await app("s.app.selection")) === null) await page.keyboard.press("n");
      const label = await app("s.app.selection");
      if (label === null || !(await thing(label))) break;
      let kind = TURNS[(made + skipped) % TURNS.length];
      if (kind === "merge" && !pair) kind = "accept";
      const before = used;
      sum.mind += 1;
      if (await correct(kind, label)) {
        const count = (counts[kind] ??= [0, 0]);
        count[0] += 1;
        count[1] += used - before;
        made += 1;
        // The field is done.
        if (kind === "accept" && (await app("s.app.selection")) === label) break;
      } else {
        // Not a place for it, such as a stain without an edge: the next kind is tried on it.
        skipped += 1;
      }
    }
  }
  const seconds = (Date.now() - begun) / 1000;
  const waited = waits.reduce((a, b) => a + b, 0) / 1000;
  const hand = sum.key * TIMES.key + sum.point * TIMES.point + sum.mind * TIMES.mind;
  return { made, skipped, counts, sum, waits, waited, seconds, estimate: hand + waited };
}
