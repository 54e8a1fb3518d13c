// CLIP's ViT-B/32 picture tower in ONNX Runtime and in Beckon, in turn: random weights, one picture, two threads.
//
//   node clip_tower.mjs BENCH_BACKBONES [TURNS] [ROUNDS]
//
// The graph is what an exporter makes of the model, written here byte by byte as protobuf.
import {execFileSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import ort from 'onnxruntime-node';

const [bench, turns = '3', rounds = '12'] = process.argv.slice(2);
if (!bench) {
  console.error('usage: node clip_tower.mjs BENCH_BACKBONES [TURNS] [ROUNDS]');
  process.exit(2);
}

// ---- protobuf
const varint = (value) => {
  const bytes = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 127n);
    rest >>= 7n;
    bytes.push(rest ? low | 128 : low);
  } while (rest);
  return Buffer.from(bytes);
};
const bytesField = (field, value) => {
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(value);
  return Buffer.concat([varint(field << 3 | 2), varint(bytes.length), bytes]);
};
const intField = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);
const float = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
};

// ---- the graph
const FLOAT = 1, INT64 = 7;
const nodes = [], initializers = [];
const noise = Float32Array.from({length: 1 << 20}, () => (Math.random() + Math.random() - 1) * 0.05);
const tensor = (dims, type, raw) => {
  const name = `w${initializers.length}`;
  initializers.push(
    Buffer.concat([...dims.map((d) => intField(1, d)), intField(2, type), bytesField(8, name), bytesField(9, raw)]));
  return name;
};
const weight = (...dims) => {
  const values = new Float32Array(dims.reduce((a, b) => a * b));
  const start = initializers.length * 7919 % noise.length;
  for (let i = 0; i < values.length; ++i) values[i] = noise[(i + start) % noise.length];
  return tensor(dims, FLOAT, Buffer.from(values.buffer));
};
const full = (value, size) => tensor([size], FLOAT, Buffer.from(new Float32Array(size).fill(value).buffer));
const scalar = (value) => tensor([], FLOAT, float(value));
const ints = (...values) => tensor([values.length], INT64, Buffer.from(BigInt64Array.from(values.map(BigInt)).buffer));
const attribute = ([name, value]) => {
  const head = bytesField(1, name);
  if (Array.isArray(value)) return Buffer.concat([head, ...value.map((v) => intField(8, v)), intField(20, 7)]);
  if (name === 'epsilon') return Buffer.concat([head, varint(2 << 3 | 5), float(value), intField(20, 1)]);
  return Buffer.concat([head, intField(3, value), intField(20, 2)]);
};
const op = (type, inputs, attributes = {}, name = `t${nodes.length}`) => {
  nodes.push(Buffer.concat([...inputs.map((i) => bytesField(1, i)), bytesField(2, name), bytesField(4, type),
                            ...Object.entries(attributes).map((a) => bytesField(5, attribute(a)))]));
  return name;
};

const width = 768, layers = 12, heads = 12, patch = 32, side = 224, embed = 512;
const tokens = (side / patch) ** 2 + 1;
const norm = (x) => op('LayerNormalization', [x, full(1, width), full(0, width)], {axis: -1, epsilon: 1e-5});
const linear = (x, from, to) => op('Add', [op('MatMul', [x, weight(from, to)]), weight(to)]);
let x = op('Conv', ['image', weight(width, 3, patch, patch)], {strides: [patch, patch], kernel_shape: [patch, patch]});
x = op('Transpose', [op('Reshape', [x, ints(0, width, -1)])], {perm: [0, 2, 1]});
x = norm(op('Add', [op('Concat', [weight(1, 1, width), x], {axis: 1}), weight(tokens, width)]));
for (let i = 0; i < layers; ++i) {
  const y = norm(x);
  const [q, k, v] = [[0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]].map((perm) =>
    op('Transpose', [op('Reshape', [linear(y, width, width), ints(0, 0, heads, width / heads)])], {perm}));
  const scores = op('Div', [op('MatMul', [q, k]), scalar(Math.sqrt(width / heads))]);
  const mixed = op('Transpose', [op('MatMul', [op('Softmax', [scores], {axis: -1}), v])], {perm: [0, 2, 1, 3]});
  x = op('Add', [x, linear(op('Reshape', [mixed, ints(0, 0, width)]), width, width)]);
  const hidden = linear(norm(x), width, 4 * width);
  const active = op('Mul', [hidden, op('Sigmoid', [op('Mul', [hidden, scalar(1.702)])])]);
  x = op('Add', [x, linear(active, 4 * width, width)]);
}
const first = op('Gather', [x, tensor([], INT64, Buffer.from(new BigInt64Array(1).buffer))], {axis: 1});
op('MatMul', [norm(first), weight(width, embed)], {}, 'out');

const value = (name, dims) => {
  const shape = Buffer.concat(dims.map((d) => bytesField(1, intField(1, d))));
  return Buffer.concat([bytesField(1, name),
                        bytesField(2, bytesField(1, Buffer.concat([intField(1, FLOAT), bytesField(2, shape)])))]);
};
const graph = Buffer.concat([...nodes.map((n) => bytesField(1, n)), bytesField(2, 'clip'),
                             ...initializers.map((i) => bytesField(5, i)),
                             bytesField(11, value('image', [1, 3, side, side])),
                             bytesField(12, value('out', [1, embed]))]);
const folder = mkdtempSync(join(tmpdir(), 'clip-tower-'));
let session;
try {
  const file = join(folder, 'clip.onnx');
  writeFileSync(file, Buffer.concat([intField(1, 8), bytesField(7, graph), bytesField(8, intField(2, 17))]));
  session = await ort.InferenceSession.create(
    file, {intraOpNumThreads: 2, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all'});
} finally {
  rmSync(folder, {recursive: true});
}

// ---- in turn
const image = new ort.Tensor('float32', Float32Array.from({length: 3 * side * side}, () => Math.random() * 2 - 1),
                             [1, 3, side, side]);
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const ratios = [];
for (let turn = 0; turn < Number(turns); ++turn) {
  const times = [];
  for (let i = 0; i < Number(rounds) + 2; ++i) {
    const start = performance.now();
    await session.run({image});
    if (i >= 2) times.push(performance.now() - start);
  }
  const theirs = median(times);
  const line = execFileSync(bench, [rounds, 'clip-vit-b32'], {env: {...process.env, BECKON_THREADS: '2'}}).toString();
  const ours = Number(/median +([\d.]+) ms/.exec(line)[1]);
  ratios.push(ours / theirs);
  console.log(`onnxruntime ${theirs.toFixed(1)} ms, beckon ${ours.toFixed(1)} ms, ratio ${(ours / theirs).toFixed(2)}`);
}
console.log(`median ratio ${median(ratios).toFixed(2)}`);
