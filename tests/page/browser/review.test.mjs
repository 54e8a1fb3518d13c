// Reviewing what the model made alone, by keys and by touch.

import assert from 'node:assert/strict';

import { click, isReal, pageTests, painted, placeOf } from './page.mjs';
import { cropOf } from '../../../apps/server/web/js/rle.js';

const pageTest = pageTests();

async function get(server, path) {
  const answer = await fetch(server.url + path);
  return answer.ok ? answer.json() : { status: answer.status };
}

// A run that fills the queue: on the real server quickly, with whatever a coarse grid finds.
async function fill(page, server) {
  const body = isReal ? { stage: 2, points_per_side: 4, pred_iou_thresh: 0.7, stability_score_thresh: 0.7 } : { stage: 2 };
  const answer = await fetch(`${server.url}/v1/engine/runs`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
  });
  assert.equal(answer.status, 202);
  const { id } = await answer.json();
  for (;;) {
    const job = await get(server, `/v1/jobs/${id}`);
    if (job.state === 'done') break;
    assert.notEqual(job.state, 'failed', JSON.stringify(job));
    await page.waitForTimeout(100);
  }
  return (await get(server, '/v1/reviews')).reviews;
}

async function begin(page) {
  await page.keyboard.press('q');
  return shown(page);
}

// The object that can be judged, once it is another one than `before`.
async function shown(page, before = '') {
  const handle = await page.waitForFunction((id) => {
    const now = document.querySelector('#stage').dataset.review;
    return now !== 'busy' && now !== '' && now !== id ? now : false;
  }, before);
  return handle.jsonValue();
}

pageTest('the most doubtful mask comes first; keys accept, reject and leave it', async (page, server) => {
  const queue = await fill(page, server);
  assert.ok(queue.length >= 4, String(queue.length));
  const first = await begin(page);
  assert.equal(first, String(queue[0].id));
  assert.match(await page.locator('#review-text').textContent(), new RegExp(`^${queue.length} to go · semi-automatic · doubt ${queue[0].engine.doubt.toFixed(2)}`));
  const [x, y, width, height] = queue[0].box;
  assert.ok(await painted(page, 'masks', x, y, width, height) > 0.01);
  await page.keyboard.press('a');
  const second = await shown(page, first);
  assert.equal(second, String(queue[1].id));
  await page.keyboard.press('r');
  const third = await shown(page, second);
  assert.equal(third, String(queue[2].id));
  await page.keyboard.press('l');
  assert.equal(await shown(page, third), String(queue[3].id));
  await page.waitForFunction(() => document.querySelector('#saved').dataset.state === 'saved');
  assert.equal((await get(server, `/v1/annotations/${first}`)).engine.review, 'accepted');
  assert.equal((await get(server, `/v1/annotations/${second}`)).status, 404);
  assert.equal((await get(server, `/v1/annotations/${third}`)).engine.review, 'pending');
  const left = await get(server, '/v1/reviews');
  assert.equal(left.pending, queue.length - 2);

  // Taken back, one after the other.
  await page.keyboard.press('Control+z');
  assert.equal(await shown(page, String(queue[3].id)), second);
  await page.keyboard.press('Control+z');
  assert.equal(await shown(page, second), first);
  assert.equal((await get(server, '/v1/reviews')).pending, queue.length);
  await page.keyboard.press('Escape');
  assert.ok(await page.locator('#review-bar').isHidden());
  await page.waitForFunction((n) => document.querySelector('#review-count').textContent === String(n), queue.length);
}, { kept: true });

