// Where the photo lies on the stage: screen = photo * scale + (x, y), in CSS pixels.

const MARGIN = 16; // round a photo shown whole
const KEPT = 60; // of a photo that is moved aside
const CLOSEST = 32; // CSS pixels a photo pixel

export class View {
  constructor(width, height) {
    Object.assign(this, { width, height, scale: 1, x: 0, y: 0, whole: true, stage: { width: 1, height: 1 } });
  }

  /** Take a new size of the stage: a photo shown whole stays whole, another keeps its middle. */
  resize(width, height) {
    const before = this.stage;
    this.stage = { width, height };
    if (this.whole) this.fit();
    else this.move((width - before.width) / 2, (height - before.height) / 2);
  }

  fit() {
    this.scale = this.#getWhole();
    this.x = (this.stage.width - this.width * this.scale) / 2;
    this.y = (this.stage.height - this.height * this.scale) / 2;
    this.whole = true;
  }

  /** Zoom by a factor; what lies at a point of the stage stays there. */
  zoom(factor, at = { x: this.stage.width / 2, y: this.stage.height / 2 }) {
    const whole = this.#getWhole();
    const scale = Math.min(Math.max(this.scale * factor, Math.min(whole, 1) / 2), Math.max(CLOSEST, whole));
    const there = this.toPhoto(at);
    this.scale = scale;
    this.x = at.x - there.x * scale;
    this.y = at.y - there.y * scale;
    this.whole = false;
    this.move(0, 0);
  }

  move(dx, dy) {
    const keep = (start, side, room) => Math.min(Math.max(start, KEPT - side), room - KEPT);
    if (dx || dy) this.whole = false;
    this.x = keep(this.x + dx, this.width * this.scale, this.stage.width);
    this.y = keep(this.y + dy, this.height * this.scale, this.stage.height);
  }

  toPhoto({ x, y }) {
    return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale };
  }

  /** The photo's pixels in sight, x0, y0, x1, y1, with a little round them; null for none. */
  getSight() {
    const { width, height } = this.stage;
    const from = this.toPhoto({ x: -0.1 * width, y: -0.1 * height });
    const to = this.toPhoto({ x: 1.1 * width, y: 1.1 * height });
    const [x0, y0] = [Math.max(Math.floor(from.x), 0), Math.max(Math.floor(from.y), 0)];
    const [x1, y1] = [Math.min(Math.ceil(to.x), this.width), Math.min(Math.ceil(to.y), this.height)];
    return x0 < x1 && y0 < y1 ? [x0, y0, x1, y1] : null;
  }

  #getWhole() {
    const room = (side) => Math.max(side - 2 * MARGIN, 1);
    const scale = Math.min(room(this.stage.width) / this.width, room(this.stage.height) / this.height);
    return Math.min(scale, CLOSEST);
  }
}
