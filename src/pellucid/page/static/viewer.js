// The image under the pointer: window and level, zoom, pan, invert, a heat map over it, a frame.
// Everything is computed here, from 16-bit numbers, so that nothing waits for the server.

const INFERNO = [[0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85],
  [227, 89, 51], [249, 140, 10], [249, 201, 50], [252, 255, 164]];
const AGAINST = [[242, 242, 242], [0, 114, 178], [8, 48, 107]];

function along(colours, share) {
  const place = Math.min(1, Math.max(0, share)) * (colours.length - 1);
  const k = Math.min(colours.length - 2, Math.floor(place));
  return colours[k].map((value, c) => value + (place - k) * (colours[k + 1][c] - value));
}

const IS_LITTLE = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

function pixel(red, green, blue, opacity) {
  return (IS_LITTLE ? (opacity << 24) | (blue << 16) | (green << 8) | red
    : (red << 24) | (green << 16) | (blue << 8) | opacity) >>> 0;
}

// The same canvas again where it has the size: a pointer that moves draws many times.
function onCanvas(canvas, image) {
  const has = canvas && canvas.width === image.width && canvas.height === image.height;
  const found = has ? canvas : new OffscreenCanvas(image.width, image.height);
  found.getContext("2d").putImageData(image, 0, 0);
  return found;
}

export class Viewer {
  constructor(canvas, changed = () => {}) {
    this.canvas = canvas;
    this.changed = changed;
    this.picture = null;
    this.heat = null;
    this.box = null;
    this.opacity = 0.6;
    this.reset();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  reset() {
    Object.assign(this, { level: 0.5, window: 1, inverted: false, zoom: 0, x: 0, y: 0 });
  }

  // Another image begins as it is; of the same one, level, window and place stay.
  show(picture, isAnother = true) {
    if (picture === this.picture) return;
    if (isAnother) this.reset();
    Object.assign(this, { picture, heat: null, over: null, box: null });
    this.paint();
  }

  clear() {
    Object.assign(this, { picture: null, heat: null, over: null, box: null });
    this.draw();
  }

  lay(heat) { this.heat = heat; this.paintHeat(); this.draw(); }
  set(change) { Object.assign(this, change); this.paint(); }
  fit() { Object.assign(this, { zoom: 0, x: 0, y: 0 }); this.draw(); this.changed(); }

  move(x, y) {
    const ratio = window.devicePixelRatio || 1;
    this.x += x * ratio;
    this.y += y * ratio;
    this.draw();
  }

  paint() {
    if (!this.picture) { this.draw(); return; }
    const { rows, columns, planes, data } = this.picture;
    const shades = new Uint8ClampedArray(65536);
    const low = this.level - this.window / 2;
    for (let k = 0; k < 65536; k += 1) {
      const share = (k / 65535 - low) / this.window;
      shades[k] = 255 * (this.inverted ? 1 - share : share);
    }
    const image = new ImageData(columns, rows);
    const all = new Uint32Array(image.data.buffer); // a pixel's bytes are red, green, blue, opacity
    const n = rows * columns;
    const [green, blue] = planes === 3 ? [n, 2 * n] : [0, 0];
    for (let k = 0; k < n; k += 1) {
      all[k] = pixel(shades[data[k]], shades[data[green + k]], shades[data[blue + k]], 255);
    }
    this.base = onCanvas(this.base, image);
    this.draw();
    this.changed();
  }

  paintHeat() {
    if (!this.heat) { this.over = null; return; }
    const { rows, columns, data, signed } = this.heat;
    const table = Array.from({ length: 256 }, (_, k) => {
      const share = Math.max(-127, k - 128) / 127;
      const colour = share < 0 && signed ? along(AGAINST, -share) : along(INFERNO, Math.abs(share));
      return pixel(...colour.map(Math.round), Math.round(255 * Math.abs(share) ** 0.75));
    });
    const image = new ImageData(columns, rows);
    const all = new Uint32Array(image.data.buffer);
    for (let k = 0; k < data.length; k += 1) all[k] = table[data[k] + 128];
    this.over = onCanvas(this.over, image);
  }

  get scale() {
    const { rows, columns } = this.picture;
    return Math.min(this.canvas.width / columns, this.canvas.height / rows) * 2 ** this.zoom;
  }

  get corner() {
    const { rows, columns } = this.picture;
    const s = this.scale;
    return [(this.canvas.width - s * columns) / 2 + this.x, (this.canvas.height - s * rows) / 2 + this.y];
  }

  draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    if (!this.picture || !this.base) return;
    const s = this.scale;
    pen.setTransform(s, 0, 0, s, ...this.corner);
    pen.imageSmoothingEnabled = s < 3;
    pen.drawImage(this.base, 0, 0);
    if (this.over) {
      pen.globalAlpha = this.opacity;
      pen.imageSmoothingEnabled = true;
      pen.drawImage(this.over, 0, 0);
      pen.globalAlpha = 1;
    }
    if (this.box) {
      pen.lineWidth = 2 / s * ratio;
      pen.strokeStyle = "#f0a35e";
      pen.strokeRect(this.box.x, this.box.y, this.box.width, this.box.height);
    }
    pen.setTransform(1, 0, 0, 1, 0, 0);
  }

  zoomAt(step, event = null) {
    if (!this.picture) return;
    const ratio = window.devicePixelRatio || 1;
    const [px, py] = event ? [event.offsetX * ratio, event.offsetY * ratio] : [this.canvas.width / 2, this.canvas.height / 2];
    const [left, top] = this.corner;
    const before = this.scale;
    this.zoom = Math.min(4, Math.max(-1, this.zoom + step));
    const grown = this.scale / before;
    const [newLeft, newTop] = this.corner;
    this.x += px - (px - left) * grown - newLeft;
    this.y += py - (py - top) * grown - newTop;
    this.draw();
    this.changed();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => this.fit());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomAt(-Math.sign(event.deltaY) * 0.2, event);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons || !this.picture) return;
      if (event.shiftKey || event.buttons === 2) {
        const width = Math.min(2, Math.max(0.02, this.window + event.movementX / 300));
        this.set({ window: width, level: Math.min(1, Math.max(0, this.level + event.movementY / 300)) });
      } else {
        this.move(event.movementX, event.movementY);
      }
    });
  }
}

export function toPicture({ facts, data }) {
  return { ...facts, data: new Uint16Array(data) };
}

export function toHeat({ facts, data }) {
  return { rows: facts.rows, columns: facts.columns, data: new Int8Array(data), signed: facts.is_signed, facts };
}
