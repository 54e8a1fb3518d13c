// The photo with what is drawn over it: three canvases, drawn again only when what they show has changed.
// Masks are outlines in the photo's pixels, so that they are as sharp as the screen at any zoom.

import { contoursOfCrop } from './contour.js';
import { cropOf } from './rle.js';
import { fit, framed, panned, toPhoto, toScreen, zoomed } from './view.js';

const kHalo = 'rgb(8 10 14 / 0.55)';

export function pathOf(loops) {
  const path = new Path2D();
  for (const loop of loops) {
    path.moveTo(loop[0], loop[1]);
    for (let i = 2; i < loop.length; i += 2) path.lineTo(loop[i], loop[i + 1]);
    path.closePath();
  }
  return path;
}

export class Stage {
  photo = null; // {width, height, bitmap}
  view = { scale: 1, x: 0, y: 0 };
  mode = 'fill'; // 'outline', 'original'
  shapes = []; // {key, rle | path, color, selected, pending, hidden, fill}
  hover = null; // {path, color, dashed}
  marks = null; // function(context, stage) that draws points, boxes and strokes on the screen
  onView = () => {};
  #element;
  #layers = {};
  #paths = new Map();
  #dirty = new Set();
  #frame = 0;
  #fitted = true;

  constructor(element) {
    this.#element = element;
    for (const canvas of element.querySelectorAll('canvas')) this.#layers[canvas.dataset.layer] = canvas;
    new ResizeObserver(() => this.#resize()).observe(element);
    this.#resize();
  }

  get size() {
    return { width: this.#element.clientWidth, height: this.#element.clientHeight };
  }

  #resize() {
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = this.size;
    for (const canvas of Object.values(this.#layers)) {
      canvas.width = Math.max(1, Math.round(width * ratio));
      canvas.height = Math.max(1, Math.round(height * ratio));
    }
    if (this.photo && this.#fitted) this.view = fit(this.photo, this.size, this.#margin());
    this.draw('photo', 'masks', 'tools');
    if (this.photo) this.onView();
  }

  #margin() {
    return this.size.width < 640 ? 8 : 28;
  }

  show(photo) {
    this.photo = photo;
    this.shapes = [];
    this.hover = null;
    this.#paths.clear();
    this.fit();
  }

  fit() {
    if (!this.photo) return;
    this.#fitted = true;
    this.view = fit(this.photo, this.size, this.#margin());
    this.draw('photo', 'masks', 'tools');
    this.onView();
  }

  // A part of the photo, [x, y, width, height], with what is around it.
  frame(box) {
    if (!this.photo) return;
    this.view = framed(box, this.photo, this.size, this.#margin());
    this.#fitted = false;
    this.draw('photo', 'masks', 'tools');
    this.onView();
  }

  zoom(factor, at = { x: this.size.width / 2, y: this.size.height / 2 }) {
    if (!this.photo) return;
    this.#fitted = false;
    this.view = zoomed(this.view, factor, at, this.photo, this.size);
    this.draw('photo', 'masks', 'tools');
    this.onView();
  }

  pan(dx, dy) {
    if (!this.photo) return;
    this.#fitted = false;
    this.view = panned(this.view, dx, dy, this.photo, this.size);
    this.draw('photo', 'masks', 'tools');
    this.onView();
  }

  // Positions of pointer events, relative to the stage and in the photo.
  screenOf(event) {
    const box = this.#element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }
  photoOf(event) {
    return toPhoto(this.view, this.screenOf(event));
  }
  onScreen(at) {
    return toScreen(this.view, at);
  }

  draw(...layers) {
    for (const layer of layers) this.#dirty.add(layer);
    this.#frame ||= requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    for (const layer of this.#dirty) this[`_${layer}`](this.#clear(layer));
    this.#dirty.clear();
  }

  #clear(layer) {
    const canvas = this.#layers[layer];
    const context = canvas.getContext('2d');
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    return context;
  }

  #inPhoto(context) {
    const ratio = window.devicePixelRatio || 1;
    const { scale, x, y } = this.view;
    context.setTransform(scale * ratio, 0, 0, scale * ratio, x * ratio, y * ratio);
  }

  _photo(context) {
    if (!this.photo) return;
    this.#inPhoto(context);
    context.imageSmoothingEnabled = this.view.scale < 6; // pixels are to be seen when they are worked on
    context.imageSmoothingQuality = 'high';
    context.drawImage(this.photo.bitmap, 0, 0, this.photo.width, this.photo.height);
  }

  pathOfShape(shape) {
    if (shape.path) return shape.path;
    const known = this.#paths.get(shape.key);
    if (known?.counts === shape.rle.counts) return known.path;
    const path = pathOf(contoursOfCrop(cropOf(shape.rle), this.photo));
    this.#paths.set(shape.key, { counts: shape.rle.counts, path });
    return path;
  }

  _masks(context) {
    if (!this.photo || this.mode === 'original') return;
    this.#inPhoto(context);
    const line = 1 / this.view.scale;
    context.lineJoin = 'round';
    for (const shape of [...this.shapes].sort((a, b) => a.selected - b.selected)) {
      if (shape.hidden) continue;
      const path = this.pathOfShape(shape);
      if (this.mode === 'fill' || shape.fill) {
        context.globalAlpha = shape.fill ?? (shape.selected ? 0.5 : 0.38);
        context.fillStyle = shape.color;
        context.fill(path, 'evenodd');
        context.globalAlpha = 1;
      }
      this.#outline(context, path, shape.color, line, { strong: shape.selected, dashed: shape.pending, thin: shape.thin });
    }
  }

  #outline(context, path, color, line, { strong = false, dashed = false, thin = false }) {
    context.setLineDash([]);
    if (!thin) {
      context.strokeStyle = strong ? '#fff' : kHalo;
      context.lineWidth = (strong ? 4.25 : 3.5) * line;
      context.stroke(path);
    }
    context.strokeStyle = color;
    context.lineWidth = (strong ? 2.25 : thin ? 1.25 : 1.75) * line;
    if (dashed) context.setLineDash([6 * line, 5 * line]);
    context.stroke(path);
    context.setLineDash([]);
  }

  _tools(context) {
    if (!this.photo) return;
    if (this.hover && this.mode !== 'original') {
      this.#inPhoto(context);
      context.lineJoin = 'round';
      context.globalAlpha = 0.42;
      context.fillStyle = this.hover.color;
      context.fill(this.hover.path, 'evenodd');
      context.globalAlpha = 1;
      this.#outline(context, this.hover.path, this.hover.color, 1 / this.view.scale, { dashed: this.hover.dashed });
    }
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.marks?.(context, this);
  }
}
