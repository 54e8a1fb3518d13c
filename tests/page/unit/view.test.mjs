import assert from 'node:assert/strict';
import test from 'node:test';

import { fit, inside, kMostZoom, panned, toPhoto, toScreen, zoomed } from '../../../apps/server/web/js/view.js';

const photo = { width: 1800, height: 1200 }, stage = { width: 800, height: 600 };
const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-6, `${a} is not ${b}`);

test('the whole photo is in sight and centred', () => {
  const v = fit(photo, stage, 10);
  near(v.scale, 780 / 1800);
  near(v.x, 10);
  near(v.y, (600 - 1200 * v.scale) / 2);
});

test('small photos grow four times at most', () => near(fit({ width: 10, height: 10 }, stage).scale, 4));

test('the screen and the photo are each other\'s inverse', () => {
  const v = { scale: 0.37, x: -31, y: 77 };
  const back = toScreen(v, toPhoto(v, { x: 123, y: 456 }));
  near(back.x, 123);
  near(back.y, 456);
});

test('what is under the pointer stays there when zooming', () => {
  const v = fit(photo, stage), at = { x: 300, y: 250 };
  const under = toPhoto(v, at), z = zoomed(v, 2.5, at, photo, stage);
  near(z.scale, 2.5 * v.scale);
  near(toPhoto(z, at).x, under.x);
  near(toPhoto(z, at).y, under.y);
});

test('zoom has its limits', () => {
  let v = fit(photo, stage);
  for (let i = 0; i < 40; ++i) v = zoomed(v, 2, { x: 400, y: 300 }, photo, stage);
  near(v.scale, kMostZoom);
  for (let i = 0; i < 80; ++i) v = zoomed(v, 0.5, { x: 400, y: 300 }, photo, stage);
  near(v.scale, fit(photo, stage).scale / 2);
});

test('no panning takes the photo out of sight', () => {
  for (const [dx, dy] of [[1e5, 1e5], [-1e5, -1e5]]) {
    const v = panned(fit(photo, stage), dx, dy, photo, stage);
    assert.ok(v.x < stage.width && v.y < stage.height);
    assert.ok(v.x + photo.width * v.scale > 0 && v.y + photo.height * v.scale > 0);
  }
});

test('the photo\'s edge is outside', () => {
  assert.ok(inside(photo, { x: 0, y: 0 }));
  assert.ok(!inside(photo, { x: 1800, y: 10 }));
});
