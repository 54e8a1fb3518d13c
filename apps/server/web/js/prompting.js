// From the pointer to masks: the one under it while it moves, the kept one when it is clicked, the readings of both.

import { contoursOfLogits } from './contour.js';
import { Newest } from './newest.js';
import { distance, isAmbiguous, withMask, withPoint } from './prompt.js';
import { pathOf } from './stage.js';

const kNear = 4; // screen pixels: a click this near to the answered hover means its mask
const kSame = 0.92; // IoU from which two masks are one object

export class Prompting {
  sticky = null; // which reading was asked for, counted by area; null: the best one
  shown = null; // {masks, choice, question} under the pointer
  chosen = null; // {masks, choice, object, prompt} of what was kept last
  #app;
  #newest;
  #view = `page-${Math.random().toString(36).slice(2)}`;

  constructor(app) {
    this.#app = app;
    this.#newest = new Newest((question, sequence) =>
      app.api.segment(question.image, {
        prompts: [question.prompt],
        multimask: isAmbiguous(question.prompt),
        format: 'logits',
        most: 3,
        view: this.#view,
        sequence,
      }));
  }

  // The prompt that a click here would be, or null if there is nothing to add to or take from.
  promptAt(at, mode) {
    if (mode === 'new') return withPoint({}, at, 1);
    const object = this.#app.objects.current;
    return object ? withPoint(this.promptOf(object), at, mode === 'add' ? 1 : 0) : null;
  }

  // What an object was made from, with the object as it is now as a mask prompt.
  promptOf(object) {
    return withMask(object.prompts?.[0] ?? {}, object.rle);
  }

  hover(prompt, { at = null, mode = 'new', since = performance.now() } = {}) {
    const app = this.#app;
    if (!app.ready || !prompt) return;
    if (this.chosen && at && this.chosen.at && distance(at, this.chosen.at) * app.stage.view.scale < kNear) return;
    this.#newest.ask({ image: app.photo.id, prompt, at, mode, since }, (masks, question) => {
      if (question.image !== app.photo?.id) return;
      this.chosen = null;
      this.shown = { ...inOrder(masks, this.sticky), question };
      this.#draw();
      app.stage.drawNow();
      app.drawnHover(question.since);
    }, (error) => {
      if (error.code !== 'replaced') app.problem(error);
    });
  }

  clear() {
    this.#newest.forget();
    if (!this.shown) return;
    this.shown = null;
    this.#draw();
  }

  // Also forgets the readings of what was kept.
  forget() {
    this.chosen = null;
    this.clear();
    this.#show();
  }

  #draw() {
    const { stage, objects } = this.#app;
    if (!this.shown || this.shown.masks.length === 0) {
      stage.hover = null;
    } else {
      const mask = this.shown.masks[this.shown.choice];
      mask.path ??= pathOf(contoursOfLogits(mask.logits, this.#app.photo));
      const { mode } = this.shown.question;
      const color = mode === 'new' ? objects.nextColor() : objects.current?.color ?? objects.nextColor();
      stage.hover = { path: mask.path, color, dashed: mode !== 'new' };
    }
    stage.draw('tools');
    this.#show();
  }

  #show() {
    this.#app.showReadings(this.shown ?? this.chosen);
  }

  // The reading with this place among those shown. It stays chosen for the next ones.
  choose(place) {
    const readings = this.shown ?? this.chosen;
    if (!readings || place >= readings.masks.length || readings.masks.length < 2) return;
    if (this.shown) {
      this.sticky = place;
      this.shown.choice = place;
      this.#draw();
      return;
    }
    this.chosen.choice = place;
    const mask = this.chosen.masks[place];
    this.#app.objects.change(this.chosen.object, fieldsOf(mask, this.chosen.prompt));
    this.#show();
  }

  step(by) {
    const readings = this.shown ?? this.chosen;
    if (readings) this.choose(Math.min(readings.masks.length - 1, Math.max(0, readings.choice + by)));
  }

  best() {
    this.sticky = null;
    if (!this.shown) return;
    this.shown.choice = bestOf(this.shown.masks);
    this.#draw();
  }

  // Makes an object of a prompt, or changes the selected one. The mask is asked for again in the photo's pixels: it is
  // then the same that the command line gives.
  async keep(prompt, { at = null, mode = 'new' } = {}) {
    const app = this.#app;
    const image = app.photo?.id;
    if (!app.ready) return app.say('The photo is still being looked at.');
    if (!prompt) return app.say('Select an object first: this adds to it or takes from it.');
    const target = mode === 'new' ? null : app.objects.current;
    const near = this.shown && this.shown.question.at && at
      && this.shown.question.mode === mode
      && distance(at, this.shown.question.at) * app.stage.view.scale <= kNear;
    const token = near ? this.shown.masks[this.shown.choice].token : null;
    let masks;
    try {
      masks = await app.api.segment(image, {
        prompts: [prompt], multimask: isAmbiguous(prompt), format: 'rle', most: 3,
      });
    } catch (error) {
      return app.problem(error);
    }
    if (image !== app.photo?.id) return;
    const readings = inOrder(masks, this.sticky);
    if (token !== null) readings.choice = Math.max(0, readings.masks.findIndex((m) => m.token === token));
    const mask = readings.masks[readings.choice];
    if (!mask || mask.area === 0) return app.say('There is nothing to keep: the mask is empty.');

    this.clear();
    if (target) {
      this.chosen = null;
      this.#show();
      return app.objects.change(target.id, fieldsOf(mask, prompt));
    }
    const same = app.objects.list.find((o) => !o.hidden && app.overlap(o.rle, mask.rle) > kSame);
    if (same) {
      app.objects.select(same.id);
      this.chosen = { ...readings, at, prompt, object: same.id };
      this.#show();
      return app.say('That object is there already. It is selected now.', 'info');
    }
    const made = app.objects.create(fieldsOf(mask, prompt));
    this.chosen = { ...readings, at, prompt, object: app.objects.selected };
    this.#show();
    return made;
  }
}

// By area, so that 1 is the part and 3 the whole; `rank` is the place by score, as the command line counts.
function inOrder(masks, sticky) {
  const sorted = masks.map((mask, rank) => ({ ...mask, rank })).sort((a, b) => a.area - b.area);
  const choice = sticky !== null && sorted.length > 1 ? Math.min(sticky, sorted.length - 1) : bestOf(sorted);
  return { masks: sorted, choice };
}

function bestOf(masks) {
  return Math.max(0, masks.findIndex((m) => m.rank === 0));
}

function fieldsOf(mask, prompt) {
  return {
    rle: mask.rle,
    prompts: [prompt],
    reading: { rank: mask.rank, multimask: isAmbiguous(prompt) },
    score: mask.score,
    stability: mask.stability,
    edited: false,
  };
}
