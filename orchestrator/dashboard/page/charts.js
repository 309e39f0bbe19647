// The curves of a run: what to draw, over what, and how close.
import {find, get, live} from './api.js';
import {Chart, mapping} from './chart.js';
import {bytes, el, percent, seconds, short} from './tools.js';

const number = value => short(value, 4);
const wanted = [
  {title: 'loss', unit: 'nats per token', lines: [{name: 'loss', label: 'training', noisy: true}, {name: 'validation_loss', label: 'validation'}], format: number},
  {title: 'validation', unit: 'bits per byte', lines: [{name: 'bits_per_byte'}], format: number},
  {title: 'gradient norm', lines: [{name: 'grad_norm', noisy: true}], format: number},
  {title: 'learning rate', lines: [{name: 'learning_rate'}], format: number},
  {title: 'throughput', unit: 'tokens per second', lines: [{name: 'tokens_per_s', noisy: true}], format: number},
  {title: 'utilisation', unit: 'of the measured peak', lines: [{name: 'utilisation', noisy: true}], format: value => percent(value, value > 0 && value < .1 ? 1 : 0)},
  {title: 'step time', lines: [{name: 'seconds', noisy: true}], format: seconds},
  {title: 'memory', unit: 'resident, of the rank with the most', lines: [{name: 'memory_bytes'}], format: bytes},
];
// Of tasks (eval/TASK/5-shot/METRIC): a chart for each figure of each, a line for every count of shots.
function of_tasks(series) {
  const charts = new Map();
  for (const name of series) {
    const [family, task, shots, metric] = name.split('/');
    if (family !== 'eval' || !metric || metric.endsWith('_stderr')) continue;
    const key = `${task} · ${metric}`;
    if (!charts.has(key)) charts.set(key, {title: task, unit: metric.replaceAll('_', ' '), lines: [], format: number});
    charts.get(key).lines.push({name, label: shots, error: series.includes(name + '_stderr') ? name + '_stderr' : null});
  }
  return [...charts.values()];
}
const names_of = what => what.lines.flatMap(line => [line.name, line.error].filter(Boolean));

const most_names = 24;  // of one request
const axes = ['time', 'tokens_seen'];
const view = {smooth: .6, log: false, x: 'step', range: null};  // outlives the run that is shown

export class Charts {
  constructor(name) {
    this.name = name;
    this.data = {};
    this.asked = 0;
    view.range = null;
    this.shared = {view, cursor: null, on_zoom: (from, to) => this.zoom(from, to), on_cursor: () => this.draw_soon()};
    this.charts = [];
    this.grid = el('div.charts');
    this.reset = el('button.small', {onclick: () => this.zoom(null)}, 'show all steps');
    this.box = el('section', {'aria-label': 'charts'}, this.settings(), this.grid,
      el('p.dim', {}, 'Drag to zoom, double-click to show all. Dashed: a new generation; grey: steps that were done again; ▲ checkpoints, ▼ commands; red: not a number. The band spans minimum and maximum; of a task, a standard error to either side.'));
    this.resized = new ResizeObserver(() => this.draw_soon());
    this.resized.observe(this.grid);
  }

  settings() {
    const smooth = el('input', {type: 'range', min: 0, max: .99, step: .01, value: view.smooth, 'aria-label': 'smoothing', oninput: event => { view.smooth = +event.target.value; this.draw_soon(); }});
    const log = el('input', {type: 'checkbox', id: 'log', onchange: event => { view.log = event.target.checked; this.draw_soon(); }});
    log.checked = view.log;
    const x = el('select', {id: 'x', onchange: event => { view.x = event.target.value; this.show(); }},
      ['step', 'tokens', 'time'].map(axis => el('option', {}, axis)));
    x.value = view.x;
    this.reset.disabled = true;
    return el('div.row', {}, el('label', {}, 'smoothing', smooth), el('label', {}, log, 'log scale'), el('label', {}, 'over', x), this.reset);
  }

  close() { this.resized.disconnect(); }

  zoom(from, to) {
    view.range = from === null || !(to > from) ? null : [from, to];
    this.reset.disabled = !view.range;
    this.refresh(this.details, true);
  }

  // Asks again when that would change the picture.
  async refresh(details, at_once = false) {
    if (!details) return;
    this.details = details;
    const run = find(this.name) || details.run, moved = run.step - (this.step || 0);
    const known = [...wanted.filter(what => what.lines.some(line => details.series.includes(line.name))), ...of_tasks(details.series)];
    const new_lines = known.flatMap(names_of).join() !== this.charts.flatMap(chart => names_of(chart.what)).join();
    if (!at_once && !new_lines && moved >= 0 && moved < this.width && Date.now() - this.asked < 30000) return this.show();
    this.asked = Date.now();
    this.step = +run.step;
    const names = [...known.flatMap(names_of), ...axes].filter(name => details.series.includes(name));
    const fields = {run: this.name, points: 1500};
    if (view.range) Object.assign(fields, {from: Math.max(0, view.range[0]), to: view.range[1] + 1});
    const some = from => get('api/series', {...fields, names: names.slice(from, from + most_names).join(',')});
    this.data = Object.assign({}, ...await Promise.all(names.flatMap((_, i) => i % most_names ? [] : [some(i)])));
    this.width = Math.max(1, ...Object.values(this.data).map(columns => +columns.width));
    if (new_lines) {
      this.charts = known.map(what => new Chart(what, this.shared));
      this.grid.replaceChildren(...this.charts.map(chart => chart.box));
    }
    this.show();
  }

  show() {
    const {details} = this;
    if (!details) return;
    const marks = {
      generations: details.generations.slice(1),
      checkpoints: details.checkpoints,
      commands: live.events.filter(event => event.run === this.name && event.kind === 'command').map(event => ({step: this.step_at(event.time), text: event.text}))};
    this.charts.forEach(chart => chart.show(chart.what.lines.map(line => ({value: this.data[line.name], error: this.data[line.error]})), marks, this.x_axis()));
  }

  x_axis() {
    if (view.x === 'step') return step => step;
    const to = mapping(this.data[view.x === 'time' ? 'time' : 'tokens_seen']);
    const begin = view.x === 'time' ? to(view.range ? view.range[0] : 0) : 0;
    return step => to(step) - begin;
  }

  step_at(time) {
    const columns = this.data.time;
    if (!columns || !columns.step.length) return 0;
    let best = 0;
    columns.mean.forEach((at, i) => { if (at <= time) best = +columns.step[i]; });
    return best;
  }

  draw_soon() {
    if (this.waits) return;
    this.waits = requestAnimationFrame(() => { this.waits = 0; this.charts.forEach(chart => chart.draw()); });
  }
}
