// One measurement of ONNX Runtime on MobileSAM's published ONNX files: load, encode, prompt.
//
//   node onnxruntime.mjs MODEL_DIR INPUT.f32 ROUNDS PROMPTS X Y WIDTH HEIGHT THREADS
//
// INPUT.f32 is the encoder's input [1,3,1024,1024], written by `beckon bench segment --write-input`, so that both
// programs see the same numbers. X,Y is a click in the resized frame. Prints one JSON object.
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import ort from 'onnxruntime-node';

const [dir, inputFile, rounds, prompts, x, y, width, height, threads] = process.argv.slice(2);
const options = {intraOpNumThreads: Number(threads), interOpNumThreads: 1, executionMode: 'sequential',
                 graphOptimizationLevel: 'all'};

let start = performance.now();
const encoder = await ort.InferenceSession.create(join(dir, 'encoder.onnx'), options);
const decoder = await ort.InferenceSession.create(join(dir, 'sam.onnx'), options);
const load = performance.now() - start;

const bytes = readFileSync(inputFile);
const pixels = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
const input = new ort.Tensor('float32', pixels, [1, 3, 1024, 1024]);
const tensor = (values, shape) => new ort.Tensor('float32', Float32Array.from(values), shape);

const encode = [];
let embedding;
for (let i = 0; i < Number(rounds); ++i) {
  start = performance.now();
  embedding = (await encoder.run({input})).output;
  encode.push(performance.now() - start);
}

// One foreground point and the padding point, no mask: the browser demo's call. The graph returns the logits at the
// image's size, so the time includes the up-sampling to 1024 x 1024.
const noMask = new Float32Array(256 * 256);
const prompt = [];
let answer;
for (let i = 0; i < Number(prompts); ++i) {
  const feeds = {
    image_embeddings: embedding,
    point_coords: tensor([Number(x), Number(y), 0, 0], [1, 2, 2]),
    point_labels: tensor([1, -1], [1, 2]),
    mask_input: new ort.Tensor('float32', noMask, [1, 1, 256, 256]),
    has_mask_input: tensor([0], [1]),
    orig_im_size: tensor([Number(height), Number(width)], [2]),
  };
  start = performance.now();
  answer = await decoder.run(feeds);
  prompt.push(performance.now() - start);
}
let area = 0;
for (const logit of answer.masks.data) area += logit > 0;
console.log(JSON.stringify({
  program: 'onnxruntime-node', version: ort.env.versions?.node ?? '1.30.0', load_ms: load, encode_ms: encode,
  prompt_ms: prompt, iou: answer.iou_predictions.data[0], area, peak_memory_mb: process.resourceUsage().maxRSS / 1024,
}));
