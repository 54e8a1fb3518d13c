import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import test from 'node:test';

import {
  commandOf, isAmbiguous, quoted, recipeOf, sampled, stem, withBox, withMask, withPoint, withScribble,
} from '../../../apps/server/web/js/prompt.js';

test('prompts grow without changing what they grew from', () => {
  const one = withPoint({}, { x: 10.04, y: 20 }, 1);
  const two = withPoint(one, { x: 5, y: 6 }, 0);
  assert.deepEqual(one, { points: [{ x: 10, y: 20, label: 1 }] });
  assert.equal(two.points.length, 2);
  assert.ok(isAmbiguous(one) && !isAmbiguous(two) && !isAmbiguous(withBox(one, { x: 0, y: 0 }, { x: 2, y: 2 })));
});

test('a box may be drawn from any corner', () => {
  assert.deepEqual(withBox({}, { x: 30, y: 5 }, { x: 10, y: 40 }), { box: [10, 5, 30, 40] });
});

test('places along a stroke are evenly apart, both ends included', () => {
  const stroke = Array.from({ length: 200 }, (_, i) => ({ x: (i * i) / 400, y: 0 }));
  const places = sampled(stroke, 10, 12);
  assert.equal(places[0].x, 0);
  assert.equal(places.at(-1).x, stroke.at(-1).x);
  assert.ok(places.length >= 8 && places.length <= 12, String(places.length));
  const gaps = places.slice(1).map((p, i) => p.x - places[i].x);
  assert.ok(Math.max(...gaps) - Math.min(...gaps) < 0.01, String(gaps));
  assert.equal(sampled([{ x: 1, y: 1 }], 5).length, 1);
  assert.ok(sampled(stroke, 0.01, 12).length <= 12);
});

test('the recipe is the prompt file of the command line', () => {
  const rle = { size: [4, 5], counts: '52207' };
  const prompt = withMask(withScribble(withBox(withPoint({}, { x: 1, y: 2 }, 0), { x: 0, y: 0 }, { x: 4, y: 4 }), [{ x: 3, y: 3 }], 1), rle);
  assert.deepEqual(recipeOf(prompt), { beckon: 1, prompts: [
    { type: 'point', at: [1, 2], label: 'background' },
    { type: 'box', xyxy: [0, 0, 4, 4] },
    { type: 'scribble', points: [[3, 3]], label: 'object' },
    { type: 'mask', rle },
  ] });
});

test('points and a box are options', () => {
  const prompt = withPoint(withPoint({}, { x: 500, y: 375.5 }, 1), { x: 9, y: 8 }, 0);
  assert.equal(commandOf('truck.jpg', prompt, { rank: 0, multimask: false }),
    'beckon segment truck.jpg --point 500,375.5 --background 9,8 --single -o truck-mask.png');
});

test('another reading than the best is taken from the report', () => {
  assert.equal(commandOf('a/b.png', withPoint({}, { x: 1, y: 2 }, 1), { rank: 2, multimask: true }),
    'beckon segment a/b.png --point 1,2 --multimask --json   # the mask is .masks[2]');
});

test('names cannot become options or commands', () => {
  for (const name of ["it's; rm -rf $HOME.jpg", '-o.png', '$(x)`y`.png', 'a\nb.png']) {
    const command = commandOf(name, withPoint({}, { x: 1, y: 2 }, 1));
    const words = execFileSync('bash', ['-c', `beckon() { printf '%s\\0' "$@"; }; ${command}`]).toString().split('\0');
    assert.equal(words[1], name.startsWith('-') ? `./${name}` : name);
    assert.deepEqual(words.slice(2, 5), ['--point', '1,2', '-o']);
  }
  assert.equal(quoted("it's"), "'it'\\''s'");
  assert.equal(stem('x/y.tar.png'), 'y.tar');
});

test('a prompt with a mask is piped in, byte for byte', () => {
  const prompt = withMask({}, { size: [4, 5], counts: "5'2\\2%s" });
  const command = commandOf('p.png', prompt);
  const piped = execFileSync('bash', ['-c', `beckon() { cat; }; ${command}`]).toString();
  assert.deepEqual(JSON.parse(piped), recipeOf(prompt));
});
