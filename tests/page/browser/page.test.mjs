// What people do on the page, in a browser. On the made-up server: node --test browser/; on the real one with
// BECKON=path of the program.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';

import {
  area, choose, click, drag, hover, isReal, moveTo, pageTests, painted, placeOf, saved,
} from './page.mjs';
import { cropOf, decodeCounts } from '../../../apps/server/web/js/rle.js';

const pageTest = pageTests();

const kCup = [290, 145], kSpoon = [365, 282]; // in coffee.png

pageTest('the mask under the pointer is drawn, and gone when the pointer leaves', async (page) => {
  assert.equal(await painted(page, 'tools', 0, 0, 600, 400), 0);
  await hover(page, ...kCup);
  assert.ok(await painted(page, 'tools', kCup[0] - 4, kCup[1] - 4, 8, 8) > 0.99);
  assert.equal(await page.locator('#readings button:visible').count(), 3);
  await page.mouse.move(5, 5);
  await page.waitForFunction(() => document.querySelector('#readings').hidden);
  assert.equal(await painted(page, 'tools', 0, 0, 600, 400), 0);
});

pageTest('a click keeps the mask, Ctrl adds and Shift takes away', async (page) => {
  await click(page, ...kSpoon);
  await saved(page, 1);
  const first = await area(page);
  assert.ok(first > 500);
  await click(page, 200, 300, ['Control']);
  await page.waitForFunction((a) => !document.querySelector('#facts dd').textContent.startsWith(a), first.toLocaleString('en'));
  await saved(page, 1);
  const more = await area(page);
  assert.ok(more > first, `${more} after ${first}`);
  await click(page, 200, 300, ['Shift']);
  await page.waitForFunction((a) => !document.querySelector('#facts dd').textContent.startsWith(a), more.toLocaleString('en'));
  await saved(page, 1);
  assert.ok(await area(page) < more);
  assert.match(await page.locator('#command').textContent(), /"label":"background"/);
});

pageTest('keys and the wheel choose among three readings', async (page) => {
  await hover(page, ...kCup);
  const scores = (await page.locator('#readings .value').allTextContents()).map(Number);
  assert.equal(scores.length, 3);
  const checked = () => page.locator('#readings button').evaluateAll((all) => all.findIndex((b) => b.getAttribute('aria-checked') === 'true'));
  assert.equal(await checked(), scores.indexOf(Math.max(...scores)));
  await page.keyboard.press('3');
  assert.equal(await checked(), 2);
  await page.mouse.wheel(0, 120);
  await page.waitForFunction(() => document.querySelectorAll('#readings button')[1].getAttribute('aria-checked') === 'true');
  const areas = [];
  for (const key of ['1', '2', '3']) {
    await hover(page, kCup[0] + 40 + Number(key) * 8, kCup[1]);
    await hover(page, ...kCup);
    await page.keyboard.press(key);
    areas.push(await painted(page, 'tools', 0, 0, 600, 400));
  }
  assert.ok(areas[0] < areas[1] && areas[1] < areas[2], String(areas));
  await click(page, ...kCup);
  await saved(page, 1);
  const whole = await area(page);
  assert.ok(Math.abs(whole / 240000 - areas[2]) < 0.03, `${whole} of 240000, drawn ${areas[2]}`);
  // The readings of what was kept stay to choose from.
  await page.keyboard.press('1');
  await page.waitForFunction((a) => !document.querySelector('#facts dd').textContent.startsWith(a), whole.toLocaleString('en'));
  await saved(page, 1);
  assert.ok(await area(page) < whole);
});

pageTest('a drag makes a box', async (page) => {
  await drag(page, [[60, 20], [560, 380]]);
  await saved(page, 1);
  const command = await page.locator('#command').textContent();
  const [, ...sides] = command.match(/--box ([\d.]+),([\d.]+),([\d.]+),([\d.]+)/).map(Number);
  [60, 20, 560, 380].forEach((v, i) => assert.ok(Math.abs(sides[i] - v) < 1.5, command));
  assert.match(command, /^beckon segment coffee.png --box .* --single -o coffee-mask.png$/);
});

