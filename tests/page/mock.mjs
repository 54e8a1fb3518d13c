// A server with the API of beckon serve and made-up masks, to work on the page without a model:
//   node tests/page/mock.mjs [FOLDER of .png photos] [--port N]
// A point gives three discs, a box its ellipse, a mask itself; background points take discs away.

import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

import { cropOf, rleOf } from '../../apps/server/web/js/rle.js';

const kWeb = fileURLToPath(new URL('../../apps/server/web', import.meta.url));
const kTypes = { '.html': 'text/html; charset=utf-8', '.css': 'text/css; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.svg': 'image/svg+xml' };

const kMembers = ['label', 'color', 'hidden', 'rle', 'origin', 'prompts', 'model', 'scores', 'who', 'seconds'];

class Refusal extends Error {
  constructor(status, code, detail) {
    super(detail);
    Object.assign(this, { status, code });
  }
}

function photoOf(name, bytes) {
  if (bytes.subarray(0, 8).toString('latin1') !== '\x89PNG\r\n\x1a\n') throw new Refusal(415, 'type', 'the body is no PNG picture');
  return {
    id: createHash('sha256').update(bytes).digest('hex').slice(0, 32), name, bytes,
    width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20),
  };
}

// Signed distance to the mask's edge, inside positive; `size` is the radius of points.
function field(prompt, size, photo) {
  const crop = prompt.mask && cropOf(prompt.mask);
  const strokes = (prompt.scribbles ?? []).flatMap((s) => s.points.map(([x, y]) => ({ x, y, label: s.label })));
  const points = [...(prompt.points ?? []), ...strokes];
  return (x, y) => {
    let value = -1e3;
    if (prompt.box) {
      const [x0, y0, x1, y1] = prompt.box;
      value = (1 - Math.hypot((2 * x - x0 - x1) / (x1 - x0), (2 * y - y0 - y1) / (y1 - y0))) * Math.min(x1 - x0, y1 - y0) / 2;
    }
    if (crop) {
      const px = Math.floor(x) - crop.x, py = Math.floor(y) - crop.y;
      const inside = px >= 0 && py >= 0 && px < crop.width && py < crop.height && crop.data[py * crop.width + px];
      value = Math.max(value, inside ? 8 : -8);
    }
    for (const p of points) if (p.label !== 0) value = Math.max(value, size - Math.hypot(x - p.x, y - p.y));
    for (const p of points) if (p.label === 0) value = Math.min(value, Math.hypot(x - p.x, y - p.y) - size);
    return x < 0 || y < 0 || x > photo.width || y > photo.height ? -1e3 : value;
  };
}

function rleOfField(f, photo) {
  const data = new Uint8Array(photo.width * photo.height);
  for (let y = 0; y < photo.height; ++y)
    for (let x = 0; x < photo.width; ++x) data[y * photo.width + x] = f(x + 0.5, y + 0.5) > 0 ? 1 : 0;
  return rleOf({ x: 0, y: 0, width: photo.width, height: photo.height, data }, photo);
}

function boxAndArea(rle) {
  const crop = cropOf(rle);
  return { box: [crop.x, crop.y, crop.width, crop.height], area: crop.data.reduce((s, v) => s + v, 0) };
}

function masksOf(prompt, body, photo) {
  const unit = Math.min(photo.width, photo.height) / 20;
  // best first, as the server answers
  const sizes = body.multimask ? [[2, 0.97], [4, 0.93], [1, 0.71]] : [[2, 0.95]];
  return sizes.slice(0, body.most ?? 4).map(([size, score], token) => {
    const f = field(prompt, size * unit, photo);
    const mask = { score, stability: 0.9, token };
    if (body.format !== 'logits') {
      const rle = rleOfField(f, photo);
      return { ...mask, ...boxAndArea(rle), rle };
    }
    const cell = Math.max(photo.width, photo.height) / 256;
    const width = Math.ceil(photo.width / cell), height = Math.ceil(photo.height / cell);
    const data = new Int8Array(width * height);
    let area = 0;
    for (let y = 0; y < height; ++y)
      for (let x = 0; x < width; ++x) {
        const value = Math.max(-127, Math.min(127, Math.round(4 * f((x + 0.5) * cell, (y + 0.5) * cell))));
        data[y * width + x] = value;
        area += value > 0 ? cell * cell : 0;
      }
    return { ...mask, area, logits: { width, height, scale: 0.125, cell: [cell, cell], data: Buffer.from(data.buffer).toString('base64') } };
  });
}

