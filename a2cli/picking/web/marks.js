// What is marked, as vectors in photo pixels and in the order drawn. The same list is painted here and, pixel by
// pixel, drawn by a2 when it is saved. A mark: {kind: "stroke", radius, erase, points: [x, y, ...]},
// {kind: "box", erase, points: [x0, y0, x1, y1]}, {kind: "invert"}, {kind: "clear"}.

const round = (number) => Math.round(number * 100) / 100;

export class Marks {
  #place; // under which the tab keeps them, should it be loaded again

  constructor(place) {
    this.#place = place;
    this.done = [];
    this.undone = [];
    try {
      const kept = JSON.parse(sessionStorage.getItem(place));
      if (Array.isArray(kept)) this.done = kept;
    } catch { /* nothing is kept */ }
  }

  add(mark) {
    this.done.push(mark);
    this.undone = [];
    this.#keep();
  }

  /** Whether there was something to take back. */
  undo() {
    return this.#carry(this.done, this.undone);
  }

  redo() {
    return this.#carry(this.undone, this.done);
  }

  forget() {
    try { sessionStorage.removeItem(this.#place); } catch { /* nothing was kept */ }
  }

  #carry(from, to) {
    if (!from.length) return false;
    to.push(from.pop());
    this.#keep();
    return true;
  }

  #keep() {
    try { sessionStorage.setItem(this.#place, JSON.stringify(this.done)); } catch { /* full: they last as the page */ }
  }
}

export const beginStroke = (at, radius, erase) => (
  { kind: "stroke", radius: round(radius), erase, points: [round(at.x), round(at.y)] }
);

export const beginBox = (at, erase) => (
  { kind: "box", erase, points: [round(at.x), round(at.y), round(at.x), round(at.y)] }
);

/** Draw a mark on to a point; a stroke leaves out what is nearer than `step` to its last one. */
export function extend(mark, at, step) {
  const { points } = mark;
  if (mark.kind === "box") {
    points.splice(2, 2, round(at.x), round(at.y));
  } else if (Math.hypot(at.x - points.at(-2), at.y - points.at(-1)) >= step) {
    points.push(round(at.x), round(at.y));
  }
}

/** A box's sides on whole pixels, as a2 rounds them: x, y, width, height. */
export function getSides({ points }) {
  const [x0, y0, x1, y1] = points.map((corner) => Math.floor(corner + 0.5));
  return [Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0)];
}