pageTest('a scribble and a lasso make objects', async (page) => {
  await page.keyboard.press('s');
  await drag(page, [[345, 270], [365, 262], [385, 285], [370, 305]]);
  await saved(page, 1);
  assert.match(await page.locator('#command').textContent(), /"type":"scribble"/);
  await page.keyboard.press('l');
  await drag(page, [[180, 40], [420, 40], [420, 260], [180, 260], [180, 50]]);
  await saved(page, 2);
  assert.match(await page.locator('#command').textContent(), /"type":"mask"/);
  assert.ok(await area(page) > 10000);
});

pageTest('pixels are repaired with brush and eraser', async (page) => {
  await click(page, ...kSpoon);
  await saved(page, 1);
  const first = await area(page);
  await page.keyboard.press('r');
  await drag(page, [[30, 30], [90, 30]]);
  await page.waitForFunction((a) => !document.querySelector('#facts dd').textContent.startsWith(a), first.toLocaleString('en'));
  await saved(page, 1);
  const more = await area(page);
  const scale = JSON.parse(await page.locator('#stage').getAttribute('data-view')).scale;
  const radius = 14 / scale;
  assert.ok(Math.abs(more - first - (60 * 2 * radius + Math.PI * radius * radius)) < 60, `${more - first}`);
  await page.keyboard.press('e');
  await drag(page, [[30, 30], [90, 30]]);
  await page.waitForFunction((a) => !document.querySelector('#facts dd').textContent.startsWith(a), more.toLocaleString('en'));
  await saved(page, 1);
  assert.equal(await area(page), first);
});

pageTest('everything is shown to pick from', async (page) => {
  await page.keyboard.press('g');
  await page.locator('#picks').waitFor({ state: 'visible', timeout: 200000 });
  const count = Number((await page.locator('#picks-count').textContent()).split(' ')[0]);
  assert.ok(count >= 3);
  assert.ok(await painted(page, 'masks', 0, 0, 600, 400) > 0.02);
  await click(page, 300, isReal ? 145 : 200);
  await saved(page, 1);
  assert.equal(Number((await page.locator('#picks-count').textContent()).split(' ')[0]), count - 1);
  assert.match(await page.locator('#command').textContent(), /--point .* --multimask/);
  await page.keyboard.press('Escape');
  assert.ok(await page.locator('#picks').isHidden());
});

pageTest('undo and redo, also after the page was loaded again', async (page) => {
  await click(page, ...kSpoon);
  await saved(page, 1);
  await page.locator('.label').fill('spoon');
  await page.keyboard.press('Enter');
  await saved(page, 1);
  await click(page, 20, 390);
  await saved(page, 2);
  await page.reload();
  await choose(page, 'coffee.png');
  await saved(page, 2);
  assert.equal(await page.locator('.label').first().inputValue(), 'spoon');
  await page.keyboard.press('Control+z');
  await saved(page, 1);
  await page.keyboard.press('Control+z');
  await page.waitForFunction(() => document.querySelector('.label').value === '');
  await page.keyboard.press('Control+z');
  await saved(page, 0);
  assert.ok(await page.locator('#undo').isDisabled());
  for (let i = 0; i < 3; ++i) {
    await page.locator('#redo').click();
    await page.waitForFunction(() => document.querySelector('#saved').dataset.state !== 'saving');
  }
  await saved(page, 2);
  assert.equal(await page.locator('.label').first().inputValue(), 'spoon');
}, { kept: true });

