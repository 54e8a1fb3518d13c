import assert from 'node:assert/strict';
import test from 'node:test';

import { Bitmaps } from '../../../apps/server/web/js/bitmaps.js';
import { Stopwatch } from '../../../apps/server/web/js/stopwatch.js';
import { fit, framed } from '../../../apps/server/web/js/view.js';

test('time is work as long as somebody is there', () => {
  let now = 100;
  const watch = new Stopwatch(() => now);
  now += 4.25;
  assert.equal(watch.lap(), 4.25);
  assert.equal(watch.lap(), 0);
  now += 3;
  watch.alive();
  now += 500; // gone for a coffee: half a minute of it counts
  watch.alive();
  now += 2;
  assert.equal(watch.lap(), 35);
  now += 1;
  watch.hide(true);
  now += 20;
  watch.alive(); // whatever moves there is not seen by anybody
  now += 5;
  watch.hide(false);
  now += 2;
  assert.equal(watch.lap(), 3);
  now -= 10; // clocks are set back
  assert.equal(watch.lap(), 0);
});

test('a photo is fetched once, and few are kept', async () => {
  const asked = [];
  let broken = false;
  const api = {
    send: async (method, path) => {
      asked.push(path.split('/')[3]);
      if (broken) throw new Error('gone');
      return { blob: async () => path };
    },
  };
  const bitmaps = new Bitmaps(api, async (blob) => `seen ${blob}`);
  bitmaps.ahead('a');
  assert.equal(await bitmaps.get('a'), 'seen /v1/images/a/content');
  assert.deepEqual(asked, ['a']);
  for (const id of ['b', 'c', 'a', 'd']) await bitmaps.get(id);
  await bitmaps.get('a');
  assert.deepEqual(asked, ['a', 'b', 'c', 'd']);
  await bitmaps.get('b');
  assert.deepEqual(asked, ['a', 'b', 'c', 'd', 'b']);
  broken = true;
  await assert.rejects(bitmaps.get('e'));
  broken = false;
  assert.equal(await bitmaps.get('e'), 'seen /v1/images/e/content'); // a failure is not kept
});

test('a small part is shown large, a large one as the whole photo', () => {
  const photo = { width: 600, height: 400 }, stage = { width: 900, height: 700 };
  assert.deepEqual(framed([0, 0, 500, 300], photo, stage), fit(photo, stage));
  const view = framed([280, 180, 40, 40], photo, stage);
  assert.equal(view.scale, 6);
  assert.equal(view.x + 300 * view.scale, 450);
  assert.equal(view.y + 200 * view.scale, 350);
  const wide = framed([100, 100, 120, 20], photo, stage);
  assert.ok(Math.abs(wide.scale - 3) < 1e-9);
});
