// Opens the page in Debian's Chromium, on the made-up server or, with BECKON=path of the program, on the real one.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

import { photosIn, startMock } from '../mock.mjs';

export const kPhotos = fileURLToPath(new URL('../../../examples/photos', import.meta.url));
const kProgram = process.env.BECKON ?? '';
export const isReal = kProgram !== '';

function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  return execFileSync('sh', ['-c', 'command -v chromium || command -v chromium-browser || command -v google-chrome']).toString().trim();
}

export function launch(options = {}) {
  return chromium.launch({ executablePath: executable(), args: ['--no-sandbox', '--force-color-profile=srgb'], ...options });
}

// A folder with the sample photos, which the tests may write to.
export function folder() {
  const made = mkdtempSync(join(tmpdir(), 'beckon-page-'));
  for (const { name } of photosIn(kPhotos)) cpSync(join(kPhotos, name), join(made, name));
  return made;
}

async function startReal(dir, port = 0) {
  // BECKON_PAGE=apps/server/web: the page from its sources instead of the one that was built in.
  const page = process.env.BECKON_PAGE ? ['--page', process.env.BECKON_PAGE] : [];
  const child = spawn(kProgram, ['serve', dir, '--port', String(port), '--json', ...page], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((done) => child.on('exit', done));
  const url = await new Promise((done, fail) => {
    let text = '';
    child.stdout.on('data', (bytes) => {
      text += bytes;
      const line = text.split('\n').find((l) => l.startsWith('{') && l.endsWith('}'));
      if (line) done(JSON.parse(line).url);
    });
    child.on('exit', (code) => fail(new Error(`beckon serve ended with ${code}`)));
  });
  return { url: url.replace(/\/$/, ''), stop: (signal = 'SIGTERM') => (child.kill(signal), ended) };
}

export async function start(options = {}) {
  if (!isReal) return startMock({ photos: photosIn(kPhotos), ...options });
  const dir = folder();
  let server = await startReal(dir);
  return {
    url: server.url,
    dir,
    // Ends it as a power cut would, and starts it again on the same folder and port.
    async restart() {
      await server.stop('SIGKILL');
      server = await startReal(dir, new URL(server.url).port);
    },
    async stop() {
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

// The page with a photo open and ready. Whatever it reports as an error fails the test at the end: see errors.
export async function openPage(browser, url, { name = 'coffee.png', context: contextOptions = {} } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 720 }, acceptDownloads: true, ...contextOptions });
  const page = await context.newPage();
  page.setDefaultTimeout(60000); // other work on the machine makes tests slow, not wrong
  page.errors = [];
  page.on('pageerror', (error) => page.errors.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/status of [45]\d\d/.test(message.text())) page.errors.push(message.text());
  });
  await page.goto(url);
  await choose(page, name);
  return page;
}

// -> pageTest(name, work(page, server), options): a server and a page of its own for each test; errors of the page fail
// it.
export function pageTests() {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser.close());
  return (name, work, options = {}) => test(name, { timeout: 240000 }, async (t) => {
    const server = await start(options.server);
    try {
      const page = await openPage(browser, server.url, options.page);
      if (options.kept && !await keeps(server.url)) return t.skip('this server keeps no annotations');
      await work(page, server);
      assert.deepEqual(page.errors, []);
      await page.context().close();
    } finally {
      await server.stop();
    }
    return undefined;
  });
}

async function keeps(url) {
  const { images } = await (await fetch(`${url}/v1/images`)).json();
  return (await fetch(`${url}/v1/images/${images[0].id}/annotations`)).status !== 404;
}

export async function choose(page, name) {
  const row = page.locator('#photo-list li', { hasText: name });
  await row.waitFor({ state: 'attached' });
  await row.evaluate((li) => li.click());
  await page.waitForFunction((n) => document.title.startsWith(n) && document.querySelector('#busy').hidden, name);
  await ready(page);
}

export async function ready(page) {
  await page.waitForFunction(() => document.querySelector('#stage').dataset.ready === 'true');
}

// Where a place of the photo is in the window.
export async function placeOf(page, x, y) {
  const [left, top] = await page.locator('#stage').evaluate((stage, at) => {
    const { scale, x: dx, y: dy } = JSON.parse(stage.dataset.view);
    const box = stage.getBoundingClientRect();
    return [box.left + at.x * scale + dx, box.top + at.y * scale + dy];
  }, { x, y });
  return [left, top];
}

export async function moveTo(page, x, y, steps = 3) {
  await page.mouse.move(...await placeOf(page, x, y), { steps });
}

export async function hover(page, x, y, steps = 3) {
  const before = await drawn(page);
  await moveTo(page, x, y, steps);
  await page.waitForFunction((n) => Number(document.querySelector('#stage').dataset.drawn ?? 0) > n, before);
}

export async function drawn(page) {
  return page.locator('#stage').evaluate((s) => Number(s.dataset.drawn ?? 0));
}

export async function click(page, x, y, modifiers = []) {
  for (const key of modifiers) await page.keyboard.down(key);
  await page.mouse.click(...await placeOf(page, x, y));
  for (const key of modifiers) await page.keyboard.up(key);
}

export async function drag(page, points) {
  await page.mouse.move(...await placeOf(page, ...points[0]));
  await page.mouse.down();
  for (const point of points.slice(1)) await page.mouse.move(...await placeOf(page, ...point), { steps: 6 });
  await page.mouse.up();
}

export async function saved(page, count) {
  await page.waitForFunction((n) => {
    const state = document.querySelector('#saved').dataset.state;
    return (state === 'saved' || state === 'page') && document.querySelectorAll('#object-list li').length === n;
  }, count);
}

// What the facts of the selected object say: its area in pixels.
export async function area(page) {
  const text = await page.locator('#facts dd').first().textContent();
  return Number(text.split(' ')[0].replaceAll(',', ''));
}

// How many pixels of a layer are painted in a part of the photo.
export async function painted(page, layer, x, y, width, height) {
  return page.evaluate(async ([name, x0, y0, w, h]) => {
    for (let i = 0; i < 2; ++i) await new Promise((done) => requestAnimationFrame(done)); // what was asked for is drawn
    const stage = document.querySelector('#stage');
    const view = JSON.parse(stage.dataset.view);
    const canvas = stage.querySelector(`[data-layer=${name}]`);
    const ratio = canvas.width / stage.clientWidth;
    const at = (v, d) => Math.round((v * view.scale + d) * ratio);
    const data = canvas.getContext('2d').getImageData(at(x0, view.x), at(y0, view.y),
      Math.max(1, Math.round(w * view.scale * ratio)), Math.max(1, Math.round(h * view.scale * ratio))).data;
    let count = 0;
    for (let i = 3; i < data.length; i += 4) if (data[i] > 60) ++count;
    return count / (data.length / 4);
  }, [layer, x, y, width, height]);
}
