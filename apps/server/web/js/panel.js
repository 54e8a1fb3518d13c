// The list of objects, what is known of the selected one, and the tray of cut-outs.

import { commandOf, recipeOf, stem } from './prompt.js';

const $ = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, '');
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

function iconButton(name, title, click, attributes = {}) {
  return element('button', { type: 'button', class: 'quiet', title, 'aria-label': title, onclick: click, ...attributes }, icon(name));
}

export class Panel {
  #app;
  #cuts = [];

  constructor(app) {
    this.#app = app;
    $('copy-command').addEventListener('click', () => this.copyCommand());
    $('copy-json').addEventListener('click', () => this.copyJson());
    $('cut').addEventListener('click', () => this.cutOut());
    $('tray-clear').addEventListener('click', () => this.emptyTray());
  }

  draw() {
    const { objects, photo } = this.#app;
    const list = $('object-list');
    // A label that is being typed stays as it is, and keeps the focus.
    const focused = document.activeElement?.closest('#object-list li');
    const typed = document.activeElement?.classList.contains('label') ? document.activeElement : null;
    list.replaceChildren(...objects.list.map((o, i) => this.#row(o, i)));
    if (focused) {
      const row = [...list.children].find((li) => li.dataset.id === focused.dataset.id);
      const again = row?.querySelector('.label');
      if (typed && again) {
        again.value = typed.value;
        again.focus();
        again.setSelectionRange(typed.selectionStart, typed.selectionEnd);
      }
    }
    list.querySelector('[aria-current="true"]')?.scrollIntoView({ block: 'nearest' });
    $('object-count').textContent = objects.list.length || '';
    $('empty-objects').hidden = objects.list.length > 0 || !photo;
    const labels = new Set(objects.list.map((o) => o.label).filter(Boolean));
    $('labels').replaceChildren(...[...labels].sort().map((value) => element('option', { value })));
    this.#detail();
  }

  #row(object, i) {
    const { objects } = this.#app;
    const name = object.label || `Object ${i + 1}`;
    const current = object.id === objects.selected;
    const color = element('input', {
      type: 'color', value: object.color ?? '#3fa7ff', 'aria-label': `Colour of ${name}`, title: 'Colour',
      onchange: (e) => objects.change(object.id, { color: e.target.value }),
    });
    const swatch = element('span', { class: 'swatch' }, color);
    swatch.style.background = object.color;
    const label = element('input', {
      class: 'label', type: 'text', list: 'labels', maxlength: 200, spellcheck: 'false', autocomplete: 'off',
      placeholder: `Object ${i + 1}`, 'aria-label': `Label of object ${i + 1}`,
      onfocus: () => objects.select(object.id),
      onchange: (e) => {
        const value = e.target.value.trim();
        if (value !== object.label) objects.change(object.id, { label: value });
      },
      onkeydown: (e) => {
        if (e.key === 'Enter' || e.key === 'Escape') {
          if (e.key === 'Escape') e.target.value = object.label;
          e.target.blur();
          $('stage').focus();
        }
      },
    });
    label.value = object.label ?? '';
    const row = element('li', {
      'data-id': object.id, 'aria-current': current ? 'true' : null,
      class: [object.pending && 'pending', object.hidden && 'off'].filter(Boolean).join(' ') || null,
      onclick: (e) => e.target.closest('button, input') || objects.select(object.id),
    }, swatch, label);
    if (object.score !== undefined && object.score !== null && !object.edited)
      row.append(element('span', { class: 'score', title: 'The overlap that the model expects' }, object.score.toFixed(2)));
    row.append(
      iconButton(object.hidden ? 'eye-off' : 'eye', `${object.hidden ? 'Show' : 'Hide'} ${name}`,
        () => objects.change(object.id, { hidden: !object.hidden }), { 'aria-pressed': null }),
      iconButton('trash', `Delete ${name}`, () => objects.remove(object.id)),
    );
    return row;
  }

  #detail() {
    const { objects, photo } = this.#app;
    const object = objects.current;
    $('detail').hidden = !object;
    if (!object || !photo) return;
    const { area, box } = this.#app.measure(object);
    const facts = [
      ['Area', `${area.toLocaleString('en')} px · ${((100 * area) / (photo.width * photo.height)).toFixed(1)} %`],
      ['Box', `${box.width} × ${box.height} at ${box.x}, ${box.y}`],
    ];
    if (object.edited) facts.push(['Made by', 'hand, with the brush']);
    else if (object.score !== undefined && object.score !== null) {
      const stable = object.stability === undefined || object.stability === null ? '' : ` · stable ${object.stability.toFixed(2)}`;
      facts.push(['Score', `${object.score.toFixed(3)}${stable}`]);
    }
    $('facts').replaceChildren(...facts.flatMap(([k, v]) => [element('dt', {}, k), element('dd', {}, v)]));
    const command = this.#command(object);
    const shown = command.length > 400 ? `${command.slice(0, 400)}…` : command;
    // Lines break between words, not after the dashes of an option.
    $('command').replaceChildren(...shown.split(' ').flatMap((word, i) => {
      const text = word.length < 30 ? element('span', {}, word) : word;
      return i ? [' ', text] : [text];
    }));
  }