// options: photos [{name, bytes}], annotations: false for a server that keeps none, delay of answers in ms.
export async function startMock({ photos = [], annotations = true, delay = 0, port = 0 } = {}) {
  const images = new Map();
  const jobs = new Map();
  const embedded = new Set();
  const lists = new Map(); // image -> {states, at}
  let number = 0;
  const counts = { segment: 0, writes: 0, content: 0 };
  const work = []; // {id, action, seconds}: how long people took
  const kept = ({ seconds, ...fields }) => fields;
  const failures = []; // the next writes are answered with these
  for (const { name, bytes } of photos) {
    const photo = photoOf(name, bytes);
    images.set(photo.id, photo);
  }
  const listOf = (id) => {
    if (!lists.has(id)) lists.set(id, { states: [[]], at: 0 });
    return lists.get(id);
  };
  const now = (id) => listOf(id).states[listOf(id).at];
  const answer = (id) => ({ annotations: now(id), can_undo: listOf(id).at > 0, can_redo: listOf(id).at + 1 < listOf(id).states.length });
  const push = (id, list) => {
    const l = listOf(id);
    l.states.length = l.at + 1;
    l.states.push(list);
    ++l.at;
  };
  const json = ({ id, name, width, height, bytes }) => ({ id, name, width, height, bytes: bytes.length, embedded: embedded.has(id), objects: now(id).length });
  const job = (kind, ms, total, work) => {
    const made = { id: String(++number), kind, state: 'running', done: 0, total };
    jobs.set(made.id, made);
    const start = Date.now();
    const timer = setInterval(() => {
      made.done = Math.min(total, Math.floor(((Date.now() - start) / ms) * total));
      if (made.state === 'cancelled') clearInterval(timer);
      else if (Date.now() - start >= ms) {
        clearInterval(timer);
        Object.assign(made, { state: 'done', done: total, result: work() });
      }
    }, 20);
    return made;
  };

  async function route(method, path, query, headers, body) {
    const [, , kind, id, what] = path.split('/');
    const image = () => images.get(id) ?? refuse(404, 'no-image', 'there is no image with this id');
    const value = () => JSON.parse(body.toString() || '{}');
    const refuse = (...args) => {
      throw new Refusal(...args);
    };
    const state = (fields) => {
      const strange = Object.keys(fields).find((key) => !kMembers.includes(key));
      if (strange) refuse(422, 'value', `: unknown member '${strange}'`);
      return fields;
    };
    if (kind === 'health') return [200, { status: 'ok', version: 'mock', model: 'discs' }];
    if (kind === 'jobs') {
      const known = jobs.get(id) ?? refuse(404, 'no-job', 'there is no such job');
      if (method === 'DELETE') known.state = 'cancelled';
      return [200, known];
    }
    if (kind === 'images' && !id && method === 'GET') return [200, { images: [...images.values()].map(json), next: null, scanning: false }];
    if (kind === 'images' && !id) {
      const photo = photoOf(query.get('name') || 'photo.png', body);
      images.set(photo.id, photo);
      return [201, json(photo)];
    }
    if (kind === 'images' && !what) return [200, json(image())];
    if (what === 'content') ++counts.content;
    if (what === 'content' || what === 'thumbnail') return [200, image().bytes, { 'Content-Type': 'image/png', 'Cache-Control': 'max-age=600' }];
    if (what === 'embedding') {
      if (embedded.has(image().id)) return [200, { ready: true }];
      return [202, job('embedding', 120, 1, () => (embedded.add(id), { ready: true }))];
    }
    if (what === 'segment') {
      ++counts.segment;
      const request = value();
      if (!embedded.has(image().id)) refuse(409, 'embedding-missing', 'embedding missing');
      return [200, { results: request.prompts.map((p) => ({ masks: masksOf(p, request, image()) })) }];
    }
    if (what === 'everything') {
      const photo = image();
      return [202, job('everything', 300, 64, () => ({
        masks: [[0.25, 0.3], [0.5, 0.5], [0.75, 0.6], [0.4, 0.8]].map(([x, y]) => {
          const point = [x * photo.width, y * photo.height];
          const [mask] = masksOf({ points: [{ x: point[0], y: point[1], label: 1 }] }, { multimask: true, format: 'rle' }, photo);
          return { ...mask, point };
        }),
      }))];
    }
    if (annotations && (what === 'annotations' || what === 'undo' || what === 'redo')) {
      image();
      if (what === 'annotations' && method === 'GET') return [200, answer(id)];
      ++counts.writes;
      if (failures.length) refuse(...failures.shift());
      if (what === 'annotations') {
        const made = { hidden: false, label: '', origin: 'human', model: '', scores: {}, ...kept(state(value())), ...boxAndArea(value().rle), id: `a${++number}`, image: id, version: 1, engine: { stage: 1 } };
        work.push({ id: made.id, action: 'create', seconds: value().seconds });
        push(id, [...now(id), made]);
        return [201, made, { ETag: `"${made.id}.1"` }];
      }
      const l = listOf(id);
      const to = l.at + (what === 'undo' ? -1 : 1);
      if (to < 0 || to >= l.states.length) refuse(409, 'nothing', `nothing to ${what}`);
      l.at = to;
      return [200, answer(id)];
    }
    // What a run of the engine made: a proposal for each place, the more to the right the more doubtful.
    if (annotations && kind === 'engine' && id === 'runs') {
      return [202, job('engine', 200, images.size, () => {
        let made = 0;
        for (const photo of images.values()) {
          const list = [[0.2, 0.3], [0.5, 0.5], [0.8, 0.6]].map(([x, y]) => {
            const prompt = { points: [{ x: x * photo.width, y: y * photo.height, label: 1 }] };
            const [{ rle, score, stability }] = masksOf(prompt, { multimask: true, format: 'rle' }, photo);
            ++made;
            return { hidden: false, label: '', color: '#3fa7ff', origin: 'model', model: '', scores: { predicted_iou: score, stability }, prompts: [prompt], rle,
              ...boxAndArea(rle), id: `a${++number}`, image: photo.id, version: 1, engine: { stage: value().stage, automatic: true, review: 'pending', doubt: x - made / 1000, overlap: 0 } };
          });
          push(photo.id, [...now(photo.id), ...list]);
        }
        return { stage: value().stage, made, sent_to_review: made };
      })];
    }
    if (annotations && kind === 'reviews') {
      const all = [...images.keys()].flatMap(now);
      if (!id) {
        const waiting = all.filter((a) => a.engine?.review === 'pending').sort((a, b) => b.engine.doubt - a.engine.doubt);
        const limit = Number(query.get('limit') ?? 50);
        const left = waiting.filter((a) => !query.get('after') || a.engine.doubt < Number(query.get('after')));
        const page = left.slice(0, limit);
        return [200, { pending: waiting.length, reviews: page, next: page.length === limit ? String(page.at(-1).engine.doubt) : null }];
      }
      ++counts.writes;
      if (failures.length) refuse(...failures.shift());
      const known = all.find((a) => a.id === id) ?? refuse(404, 'no-annotation', 'there is no such annotation');
      if (headers['if-match'] !== `"${id}.${known.version}"`) refuse(412, 'stale', 'the annotation has changed');
      work.push({ id, action: what, seconds: value().seconds });
      if (what === 'reject') {
        push(known.image, now(known.image).filter((a) => a.id !== id));
        return [204, ''];
      }
      const review = known.engine.review === 'fixed' ? 'fixed' : 'accepted';
      const judged = { ...known, version: known.version + 1, engine: { ...known.engine, review } };
      push(known.image, now(known.image).map((a) => (a.id === id ? judged : a)));
      return [200, judged, { ETag: `"${id}.${judged.version}"` }];
    }
    if (annotations && kind === 'annotations' && method === 'GET')
      return [200, [...images.keys()].flatMap(now).find((a) => a.id === id) ?? refuse(404, 'no-annotation', 'there is no such annotation')];
    if (annotations && kind === 'annotations') {
      ++counts.writes;
      if (failures.length) refuse(...failures.shift());
      const [photo] = [...images.keys()].filter((key) => now(key).some((a) => a.id === id));
      const known = photo ? now(photo).find((a) => a.id === id) : refuse(404, 'no-annotation', 'there is no such annotation');
      if (!headers['if-match']) refuse(428, 'if-match', 'If-Match is needed');
      if (headers['if-match'] !== `"${id}.${known.version}"`) refuse(412, 'stale', 'the annotation has changed');
      if (method === 'DELETE') {
        push(photo, now(photo).filter((a) => a.id !== id));
        return [204, ''];
      }
      const patch = kept(state(value()));
      if (value().seconds !== undefined) work.push({ id, action: 'change', seconds: value().seconds });
      const changed = { ...known, ...patch, scores: { ...known.scores, ...patch.scores }, version: known.version + 1 };
      Object.assign(changed, boxAndArea(changed.rle));
      if (patch.rle && changed.engine?.automatic) changed.engine = { ...changed.engine, review: 'fixed' };
      push(photo, now(photo).map((a) => (a.id === id ? changed : a)));
      return [200, changed, { ETag: `"${id}.${changed.version}"` }];
    }
    return refuse(404, 'no-route', 'there is nothing at this path');
  }

  const server = createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', async () => {
      const url = new URL(request.url, 'http://localhost');
      const send = (status, body, headers = {}) => {
        const raw = Buffer.isBuffer(body) || typeof body === 'string';
        response.writeHead(status, { 'Content-Type': raw ? 'application/octet-stream' : 'application/json', ...headers });
        response.end(raw ? body : JSON.stringify(body));
      };
      try {
        if (!url.pathname.startsWith('/v1/')) {
          const name = normalize(url.pathname === '/' ? '/index.html' : url.pathname);
          return send(200, readFileSync(join(kWeb, name)), { 'Content-Type': kTypes[extname(name)] ?? 'application/octet-stream' });
        }
        const result = await route(request.method, url.pathname, url.searchParams, request.headers, Buffer.concat(chunks));
        if (delay) await new Promise((done) => setTimeout(done, delay));
        return send(...result);
      } catch (error) {
        const status = error.status ?? (error.code === 'ENOENT' ? 404 : 500);
        return send(status, { status, code: error.code, detail: error.message }, { 'Content-Type': 'application/problem+json' });
      }
    });
  });
  await new Promise((done) => server.listen(port, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${server.address().port}`, counts, work, failures, annotations: now, images,
    stop: () => (server.closeAllConnections(), new Promise((done) => server.close(done))),
  };
}

export function photosIn(folder) {
  return readdirSync(folder).filter((name) => name.endsWith('.png') && statSync(join(folder, name)).isFile())
    .map((name) => ({ name, bytes: readFileSync(join(folder, name)) }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const at = process.argv.indexOf('--port');
  const folder = process.argv[2] && at !== 2 ? process.argv[2] : fileURLToPath(new URL('../../examples/photos', import.meta.url));
  const mock = await startMock({ photos: photosIn(folder), port: at > 0 ? Number(process.argv[at + 1]) : 8713 });
  console.log(mock.url);
}
