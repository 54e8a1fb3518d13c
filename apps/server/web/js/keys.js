// Shortcuts: one table for what keys do and for the sheet that shows them.

import { element } from './panel.js';

const $ = (id) => document.getElementById(id);
const kStep = 8, kLeap = 40; // screen pixels that an arrow key moves the pointer

// [keys as events name them, keys as people read them, what, action]; actions get (app, event).
const kTable = [
  ['Masks', [
    [null, 'Click', 'keep the mask under the pointer'],
    [null, 'Drag', 'box around an object'],
    [null, 'Ctrl Click', 'add to the selected object'],
    [null, 'Shift Click', 'take away from it (Alt as well)'],
    [['1', '2', '3'], '1 2 3', 'choose a reading (wheel as well)', (app, e) => app.prompting.choose(Number(e.key) - 1)],
    [['g'], 'G', 'everything that is to be seen', (app) => app.picks.toggle()],
    [['k'], 'K', 'keep all proposals', (app) => app.picks.active && app.picks.keepAll()],
  ]],
  ['Tools', [
    [['v'], 'V', 'select and pan', (app) => app.useTool('select')],
    [['p'], 'P', 'point', (app) => app.useTool('point')],
    [['b'], 'B', 'box', (app) => app.useTool('box')],
    [['s'], 'S', 'scribble', (app) => app.useTool('scribble')],
    [['l'], 'L', 'lasso', (app) => app.useTool('lasso')],
    [['r'], 'R', 'repair with a brush', (app) => app.useTool('brush')],
    [['e'], 'E', 'erase pixels', (app) => app.useTool('eraser')],
    [['[', ']'], '[ ]', 'smaller, larger brush', (app, e) => app.resizeBrush(e.key === '[' ? 1 / 1.25 : 1.25)],
  ]],
  ['The selected object', [
    [['n'], 'N', 'name it', (app) => app.nameObject()],
    [['h'], 'H', 'hide or show it', (app) => app.toggleHidden()],
    [['x'], 'X', 'cut it out', (app) => app.panel.cutOut()],
    [['c'], 'C', 'copy it as a command', (app) => app.panel.copyCommand()],
    [['Delete', 'Backspace'], 'Del', 'delete it', (app) => app.objects.current && app.objects.remove(app.objects.selected)],
    [['j'], 'J', 'select the next one', (app) => app.selectNext()],
  ]],
  ['View', [
    [null, 'Ctrl Wheel', 'zoom (pinch as well)'],
    [null, 'Space Drag', 'pan'],
    [['+', '='], '+', 'larger', (app) => app.stage.zoom(1.25)],
    [['-'], '-', 'smaller', (app) => app.stage.zoom(0.8)],
    [['0'], '0', 'the whole photo', (app) => app.stage.fit()],
    [['o'], 'O', 'fill, outline, original', (app) => app.cycleView()],
    [['PageDown', 'PageUp'], 'PgDn PgUp', 'next, previous photo', (app, e) => app.gallery.step(e.key === 'PageDown' ? 1 : -1)],
  ]],
  ['Review', [
    [['q'], 'Q', 'begin and end it', (app) => app.review.toggle()],
    [null, 'A', 'accept the mask'],
    [null, 'F', 'fix it; then A'],
    [null, 'R', 'reject it'],
    [null, 'L', 'leave it for later'],
    [null, 'Ctrl Z', 'take the last one back'],
  ]],
  ['Without a mouse', [
    [['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'], '← ↑ → ↓', 'move the pointer (Shift: further)', move],
    [['Enter'], 'Enter', 'keep; Ctrl adds, Shift takes away', (app, e) => app.pointer.press(app.pointer.modeOf(e))],
    [['Escape'], 'Esc', 'leave what is going on', (app) => app.escape()],
    [null, 'Ctrl Z', 'undo'],
    [null, 'Ctrl Shift Z', 'redo'],
    [['?'], '?', 'this sheet', (app) => app.help()],
  ]],
];

function move(app, event) {
  const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const step = event.shiftKey ? kLeap : kStep;
  app.pointer.nudge(x * step, y * step);
}

const kActions = new Map();
for (const [, rows] of kTable) for (const [keys, , , action] of rows) for (const key of keys ?? []) if (action) kActions.set(key, action);

export function listenToKeys(app) {
  document.addEventListener('keydown', (event) => {
    if (event.target.closest('input:not([type=color]), textarea, select, dialog')) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (app.review.key(key, event)) {
      event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey) {
      const way = key === 'z' ? (event.shiftKey ? 'redo' : 'undo') : key === 'y' ? 'redo' : null;
      if (way) {
        event.preventDefault();
        app.prompting.forget();
        app.objects[way]();
      }
      if (key !== 'Enter') return;
    }
    if (event.altKey && key !== 'Enter') return;
    if (key === ' ' && !event.target.closest('button, [role=button], a')) {
      event.preventDefault();
      app.pointer.space = true;
      return;
    }
    // Buttons and lists have their own use for these.
    const own = ['Enter', 'ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'].includes(key);
    if (own && event.target.id !== 'stage' && event.target !== document.body) return;
    const action = kActions.get(key);
    if (!action) return;
    event.preventDefault();
    action(app, event);
  });
  document.addEventListener('keyup', (event) => {
    if (event.key === ' ') app.pointer.space = false;
  });
  window.addEventListener('blur', () => {
    app.pointer.space = false;
  });
}

export function drawSheet() {
  $('shortcut-columns').replaceChildren(...kTable.map(([title, rows]) =>
    element('section', {}, element('h3', {}, title), ...rows.filter(([, shown]) => shown).map(([, shown, what]) =>
      element('div', {}, element('span', {}, what),
        element('span', { class: 'keys' }, ...shown.split(' ').map((k) => element('kbd', {}, k))))))));
}

// Groups of radio buttons: one stop for Tab, arrows move within.
export function radios(group, attribute, choose) {
  const buttons = [...group.querySelectorAll(`[data-${attribute}]`)];
  const mark = (value) => {
    for (const b of buttons) {
      const on = b.dataset[attribute] === value;
      b.setAttribute('aria-checked', String(on));
      b.tabIndex = on ? 0 : -1;
    }
  };
  for (const b of buttons) b.addEventListener('click', () => choose(b.dataset[attribute]));
  group.addEventListener('keydown', (e) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
    if (!by) return;
    e.preventDefault();
    e.stopPropagation();
    const at = buttons.indexOf(document.activeElement);
    const next = buttons[(at + by + buttons.length) % buttons.length];
    next.focus();
    choose(next.dataset[attribute]);
  });
  return mark;
}
