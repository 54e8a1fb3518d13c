// Prompts of one object, as the server takes them: {points: [{x, y, label}], box: [x0, y0, x1, y1],
// scribbles: [{points: [[x, y]], label}], mask: rle}. Every function returns a new prompt.

const round = (value) => Math.round(value * 10) / 10;

export function withPoint(prompt, at, label) {
  return { ...prompt, points: [...(prompt.points ?? []), { x: round(at.x), y: round(at.y), label }] };
}

export function withBox(prompt, a, b) {
  const box = [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];
  return { ...prompt, box: box.map(round) };
}

export function withScribble(prompt, points, label) {
  const stroke = { points: points.map((p) => [round(p.x), round(p.y)]), label };
  return { ...prompt, scribbles: [...(prompt.scribbles ?? []), stroke] };
}

export function withMask(prompt, rle) {
  return { ...prompt, mask: rle };
}

// Places along a stroke, `step` apart and `most` of them at most: what the pointer reported depends on its speed.
export function sampled(points, step, most = 12) {
  if (points.length < 2) return [...points];
  let length = 0;
  for (let i = 1; i < points.length; ++i) length += distance(points[i - 1], points[i]);
  const parts = Math.min(most - 1, Math.max(1, Math.round(length / step)));
  const out = [points[0]];
  let walked = 0;
  for (let i = 1; i < points.length && out.length < parts; ++i) {
    const d = distance(points[i - 1], points[i]);
    while (out.length < parts && walked + d >= (out.length * length) / parts - 1e-9 && d > 0) {
      const t = ((out.length * length) / parts - walked) / d;
      const a = points[i - 1], b = points[i];
      out.push({ x: a.x + t * (b.x - a.x), y: a.y + t * (b.y - a.y) });
    }
    walked += d;
  }
  out.push(points[points.length - 1]);
  return out;
}

export function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}

// A lone point is ambiguous; whatever says more is not.
export function isAmbiguous(prompt) {
  return (prompt.points?.length ?? 0) === 1 && !prompt.box && !prompt.scribbles?.length && !prompt.mask;
}

// The prompt file of `beckon segment --prompt`.
export function recipeOf(prompt) {
  const word = (label) => (label === 0 ? 'background' : 'object');
  const prompts = [];
  for (const p of prompt.points ?? []) prompts.push({ type: 'point', at: [p.x, p.y], label: word(p.label) });
  if (prompt.box) prompts.push({ type: 'box', xyxy: prompt.box });
  for (const s of prompt.scribbles ?? []) prompts.push({ type: 'scribble', points: s.points, label: word(s.label) });
  if (prompt.mask) prompts.push({ type: 'mask', rle: prompt.mask });
  return { beckon: 1, prompts };
}

// A command line for a POSIX shell that prints or writes the mask. Scribbles and masks only go into a file, which the
// command then makes by itself. reading: {rank, multimask}, see objects.js: which of the masks, best first, is meant.
export function commandOf(name, prompt, reading = {}) {
  const photo = quoted(name.startsWith('-') ? `./${name}` : name);
  const many = reading.multimask === undefined ? '' : reading.multimask ? ' --multimask' : ' --single';
  const rank = reading.rank ?? 0;
  // -o writes the best reading; others are taken from the report.
  const output = rank > 0 ? ` --json   # the mask is .masks[${rank}]` : ` -o ${quoted(`${stem(name)}-mask.png`)}`;
  if (prompt.scribbles?.length || prompt.mask) {
    const json = JSON.stringify(recipeOf(prompt));
    return `printf '%s' ${quoted(json)} | beckon segment ${photo} --prompt -${many}${output}`;
  }
  let options = '';
  for (const p of prompt.points ?? []) options += ` --${p.label === 0 ? 'background' : 'point'} ${p.x},${p.y}`;
  if (prompt.box) options += ` --box ${prompt.box.join(',')}`;
  return `beckon segment ${photo}${options}${many}${output}`;
}

export function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export function stem(name) {
  return name.replace(/^.*\//, '').replace(/\.[^.]*$/, '') || 'photo';
}