pageTest('a mask is fixed with the tools, and its seconds are sent', async (page, server) => {
  const queue = await fill(page, server);
  const first = await begin(page);
  await page.waitForFunction(() => document.querySelector('#stage').dataset.ready === 'true');
  await page.keyboard.press('f');
  assert.equal(await page.locator('#stage').getAttribute('data-tool'), 'point');
  await page.keyboard.press('r');
  assert.equal(await page.locator('#stage').getAttribute('data-tool'), 'brush');
  // The eraser takes away some of what is surely there.
  await page.keyboard.press('e');
  const crop = cropOf(queue[0].rle);
  let best = null;
  crop.data.forEach((value, i) => {
    const x = crop.x + (i % crop.width), y = crop.y + Math.floor(i / crop.width);
    const away = Math.hypot(x - crop.x - crop.width / 2, y - crop.y - crop.height / 2);
    if (value && (best === null || away < best.away)) best = { x: x + 0.5, y: y + 0.5, away };
  });
  await page.mouse.move(...await placeOf(page, best.x, best.y));
  await page.mouse.down();
  await page.mouse.move(...await placeOf(page, best.x + 1, best.y + 1), { steps: 2 });
  await page.mouse.up();
  await page.waitForFunction(() => document.querySelector('#facts').textContent.includes('hand, with the brush'));
  await page.waitForFunction(() => document.querySelector('#saved').dataset.state === 'saved');
  const painting = await get(server, `/v1/annotations/${first}`);
  assert.notEqual(painting.rle.counts, queue[0].rle.counts);
  assert.equal(painting.engine.review, 'fixed');
  await page.waitForTimeout(300);
  await page.keyboard.press('a');
  assert.equal(await shown(page, first), String(queue[1].id));
  await page.waitForFunction(() => document.querySelector('#saved').dataset.state === 'saved');
  assert.equal((await get(server, `/v1/annotations/${first}`)).engine.review, 'fixed');
  if (isReal) {
    const { people } = (await get(server, '/v1/engine')).stages['2'];
    assert.equal(people.objects, 1);
    assert.ok(people.seconds > 0.3 && people.seconds < 60, JSON.stringify(people));
  } else {
    const acts = server.work.filter((w) => w.id === first);
    assert.deepEqual(acts.map((a) => a.action), ['change', 'accept']);
    assert.ok(acts[1].seconds >= 0.25 && acts[1].seconds < 30, JSON.stringify(acts));
  }
}, { kept: true });

pageTest('fingers review as well', async (page, server) => {
  const queue = await fill(page, server);
  await page.locator('#review').waitFor({ state: 'attached' });
  await page.evaluate(() => document.querySelector('#review').click());
  const first = await shown(page);
  for (const name of ['accept', 'fix', 'reject', 'later', 'leave']) {
    const box = await page.locator(`#review-${name}`).boundingBox();
    assert.ok(box.width >= 40 && box.height >= 40, `${name}: ${JSON.stringify(box)}`);
    assert.ok(box.x >= 0 && box.x + box.width <= 390, name);
  }
  await page.locator('#review-reject').tap();
  const second = await shown(page, first);
  await page.locator('#review-accept').tap();
  await shown(page, second);
  await page.waitForFunction(() => document.querySelector('#saved').dataset.state === 'saved');
  assert.equal((await get(server, '/v1/reviews')).pending, queue.length - 2);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
  await page.locator('#review-leave').tap();
  assert.ok(await page.locator('#review-bar').isHidden());
}, { kept: true, page: { name: 'astronaut.png', context: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true } } });

pageTest('objects that people make are timed too', async (page, server) => {
  await page.waitForTimeout(200);
  await click(page, 290, 145);
  await page.waitForFunction(() => document.querySelector('#saved').dataset.state === 'saved' && document.querySelectorAll('#object-list li').length === 1);
  if (isReal) {
    const { people } = (await get(server, '/v1/engine')).stages['1'];
    assert.equal(people.objects, 1);
    assert.ok(people.seconds > 0.1 && people.seconds < 60, JSON.stringify(people));
  } else {
    assert.equal(server.work.length, 1);
    assert.ok(server.work[0].seconds >= 0.15, JSON.stringify(server.work));
  }
}, { kept: true });

if (!isReal) {
  pageTest('the next photo is fetched while this one is looked at', async (page, server) => {
    const queue = await fill(page, server);
    const first = await begin(page);
    const other = queue.find((o) => o.image !== queue[0].image);
    assert.ok(other);
    const before = server.counts.content;
    await page.waitForTimeout(300);
    let now = first;
    while (now !== String(other.id)) {
      await page.keyboard.press('a');
      now = await shown(page, now);
    }
    // It was there already when it was wanted; the one after it is asked for now.
    await page.waitForTimeout(300);
    assert.ok(server.counts.content - before <= 1, `${server.counts.content - before}`);
  });

  pageTest('an empty queue offers runs, and a judgement that fails is said', async (page, server) => {
    await page.keyboard.press('q');
    await page.locator('#review-run-2').waitFor({ state: 'visible' });
    assert.match(await page.locator('#review-text').textContent(), /^Nothing waits/);
    await page.locator('#review-run-2').click();
    const first = await shown(page);
    server.failures.push([412, 'stale', 'the annotation has changed']);
    await page.keyboard.press('a');
    await page.locator('#notice[data-kind=problem]').waitFor({ state: 'visible' });
    const waiting = (await get(server, '/v1/reviews')).reviews.map((o) => o.id);
    assert.ok(waiting.includes(first));
    await page.keyboard.press('Escape');
    // Tools have their own keys again.
    await page.keyboard.press('r');
    assert.equal(await page.locator('#stage').getAttribute('data-tool'), 'brush');
  });
}
