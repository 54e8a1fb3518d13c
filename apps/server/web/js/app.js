// The page: puts the parts together and says what is going on.

import { Api } from './api.js';
import { ServerAnnotations } from './annotations.js';
import { Bitmaps } from './bitmaps.js';
import { Gallery } from './gallery.js';
import { drawSheet, listenToKeys, radios } from './keys.js';
import { Objects } from './objects.js';
import { Panel, element } from './panel.js';
import { Picks } from './picks.js';
import { Pointer } from './pointer.js';
import { Prompting } from './prompting.js';
import { Review } from './review.js';
import { Stage } from './stage.js';
import { Stopwatch } from './stopwatch.js';
import { cropOf, has } from './rle.js';

const $ = (id) => document.getElementById(id);

const kTips = {
  select: 'Click an object to select it, drag to move the photo.',
  point: 'Click keeps the mask. Shift-click takes away, Ctrl-click adds. Drag makes a box. 1, 2, 3 choose a reading.',
  box: 'Drag a box around one object.',
  scribble: 'Scribble over an object; with Shift over what is not of the selected one.',
  lasso: 'Draw around an object. With Ctrl or Shift the pixels are added to the selected one or taken away.',
  brush: 'Paint pixels onto the selected object; [ and ] change the size.',
  eraser: 'Take pixels away from the selected object; [ and ] change the size.',
};

class App {
  #ready = false;
  photo = null; // {id, name, width, height, bitmap} once it is shown
  override = null; // {id, color, path}: an object while it is painted
  #opening = 0;
  #noticeTimer = 0;
  #crops = new WeakMap();

