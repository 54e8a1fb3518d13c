import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import {
  areaOf, cropOf, cropOfPolygon, decodeCounts, encodeCounts, grown, has, rleOf, stroke,
} from '../../../apps/server/web/js/rle.js';

const empty = { x: 0, y: 0, width: 0, height: 0, data: new Uint8Array(0) };

test('COCO text is decoded and encoded', () => {
  // 4 rows, 5 columns, set in columns 1 and 2, rows 1 and 2. Written are 5, 2, 2, 2 - 2, 9 - 2, each plus 48.
  const runs = [5, 2, 2, 2, 9];
  assert.equal(encodeCounts(runs), '52207');
  assert.deepEqual(decodeCounts('52207'), runs);
});

test('run lengths are those of the COCO API', () => {
  const golden = JSON.parse(readFileSync(new URL('../../goldens/coco_rle/case0/case.json', import.meta.url)));
  for (const { name, h, w, counts, string, area, bbox_xywh: box } of golden.items) {
    assert.deepEqual(decodeCounts(string), counts, name);
    assert.equal(encodeCounts(counts), string, name);
    const rle = { size: [h, w], counts: string };
    assert.equal(areaOf(rle), area, name);
    const crop = cropOf(rle);
    assert.deepEqual([crop.x, crop.y, crop.width, crop.height], box, name);
  }
});

test('large and falling runs survive', () => {
  for (const runs of [[0, 1], [1000000, 3, 70000, 1, 2, 31, 32, 33], [0, 12], [15, 16, 17, 1023, 1024, 1025]])
    assert.deepEqual(decodeCounts(encodeCounts(runs)), runs);
});

test('text that is no run lengths is refused', () => {
  assert.throws(() => decodeCounts('5 2'));
  assert.throws(() => decodeCounts('0000O'));
});

test('a crop is the smallest that holds the mask', () => {
  const crop = cropOf({ size: [4, 5], counts: encodeCounts([5, 2, 2, 2, 9]) });
  assert.deepEqual({ ...crop, data: [...crop.data] }, { x: 1, y: 1, width: 2, height: 2, data: [1, 1, 1, 1] });
});

test('a run over several columns fills them', () => {
  // 3 rows; from row 1 of column 0 to row 0 of column 2.
  const crop = cropOf({ size: [3, 4], counts: encodeCounts([1, 6, 5]) });
  assert.deepEqual([crop.x, crop.y, crop.width, crop.height], [0, 0, 3, 3]);
  assert.deepEqual([...crop.data], [0, 1, 1, 1, 1, 0, 1, 1, 0]);
});

test('bitmaps go to run lengths and back', () => {
  let seed = 7;
  const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  for (let turn = 0; turn < 50; ++turn) {
    const photo = { width: 1 + Math.floor(random() * 20), height: 1 + Math.floor(random() * 20) };
    const data = Uint8Array.from({ length: photo.width * photo.height }, () => (random() < 0.4 ? 1 : 0));
    const rle = rleOf({ x: 0, y: 0, ...photo, data }, photo);
    assert.equal(decodeCounts(rle.counts).reduce((a, b) => a + b, 0), data.length);
    assert.equal(areaOf(rle), data.reduce((a, b) => a + b, 0));
    const crop = cropOf(rle);
    assert.deepEqual(rleOf(crop, photo), rle);
    for (let y = 0; y < photo.height; ++y)
      for (let x = 0; x < photo.width; ++x) assert.equal(has(crop, { x: x + 0.5, y: y + 0.5 }), data[y * photo.width + x] === 1);
  }
});

test('an empty mask and a full one', () => {
  assert.equal(cropOf({ size: [3, 3], counts: encodeCounts([9]) }).width, 0);
  const full = cropOf({ size: [3, 2], counts: encodeCounts([0, 6]) });
  assert.deepEqual([full.x, full.y, full.width, full.height], [0, 0, 2, 3]);
});

test('a grown crop keeps its pixels and stays in the photo', () => {
  const photo = { width: 10, height: 8 };
  const crop = cropOf({ size: [8, 10], counts: encodeCounts([9, 2, 69]) }); // column 1, rows 1 and 2
  const out = grown(crop, { x: -5, y: 4, width: 30, height: 30 }, photo);
  assert.deepEqual([out.x, out.y, out.width, out.height], [0, 1, 10, 7]);
  assert.deepEqual(rleOf(out, photo), rleOf(crop, photo));
});

test('a brush paints a disc, the eraser takes it away', () => {
  const photo = { width: 20, height: 20 };
  const crop = grown(empty, { x: 0, y: 0, width: 20, height: 20 }, photo);
  stroke(crop, { x: 10, y: 10 }, { x: 10, y: 10 }, 4, 1);
  const painted = crop.data.reduce((a, b) => a + b, 0);
  assert.ok(Math.abs(painted - Math.PI * 16) < 6, String(painted));
  assert.ok(has(crop, { x: 13.4, y: 10 }) && !has(crop, { x: 14.6, y: 10 }));
  stroke(crop, { x: 0, y: 10 }, { x: 20, y: 10 }, 1, 0);
  assert.ok(!has(crop, { x: 10, y: 10.4 }) && has(crop, { x: 10, y: 12.4 }));
  stroke(crop, { x: 10, y: 0 }, { x: 10, y: 20 }, 9, 0);
  assert.equal(crop.data.reduce((a, b) => a + b, 0), 0);
});

test('a polygon has the pixels whose middle lies in it', () => {
  const photo = { width: 10, height: 10 };
  const square = cropOfPolygon([{ x: 2, y: 3 }, { x: 6, y: 3 }, { x: 6, y: 5 }, { x: 2, y: 5 }], photo);
  assert.equal(areaOf(rleOf(square, photo)), 8);
  assert.ok(has(square, { x: 2.5, y: 3.5 }) && !has(square, { x: 6.5, y: 3.5 }));
  const outside = cropOfPolygon([{ x: -9, y: -9 }, { x: 30, y: -9 }, { x: 30, y: 30 }, { x: -9, y: 30 }], photo);
  assert.equal(areaOf(rleOf(outside, photo)), 100);
});
