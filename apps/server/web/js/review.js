// Review: what the model made alone, most doubtful first, one mask at a time. A accepts, F fixes, R rejects; the photo
// that comes next is fetched meanwhile.

const $ = (id) => document.getElementById(id);

const kPage = 50; // of the queue
const kFew = 10; // that are left when more are asked for
const kTip = 'Is the mask right? A accepts it, F lets you fix it, R rejects it, L leaves it for later. Ctrl+Z takes the last one back.';
const kFixTip = 'Click adds to the mask, Shift-click takes away; R brush, E eraser. A when it is right.';
const kStages = { 2: 'semi-automatic', 3: 'automatic' };

export class Review {
  active = false;
  fixing = false;
  #app;
  #queue = []; // annotations as the server has them; the first one is shown
  #next = null; // where the server's queue goes on; null: nowhere
  #pending = 0;
  #ready = false; // what is shown can be judged
  #turn = 0;
  #judged = []; // {image, id}, to be taken back
  #later = new Set();
  #seconds = 0;

  constructor(app) {
    this.#app = app;
    const on = (id, action) => $(id).addEventListener('click', action);
    on('review', () => this.toggle());
    on('review-accept', () => this.judge('accept'));
    on('review-fix', () => this.fix());
    on('review-reject', () => this.judge('reject'));
    on('review-later', () => this.later());
    on('review-leave', () => this.leave());
    for (const stage of [2, 3]) on(`review-run-${stage}`, () => this.run(stage));
  }

  // The object that is judged.
  get current() {
    return this.active ? this.#queue[0]?.id ?? null : null;
  }

  // How much waits, on the button; servers without an engine have no button.
  async count() {
    try {
      this.#pending = (await this.#app.api.get('/v1/reviews?limit=1')).pending;
      $('review').hidden = false;
    } catch {
      $('review').hidden = true;
    }
    this.#draw();
  }

  toggle() {
    return this.active ? this.leave() : this.start();
  }

  async start() {
    const app = this.#app;
    app.picks.close();
    app.escape();
    this.active = true;
    this.#later.clear();
    this.#judged = [];
    this.#seconds = 0;
    app.useTool('select');
    await this.#again();
  }

  leave() {
    ++this.#turn;
    this.active = this.fixing = this.#ready = false;
    this.#queue = [];
    this.#app.useMode('new');
    this.#app.useTool('point');
    this.#draw();
    this.#app.redraw();
    this.count();
  }

