// Beckon against ONNX Runtime: same weights, same photo, same click, the two programs in turn, in one run.
//
//   npm ci && node segment.mjs [--photo FILE] [--point X,Y] [--pairs 5] [--threads 2] [--json]
//
// Needs build/beckon (or BECKON=/path/to/beckon) and the pulled mobile-sam model. Each pair starts both programs once;
// a ratio is Beckon's median over ONNX Runtime's median of the same pair, and the median of the ratios is the result:
// the two saw the same state of the machine.
import {execFileSync} from 'node:child_process';
import {mkdtempSync, rmSync} from 'node:fs';
import {loadavg, tmpdir, cpus} from 'node:os';
import {dirname, join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const {values: options} = parseArgs({options: {
  photo: {type: 'string', default: join(here, '../../examples/photos/astronaut.png')},
  point: {type: 'string', default: '225,114'},
  pairs: {type: 'string', default: '5'},
  threads: {type: 'string', default: '2'},
  rounds: {type: 'string', default: '3'},
  prompts: {type: 'string', default: '20'},
  json: {type: 'boolean', default: false},
}});
const beckon = resolve(process.env.BECKON ?? join(here, '../../build/beckon'));
const folder = mkdtempSync(join(tmpdir(), 'beckon-bench-'));
const environment = {...process.env, BECKON_THREADS: options.threads};
const run = (program, args) => JSON.parse(execFileSync(program, args, {
  env: environment, encoding: 'utf8', maxBuffer: 1 << 26, stdio: ['ignore', 'pipe', 'inherit']}));

const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted.length % 2 ? sorted[sorted.length >> 1] : (sorted[sorted.length / 2 - 1] + sorted[sorted.length / 2]) / 2;
};
const spread = (list) => ({median: median(list), min: Math.min(...list), max: Math.max(...list)});

try {
  const show = run(beckon, ['models', 'show', 'mobile-sam', '--json']);
  const input = join(folder, 'input.f32');
  const pairs = [];
  for (let i = 0; i < Number(options.pairs); ++i) {
    const own = run(beckon, ['bench', 'segment', options.photo, '--point', options.point, '--rounds', options.rounds,
                             '--prompts', options.prompts, '--write-input', input, '--json']);
    const frame = own.image;
    const [x, y] = options.point.split(',').map(Number);
    const peer = run(process.execPath, [join(here, 'onnxruntime.mjs'), show.path, input, options.rounds, options.prompts,
                                        x * frame.resized_width / frame.width, y * frame.resized_height / frame.height,
                                        1024, 1024, options.threads].map(String));
    pairs.push({own, peer});
  }
  const column = (ours, theirs) => ({
    beckon: spread(pairs.map(ours)), onnxruntime: spread(pairs.map(theirs)),
    ratio: spread(pairs.map((pair) => ours(pair) / theirs(pair)))});
  const result = {
    photo: options.photo, threads: Number(options.threads), pairs: pairs.length, cpu: cpus()[0].model,
    load_average: loadavg(), fma_peak_gflops: median(pairs.map((p) => p.own.machine.fma_peak_gflops)),
    encode_ms: column((p) => p.own.encode_ms.median, (p) => median(p.peer.encode_ms)),
    prompt_1024_ms: column((p) => p.own.next_prompt_1024_ms.median, (p) => median(p.peer.prompt_ms)),
    prompt_low_res_ms: spread(pairs.map((p) => p.own.next_prompt_ms.median)),
    batch64_over_64_prompts: spread(pairs.map((p) => p.own.batch64_ms.median / (64 * p.own.next_prompt_ms.median))),
    load_ms: column((p) => p.own.start_and_load_ms.median, (p) => p.peer.load_ms),
    peak_memory_mb: column((p) => p.own.peak_memory_mb, (p) => p.peer.peak_memory_mb),
    same_answer: {iou: [pairs[0].own.iou_1024, pairs[0].peer.iou], area: [pairs[0].own.area_1024, pairs[0].peer.area]},
  };
  if (options.json) {
    console.log(JSON.stringify(result, null, 1));
  } else {
    console.log(`${result.cpu}, ${result.threads} threads, load ${result.load_average[0].toFixed(2)}, FMA peak ` +
                `${result.fma_peak_gflops.toFixed(0)} GFLOP/s; medians of ${result.pairs} pairs`);
    const line = (name, c, unit) => console.log(
        `${name.padEnd(28)} beckon ${c.beckon.median.toFixed(1).padStart(7)} ${unit}   onnxruntime ` +
        `${c.onnxruntime.median.toFixed(1).padStart(7)} ${unit}   ratio ${c.ratio.median.toFixed(3)} ` +
        `(${c.ratio.min.toFixed(3)}-${c.ratio.max.toFixed(3)})`);
    line('encode', result.encode_ms, 'ms');
    line('prompt, logits at 1024', result.prompt_1024_ms, 'ms');
    line('start and load', result.load_ms, 'ms');
    line('peak memory', result.peak_memory_mb, 'MB');
    console.log(`prompt, low-resolution logits  beckon ${result.prompt_low_res_ms.median.toFixed(1)} ms`);
    console.log(`64 prompts in one batch over 64 single ones: ${result.batch64_over_64_prompts.median.toFixed(3)}`);
    console.log(`same answer: predicted IoU ${result.same_answer.iou.map((v) => v.toFixed(5)).join(' / ')}, ` +
                `area ${result.same_answer.area.join(' / ')}`);
  }
} finally {
  rmSync(folder, {recursive: true, force: true});
}
