// Where the photo stands on the screen. A view is {scale, x, y}: screen = photo * scale + (x, y), in CSS pixels.

export const kMostZoom = 40; // screen pixels a photo pixel
const kMargin = 24;
const kStaysInSight = 48; // pixels of the photo that no panning takes away

export function toPhoto(view, at) {
  return { x: (at.x - view.x) / view.scale, y: (at.y - view.y) / view.scale };
}

export function toScreen(view, at) {
  return { x: at.x * view.scale + view.x, y: at.y * view.scale + view.y };
}

export function inside(photo, at) {
  return at.x >= 0 && at.y >= 0 && at.x < photo.width && at.y < photo.height;
}

// The whole photo, centred; small photos are enlarged, four times at most.
export function fit(photo, stage, margin = kMargin) {
  const wide = Math.max(1, stage.width - 2 * margin) / photo.width;
  const high = Math.max(1, stage.height - 2 * margin) / photo.height;
  const scale = Math.min(wide, high, 4);
  return { scale, x: (stage.width - photo.width * scale) / 2, y: (stage.height - photo.height * scale) / 2 };
}

// A part of the photo, [x, y, width, height], in the middle and at most 2/5 of the stage, but never smaller than the
// whole photo is.
export function framed([left, top, width, height], photo, stage, margin = kMargin) {
  const whole = fit(photo, stage, margin);
  const scale = Math.min(6, (0.4 * stage.width) / Math.max(1, width), (0.4 * stage.height) / Math.max(1, height));
  if (scale < 1.3 * whole.scale) return whole; // hardly more to be seen
  const x = stage.width / 2 - (left + width / 2) * scale, y = stage.height / 2 - (top + height / 2) * scale;
  return inSight({ scale, x, y }, photo, stage);
}

// `factor` times larger, with what is under `at` (on the screen) staying there.
export function zoomed(view, factor, at, photo, stage) {
  const least = Math.min(fit(photo, stage).scale / 2, 1);
  const scale = Math.min(kMostZoom, Math.max(least, view.scale * factor));
  const under = toPhoto(view, at);
  return inSight({ scale, x: at.x - under.x * scale, y: at.y - under.y * scale }, photo, stage);
}

export function panned(view, dx, dy, photo, stage) {
  return inSight({ scale: view.scale, x: view.x + dx, y: view.y + dy }, photo, stage);
}

function inSight(view, photo, stage) {
  const keep = (start, length, room) => {
    const least = Math.min(kStaysInSight, length);
    return Math.min(room - least, Math.max(least - length, start));
  };
  return {
    scale: view.scale,
    x: keep(view.x, photo.width * view.scale, stage.width),
    y: keep(view.y, photo.height * view.scale, stage.height),
  };
}
