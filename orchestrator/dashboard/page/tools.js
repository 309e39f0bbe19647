// Elements, numbers and words: what every part of the page needs.

// el('td.l', {title: 'x'}, 'text', node...): text never becomes markup.
export function el(spec, attributes = {}, ...children) {
  const [name, ...classes] = spec.split('.');
  const node = document.createElement(name);
  if (classes.length) node.className = classes.join(' ');
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

export function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// Changes a text only when it is another one: nothing flickers, a selection stays.
export function put(node, text) {
  if (node && node.textContent !== text) node.textContent = text;
}

export const $ = id => document.getElementById(id);

export function duration(s) {
  s = Math.max(0, Math.round(s));
  if (s >= 86400) return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
  return s >= 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s} s`;
}

// "3.21", "12.3 k", "4.5 G"
export function short(value, digits = 3) {
  if (value === null || value === undefined || value === '' || !Number.isFinite(+value)) return '–';
  value = +value;
  if (value === 0) return '0';
  const size = Math.abs(value);
  for (const [at, unit] of [[1e12, ' T'], [1e9, ' G'], [1e6, ' M'], [1e4, ' k']])
    if (size >= at) return String(Number((value / (unit === ' k' ? 1e3 : at)).toPrecision(digits))) + unit;
  if (size < 1e-3) return String(Number(value.toPrecision(digits))).replace('e-', 'e−');
  return String(Number(value.toPrecision(Math.max(digits, Math.ceil(Math.log10(size + 1))))));
}

export const bytes = n => short(n) + (short(n).includes(' ') ? 'B' : ' B');
export const percent = (part, digits = 0) => Number.isFinite(+part) ? `${(100 * part).toFixed(digits)} %` : '–';
export function seconds(s) {
  if (!Number.isFinite(+s)) return '–';
  if (s >= 60) return duration(s);
  const three = value => String(Number(value.toPrecision(3)));
  return s >= 1 ? `${three(+s)} s` : s >= 1e-3 ? `${three(s * 1e3)} ms` : s > 0 ? `${three(s * 1e6)} µs` : '0';
}
export const when = unix => new Date(unix * 1000).toLocaleString([], {dateStyle: 'medium', timeStyle: 'medium'});
export const words = state => state.toLowerCase().replace('attention', 'needs attention');
// "1 rank", "2 ranks".
export const counted = (n, what) => `${n} ${what}${n === 1 ? '' : 's'}`;
// What a person should know of a run that goes on all the same.
export const warnings = run => [run.suspect && `no word from ${run.suspect}`, run.unsaved].filter(Boolean).join('; ');
export const mood = state => ({RUNNING: 'good', COMPLETED: 'good', FAILED: 'bad', ATTENTION: 'bad', RECOVERING: 'warn', PAUSING: 'warn', STOPPING: 'warn'}[state] || '');
export const over = run => ['COMPLETED', 'STOPPED', 'FAILED'].includes(run.state);
export const new_id = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), b => b.toString(16).padStart(2, '0')).join('');

export function time_left(run) {
  const left = (run.steps - run.step) * (run.tokens / run.step) / run.tokens_per_s;
  return run.state === 'RUNNING' && Number.isFinite(left) ? duration(left) : '';
}

export function empty(...what) { return el('div.box.empty', {}, ...what); }

export function table(heads, rows, id) {
  return el('table', {id}, el('thead', {}, el('tr', {}, heads.map(([text, left]) => el(left ? 'th.l' : 'th', {scope: 'col'}, text)))),
    el('tbody', {}, rows));
}

// Colours as the style sheet has them now: canvases follow light and dark.
export function colours() {
  const style = getComputedStyle(document.documentElement);
  return name => style.getPropertyValue('--' + name).trim();
}