pageTest('a cut-out is a PNG with what is around it transparent', async (page) => {
  await click(page, ...kSpoon);
  await saved(page, 1);
  const [, width, height] = (await page.locator('#facts dd').nth(1).textContent()).match(/(\d+) × (\d+)/).map(Number);
  await page.keyboard.press('x');
  const download = page.waitForEvent('download');
  await page.locator('#tray-list a').click();
  const file = await download;
  assert.equal(file.suggestedFilename(), 'coffee-object-1.png');
  const bytes = readFileSync(await file.path());
  assert.deepEqual([bytes.readUInt32BE(16), bytes.readUInt32BE(20)], [width, height]);
  assert.equal(bytes[25], 6); // red, green, blue, alpha
  const opaque = await page.evaluate(async (data) => {
    const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))]));
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
    context.drawImage(bitmap, 0, 0);
    const { data: pixels } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    return pixels.filter((v, i) => i % 4 === 3 && v === 255).length;
  }, bytes.toString('base64'));
  assert.equal(opaque, await area(page));
});

pageTest('objects are named, coloured, hidden, deleted', async (page) => {
  await click(page, ...kSpoon);
  await saved(page, 1);
  assert.ok(await painted(page, 'masks', kSpoon[0] - 3, kSpoon[1] - 3, 6, 6) > 0.9);
  await page.keyboard.press('n');
  await page.keyboard.type('spoon');
  await page.keyboard.press('Enter');
  await page.locator('.swatch input').evaluate((input) => {
    input.value = '#00ff00';
    input.dispatchEvent(new Event('change'));
  });
  await saved(page, 1);
  assert.equal(await page.locator('.label').inputValue(), 'spoon');
  await page.locator('[aria-label="Hide spoon"]').click();
  await page.locator('[aria-label="Show spoon"]').waitFor();
  await saved(page, 1);
  assert.equal(await painted(page, 'masks', 0, 0, 600, 400), 0);
  await page.locator('[aria-label="Delete spoon"]').click();
  await saved(page, 0);
});

pageTest('fill, outline and the photo alone', async (page) => {
  await click(page, ...kSpoon);
  await saved(page, 1);
  const filled = await painted(page, 'masks', 0, 0, 600, 400);
  await page.keyboard.press('o');
  await page.waitForTimeout(60);
  const outlined = await painted(page, 'masks', 0, 0, 600, 400);
  await page.keyboard.press('o');
  await page.waitForTimeout(60);
  assert.ok(outlined > 0 && outlined < filled / 2, `${outlined} of ${filled}`);
  assert.equal(await painted(page, 'masks', 0, 0, 600, 400), 0);
  assert.equal(await page.locator('[data-view=original]').getAttribute('aria-checked'), 'true');
});

pageTest('zoom keeps what is under the pointer, space pans', async (page) => {
  await moveTo(page, 150, 100);
  const before = await placeOf(page, 150, 100);
  await page.keyboard.down('Control');
  await page.mouse.wheel(0, -200);
  await page.keyboard.up('Control');
  await page.waitForFunction(() => JSON.parse(document.querySelector('#stage').dataset.view).scale > 1.5);
  const zoomed = await placeOf(page, 150, 100);
  assert.ok(Math.hypot(zoomed[0] - before[0], zoomed[1] - before[1]) < 2);
  await page.keyboard.down(' ');
  await page.mouse.down();
  await page.mouse.move(zoomed[0] + 70, zoomed[1] + 30, { steps: 4 });
  await page.mouse.up();
  await page.keyboard.up(' ');
  const panned = await placeOf(page, 150, 100);
  assert.ok(Math.abs(panned[0] - zoomed[0] - 70) < 2 && Math.abs(panned[1] - zoomed[1] - 30) < 2);
  assert.equal(await page.locator('#object-list li').count(), 0);
});

pageTest('keys alone are enough', async (page) => {
  await page.locator('#stage').focus();
  for (let i = 0; i < 4; ++i) await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() => !document.querySelector('#readings').hidden);
  await page.keyboard.press('Enter');
  await saved(page, 1);
  await page.keyboard.press('Delete');
  await saved(page, 0);
  await page.keyboard.press('?');
  assert.ok(await page.locator('#shortcuts').isVisible());
  await page.keyboard.press('Escape');
  assert.ok(await page.locator('#shortcuts').isHidden());
});

