// Photo and marks on two canvases. Marks are painted opaque; how far the photo shows through is the element's opacity.

import { getSides } from "./marks.js";

export const TINTS = ["#f0146e", "#00b84a", "#1a8cff"]; // one of them stands out from any photo
const SHARP_FROM = 3; // device pixels a photo pixel, from which pixels are shown as squares

export class Painter {
  #paths = new WeakMap();
  #settled = document.createElement("canvas"); // all marks but the one being drawn

  constructor(photo, overlay, view) {
    Object.assign(this, { photo, overlay, view, picture: null, detail: null, start: null, tint: TINTS[0] });
  }

  resize() {
    const density = devicePixelRatio || 1, { width, height } = this.view.stage;
    for (const canvas of [this.photo, this.overlay, this.#settled]) {
      canvas.width = Math.max(1, Math.round(width * density));
      canvas.height = Math.max(1, Math.round(height * density));
    }
    this.density = density;
  }

  paintPhoto() {
    const context = this.#clear(this.photo);
    const { width, height, scale } = this.view;
    this.#enter(context);
    context.imageSmoothingEnabled = scale * this.density < SHARP_FROM;
    context.imageSmoothingQuality = "high";
    if (this.picture) context.drawImage(this.picture, 0, 0, width, height);
    if (this.detail) {
      const [x0, y0, x1, y1] = this.detail.box;
      context.drawImage(this.detail.picture, x0, y0, x1 - x0, y1 - y0);
    }
    context.restore();
  }

  /** Paint all finished marks anew: after each change of theirs or of the view. */
  settle(marks) {
    const context = this.#clear(this.#settled);
    this.#enter(context);
    const cleared = marks.findLastIndex((mark) => mark.kind === "clear");
    if (this.start && cleared < 0) {
      context.drawImage(this.start, 0, 0, this.view.width, this.view.height);
      context.globalCompositeOperation = "source-in";
      this.#fill(context);
    }
    for (const mark of marks.slice(cleared + 1)) this.#paint(context, mark);
    context.restore();
  }

  paintMarks(drawn) {
    const context = this.#clear(this.overlay);
    context.drawImage(this.#settled, 0, 0);
    if (!drawn) return;
    this.#enter(context);
    this.#paths.delete(drawn); // it grew
    this.#paint(context, drawn);
    context.restore();
  }

  #clear(canvas) {
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    return context;
  }

  /** Photo pixels from here on, and nothing outside the photo. */
  #enter(context) {
    const { x, y, scale, width, height } = this.view, { density } = this;
    context.save();
    context.setTransform(scale * density, 0, 0, scale * density, x * density, y * density);
    context.beginPath();
    context.rect(0, 0, width, height);
    context.clip();
    context.fillStyle = context.strokeStyle = this.tint;
    context.lineCap = context.lineJoin = "round";
  }

  #fill(context) {
    context.fillRect(0, 0, this.view.width, this.view.height);
  }

  #paint(context, mark) {
    if (mark.kind === "invert") {
      context.globalCompositeOperation = "xor";
      this.#fill(context);
      return;
    }
    context.globalCompositeOperation = mark.erase ? "destination-out" : "source-over";
    if (mark.kind === "box") {
      context.fillRect(...getSides(mark));
      return;
    }
    const path = this.#getPath(mark);
    context.lineWidth = 2 * mark.radius;
    if (mark.points.length > 2) context.stroke(path);
    else context.fill(path); // a line of no length has no ends to round
  }

  #getPath(mark) {
    let path = this.#paths.get(mark);
    if (!path) {
      const { points, radius } = mark;
      path = new Path2D();
      if (points.length > 2) path.moveTo(points[0], points[1]);
      else path.arc(points[0], points[1], radius, 0, 2 * Math.PI);
      for (let i = 2; i < points.length; i += 2) path.lineTo(points[i], points[i + 1]);
      this.#paths.set(mark, path);
    }
    return path;
  }
}
