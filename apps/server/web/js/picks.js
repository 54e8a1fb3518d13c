// Everything mode: all that the model sees, as coloured proposals to pick from. A proposal becomes an object when it is
// clicked.

import { contoursOfCrop } from './contour.js';
import { kColors } from './objects.js';
import { has } from './rle.js';
import { pathOf } from './stage.js';

const kQuick = 16, kClose = 32; // points along a side of the grid
const kSame = 0.85; // IoU with an object: it has been picked already
const kEqual = 0.99; // IoU: the same mask, give or take a pixel
const kBatch = 16;

export class Picks {
  active = false;
  open = []; // of the list, what has not become an object
  list = []; // {rle, crop, path, color, score, area}
  #app;
  #stop = null;
  #under = null;
  #side = kQuick;
  #known = new Map(); // image -> {side, masks}

  constructor(app) {
    this.#app = app;
  }

  async toggle() {
    if (this.active || this.#stop) return this.close();
    return this.start(kQuick);
  }

  async start(side) {
    const app = this.#app;
    const image = app.photo?.id;
    if (!app.ready) return app.say('The photo is still being looked at.');
    app.prompting.forget();
    this.#side = side;
    const known = this.#known.get(image);
    let masks = known && known.side >= side ? known.masks : null;
    if (!masks) {
      const stop = (this.#stop = new AbortController());
      try {
        const job = await app.api.write('POST', `/v1/images/${image}/everything`, { points_per_side: side });
        const result = await app.api.finished(job, (done, total) => {
          app.busy('Looking for everything', { done, total, stop: () => stop.abort() });
        }, stop.signal);
        masks = result.masks;
        this.#known.set(image, { side, masks });
        if (this.#known.size > 8) this.#known.delete(this.#known.keys().next().value);
      } catch (error) {
        if (error.name !== 'AbortError') app.problem(error);
        return undefined;
      } finally {
        this.#stop = null;
        app.busy(null);
      }
    }
    if (image !== app.photo?.id) return undefined;
    this.active = true;
    this.#side = known?.side ?? side;
    // Large ones first: small ones are drawn over them and stay to be seen.
    this.list = [...masks].sort((a, b) => b.area - a.area).map((mask, i) => {
      const crop = app.cropOf(mask.rle);
      return { ...mask, crop, path: pathOf(contoursOfCrop(crop, app.photo)), color: kColors[(i * 3) % kColors.length] };
    });
    this.refresh();
    return undefined;
  }

  closer() {
    return this.start(kClose);
  }
  get isClosest() {
    return this.#side >= kClose;
  }

  // What has become an object is no proposal any more.
  refresh() {
    const app = this.#app;
    if (!this.active) return;
    this.open = this.list.filter((p) => !app.objects.list.some((o) => app.overlap(o.rle, p.rle) > kSame));
    if (!this.open.includes(this.#under)) this.hover(this.#at);
    app.showPicks();
    app.redraw();
  }

  #at = null;
  hover(at) {
    this.#at = at;
    if (!this.active) return;
    const under = at ? this.open.findLast((p) => has(p.crop, at)) ?? null : null;
    if (under === this.#under) return;
    this.#under = under;
    const { stage } = this.#app;
    stage.hover = under && { path: under.path, color: under.color };
    stage.draw('tools');
  }

  keep(at) {
    this.hover(at);
    return this.#under && this.#create([this.#under]);
  }

  async keepAll() {
    const all = this.open;
    this.close();
    await this.#create(all);
  }

  // A proposal is one of the readings of the point that found it; which one makes it reproducible.
  async #create(list) {
    const app = this.#app;
    const image = app.photo.id;
    for (let start = 0; start < list.length; start += kBatch) {
      const batch = list.slice(start, start + kBatch);
      const prompts = batch.map(({ point: [x, y] }) => ({ points: [{ x, y, label: 1 }] }));
      let results = [];
      try {
        const body = { prompts, multimask: true, format: 'rle', most: 3 };
        results = (await app.api.write('POST', `/v1/images/${image}/segment`, body)).results;
      } catch (error) {
        if (error.code !== 'embedding-missing') return app.problem(error);
      }
      if (image !== app.photo?.id) return undefined;
      batch.forEach((p, i) => {
        const rank = results[i]?.masks.findIndex((m) => app.overlap(m.rle, p.rle) > kEqual) ?? -1;
        const made = rank < 0 ? { prompts: [] } : { prompts: [prompts[i]], reading: { rank, multimask: true } };
        app.objects.create({ rle: p.rle, color: p.color, score: p.score, stability: p.stability, ...made });
      });
    }
    return undefined;
  }

  close() {
    this.#stop?.abort();
    this.active = false;
    this.list = this.open = [];
    this.#under = null;
    this.#app.stage.hover = null;
    this.#app.showPicks();
    this.#app.redraw();
    this.#app.stage.draw('tools');
  }
}