  // The queue from its beginning.
  async #again() {
    this.#queue = [];
    this.#next = '';
    await this.#fill();
    await this.#show();
  }

  async #fill() {
    while (this.#next !== null && this.#queue.length < kFew) {
      const after = this.#next && `&after=${encodeURIComponent(this.#next)}`;
      let page;
      try {
        page = await this.#app.api.get(`/v1/reviews?limit=${kPage}${after}`);
      } catch (error) {
        this.#app.problem(error);
        return;
      }
      this.#pending = page.pending;
      const known = new Set(this.#queue.map((o) => o.id));
      this.#queue.push(...page.reviews.filter((o) => !known.has(o.id) && !this.#later.has(o.id)));
      this.#next = page.next;
    }
  }

  async #show() {
    const app = this.#app;
    const turn = ++this.#turn;
    this.#ready = this.fixing = false;
    app.useTool('select');
    app.useMode('new');
    const entry = this.#queue[0];
    this.#draw();
    if (!entry) return app.redraw();
    const shown = () => {
      if (turn !== this.#turn || !this.active) return;
      app.objects.select(entry.id);
      app.stage.frame(entry.box);
      app.redraw();
      app.watch.lap(); // the time of this one begins
      this.#ready = true;
      this.#draw();
      this.#ahead();
    };
    if (app.photo?.id === entry.image && app.objects.image === entry.image) {
      // What a run has added meanwhile is not in the list yet.
      if (!app.objects.list.some((o) => o.id === entry.id)) await app.objects.reload().catch((error) => app.problem(error));
      return shown();
    }
    try {
      const image = app.gallery.images.find((p) => p.id === entry.image) ?? await app.api.get(`/v1/images/${entry.image}`);
      if (turn === this.#turn) await app.open(image, shown);
    } catch (error) {
      // The photo is gone: its masks cannot be judged.
      app.problem(error);
      if (turn === this.#turn) await this.#drop(entry);
    }
    return undefined;
  }

  // The next photo is fetched and seen while a person looks at this one.
  #ahead() {
    const here = this.#queue[0]?.image;
    const next = this.#queue.find((o) => o.image !== here)?.image;
    if (!next) return;
    this.#app.bitmaps.ahead(next);
    this.#app.api.embed(next).catch(() => {}); // asked for again when it is needed
  }

  async #drop(entry) {
    this.#later.add(entry.id);
    this.#queue.shift();
    await this.#fill();
    await this.#show();
  }

  async judge(what) {
    const entry = this.#queue[0];
    if (!this.#ready || !entry) return;
    this.#ready = false;
    const app = this.#app;
    const { done, seconds } = app.objects.judge(entry.id, what);
    this.#queue.shift();
    this.#pending = Math.max(0, this.#pending - 1);
    this.#seconds += seconds;
    const act = { image: entry.image, id: entry.id, seconds };
    this.#judged.push(act);
    // The next one is shown at once; what goes wrong is said when it is known.
    done.then((ok) => {
      if (ok) return;
      this.#judged = this.#judged.filter((a) => a !== act);
      this.#seconds -= seconds;
      this.count();
    });
    await this.#fill();
    await this.#show();
  }

  fix() {
    const entry = this.#queue[0];
    if (!this.#ready || !entry || this.fixing) return;
    this.fixing = true;
    this.#app.objects.select(entry.id);
    this.#app.useTool('point');
    this.#app.useMode('add');
    this.#draw();
    this.#app.redraw();
  }

  later() {
    const entry = this.#queue[0];
    if (this.#ready && entry) return this.#drop(entry);
    return undefined;
  }

  // Takes the last judgement back and shows its object again.
  async back() {
    const app = this.#app;
    const act = this.#judged.pop();
    if (!act) return app.say('There is nothing to take back.', 'info');
    const turn = ++this.#turn;
    this.#ready = false;
    await app.objects.idle();
    try {
      await app.api.write('POST', `/v1/images/${act.image}/undo`);
      const object = await app.api.get(`/v1/annotations/${act.id}`);
      this.#seconds -= act.seconds;
      this.#pending += 1;
      this.#queue = [object, ...this.#queue.filter((o) => o.id !== act.id)];
      if (app.objects.image === act.image) await app.objects.reload();
    } catch (error) {
      app.problem(error);
    }
    if (turn === this.#turn) await this.#show();
    return undefined;
  }

  // A run of an automatic stage over all photos.
  async run(stage) {
    const app = this.#app;
    const stop = new AbortController();
    try {
      const job = await app.api.write('POST', '/v1/engine/runs', { stage });
      const result = await app.api.finished(job, (done, total) => {
        app.busy(`Stage ${stage}: photo ${Math.min(done + 1, total)} of ${total}`, { done, total, stop: () => stop.abort() });
      }, stop.signal);
      app.say(`${result.made} new, ${result.sent_to_review} to look at.`, 'info');
    } catch (error) {
      if (error.name !== 'AbortError') app.problem(error);
    } finally {
      app.busy(null);
    }
    if (this.active) await this.#again();
    else await this.count();
  }

  // Keys while it is active; false: the page's own meaning.
  key(key, event) {
    if (!this.active) return false;
    if (event.ctrlKey || event.metaKey) {
      if (key !== 'z' || event.shiftKey || this.fixing) return false;
      this.back();
      return true;
    }
    if (key === 'Escape') {
      if (this.fixing) this.#show();
      else this.leave();
      return true;
    }
    if (key === 'a') this.judge('accept');
    else if (this.fixing) return false;
    else if (key === 'f') this.fix();
    else if (key === 'r') this.judge('reject');
    else if (key === 'l' || key === 'ArrowRight') this.later();
    else return ['g', 'k', 'p', 'b', 's', 'e', 'Delete', 'Backspace'].includes(key); // nothing is made by a slip
    return true;
  }

  #draw() {
    const { active, fixing } = this;
    const entry = this.#queue[0];
    const stage = $('stage');
    stage.dataset.review = active ? (this.#ready ? String(entry.id) : 'busy') : '';
    $('review').setAttribute('aria-pressed', String(active));
    $('review-count').textContent = this.#pending || '';
    $('review-bar').hidden = !active;
    if (!active) return;
    const empty = !entry;
    for (const name of ['accept', 'fix', 'reject', 'later']) {
      $(`review-${name}`).hidden = empty || (fixing && name !== 'accept');
      $(`review-${name}`).disabled = !this.#ready;
    }
    for (const number of [2, 3]) $(`review-run-${number}`).hidden = !empty;
    const count = this.#judged.length;
    const each = count ? ` · ${(this.#seconds / count).toFixed(1)} s each` : '';
    const left = this.#later.size ? ` (${this.#later.size} left for later)` : '';
    $('review-text').textContent = empty
      ? `Nothing waits for review${left}.`
      : `${this.#pending} to go · ${kStages[entry.engine.stage] ?? ''} · doubt ${entry.engine.doubt.toFixed(2)}${each}`;
    if (entry) $('tip').textContent = fixing ? kFixTip : kTip;
  }
}