  // A mask that was painted is a prompt itself; the model's answer to it would be another mask, and nobody needs one.
  #prompt(object) {
    const prompt = object.prompts?.[0];
    return prompt && !object.edited ? prompt : { mask: object.rle };
  }

  #command(object) {
    return commandOf(this.#app.photo.name, this.#prompt(object), object.reading ?? {});
  }

  copyCommand() {
    const object = this.#app.objects.current;
    if (object) this.#copy(this.#command(object), 'The command is in the clipboard.');
  }

  copyJson() {
    const object = this.#app.objects.current;
    if (object) this.#copy(JSON.stringify(recipeOf(this.#prompt(object)), null, 1), 'The prompt is in the clipboard.');
  }

  async #copy(text, done) {
    try {
      await navigator.clipboard.writeText(text);
      this.#app.say(done, 'info');
    } catch {
      // Browsers give the clipboard to safe origins only; a server elsewhere on the network is none.
      const area = element('textarea', { style: 'position:fixed;opacity:0', 'aria-hidden': 'true' });
      area.value = text;
      document.body.append(area);
      area.select();
      const copied = document.execCommand('copy');
      area.remove();
      this.#app.say(copied ? done : 'The browser does not give the clipboard to this page.', copied ? 'info' : undefined);
    }
  }

  // The object in the photo's own pixels, the rest transparent, cropped to its box.
  async cutOut() {
    const app = this.#app;
    const object = app.objects.current;
    if (!object) return app.say('Select an object first.');
    const crop = app.cropOf(object.rle);
    if (crop.width === 0) return undefined;
    const canvas = element('canvas');
    canvas.width = crop.width;
    canvas.height = crop.height;
    const context = canvas.getContext('2d');
    const { photo } = app;
    const sx = photo.bitmap.width / photo.width, sy = photo.bitmap.height / photo.height;
    context.drawImage(photo.bitmap, crop.x * sx, crop.y * sy, crop.width * sx, crop.height * sy, 0, 0, crop.width, crop.height);
    const pixels = context.getImageData(0, 0, crop.width, crop.height);
    for (let i = 0; i < crop.data.length; ++i) if (!crop.data[i]) pixels.data.fill(0, 4 * i, 4 * i + 4);
    context.putImageData(pixels, 0, 0);
    const blob = await new Promise((done) => canvas.toBlob(done, 'image/png'));
    const number = app.objects.list.indexOf(object) + 1;
    const name = `${stem(photo.name)}-${(object.label || `object-${number}`).replace(/[^\p{L}\p{N}-]+/gu, '-')}.png`;
    this.#cuts.push({ url: URL.createObjectURL(blob), name });
    this.#drawTray();
    app.say('Cut out. Click it in the tray to save it.', 'info');
    return undefined;
  }

  emptyTray() {
    for (const cut of this.#cuts) URL.revokeObjectURL(cut.url);
    this.#cuts = [];
    this.#drawTray();
  }

  #drawTray() {
    $('tray').hidden = this.#cuts.length === 0;
    $('tray-list').replaceChildren(...this.#cuts.map(({ url, name }) =>
      element('li', {}, element('a', { href: url, download: name, title: `Save ${name}` }, element('img', { src: url, alt: name })))));
  }
}