  constructor() {
    // The token comes in the fragment, which browsers send nowhere, and is kept in memory only.
    const fragment = new URLSearchParams(location.hash.slice(1).replace(/^\?/, ''));
    this.api = new Api(fragment.get('token') ?? '');
    this.wanted = fragment.get('photo');
    history.replaceState(null, '', this.wanted ? `#photo=${this.wanted}` : location.pathname);

    this.stage = new Stage($('stage'));
    this.watch = new Stopwatch();
    this.bitmaps = new Bitmaps(this.api);
    this.objects = new Objects(new ServerAnnotations(this.api), () => this.watch.lap());
    this.prompting = new Prompting(this);
    this.picks = new Picks(this);
    this.pointer = new Pointer(this, $('stage'));
    this.panel = new Panel(this);
    this.gallery = new Gallery(this);
    this.review = new Review(this);
    this.stage.onView = () => {
      $('zoom-level').textContent = `${Math.round(this.stage.view.scale * 100)} %`;
      $('stage').dataset.view = JSON.stringify(this.stage.view);
    };

    this.objects.addEventListener('change', () => this.#objectsChanged());
    this.objects.addEventListener('failed', () => this.say(this.objects.problem));
    this.#buttons();
    listenToKeys(this);
    for (const kind of ['pointermove', 'pointerdown', 'keydown', 'wheel'])
      document.addEventListener(kind, () => this.watch.alive(), { capture: true, passive: true });
    document.addEventListener('visibilitychange', () => this.watch.hide(document.hidden));
    drawSheet();
    this.useTool('point');
    this.useMode('new');
    this.useView('fill');
  }

  #buttons() {
    const on = (id, action) => $(id).addEventListener('click', action);
    this.markTool = radios($('tools'), 'tool', (tool) => this.useTool(tool));
    this.markMode = radios($('modes'), 'mode', (mode) => this.useMode(mode));
    this.markView = radios($('views'), 'view', (view) => this.useView(view));
    on('undo', () => this.objects.undo());
    on('redo', () => this.objects.redo());
    on('help', () => this.help());
    on('everything', () => this.picks.toggle());
    on('picks-all', () => this.picks.keepAll());
    on('picks-more', () => this.picks.closer());
    on('picks-close', () => this.picks.close());
    on('zoom-in', () => this.stage.zoom(1.25));
    on('zoom-out', () => this.stage.zoom(0.8));
    on('zoom-fit', () => this.stage.fit());
    for (const name of ['photos', 'objects']) {
      on(`show-${name}`, () => this.#drawer(name, !$(name).classList.contains('open')));
      $('stage').addEventListener('pointerdown', () => this.#drawer(name, false));
    }
    for (let i = 0; i < 3; ++i) {
      $('readings').append(element('button', { type: 'button', role: 'radio', onclick: () => this.prompting.choose(i) },
        element('kbd', {}, String(i + 1)), element('span', { class: 'meter' }, element('i')), element('span', { class: 'value' })));
    }
  }

  #drawer(name, open) {
    $(name).classList.toggle('open', open);
    $(`show-${name}`).setAttribute('aria-expanded', String(open));
  }

  async start() {
    this.busy('Starting');
    for (;;) {
      try {
        await this.api.get('/v1/health');
        break;
      } catch (error) {
        if (error.status !== 503 && error.status !== 0) {
          this.busy(null);
          return this.problem(error);
        }
        this.busy(error.status === 503 ? 'The model is being loaded' : 'Waiting for the server');
        await new Promise((done) => setTimeout(done, 400));
      }
    }
    this.busy(null);
    try {
      // The first photo is opened as soon as one is known; a large folder is still being looked through.
      while (await this.gallery.refresh()) {
        this.#openFirst();
        await new Promise((done) => setTimeout(done, this.photo ? 1000 : 150));
      }
      this.#openFirst();
      this.review.count();
    } catch (error) {
      this.problem(error);
    }
    $('welcome').hidden = this.photo !== null || this.#opening > 0;
    return undefined;
  }

  #openFirst() {
    if (this.photo || this.#opening) return;
    const { images } = this.gallery;
    const first = images.find((p) => p.id === this.wanted) ?? images[0];
    if (first) this.open(first);
  }

  // `shown`: called when the photo and its objects are to be seen, which may be before it can be prompted.
  async open(image, shown = () => {}) {
    if (image.id === this.photo?.id) return;
    const turn = ++this.#opening;
    const here = () => turn === this.#opening;
    this.picks.close();
    this.pointer.cancel();
    this.ready = false;
    this.hush();
    $('welcome').hidden = true;
    history.replaceState(null, '', `#photo=${image.id}`);
    const slow = setTimeout(() => here() && this.busy(this.photo?.id === image.id ? 'Looking at the photo' : 'Opening'), 150);
    const embedding = this.api.embed(image.id);
    embedding.catch(() => {}); // awaited below
    try {
      const bitmap = await this.bitmaps.get(image.id);
      if (!here()) return;
      this.photo = { id: image.id, name: image.name, width: image.width, height: image.height, bitmap };
      $('photo-name').textContent = `${image.name} · ${image.width} × ${image.height}`;
      document.title = `${image.name.replace(/^.*\//, '')} – Beckon`;
      this.stage.show(this.photo);
      this.gallery.mark();
      this.watch.lap(); // nobody has worked on this one yet
      const objects = this.objects.open(image.id).then(() => here() && shown());
      objects.catch(() => {}); // awaited below
      await embedding;
      if (here()) {
        this.ready = true;
        this.pointer.again();
      }
      await objects;
    } catch (error) {
      if (here()) this.problem(error);
    } finally {
      clearTimeout(slow);
      if (here()) this.busy(null);
    }
  }

  // It can be prompted. What the page knows of itself is in data attributes too, for tests and styles.
  get ready() {
    return this.#ready;
  }
  set ready(value) {
    this.#ready = value;
    $('stage').dataset.ready = String(value);
  }

  // ---- What is drawn

  cropOf(rle) {
    if (!this.#crops.has(rle)) this.#crops.set(rle, cropOf(rle));
    return this.#crops.get(rle);
  }

  measure(object) {
    const crop = this.cropOf(object.rle);
    return { area: crop.data.reduce((sum, v) => sum + v, 0), box: crop };
  }

  // Intersection over union of two masks.
  overlap(a, b) {
    const p = this.cropOf(a), q = this.cropOf(b);
    const x0 = Math.max(p.x, q.x), x1 = Math.min(p.x + p.width, q.x + q.width);
    const y0 = Math.max(p.y, q.y), y1 = Math.min(p.y + p.height, q.y + q.height);
    if (x0 >= x1 || y0 >= y1) return 0;
    const boxes = p.width * p.height + q.width * q.height - (x1 - x0) * (y1 - y0);
    if ((x1 - x0) * (y1 - y0) < 0.3 * boxes) return 0; // too far apart to be asked about
    let both = 0;
    for (let y = y0; y < y1; ++y) {
      const i = (y - p.y) * p.width - p.x, j = (y - q.y) * q.width - q.x;
      for (let x = x0; x < x1; ++x) both += p.data[i + x] & q.data[j + x];
    }
    const sum = (c) => (c.sum ??= c.data.reduce((s, v) => s + v, 0));
    return both / (sum(p) + sum(q) - both);
  }

  redraw() {
    const { objects, picks, review, stage, override } = this;
    const judged = review.fixing ? null : review.current; // alone to be seen; the others are outlines
    const shapes = objects.list.map((o) => ({
      key: o.id, rle: o.rle, color: o.color ?? '#3fa7ff', hidden: o.hidden, pending: o.pending === true,
      selected: o.id === (judged ?? objects.selected) && !picks.active,
      ...(judged !== null && o.id !== judged && { thin: true, fill: 0.04 }),
    }));
    if (override) {
      const shape = shapes.find((s) => s.key === override.id);
      if (shape) Object.assign(shape, { path: override.path, pending: false });
      else shapes.push({ ...override, key: 'painted', hidden: false, selected: true });
    }
    for (const p of picks.open) shapes.push({ key: p, path: p.path, color: p.color, hidden: false, selected: false, thin: true, fill: 0.4 });
    stage.shapes = shapes;
    stage.draw('masks', 'tools');
  }

  #objectsChanged() {
    const { objects } = this;
    this.panel.draw();
    this.redraw();
    this.picks.refresh();
    if (objects.image) this.gallery.count(objects.image, objects.list.length);
    $('undo').disabled = !objects.canUndo;
    $('redo').disabled = !objects.canRedo;
    const saved = $('saved');
    const page = objects.state === 'saved' && !objects.kept;
    saved.dataset.state = page ? 'page' : objects.state;
    saved.textContent = page ? 'On this page only' : { saved: 'Saved', saving: 'Saving', failed: 'Not saved' }[objects.state];
    saved.title = page ? 'This server keeps no annotations: objects are gone when the page is closed.' : '';
  }

  drawnHover(since) {
    const { dataset } = $('stage');
    dataset.drawn = Number(dataset.drawn ?? 0) + 1;
    dataset.latency = (performance.now() - since).toFixed(1); // ms since the pointer moved
  }

  showReadings(readings) {
    const box = $('readings');
    const masks = readings?.masks ?? [];
    box.hidden = masks.length === 0;
    [...box.children].forEach((button, i) => {
      button.hidden = i >= masks.length;
      if (i >= masks.length) return;
      const score = Math.min(1, Math.max(0, masks[i].score));
      button.setAttribute('aria-checked', String(i === readings.choice));
      button.setAttribute('aria-label', `Reading ${i + 1}, score ${score.toFixed(2)}`);
      button.querySelector('i').style.width = `${Math.round(score * 100)}%`;
      button.querySelector('.value').textContent = score.toFixed(2);
      button.querySelector('kbd').hidden = masks.length === 1;
    });
  }

  showPicks() {
    const { picks } = this;
    $('everything').setAttribute('aria-pressed', String(picks.active));
    $('picks').hidden = !picks.active;
    $('picks-count').textContent = picks.open.length === 1 ? '1 proposal' : `${picks.open.length} proposals`;
    $('picks-all').disabled = picks.open.length === 0;
    $('picks-more').hidden = picks.isClosest;
  }

  // ---- What people choose

  useTool(tool) {
    this.pointer.cancel();
    this.pointer.tool = tool;
    this.markTool(tool);
    $('stage').dataset.tool = tool;
    $('tip').textContent = kTips[tool];
  }

  useMode(mode) {
    if (mode !== 'new' && !this.objects.current) this.say('Select an object first: this adds to it or takes from it.');
    this.pointer.mode = mode;
    this.markMode(mode);
    this.prompting.forget();
  }

  useView(view) {
    this.stage.mode = view;
    this.markView(view);
    this.stage.draw('masks', 'tools');
  }
  cycleView() {
    const views = ['fill', 'outline', 'original'];
    this.useView(views[(views.indexOf(this.stage.mode) + 1) % views.length]);
  }

  resizeBrush(factor) {
    this.pointer.brush = Math.min(120, Math.max(2, this.pointer.brush * factor));
    this.stage.draw('tools');
  }

  selectAt(at) {
    const under = this.objects.list
      .filter((o) => !o.hidden && has(this.cropOf(o.rle), at))
      .sort((a, b) => this.measure(a).area - this.measure(b).area);
    this.objects.select(under[0]?.id ?? null);
  }
  selectNext() {
    const { list, selected } = this.objects;
    if (list.length) this.objects.select(list[(list.findIndex((o) => o.id === selected) + 1) % list.length].id);
  }
  nameObject() {
    document.querySelector('#object-list [aria-current="true"] .label')?.focus();
  }
  toggleHidden() {
    const object = this.objects.current;
    if (object) this.objects.change(object.id, { hidden: !object.hidden });
  }

  escape() {
    if (this.picks.active) return this.picks.close();
    if (this.pointer.cancel()) return undefined;
    this.prompting.sticky = null;
    if (this.pointer.mode !== 'new') return this.useMode('new');
    if (this.pointer.tool !== 'point') return this.useTool('point');
    return this.objects.select(null);
  }

  help() {
    $('shortcuts').showModal();
  }

  // ---- What the page says

  busy(text, { done = 0, total = 0, stop = null } = {}) {
    $('busy').hidden = text === null;
    if (text === null) return;
    $('busy-text').textContent = text;
    $('busy-progress').hidden = !(total > 1);
    if (total > 1) {
      $('busy-progress').max = total;
      $('busy-progress').value = done;
    }
    $('busy-stop').hidden = stop === null;
    $('busy-stop').onclick = stop;
  }

  say(text, kind = 'problem') {
    const notice = $('notice');
    notice.textContent = text;
    notice.dataset.kind = kind;
    notice.hidden = false;
    clearTimeout(this.#noticeTimer);
    this.#noticeTimer = setTimeout(() => this.hush(), kind === 'info' ? 3500 : 9000);
  }
  hush() {
    $('notice').hidden = true;
  }
  problem(error) {
    this.say(error.message || String(error));
  }
}

const app = new App();
app.start();
