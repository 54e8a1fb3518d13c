import assert from 'node:assert/strict';
import test from 'node:test';

import { contours, contoursOfCrop, contoursOfLogits, withoutStraight } from '../../../apps/server/web/js/contour.js';

// Shoelace formula: areas of holes have the other sign.
function area(loops) {
  let sum = 0;
  for (const l of loops) {
    for (let i = 0; i < l.length; i += 2) {
      const j = (i + 2) % l.length;
      sum += (l[i] * l[j + 1] - l[j] * l[i + 1]) / 2;
    }
  }
  return Math.abs(sum);
}

test('a disc of logits has the area of the disc, with a hundredth of a cell', () => {
  const n = 64, values = new Float32Array(n * n);
  for (let y = 0; y < n; ++y) for (let x = 0; x < n; ++x) values[y * n + x] = 20 - Math.hypot(x + 0.5 - 32, y + 0.5 - 30);
  const loops = contours(values, n, n, [1, 1]);
  assert.equal(loops.length, 1);
  assert.ok(Math.abs(area(loops) - Math.PI * 400) < 3, String(area(loops)));
  for (let i = 0; i < loops[0].length; i += 2)
    assert.ok(Math.abs(Math.hypot(loops[0][i] - 32, loops[0][i + 1] - 30) - 20) < 0.02);
});

test('a hole is a loop the other way round', () => {
  const n = 40, values = new Float32Array(n * n);
  for (let y = 0; y < n; ++y)
    for (let x = 0; x < n; ++x) values[y * n + x] = 5 - Math.abs(10 - Math.hypot(x + 0.5 - 20, y + 0.5 - 20));
  const loops = contours(values, n, n, [2, 3]);
  assert.equal(loops.length, 2);
  assert.ok(Math.abs(area(loops) - Math.PI * (15 * 15 - 5 * 5) * 6) < 20);
});

test('a mask that reaches the edge is closed along it', () => {
  const loops = contours(new Float32Array(12).fill(3), 4, 3, [2, 2], [0, 0], [7, 6]);
  assert.equal(loops.length, 1);
  const xs = loops[0].filter((_, i) => i % 2 === 0), ys = loops[0].filter((_, i) => i % 2 === 1);
  const bounds = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  [0, 7, 0, 6].forEach((v, i) => assert.ok(Math.abs(bounds[i] - v) < 1e-3, String(bounds)));
});

test('nothing has no outline', () => {
  assert.deepEqual(contours(new Float32Array(9).fill(-1), 3, 3, [1, 1]), []);
  assert.deepEqual(contours(new Float32Array(0), 0, 0, [1, 1]), []);
});

test('corners that touch are two loops, or one if the middle is inside', () => {
  const apart = contours(Float32Array.from([1, -3, -3, 1]), 2, 2, [1, 1]);
  assert.equal(apart.length, 2);
  const joined = contours(Float32Array.from([3, -1, -1, 3]), 2, 2, [1, 1]);
  assert.equal(joined.length, 1);
});

test('every loop closes, whatever the mask', () => {
  let seed = 3;
  const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  for (let turn = 0; turn < 40; ++turn) {
    const w = 1 + Math.floor(random() * 12), h = 1 + Math.floor(random() * 12);
    const values = Float32Array.from({ length: w * h }, () => random() - 0.5);
    for (const loop of contours(values, w, h, [1, 1])) {
      assert.ok(loop.length >= 6);
      for (let i = 0; i < loop.length; i += 2) {
        const j = (i + 2) % loop.length;
        assert.ok(Math.hypot(loop[i] - loop[j], loop[i + 1] - loop[j + 1]) < 1.5);
      }
    }
  }
});

test('the outline of pixels: a square loses its corners only', () => {
  const crop = { x: 3, y: 2, width: 4, height: 4, data: new Uint8Array(16).fill(1) };
  const [loop] = contoursOfCrop(crop, { width: 20, height: 20 });
  assert.ok(Math.abs(area([loop]) - 15.5) < 0.6, String(area([loop])));
  assert.ok(loop.length <= 16);
});

test('straight parts are one line', () => {
  assert.deepEqual([...withoutStraight(Float32Array.from([0, 0, 1, 0, 2, 0, 2, 2, 0, 2]))], [0, 0, 2, 0, 2, 2, 0, 2]);
});

test('logits come as base64 of signed bytes', () => {
  const data = Buffer.from(Int8Array.from([-8, 8, -8, -8]).buffer).toString('base64');
  const [loop] = contoursOfLogits({ width: 2, height: 2, cell: [10, 10], data }, { width: 20, height: 20 });
  assert.ok(Math.abs(loop.filter((_, i) => i % 2 === 0).reduce((a, b) => Math.min(a, b)) - 10) < 1e-3);
  assert.throws(() => contoursOfLogits({ width: 3, height: 2, cell: [1, 1], data }, { width: 3, height: 2 }));
});
