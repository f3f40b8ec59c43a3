// A closed line that is drawn in one go, by clicking its corners, or both.

const NEAR = 8; // pixels of the screen

export class Outline {
  constructor(view) {
    this.view = view;
    this.points = [];
  }

  // A stroke of the pointer has ended: the whole line if that closes it, else null.
  add(path) {
    const near = (NEAR * (devicePixelRatio || 1)) / this.view.scale;
    const apart = (one, other) => Math.hypot(one.x - other.x, one.y - other.y);
    const still = path.every((point) => apart(point, path[0]) < near / 2);
    const { points } = this;
    if (!points.length && !still) return path;
    const ends = points.length > 2 ? [points[0], points.at(-1)] : [];
    if (still && ends.some((end) => apart(path[0], end) < near)) return this.close();
    points.push(...(still ? [path[0]] : path));
    this.show();
    return null;
  }

  // The line as it is, closed; null if it surrounds nothing.
  close() {
    const { points } = this;
    this.clear();
    return points.length > 2 ? points : null;
  }

  back() {
    this.points.pop();
    this.show();
  }

  clear() {
    this.points = [];
    this.show();
  }

  // Show it; `at`: where the pointer is.
  show(at) {
    this.view.path = this.points.length ? [...this.points, ...(at ? [at] : [])] : null;
    this.view.draw();
  }
}
