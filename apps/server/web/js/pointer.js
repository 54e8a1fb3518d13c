// What mouse, pen and fingers do on the stage, by tool. One gesture at a time; two fingers zoom and pan.

import { cropOfPolygon, grown, rleOf, stroke } from './rle.js';
import { distance, sampled, withBox, withMask, withScribble } from './prompt.js';
import { contoursOfCrop } from './contour.js';
import { inside, toPhoto } from './view.js';
import { pathOf } from './stage.js';

const kDrag = 6; // screen pixels from which a press is a drag
const kWheelPixels = 60; // of the wheel, a step among the readings

export class Pointer {
  tool = 'point';
  mode = 'new';
  brush = 14; // radius on the screen
  at = null; // where the pointer is, in the photo; null: not over it
  screen = null; // the same on the screen, where it stays when another photo is opened
  crosshair = false; // moved by keys
  #app;
  #element;
  #gesture = null;
  #fingers = new Map();
  #pinch = null;
  #space = false;
  #wheel = 0;
  #hinted = null; // where the last raw move was: its pointermove has nothing new

  constructor(app, element) {
    this.#app = app;
    this.#element = element;
    element.addEventListener('pointerdown', (e) => this.#down(e));
    element.addEventListener('pointermove', (e) => this.#move(e));
    // Moves as they come, not once a frame: half a frame sooner on average. Browsers without it have pointermove.
    element.addEventListener('pointerrawupdate', (e) => this.#hint(e));
    element.addEventListener('pointerup', (e) => this.#up(e));
    element.addEventListener('pointercancel', (e) => this.#cancel(e));
    element.addEventListener('pointerleave', (e) => {
      if (this.#gesture || e.pointerType === 'touch') return;
      this.at = null;
      app.prompting.clear();
      app.picks.hover(null);
      app.stage.draw('tools');
    });
    element.addEventListener('wheel', (e) => this.#turn(e), { passive: false });
    element.addEventListener('contextmenu', (e) => e.preventDefault());
    app.stage.marks = (context) => this.#marks(context);
  }

  set space(held) {
    this.#space = held;
    this.#element.classList.toggle('panning', held);
  }

  modeOf(event) {
    if (event.shiftKey || event.altKey) return 'subtract';
    if (event.ctrlKey || event.metaKey) return 'add';
    return this.mode;
  }

  // Again at the place where the pointer is: another photo, another mode, a key was pressed.
  again(mode = this.mode) {
    if (!this.at || !this.screen || this.#gesture || this.tool !== 'point') return;
    this.at = toPhoto(this.#app.stage.view, this.screen);
    this.#hover(this.at, mode, performance.now());
  }

  cancel() {
    const was = this.#gesture;
    this.#gesture = null;
    this.#app.override = null;
    this.#app.prompting.forget();
    this.#app.redraw();
    this.#app.stage.draw('tools');
    return was !== null;
  }

  #hint(event) {
    const { photo, stage, picks } = this.#app;
    if (!photo || this.#gesture || this.#pinch || this.tool !== 'point' || picks.active || event.target.closest('button')) return;
    this.crosshair = false;
    this.screen = stage.screenOf(event);
    this.at = stage.photoOf(event);
    this.#hinted = { x: event.clientX, y: event.clientY };
    this.#hover(this.at, this.modeOf(event), event.timeStamp);
  }

  #hover(at, mode, since) {
    const { photo, prompting, picks } = this.#app;
    if (!photo || !inside(photo, at)) return picks.active ? picks.hover(null) : prompting.clear();
    if (picks.active) return picks.hover(at);
    prompting.hover(prompting.promptAt(at, mode), { at, mode, since });
  }

  #down(event) {
    const app = this.#app;
    if (!app.photo || event.target.closest('button, #busy, #picks, #readings, #review-bar')) return;
    this.crosshair = false;
    this.#element.classList.add('mouse');
    app.hush();
    this.#element.setPointerCapture(event.pointerId);
    if (event.pointerType === 'touch') {
      this.#fingers.set(event.pointerId, app.stage.screenOf(event));
      if (this.#fingers.size === 2) {
        this.cancel();
        this.#pinch = this.#hands();
        return;
      }
      if (this.#fingers.size > 2) return;
    }
    const at = app.stage.photoOf(event);
    const screen = app.stage.screenOf(event);
    const start = { at, screen, last: screen, points: [at], mode: this.modeOf(event), touch: event.pointerType === 'touch' };
    if (event.button === 1 || this.#space) start.kind = 'pan';
    else if (event.button !== 0) return;
    else start.kind = app.picks.active ? 'pick' : this.tool;
    if (start.kind === 'brush' || start.kind === 'eraser') start.edit = this.#startEdit(start.kind);
    if (start.edit === null) return app.say('Select an object first: the eraser takes pixels from it.');
    this.#gesture = start;
    this.at = at;
    if (start.edit) this.#paint(start, at, at);
    if (start.touch && start.kind === 'point') this.#hover(at, start.mode, event.timeStamp);
    if (start.kind === 'pick') app.picks.hover(at);
  }

  #move(event) {
    const app = this.#app;
    if (!app.photo) return;
    if (this.#fingers.has(event.pointerId)) this.#fingers.set(event.pointerId, app.stage.screenOf(event));
    if (this.#pinch) return this.#pinched();
    const at = app.stage.photoOf(event);
    const screen = app.stage.screenOf(event);
    this.at = at;
    this.screen = screen;
    const g = this.#gesture;
    if (!g) {
      this.crosshair = false;
      if (event.target.closest('button')) return;
      const known = this.#hinted?.x === event.clientX && this.#hinted.y === event.clientY;
      this.#hinted = null;
      if (app.picks.active || (this.tool === 'point' && !known)) this.#hover(at, this.modeOf(event), event.timeStamp);
      if (this.tool === 'brush' || this.tool === 'eraser') app.stage.draw('tools');
      return;
    }
    const far = distance(screen, g.screen) > kDrag;
    switch (g.kind) {
      case 'point':
        if (g.touch) this.#hover(at, g.mode, event.timeStamp);
        else if (far) {
          app.prompting.forget();
          g.kind = 'box';
        }
        break;
      case 'pan':
      case 'select':
        if (!far && !g.moved) break;
        g.moved = true;
        this.#element.classList.add('panning');
        app.stage.pan(screen.x - g.last.x, screen.y - g.last.y);
        break;
      case 'pick':
        app.picks.hover(at);
        break;
      case 'brush':
      case 'eraser':
        for (const e of event.getCoalescedEvents?.() ?? [event]) {
          const next = app.stage.photoOf(e);
          this.#paint(g, g.points.at(-1), next);
          g.points.push(next);
        }
        break;
      default:
        for (const e of event.getCoalescedEvents?.() ?? [event]) g.points.push(app.stage.photoOf(e));
    }
    g.last = screen;
    if (g.kind === 'box' && far) app.prompting.hover(this.#boxPrompt(g, at), { since: event.timeStamp });
    app.stage.draw('tools');
  }

  #up(event) {
    const app = this.#app;
    this.#fingers.delete(event.pointerId);
    if (this.#pinch) {
      if (this.#fingers.size < 2) this.#pinch = null;
      return;
    }
    const g = this.#gesture;
    if (!g) return;
    this.#gesture = null;
    if (!this.#space) this.#element.classList.remove('panning');
    const at = app.stage.photoOf(event);
    const far = distance(app.stage.screenOf(event), g.screen) > kDrag;
    switch (g.kind) {
      case 'point':
        if (inside(app.photo, at)) app.prompting.keep(app.prompting.promptAt(at, g.mode), { at, mode: g.mode });
        break;
      case 'box':
        app.prompting.clear();
        if (far) app.prompting.keep(this.#boxPrompt(g, at));
        break;
      case 'select':
        if (!g.moved) app.selectAt(at);
        break;
      case 'pick':
        app.picks.keep(at);
        break;
      case 'scribble':
        if (far) this.#keepScribble(g);
        break;
      case 'lasso':
        if (far) this.#keepLasso(g);
        break;
      case 'brush':
      case 'eraser':
        this.#endEdit(g);
        break;
      default:
    }
    app.stage.draw('tools');
  }

  #cancel(event) {
    this.#fingers.delete(event.pointerId);
    this.#pinch = null;
    this.cancel();
  }

  #clamped(at) {
    const { width, height } = this.#app.photo;
    return { x: Math.min(width, Math.max(0, at.x)), y: Math.min(height, Math.max(0, at.y)) };
  }

  #boxPrompt(g, at) {
    return withBox({}, this.#clamped(g.at), this.#clamped(at));
  }

  #keepScribble(g) {
    const { prompting, objects, stage } = this.#app;
    const places = sampled(g.points.map((p) => this.#clamped(p)), 24 / stage.view.scale);
    if (g.mode === 'new') return prompting.keep(withScribble({}, places, 1));
    const base = objects.current && prompting.promptOf(objects.current);
    return prompting.keep(base && withScribble(base, places, g.mode === 'add' ? 1 : 0), { mode: g.mode });
  }

  // A new object: the polygon says about where it is, a box how far it goes. For an object that is there: its pixels.
  #keepLasso(g) {
    const app = this.#app;
    const points = g.points.map((p) => this.#clamped(p));
    const drawn = cropOfPolygon(points, app.photo);
    if (!drawn.data.includes(1)) return undefined;
    if (g.mode === 'new') {
      const box = withBox({}, { x: drawn.x, y: drawn.y }, { x: drawn.x + drawn.width, y: drawn.y + drawn.height });
      return app.prompting.keep(withMask(box, rleOf(drawn, app.photo)));
    }
    const object = app.objects.current;
    if (!object) return app.say('Select an object first: this adds to it or takes from it.');
    const crop = grown(app.cropOf(object.rle), drawn, app.photo);
    const value = g.mode === 'add' ? 1 : 0;
    for (let y = 0; y < drawn.height; ++y)
      for (let x = 0; x < drawn.width; ++x)
        if (drawn.data[y * drawn.width + x]) crop.data[(drawn.y + y - crop.y) * crop.width + drawn.x + x - crop.x] = value;
    return this.#storePixels(object.id, crop);
  }

  #startEdit(kind) {
    const { objects, photo } = this.#app;
    const object = objects.current;
    if (object) return { id: object.id, crop: grown(this.#app.cropOf(object.rle), { x: photo.width, y: photo.height, width: 0, height: 0 }, photo), color: object.color };
    if (kind === 'eraser') return null;
    return { id: null, crop: { x: 0, y: 0, width: 0, height: 0, data: new Uint8Array(0) }, color: objects.nextColor() };
  }

  #paint(g, a, b) {
    const app = this.#app;
    const radius = Math.max(0.5, this.brush / app.stage.view.scale);
    const box = {
      x: Math.min(a.x, b.x) - radius - 1, y: Math.min(a.y, b.y) - radius - 1,
      width: Math.abs(a.x - b.x) + 2 * radius + 2, height: Math.abs(a.y - b.y) + 2 * radius + 2,
    };
    if (g.kind === 'brush') g.edit.crop = grown(g.edit.crop, box, app.photo);
    stroke(g.edit.crop, a, b, radius, g.kind === 'brush' ? 1 : 0);
    app.override = { id: g.edit.id, color: g.edit.color, path: pathOf(contoursOfCrop(g.edit.crop, app.photo)) };
    app.redraw();
  }

  async #endEdit(g) {
    const app = this.#app;
    await this.#storePixels(g.edit.id, g.edit.crop, () => {
      app.override = null;
    });
  }

  #storePixels(id, crop, shown = () => {}) {
    const app = this.#app;
    const rle = rleOf(crop, app.photo);
    const empty = !crop.data.includes(1);
    app.prompting.forget();
    shown();
    if (id === null) return empty ? app.redraw() : app.objects.create({ rle, prompts: [], edited: true });
    if (!empty) return app.objects.change(id, { rle, edited: true });
    app.say('Nothing was left of the object. Undo brings it back.', 'info');
    return app.objects.remove(id);
  }

  #hands() {
    const [a, b] = [...this.#fingers.values()];
    return { apart: Math.max(1, distance(a, b)), middle: { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 } };
  }

  #pinched() {
    if (this.#fingers.size < 2) return;
    const now = this.#hands();
    this.#app.stage.pan(now.middle.x - this.#pinch.middle.x, now.middle.y - this.#pinch.middle.y);
    this.#app.stage.zoom(now.apart / this.#pinch.apart, now.middle);
    this.#pinch = now;
  }

  // Ctrl and the wheel (or two fingers on a touch pad) zoom; the wheel alone goes through the readings.
  #turn(event) {
    const app = this.#app;
    event.preventDefault();
    if (!app.photo) return;
    const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1);
    if (event.ctrlKey || event.metaKey) {
      app.stage.zoom(Math.exp(-Math.max(-160, Math.min(160, pixels)) / 400), app.stage.screenOf(event));
      return;
    }
    this.#wheel += pixels;
    if (Math.abs(this.#wheel) < kWheelPixels) return;
    app.prompting.step(this.#wheel > 0 ? -1 : 1);
    this.#wheel = 0;
  }

  // Keys move the pointer: `by` in screen pixels.
  nudge(dx, dy) {
    const { stage, photo } = this.#app;
    if (!photo) return;
    const from = this.at && inside(photo, this.at) ? this.at : { x: photo.width / 2, y: photo.height / 2 };
    const to = { x: from.x + dx / stage.view.scale, y: from.y + dy / stage.view.scale };
    this.at = { x: Math.min(photo.width - 1, Math.max(0, to.x)), y: Math.min(photo.height - 1, Math.max(0, to.y)) };
    this.crosshair = true;
    this.#element.classList.remove('mouse');
    if (this.#app.picks.active) this.#app.picks.hover(this.at);
    else this.#hover(this.at, this.mode, performance.now());
    stage.draw('tools');
  }

  press(mode) {
    const { prompting, picks, photo } = this.#app;
    if (!photo || !this.at || !inside(photo, this.at)) return;
    if (picks.active) picks.keep(this.at);
    else prompting.keep(prompting.promptAt(this.at, mode), { at: this.at, mode });
  }

  #marks(context) {
    const { stage, objects, photo } = this.#app;
    if (!photo) return;
    const g = this.#gesture;
    const on = (p) => stage.onScreen(p);
    if (stage.mode !== 'original' && objects.current && !objects.current.hidden && !objects.current.edited)
      drawPrompt(context, objects.current.prompts?.[0] ?? {}, on);
    if (g?.kind === 'box') drawBox(context, on(this.#clamped(g.at)), on(this.#clamped(this.at)));
    if (g?.kind === 'scribble' || g?.kind === 'lasso') {
      drawLine(context, g.points.map(on), g.kind === 'lasso', g.mode === 'subtract' ? '#ff5d5d' : '#ffffff');
    }
    if ((this.tool === 'brush' || this.tool === 'eraser') && this.at && !this.#app.picks.active) {
      const c = on(this.at);
      circle(context, c, this.brush, null, 'rgb(0 0 0 / 0.6)', 3);
      circle(context, c, this.brush, null, this.tool === 'brush' ? '#fff' : '#ff8f87', 1.5);
    }
    if (this.crosshair && this.at) drawCross(context, on(this.at));
  }
}

function drawPrompt(context, prompt, on) {
  if (prompt.box) {
    const [x0, y0, x1, y1] = prompt.box;
    drawBox(context, on({ x: x0, y: y0 }), on({ x: x1, y: y1 }));
  }
  for (const s of prompt.scribbles ?? []) {
    drawLine(context, s.points.map(([x, y]) => on({ x, y })), false, s.label === 0 ? '#ff5d5d' : '#43e08f');
  }
  // A cross or a bar in it: green and red are not told apart by everybody.
  for (const p of prompt.points ?? []) {
    const c = on(p);
    circle(context, c, 7, p.label === 0 ? '#d92d2d' : '#0e9f5d', '#fff', 2);
    context.beginPath();
    context.moveTo(c.x - 3.2, c.y);
    context.lineTo(c.x + 3.2, c.y);
    if (p.label !== 0) {
      context.moveTo(c.x, c.y - 3.2);
      context.lineTo(c.x, c.y + 3.2);
    }
    context.lineWidth = 1.8;
    context.stroke();
  }
}

function circle(context, c, radius, fill, line, width) {
  context.beginPath();
  context.arc(c.x, c.y, radius, 0, 2 * Math.PI);
  if (fill) {
    context.fillStyle = fill;
    context.fill();
  }
  context.strokeStyle = line;
  context.lineWidth = width;
  context.stroke();
}

function drawBox(context, a, b) {
  for (const [color, width, dash] of [['rgb(0 0 0 / 0.55)', 3, []], ['#fff', 1.5, [6, 4]]]) {
    context.setLineDash(dash);
    context.strokeStyle = color;
    context.lineWidth = width;
    context.strokeRect(Math.min(a.x, b.x), Math.min(a.y, b.y), Math.abs(a.x - b.x), Math.abs(a.y - b.y));
  }
  context.setLineDash([]);
}

function drawLine(context, points, closed, color) {
  context.lineJoin = context.lineCap = 'round';
  context.beginPath();
  points.forEach((p, i) => (i ? context.lineTo(p.x, p.y) : context.moveTo(p.x, p.y)));
  if (closed) {
    context.closePath();
    context.fillStyle = 'rgb(255 255 255 / 0.16)';
    context.fill();
  }
  context.strokeStyle = 'rgb(0 0 0 / 0.55)';
  context.lineWidth = 5;
  context.stroke();
  context.strokeStyle = color;
  context.lineWidth = 2.5;
  context.stroke();
}

function drawCross(context, c) {
  for (const [color, width] of [['rgb(0 0 0 / 0.7)', 4], ['#fff', 1.75]]) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.beginPath();
    for (const [x, y] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(c.x + 5 * x, c.y + 5 * y);
      context.lineTo(c.x + 14 * x, c.y + 14 * y);
    }
    context.stroke();
  }
}
