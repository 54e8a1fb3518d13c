import assert from 'node:assert/strict';
import test from 'node:test';

import { fromServer, PageAnnotations, toServer } from '../../../apps/server/web/js/annotations.js';
import { Problem } from '../../../apps/server/web/js/api.js';
import { Objects } from '../../../apps/server/web/js/objects.js';

const rle = { size: [2, 2], counts: '13' };

// A keeper whose answers wait until they are let go.
class Slow extends PageAnnotations {
  kept = true;
  gates = [];
  refuse = null;
  async #gate() {
    await new Promise((go) => this.gates.push(go));
    if (this.refuse) {
      const error = this.refuse;
      this.refuse = null;
      throw error;
    }
  }
  async create(...args) {
    await this.#gate();
    return super.create(...args);
  }
  async change(image, annotation, fields) {
    await this.#gate();
    this.last = annotation;
    return super.change(image, annotation, fields);
  }
  async remove(...args) {
    await this.#gate();
    return super.remove(...args);
  }
  async go() {
    while (!this.gates.length) await new Promise((done) => setImmediate(done));
    this.gates.shift()();
  }
}

test('saved is said only once the keeper has answered', async () => {
  const keeper = new Slow(), objects = new Objects(keeper);
  await objects.open('photo');
  const made = objects.create({ rle });
  assert.equal(objects.state, 'saving');
  assert.equal(objects.list[0].pending, true);
  await keeper.go();
  await made;
  assert.equal(objects.state, 'saved');
  assert.equal(objects.list[0].pending, undefined);
  assert.equal(objects.selected, objects.list[0].id);
});

test('an object that is not stored is taken back, with the reason', async () => {
  const keeper = new Slow(), objects = new Objects(keeper);
  await objects.open('photo');
  keeper.refuse = new Problem(507, 'full', 'the disk is full');
  const made = objects.create({ rle });
  await keeper.go();
  assert.equal(await made, null);
  assert.equal(objects.state, 'failed');
  assert.equal(objects.problem, 'the disk is full');
  assert.equal(objects.list.length, 0);
});

test('changes wait for the object to be stored, and carry its latest version', async () => {
  const keeper = new Slow(), objects = new Objects(keeper);
  await objects.open('photo');
  objects.create({ rle });
  const first = objects.change(objects.selected, { label: 'cup' });
  await keeper.go();
  await keeper.go();
  await first;
  assert.deepEqual(objects.list.map((o) => [o.label, o.version]), [['cup', 2]]);
  objects.change(objects.selected, { label: 'a' });
  const last = objects.change(objects.selected, { hidden: true });
  await keeper.go();
  await keeper.go();
  await last;
  assert.equal(keeper.last.version, 3);
  assert.deepEqual(objects.list.map((o) => [o.label, o.hidden, o.version]), [['a', true, 4]]);
});

test('a removal while the object is being stored removes it', async () => {
  const keeper = new Slow(), objects = new Objects(keeper);
  await objects.open('photo');
  objects.create({ rle });
  const gone = objects.remove(objects.selected);
  assert.equal(objects.list.length, 0);
  await keeper.go();
  await keeper.go();
  await gone;
  assert.equal(objects.list.length, 0);
  assert.equal((await keeper.list('photo')).annotations.length, 0);
});

test('undo and redo', async () => {
  const objects = new Objects(new PageAnnotations());
  await objects.open('photo');
  assert.equal(objects.canUndo, false);
  await objects.create({ rle, label: 'cup' });
  await objects.change(objects.selected, { label: 'mug' });
  assert.ok(objects.canUndo && !objects.canRedo);
  await objects.undo();
  assert.equal(objects.list[0].label, 'cup');
  await objects.undo();
  assert.equal(objects.list.length, 0);
  assert.ok(!objects.canUndo && objects.canRedo);
  await objects.redo();
  await objects.redo();
  assert.equal(objects.list[0].label, 'mug');
});

test('after a conflict the other version is shown', async () => {
  const keeper = new Slow(), objects = new Objects(keeper);
  await objects.open('photo');
  const made = objects.create({ rle, label: 'mine' });
  await keeper.go();
  await made;
  const [mine] = objects.list;
  await PageAnnotations.prototype.change.call(keeper, 'photo', mine, { label: 'theirs' });
  keeper.refuse = new Problem(412, 'stale', 'the annotation has changed');
  const change = objects.change(mine.id, { label: 'again mine' });
  await keeper.go();
  await change;
  assert.equal(objects.list[0].label, 'theirs');
  assert.match(objects.problem, /Somebody else/);
});

test('a server without annotations leaves them to the page', async () => {
  const objects = new Objects({ kept: true, list: async () => { throw new Problem(404, 'no-route', 'nothing here'); } });
  await objects.open('photo');
  assert.equal(objects.kept, false);
  await objects.create({ rle });
  assert.equal(objects.list.length, 1);
});

test('answers that come after another photo was opened change nothing', async () => {
  const keeper = new Slow(), objects = new Objects(keeper);
  await objects.open('one');
  const made = objects.create({ rle });
  await objects.open('two');
  await keeper.go();
  await made;
  assert.equal(objects.list.length, 0);
  await objects.open('one');
  assert.equal(objects.list.length, 1);
});

test('the server\'s form of an object and back', () => {
  const fields = { label: 'cup', rle, prompts: [{ box: [0, 0, 2, 2] }], reading: { rank: 0, multimask: false }, edited: false, score: 0.9, stability: 0.8 };
  const sent = toServer(fields);
  assert.deepEqual(Object.keys(sent).sort(), ['label', 'prompts', 'rle', 'scores']);
  const back = fromServer(JSON.parse(JSON.stringify({ ...sent, id: 1, version: 1 })));
  for (const [key, value] of Object.entries(fields)) assert.deepEqual(back[key], value, key);
  // A change of one part keeps the others.
  assert.deepEqual(toServer({ edited: true, rle }, back), { rle, prompts: { prompts: fields.prompts, reading: fields.reading, edited: true } });
  assert.deepEqual(toServer({ hidden: true }, back), { hidden: true });
});

test('prompts that are too long to be kept are left out', () => {
  const mask = { size: [2, 2], counts: 'x'.repeat(70000) };
  assert.deepEqual(toServer({ prompts: [{ mask }] }).prompts, { prompts: [], edited: false });
});

test('annotations of other makers are shown', () => {
  const shown = fromServer({ id: 3, version: 1, rle, prompts: [{ points: [] }], scores: { predicted_iou: 0.7 } });
  assert.equal(shown.prompts.length, 1);
  assert.equal(shown.score, 0.7);
  assert.deepEqual(fromServer({ id: 3, version: 1, rle }).prompts, []);
});
