import assert from 'node:assert/strict';
import test from 'node:test';

import { Newest } from '../../../apps/server/web/js/newest.js';

function slow() {
  const open = [];
  const newest = new Newest((question, sequence) => new Promise((done, fail) => open.push({ question, sequence, done, fail })));
  return { open, newest };
}
const turn = () => new Promise((done) => setImmediate(done));

test('one request at a time, and of those that wait only the newest', async () => {
  const { open, newest } = slow();
  const seen = [];
  for (const q of ['a', 'b', 'c']) newest.ask(q, (answer) => seen.push(answer));
  assert.equal(open.length, 1);
  open[0].done('A');
  await turn();
  assert.equal(open.length, 2);
  assert.equal(open[1].question, 'c');
  assert.ok(open[1].sequence > open[0].sequence);
  open[1].done('C');
  await turn();
  assert.deepEqual(seen, ['A', 'C']);
  assert.ok(!newest.busy);
});

test('what was forgotten is not answered', async () => {
  const { open, newest } = slow();
  const seen = [];
  newest.ask('a', (answer) => seen.push(answer));
  newest.forget();
  newest.ask('b', (answer) => seen.push(answer));
  open[0].done('A');
  await turn();
  open[1].done('B');
  await turn();
  assert.deepEqual(seen, ['B']);
});

test('an error does not stop the next question', async () => {
  const { open, newest } = slow();
  const seen = [];
  newest.ask('a', () => {}, (error) => seen.push(error.message));
  newest.ask('b', (answer) => seen.push(answer));
  open[0].fail(new Error('no'));
  await turn();
  open[1].done('B');
  await turn();
  assert.deepEqual(seen, ['no', 'B']);
});