pageTest('the command and the JSON are copied', async (page) => {
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await click(page, ...kSpoon);
  await saved(page, 1);
  await page.keyboard.press('c');
  await page.locator('#notice').waitFor({ state: 'visible' });
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^beckon segment coffee.png --point 36\d(\.\d)?,28\d(\.\d)? --multimask/);
  await page.locator('#copy-json').click();
  await page.waitForFunction(async () => (await navigator.clipboard.readText()).startsWith('{'));
  const recipe = JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
  assert.equal(recipe.prompts[0].type, 'point');
});

pageTest('photos are taken in by choosing and by pasting', async (page) => {
  await page.locator('#files').setInputFiles({ name: 'new photo.png', mimeType: 'image/png', buffer: madeUp(64, 40) });
  await page.waitForFunction(() => document.title.startsWith('new') && document.querySelector('#stage').dataset.ready === 'true');
  assert.match(await page.locator('#photo-name').textContent(), /64 × 40/);
  await page.evaluate(async (data) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], 'pasted.png', { type: 'image/png' }));
    document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer }));
  }, madeUp(50, 30).toString('base64'));
  await page.waitForFunction(() => document.querySelector('#photo-name').textContent.includes('50 × 30'));
  await page.locator('#files').setInputFiles({ name: 'broken.png', mimeType: 'image/png', buffer: Buffer.from('no picture') });
  await page.locator('#notice').waitFor({ state: 'visible' });
  assert.match(await page.locator('#notice').textContent(), /^broken\.png: /);
});

pageTest('a finger keeps on lifting, two fingers zoom', async (page) => {
  await page.touchscreen.tap(...await placeOf(page, 220, 120));
  await saved(page, 1);
  const cdp = await page.context().newCDPSession(page);
  const [x, y] = await placeOf(page, 256, 256);
  const touch = (type, d) => cdp.send('Input.dispatchTouchEvent', {
    type, touchPoints: type === 'touchEnd' ? [] : [{ x: x - d, y, id: 1 }, { x: x + d, y, id: 2 }],
  });
  const scale = async () => JSON.parse(await page.locator('#stage').getAttribute('data-view')).scale;
  const first = await scale();
  await touch('touchStart', 30);
  for (const d of [45, 60, 90]) await touch('touchMove', d);
  await touch('touchEnd');
  assert.ok(Math.abs(await scale() / first - 3) < 0.2, `${await scale() / first}`);
  assert.equal(await page.locator('#object-list li').count(), 1);
  // Nothing is wider than a phone.
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
}, { page: { name: 'astronaut.png', context: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true } } });

pageTest('controls have names, and none is smaller than a finger on a phone', async (page) => {
  const nameless = await page.evaluate(() => [...document.querySelectorAll('button, input, [role]')]
    .filter((e) => e.checkVisibility() && !['status', 'presentation'].includes(e.getAttribute('role')))
    .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.getAttribute('title') || e.labels?.length))
    .map((e) => e.outerHTML));
  assert.deepEqual(nameless, []);
});

if (isReal) {
  pageTest('what was shown as saved is there after the server was killed, undo too', async (page, server) => {
    await click(page, ...kSpoon);
    await saved(page, 1);
    await page.locator('.label').fill('spoon');
    await page.keyboard.press('Enter');
    await saved(page, 1);
    const kept = await area(page);
    await server.restart();
    await page.reload();
    await choose(page, 'coffee.png');
    await saved(page, 1);
    assert.equal(await page.locator('.label').inputValue(), 'spoon');
    await page.keyboard.press('j');
    assert.equal(await area(page), kept);
    await page.keyboard.press('Control+z');
    await page.waitForFunction(() => document.querySelector('.label').value === '');
    await page.keyboard.press('Control+z');
    await saved(page, 0);
  }, { kept: true });

  pageTest('the command line gives the mask that the page keeps', async (page, server) => {
    await hover(page, ...kSpoon);
    await page.keyboard.press('2');
    await click(page, ...kSpoon);
    await saved(page, 1);
    const command = await page.locator('#command').textContent();
    const rank = Number(command.match(/\.masks\[(\d)\]/)?.[1] ?? 0);
    const [, x, y] = command.match(/--point ([\d.]+),([\d.]+)/);
    const report = JSON.parse(execFileSync(process.env.BECKON,
      ['segment', 'coffee.png', '--point', `${x},${y}`, '--multimask', '--json'], { cwd: server.dir }));
    assert.equal(report.masks[rank].area, await area(page));
  });
}

