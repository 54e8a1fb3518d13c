// The photos of the folder: thumbnails, taking in new ones by choosing, dropping and pasting.

import { element } from './panel.js';

const $ = (id) => document.getElementById(id);

export class Gallery {
  images = [];
  #app;
  #rows = new Map();
  #observer;

  constructor(app) {
    this.#app = app;
    const list = $('photo-list');
    // Thumbnails are made when they come into sight: a folder may hold thousands.
    this.#observer = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) this.#load(target);
    }, { root: list, rootMargin: '300px' });
    list.addEventListener('keydown', (e) => {
      const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[e.key];
      if (by) {
        e.preventDefault();
        e.stopPropagation();
        this.step(by);
      }
    });
    $('files').addEventListener('change', (e) => {
      this.take([...e.target.files]);
      e.target.value = '';
    });
    $('add').addEventListener('keydown', (e) => {
      if (e.key === 'Enter' || e.key === ' ') {
        e.preventDefault();
        $('files').click();
      }
    });
    const stage = $('stage');
    const isFiles = (e) => [...(e.dataTransfer?.types ?? [])].includes('Files');
    document.addEventListener('dragover', (e) => {
      if (!isFiles(e)) return;
      e.preventDefault();
      stage.classList.add('drop');
    });
    document.addEventListener('dragleave', (e) => e.relatedTarget || stage.classList.remove('drop'));
    document.addEventListener('drop', (e) => {
      stage.classList.remove('drop');
      if (!isFiles(e)) return;
      e.preventDefault();
      this.take([...e.dataTransfer.files]);
    });
    document.addEventListener('paste', (e) => {
      const files = [...(e.clipboardData?.files ?? [])].filter((f) => f.type.startsWith('image/'));
      if (files.length) this.take(files);
    });
  }

  async refresh() {
    const { images, scanning } = await this.#app.api.images();
    const changed = images.length !== this.images.length || images.some((p, i) => p.id !== this.images[i].id);
    this.images = images;
    if (changed) this.#draw();
    $('photo-count').textContent = images.length || '';
    return scanning;
  }

  #draw() {
    const rows = this.images.map((image) => {
      const known = this.#rows.get(image.id);
      if (known) return known;
      const row = element('li', { role: 'option', id: `photo-${image.id}`, 'data-id': image.id, 'aria-selected': 'false', title: `${image.name}, ${image.width} × ${image.height}`,
        onclick: () => this.#app.open(image) },
        element('img', { alt: '', decoding: 'async' }),
        element('div', { class: 'caption' }, element('span', {}, image.name.replace(/^.*\//, '')), element('span', { class: 'count', hidden: !image.objects }, String(image.objects ?? 0))));
      this.#rows.set(image.id, row);
      this.#observer.observe(row);
      return row;
    });
    $('photo-list').replaceChildren(...rows);
    this.mark();
  }

  async #load(row) {
    this.#observer.unobserve(row);
    const img = row.querySelector('img');
    try {
      img.src = await this.#app.api.picture(`/v1/images/${row.dataset.id}/thumbnail?size=256`);
    } catch {
      // the row still has its name
    }
  }

  mark() {
    const id = this.#app.photo?.id;
    for (const [key, row] of this.#rows) row.setAttribute('aria-selected', String(key === id));
    const row = this.#rows.get(id);
    if (row) {
      $('photo-list').setAttribute('aria-activedescendant', row.id);
      row.scrollIntoView({ block: 'nearest' });
    }
  }

  count(id, objects) {
    const badge = this.#rows.get(id)?.querySelector('.count');
    if (!badge) return;
    badge.hidden = objects === 0;
    badge.textContent = String(objects);
  }

  step(by) {
    const at = this.images.findIndex((p) => p.id === this.#app.photo?.id);
    const next = this.images[at < 0 ? 0 : at + by];
    if (next) this.#app.open(next);
  }

  async take(files) {
    const app = this.#app;
    let last = null;
    for (const [i, file] of files.entries()) {
      app.busy(`Taking in ${file.name || 'a picture'}`, files.length > 1 ? { done: i, total: files.length } : {});
      try {
        last = await app.api.upload(file.name || 'pasted.png', file);
      } catch (error) {
        app.say(`${file.name || 'The picture'}: ${error.message}`);
      }
    }
    app.busy(null);
    if (!last) return;
    await this.refresh().catch((error) => app.problem(error));
    app.open(last);
  }
}
