// COCO run lengths, {size: [height, width], counts: "..."}: column by column, first the pixels outside.
// A crop is a bitmap of a part of the photo, row by row: {x, y, width, height, data: Uint8Array of 0 and 1}.

// Each number in groups of five bits from the lowest on, 48 added; from the fourth on as a difference to the
// number two places before.
export function decodeCounts(text) {
  const runs = [];
  for (let at = 0; at < text.length;) {
    let value = 0;
    let shift = 0;
    let more = true;
    while (more) {
      const group = text.charCodeAt(at++) - 48;
      if (!(group >= 0 && group < 64)) throw new Error('run lengths: a character that cannot be there');
      value += (group & 31) * 2 ** shift;
      more = (group & 32) !== 0;
      shift += 5;
      if (!more && group & 16) value -= 2 ** shift;
    }
    if (runs.length > 2) value += runs[runs.length - 2];
    if (value < 0) throw new Error('run lengths: a run shorter than nothing');
    runs.push(value);
  }
  return runs;
}

export function encodeCounts(runs) {
  let text = '';
  for (let i = 0; i < runs.length; ++i) {
    let value = i > 2 ? runs[i] - runs[i - 2] : runs[i];
    for (let more = true; more;) {
      let group = value & 31;
      value >>= 5;
      more = group & 16 ? value !== -1 : value !== 0;
      if (more) group |= 32;
      text += String.fromCharCode(group + 48);
    }
  }
  return text;
}

export function areaOf(rle) {
  return decodeCounts(rle.counts).reduce((sum, run, i) => sum + (i % 2 ? run : 0), 0);
}

// The smallest crop that holds the mask; of no pixels if the mask is empty.
export function cropOf(rle) {
  const [height, width] = rle.size;
  const runs = decodeCounts(rle.counts);
  let x0 = width, x1 = -1, y0 = height, y1 = -1;
  const eachRun = (see) => {
    let at = 0;
    runs.forEach((run, i) => {
      if (i % 2 && run > 0) see(at, Math.min(at + run, width * height));
      at += run;
    });
  };
  eachRun((from, to) => {
    const first = Math.floor(from / height), last = Math.floor((to - 1) / height);
    x0 = Math.min(x0, first);
    x1 = Math.max(x1, last);
    y0 = first === last ? Math.min(y0, from % height) : 0;
    y1 = first === last ? Math.max(y1, (to - 1) % height) : height - 1;
  });
  if (x1 < 0) return { x: 0, y: 0, width: 0, height: 0, data: new Uint8Array(0) };
  const crop = { x: x0, y: y0, width: x1 - x0 + 1, height: y1 - y0 + 1 };
  crop.data = new Uint8Array(crop.width * crop.height);
  eachRun((from, to) => {
    for (let at = from; at < to;) {
      const x = Math.floor(at / height);
      const end = Math.min(to, (x + 1) * height);
      for (let y = at - x * height; y < end - x * height; ++y) crop.data[(y - y0) * crop.width + x - x0] = 1;
      at = end;
    }
  });
  return crop;
}

export function rleOf(crop, photo) {
  const runs = [];
  let length = 0;
  let value = 0;
  const add = (next, times) => {
    if (next !== value) {
      runs.push(length);
      length = 0;
      value = next;
    }
    length += times;
  };
  const below = photo.height - crop.y - crop.height;
  if (crop.x > 0) add(0, crop.x * photo.height);
  for (let x = 0; x < crop.width; ++x) {
    if (crop.y > 0) add(0, crop.y);
    for (let y = 0; y < crop.height; ++y) add(crop.data[y * crop.width + x] ? 1 : 0, 1);
    if (below > 0) add(0, below);
  }
  const right = photo.width - crop.x - crop.width;
  if (right > 0) add(0, right * photo.height);
  runs.push(length);
  return { size: [photo.height, photo.width], counts: encodeCounts(runs) };
}

// The same pixels in a crop that also covers `box` ({x, y, width, height}), as far as the photo goes.
export function grown(crop, box, photo) {
  const has = crop.width > 0;
  const x0 = Math.max(0, Math.floor(has ? Math.min(crop.x, box.x) : box.x));
  const y0 = Math.max(0, Math.floor(has ? Math.min(crop.y, box.y) : box.y));
  const x1 = Math.min(photo.width, Math.ceil(has ? Math.max(crop.x + crop.width, box.x + box.width) : box.x + box.width));
  const y1 = Math.min(photo.height, Math.ceil(has ? Math.max(crop.y + crop.height, box.y + box.height) : box.y + box.height));
  const width = Math.max(0, x1 - x0), height = Math.max(0, y1 - y0);
  const out = { x: x0, y: y0, width, height, data: new Uint8Array(width * height) };
  for (let y = 0; y < crop.height; ++y)
    out.data.set(
      crop.data.subarray(y * crop.width, (y + 1) * crop.width),
      (crop.y + y - y0) * width + crop.x - x0,
    );
  return out;
}

export function has(crop, at) {
  const x = Math.floor(at.x) - crop.x, y = Math.floor(at.y) - crop.y;
  return x >= 0 && y >= 0 && x < crop.width && y < crop.height && crop.data[y * crop.width + x] === 1;
}

// A disc (brush) or what a disc leaves (eraser) along a line from a to b; changes and returns the crop, which has to
// cover it: see grown().
export function stroke(crop, a, b, radius, value) {
  const dx = b.x - a.x, dy = b.y - a.y;
  const length2 = dx * dx + dy * dy;
  const first = (low, start) => Math.max(0, Math.floor(low - radius) - start);
  const yEnd = Math.min(crop.height, Math.ceil(Math.max(a.y, b.y) + radius) - crop.y + 1);
  const xEnd = Math.min(crop.width, Math.ceil(Math.max(a.x, b.x) + radius) - crop.x + 1);
  for (let y = first(Math.min(a.y, b.y), crop.y); y < yEnd; ++y) {
    for (let x = first(Math.min(a.x, b.x), crop.x); x < xEnd; ++x) {
      const px = crop.x + x + 0.5, py = crop.y + y + 0.5;
      const along = length2 === 0 ? 0 : Math.min(1, Math.max(0, ((px - a.x) * dx + (py - a.y) * dy) / length2));
      if (Math.hypot(px - a.x - along * dx, py - a.y - along * dy) <= radius) crop.data[y * crop.width + x] = value;
    }
  }
  return crop;
}

// The pixels whose middle lies in a polygon (even-odd).
export function cropOfPolygon(points, photo) {
  const xs = points.map((p) => p.x), ys = points.map((p) => p.y);
  const box = { x: Math.min(...xs), y: Math.min(...ys) };
  box.width = Math.max(...xs) - box.x;
  box.height = Math.max(...ys) - box.y;
  const crop = grown({ x: 0, y: 0, width: 0, height: 0, data: new Uint8Array(0) }, box, photo);
  for (let y = 0; y < crop.height; ++y) {
    const at = crop.y + y + 0.5;
    const crossings = [];
    points.forEach((p, i) => {
      const q = points[(i + 1) % points.length];
      if (p.y <= at !== q.y <= at) crossings.push(p.x + ((at - p.y) / (q.y - p.y)) * (q.x - p.x));
    });
    crossings.sort((u, v) => u - v);
    for (let k = 0; k + 1 < crossings.length; k += 2) {
      const from = Math.max(0, Math.ceil(crossings[k] - 0.5) - crop.x);
      const to = Math.min(crop.width, Math.ceil(crossings[k + 1] - 0.5) - crop.x);
      if (to > from) crop.data.fill(1, y * crop.width + from, y * crop.width + to);
    }
  }
  return crop;
}