if (!isReal) {
  pageTest('what is not acknowledged is not shown as saved', async (page, server) => {
    server.failures.push([507, 'full', 'the disk is full']);
    await click(page, ...kCup);
    await page.waitForFunction(() => document.querySelector('#saved').dataset.state === 'failed');
    assert.equal(await page.locator('#notice').textContent(), 'the disk is full');
    assert.equal(await page.locator('#object-list li').count(), 0);
    await click(page, ...kCup);
    await saved(page, 1);
  });

  pageTest('of a change that came too late the other version is shown', async (page, server) => {
    await click(page, ...kCup);
    await saved(page, 1);
    const [known] = server.annotations([...server.images.values()].find((p) => p.name === 'coffee.png').id);
    const answer = await fetch(`${server.url}/v1/annotations/${known.id}`, {
      method: 'PATCH', headers: { 'If-Match': `"${known.id}.${known.version}"` }, body: JSON.stringify({ label: 'theirs' }),
    });
    assert.equal(answer.status, 200);
    await page.locator('.label').fill('mine');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector('.label').value === 'theirs');
    assert.match(await page.locator('#notice').textContent(), /Somebody else/);
  });

  pageTest('a server that keeps nothing is told apart', async (page) => {
    await click(page, ...kCup);
    await saved(page, 1);
    assert.equal(await page.locator('#saved').textContent(), 'On this page only');
    await page.keyboard.press('Control+z');
    await saved(page, 0);
  }, { server: { annotations: false } });

  pageTest('slow answers: one request at a time', async (page, server) => {
    await moveTo(page, 100, 100);
    await page.waitForTimeout(300);
    const before = server.counts.segment;
    const [x, y] = await placeOf(page, 100, 100);
    for (let i = 0; i < 60; ++i) await page.mouse.move(x + 4 * i, y + 2 * i);
    await page.waitForTimeout(700);
    const asked = server.counts.segment - before;
    assert.ok(asked >= 2 && asked < 25, String(asked));
    // The newest place is the one that is shown.
    assert.ok(await painted(page, 'tools', 100 + 236 / (await scaleOf(page)) - 3, 100 + 118 / (await scaleOf(page)) - 3, 6, 6) > 0.99);
  }, { server: { delay: 60 } });

  pageTest('a stored mask is the one that was drawn', async (page, server) => {
    await click(page, ...kCup);
    await saved(page, 1);
    const [known] = server.annotations([...server.images.values()].find((p) => p.name === 'coffee.png').id);
    assert.equal(decodeCounts(known.rle.counts).reduce((a, b) => a + b, 0), 240000);
    const crop = cropOf(known.rle);
    assert.equal(await painted(page, 'masks', crop.x + crop.width / 2 - 2, crop.y + 3, 4, 4), 1);
    assert.ok(await painted(page, 'masks', crop.x, crop.y - 12, crop.width, 6) === 0);
  });
}

async function scaleOf(page) {
  return JSON.parse(await page.locator('#stage').getAttribute('data-view')).scale;
}

// A PNG of this size.
function madeUp(width, height) {
  const raw = Buffer.alloc(height * (width * 3 + 1));
  for (let y = 0; y < height; ++y)
    for (let x = 0; x < width; ++x) raw.fill((x * 7 + y * 3) & 255, y * (width * 3 + 1) + 1 + 3 * x, y * (width * 3 + 1) + 4 + 3 * x);
  const chunk = (type, data) => {
    const out = Buffer.alloc(12 + data.length);
    out.writeUInt32BE(data.length, 0);
    out.write(type, 4, 'latin1');
    data.copy(out, 8);
    out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
    return out;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', header), chunk('IDAT', deflateSync(raw)), chunk('IEND', Buffer.alloc(0))]);
}

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; ++i) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
