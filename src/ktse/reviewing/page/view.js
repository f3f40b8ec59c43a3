// The canvas: a photo, a layer over it, zoom and pan. It draws what it is given and knows nothing of images and ids.

const HEAT = [[0, 20, 11, 53], [64, 101, 21, 110], [128, 203, 65, 73], [191, 251, 155, 6], [255, 252, 253, 191]];

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.opacity = 0.5;
    this.cursor = null; // {x, y, radius} in pixels of the image
    this.path = null; // points of a line that is being drawn
    this.clear();
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  clear() {
    this.photo = null;
    this.layer = null;
    this.grey = false;
    this.width = this.height = 0;
    this.scale = 1;
    this.x = this.y = 0;
    this.fitted = true;
    this.draw();
  }

  show(photo, width, height) {
    Object.assign(this, { photo, width, height, layer: null });
    this.label = document.createElement("canvas");
    this.label.width = width;
    this.label.height = height;
    this.pixels = new ImageData(width, height);
    this.fit();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const box = this.canvas.getBoundingClientRect();
    if (!box.width) return;
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(box.height * ratio);
    this.fitted ? this.fit() : this.draw();
  }

  // Show a label map; of a box [left, top, right, bottom] only, if one is given. `denied(at)`: whether a person says
  // that a pixel is not of some class.
  setLabel(label, colours, undecided, box = [0, 0, this.width, this.height], denied = null) {
    const { width, height } = this;
    const [left, top] = [Math.max(0, box[0] - 1), Math.max(0, box[1] - 1)];
    const [right, bottom] = [Math.min(width, box[2] + 1), Math.min(height, box[3] + 1)];
    const data = new Uint32Array(this.pixels.data.buffer);
    const fill = Math.round(255 * this.opacity) << 24;
    const line = this.opacity > 0 ? Math.round(255 * Math.min(1, this.opacity + 0.35)) << 24 : 0;
    const dash = Math.max(1, Math.round((2 * (devicePixelRatio || 1)) / this.scale));
    for (let y = top; y < bottom; y++) {
      for (let x = left, at = y * width + left; x < right; x++, at++) {
        const value = label[at];
        if (denied?.(at)) {
          data[at] = (x + y) % (2 * dash) < dash ? 0xff000000 : 0xffffffff;
          continue;
        }
        if (value === 0) {
          data[at] = 0;
          continue;
        }
        const edge = (x > 0 && label[at - 1] !== value) || (x < width - 1 && label[at + 1] !== value)
          || (y > 0 && label[at - width] !== value) || (y < height - 1 && label[at + width] !== value);
        if (value === undecided) data[at] = (x + y) % 9 < 3 ? 0xff505e60 : (fill | 0xc0e0e0);
        else data[at] = (edge ? line : fill) | colours[value];
      }
    }
    this.label.getContext("2d").putImageData(this.pixels, 0, 0, left, top, right - left, bottom - top);
    this.layer = { picture: this.label, alpha: 1 };
    this.grey = false;
    this.draw();
  }

  // Show scores as heat: one class, or the largest of all where `only` is none of them.
  setHeat(scores, only) {
    const { count, width, height, labels, values } = scores;
    const chosen = [...labels].indexOf(only);
    const picture = document.createElement("canvas");
    Object.assign(picture, { width, height });
    const pixels = new ImageData(width, height);
    for (let at = 0; at < width * height; at++) {
      let value = 0;
      for (let k = 0; k < count; k++) if (chosen < 0 || k === chosen) value = Math.max(value, values[k * width * height + at]);
      pixels.data.set(heat(value), 4 * at);
    }
    picture.getContext("2d").putImageData(pixels, 0, 0);
    this.layer = { picture, alpha: this.opacity };
    this.grey = true;
    this.draw();
  }

  setNothing() {
    this.layer = null;
    this.grey = false;
    this.draw();
  }

  fit() {
    const { width, height } = this.canvas;
    this.scale = this.width ? Math.min(width / this.width, height / this.height) * 0.98 : 1;
    this.x = (width - this.width * this.scale) / 2;
    this.y = (height - this.height * this.scale) / 2;
    this.fitted = true;
    this.draw();
  }

  // Zoom about a point of the window, or the middle.
  zoom(factor, point) {
    const at = point ? this.onCanvas(point) : { x: this.canvas.width / 2, y: this.canvas.height / 2 };
    const scale = Math.min(64, Math.max(0.02, this.scale * factor));
    this.x = at.x - (at.x - this.x) * (scale / this.scale);
    this.y = at.y - (at.y - this.y) * (scale / this.scale);
    this.scale = scale;
    this.fitted = false;
    this.draw();
  }

  pan(dx, dy) {
    const ratio = window.devicePixelRatio || 1;
    this.x += dx * ratio;
    this.y += dy * ratio;
    this.fitted = false;
    this.draw();
  }

  onCanvas(point) {
    const box = this.canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    return { x: (point.clientX - box.left) * ratio, y: (point.clientY - box.top) * ratio };
  }

  onImage(point) {
    const at = this.onCanvas(point);
    return { x: (at.x - this.x) / this.scale, y: (at.y - this.y) / this.scale };
  }

  // Draw before the next frame, however often it is asked for.
  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.drawNow();
    });
  }

  drawNow() {
    const { context, canvas, scale } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.photo) return;
    context.setTransform(scale, 0, 0, scale, this.x, this.y);
    context.imageSmoothingEnabled = scale < 3;
    context.filter = this.grey ? "grayscale(1)" : "none";
    context.drawImage(this.photo, 0, 0, this.width, this.height);
    context.filter = "none";
    if (this.layer) {
      context.globalAlpha = this.layer.alpha;
      context.imageSmoothingEnabled = this.grey || scale < 1;
      context.drawImage(this.layer.picture, 0, 0, this.width, this.height);
      context.globalAlpha = 1;
    }
    if (this.path) this.outline(() => this.path.forEach((point) => context.lineTo(point.x, point.y)), [6, 4]);
    if (this.cursor) {
      const { x, y, radius } = this.cursor;
      this.outline(() => context.arc(x, y, Math.max(radius, 0.5), 0, 2 * Math.PI), []);
    }
  }

  // A line in black and white, which is seen on every photo.
  outline(trace, dashes) {
    const { context, scale } = this;
    const wide = (window.devicePixelRatio || 1) / scale;
    for (const [colour, width, dash] of [["#000", 3, []], ["#fff", 1.4, dashes]]) {
      context.beginPath();
      trace();
      context.lineWidth = width * wide;
      context.setLineDash(dash.map((length) => length * wide));
      context.strokeStyle = colour;
      context.stroke();
    }
  }
}

function heat(value) {
  const after = Math.max(1, HEAT.findIndex((entry) => value <= entry[0]));
  const [low, high] = [HEAT[after - 1], HEAT[after]];
  const share = (value - low[0]) / (high[0] - low[0]);
  return [1, 2, 3].map((band) => low[band] + share * (high[band] - low[band])).concat(255);
}
