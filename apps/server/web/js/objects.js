// The objects of the photo that is open: what is shown, what is selected, and whether it is stored. Writes go to the
// keeper (annotations.js) one after the other; what the page shows as saved, the keeper has acknowledged.

import { PageAnnotations } from './annotations.js';

// Told apart on light and dark photos, and by people who see fewer colours when taken in this order.
export const kColors = [
  '#3fa7ff', '#ff5d5d', '#ffc233', '#2fd39a', '#c77dff', '#ff8f3f', '#36d6e7', '#ff77c8', '#a4d93a', '#8d9bff',
];

export class Objects extends EventTarget {
  image = null; // id
  list = []; // annotations; those not acknowledged yet have `pending: true`
  selected = null; // id
  state = 'saved'; // 'saving', 'failed'
  problem = '';
  canUndo = false;
  canRedo = false;
  #keeper;
  #lap;
  #chain = Promise.resolve();
  #waiting = 0;
  #number = 0;
  #real = new Map(); // of an object that was made a moment ago: the keeper's id
  #stored = new Map(); // id -> as the keeper last acknowledged it

  // `lap`: the seconds that a person has worked since it was last asked.
  constructor(keeper, lap = () => undefined) {
    super();
    this.#keeper = keeper;
    this.#lap = lap;
  }

  get kept() {
    return this.#keeper.kept;
  }
  get current() {
    return this.list.find((o) => o.id === this.selected) ?? null;
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }

  select(id) {
    if (this.selected === id) return;
    this.selected = id;
    this.#changed();
  }

  async open(image) {
    this.image = image;
    this.list = [];
    this.selected = null;
    this.canUndo = this.canRedo = false;
    this.#changed();
    await this.reload();
  }

  async reload() {
    const image = this.image;
    let answer;
    try {
      answer = await this.#keeper.list(image);
    } catch (error) {
      if (error.status !== 404 || error.code === 'no-image') throw error;
      this.#keeper = new PageAnnotations(); // an API without annotations
      answer = await this.#keeper.list(image);
    }
    if (image === this.image) this.#take(answer);
  }

  #take(answer) {
    this.list = answer.annotations;
    this.#stored = new Map(this.list.map((o) => [o.id, o]));
    this.canUndo = answer.undo ?? true;
    this.canRedo = answer.redo ?? true;
    if (!this.current) this.selected = null;
    this.#changed();
  }

  nextColor() {
    return kColors[this.list.length % kColors.length];
  }

  // Shows the object at once, as not saved yet. -> the annotation, or null if it could not be stored.
  create(fields) {
    const image = this.image;
    const draft = { hidden: false, label: '', color: this.nextColor(), ...fields };
    const seconds = this.#lap();
    const id = `new-${++this.#number}`;
    this.list = [...this.list, { ...draft, id, version: 0, pending: true }];
    this.selected = id;
    this.#changed();
    return this.#write(async () => {
      const made = await this.#keeper.create(image, draft, seconds);
      this.#real.set(id, made.id);
      this.#stored.set(made.id, made);
      if (image !== this.image) return made;
      const wasSelected = this.selected === id;
      this.list = this.list.map((o) => (o.id === id ? made : o));
      if (wasSelected) this.selected = made.id;
      this.#done();
      return made;
    }, () => {
      this.list = this.list.filter((o) => o.id !== id);
    });
  }

  change(id, fields) {
    const image = this.image;
    id = this.#real.get(id) ?? id;
    const before = this.list.find((o) => o.id === id);
    if (!before) return Promise.resolve(null);
    this.list = this.list.map((o) => (o.id === id ? { ...o, ...fields, pending: true } : o));
    this.#changed();
    const seconds = 'rle' in fields || 'label' in fields ? this.#lap() : undefined;
    return this.#write(async () => {
      const now = this.#acknowledged(id);
      if (!now) return null;
      const made = await this.#keeper.change(image, now, fields, seconds);
      this.#stored.set(made.id, made);
      if (image !== this.image) return made;
      this.list = this.list.map((o) => (o.id === made.id ? made : o));
      this.#done();
      return made;
    }, () => {
      this.list = this.list.map((o) => (o.id === id ? before : o));
    });
  }

  #acknowledged(id) {
    return this.#stored.get(this.#real.get(id) ?? id);
  }

  remove(id) {
    const image = this.image;
    id = this.#real.get(id) ?? id;
    const before = this.list;
    const gone = before.find((o) => o.id === id);
    if (!gone) return Promise.resolve(null);
    const at = before.indexOf(gone);
    this.list = before.filter((o) => o.id !== id);
    if (this.selected === id) this.selected = (this.list[at] ?? this.list[at - 1])?.id ?? null;
    this.#changed();
    return this.#write(async () => {
      const now = this.#acknowledged(id);
      if (!now) return;
      await this.#keeper.remove(image, now);
      this.list = this.list.filter((o) => o.id !== now.id);
      if (image === this.image) this.#done();
    }, () => {
      this.list = before;
    });
  }

  // A review of an object that the model made: 'accept', 'reject'. -> {seconds it took, done: whether it is stored}
  judge(id, what) {
    const image = this.image;
    const seconds = this.#lap();
    const before = this.list;
    const known = this.#acknowledged(id); // another photo may be open when it is this one's turn
    if (what === 'reject') {
      this.list = before.filter((o) => o.id !== id);
      if (this.selected === id) this.selected = null;
      this.#changed();
    }
    const done = this.#write(async () => {
      const now = this.#acknowledged(id) ?? known;
      if (!now) return false;
      const made = await this.#keeper.judge(now, what, seconds);
      if (made) this.#stored.set(id, made);
      if (image !== this.image) return true;
      if (made) this.list = this.list.map((o) => (o.id === id ? made : o));
      this.#done();
      return true;
    }, () => {
      if (image === this.image) this.list = before;
    });
    return { seconds: seconds ?? 0, done };
  }

  // When nothing is being written.
  idle() {
    return this.#chain;
  }

  undo() {
    return this.#jump('undo');
  }
  redo() {
    return this.#jump('redo');
  }
  #jump(way) {
    const image = this.image;
    return this.#write(async () => {
      const before = new Set(this.list.map((o) => o.id));
      try {
        const answer = await this.#keeper[way](image);
        if (image !== this.image) return;
        this.#take(answer);
        const back = this.list.find((o) => !before.has(o.id));
        if (back) this.select(back.id);
      } catch (error) {
        if (error.status !== 409) throw error;
        if (way === 'undo') this.canUndo = false;
        else this.canRedo = false;
        this.#changed();
      }
    }, () => {});
  }

  #done() {
    this.canUndo = true;
    this.canRedo = false;
  }

  // One write after the other. On a conflict somebody else was faster: what they made is shown.
  #write(work, revert) {
    ++this.#waiting;
    this.state = 'saving';
    this.#changed();
    const run = this.#chain.then(async () => {
      let result = null;
      let failed = null;
      try {
        result = await work();
      } catch (error) {
        failed = error;
        revert();
        if (error.status === 412 || error.status === 404) await this.reload().catch(() => {});
      }
      --this.#waiting;
      this.state = failed ? 'failed' : this.#waiting > 0 ? 'saving' : 'saved';
      if (failed) {
        this.problem = failed.status === 412
          ? 'Somebody else changed this object meanwhile. Their version is shown now.'
          : failed.message;
        this.dispatchEvent(new Event('failed'));
      }
      this.#changed();
      return result;
    });
    this.#chain = run;
    return run;
  }
}
