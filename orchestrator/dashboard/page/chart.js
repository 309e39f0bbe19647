// One chart on a canvas: a band from minimum to maximum, a line, what was discarded in grey, and marks.
import {colours, duration, el, put, short} from './tools.js';

const pad = {left: 54, right: 10, top: 12, bottom: 34};

function nice_step(span, most) {
  const raw = span / most, size = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map(n => n * size).find(step => step >= raw);
}

function ticks(low, high, most) {
  if (!(high > low)) return [low];
  const step = nice_step(high - low, most), all = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) all.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return all;
}

function time_ticks(low, high, most) {
  const steps = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 604800];
  const step = steps.find(s => (high - low) / s <= most) || nice_step(high - low, most), all = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) all.push(at);
  return all;
}

function log_ticks(low, high) {  // of exponents
  const all = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); ++power)
    for (const n of high - low > 3 ? [1] : [1, 2, 5]) {
      const at = power + Math.log10(n);
      if (at >= low && at <= high) all.push(at);
    }
  return all.length > 1 ? all : [low, high];
}

// An exponential mean over points, without the bias of its start.
function smoothed(points, weight) {
  let sum = 0, all = 0;
  return points.map(point => {
    sum = weight * sum + (1 - weight) * point.mean;
    all = weight * all + 1 - weight;
    return {...point, mean: sum / all};
  });
}

// Columns of the wire as points, apart: what counts, and what each generation did in vain.
export function split(columns) {
  const kept = [], lost = new Map(), bad = [];
  (columns ? columns.step : []).forEach((step, i) => {
    const mean = columns.mean[i];
    if (columns.bad[i]) bad.push({step: +step, count: columns.bad[i]});
    if (mean === null) return;
    const point = {step: +step, mean, low: columns.low ? columns.low[i] : mean, high: columns.high ? columns.high[i] : mean, generation: columns.generation[i]};
    if (!columns.discarded[i]) kept.push(point);
    else lost.set(point.generation, [...(lost.get(point.generation) || []), point]);
  });
  return {kept, lost: [...lost.values()], bad};
}

// The band of a measured share is its standard error.
function with_error(line, error) {
  const widths = new Map(error.kept.map(point => [point.step, point.mean]));
  const kept = line.kept.map(point => { const width = widths.get(point.step) || 0; return {...point, low: point.mean - width, high: point.mean + width}; });
  return {...line, kept};
}

// Steps to what is on the x axis, from two columns of the run; by line between points.
export function mapping(columns) {
  const {kept} = split(columns);
  return step => {
    if (!kept.length) return step;
    let low = 0, high = kept.length - 1;
    while (low < high) { const middle = (low + high + 1) >> 1; kept[middle].step <= step ? low = middle : high = middle - 1; }
    const a = kept[low], b = kept[Math.min(low + 1, kept.length - 1)];
    return b.step === a.step ? a.mean : a.mean + (b.mean - a.mean) * Math.min(1, Math.max(0, (step - a.step) / (b.step - a.step)));
  };
}

export class Chart {
  // what: {title, unit, lines: [{name, label}], format}. shared: {view: settings, cursor, on_zoom(from, to), on_cursor()}.
  constructor(what, shared) {
    Object.assign(this, {what, shared, data: [], marks: {generations: [], checkpoints: [], commands: []}, drag: null});
    this.read = el('span.read');
    this.canvas = el('canvas', {tabindex: 0, role: 'img', 'aria-label': what.title});
    const legend = what.lines.length < 2 ? null : el('span.legend.dim', {}, what.lines.map((line, i) => el('span', {}, el(`i.k-line${i % 7}`), line.label)));
    this.box = el('div.box.chart', {}, el('h3', {}, what.title, el('span.dim', {}, what.unit ? ` · ${what.unit}` : ''), legend), this.read, this.canvas);
    this.listen();
  }

  // data: for each line, its columns and those of its standard error, if it has one.
  show(data, marks, to_x) {
    this.data = data.map(({value, error}) => error ? with_error(split(value), split(error)) : split(value));
    this.marks = marks;
    this.to_x = to_x;
    this.draw();
  }

  // Everything that is drawn follows from these.
  frame() {
    const {view} = this.shared, all = this.data.flatMap(line => [...line.kept, ...line.lost.flat()]);
    if (!all.length) return null;
    const log = view.log && all.every(point => point.low > 0), y = log ? Math.log10 : value => value;
    let low = Infinity, high = -Infinity, first = Infinity, last = -Infinity;
    for (const point of all) {
      low = Math.min(low, y(point.low)); high = Math.max(high, y(point.high));
      first = Math.min(first, point.step); last = Math.max(last, point.step);
    }
    if (view.range) [first, last] = view.range;
    if (!(high - low > 1e-12 * Math.abs(high))) { const room = Math.abs(high) * .05 || 1; if (low !== 0 || log) low -= room; high += room; }
    const room = (high - low) * .05;
    [low, high] = [low >= 0 && low - room < 0 && !log ? 0 : low - room, high + room];
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    const begin = this.to_x(first), end = Math.max(this.to_x(Math.max(last, first + 1)), begin + 1e-9);
    const X = step => pad.left + (this.to_x(step) - begin) / (end - begin) * (width - pad.left - pad.right);
    const Y = value => pad.top + (high - y(value)) / (high - low) * (height - pad.top - pad.bottom);
    return {log, low, high, first, last, begin, end, width, height, X, Y, at: exponent => Y(log ? 10 ** exponent : exponent)};
  }

  draw() {
    const frame = this.frame(), scale = devicePixelRatio || 1, {canvas} = this;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return;
    if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
    if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
    const pen = canvas.getContext('2d'), colour = colours();
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = '11px system-ui, "DejaVu Sans", sans-serif';
    if (!frame) {
      pen.fillStyle = colour('dim'); pen.textAlign = 'center';
      pen.fillText('no figures yet', width / 2, height / 2);
      return put(this.read, '');
    }
    this.axes(pen, frame, colour);
    pen.save();
    pen.beginPath(); pen.rect(pad.left, 0, width - pad.left - pad.right, height); pen.clip();
    this.draw_marks(pen, frame, colour);
    this.data.forEach((line, i) => this.draw_line(pen, frame, colour, line, i));
    this.draw_cursor(pen, frame, colour);
    pen.restore();
    this.tell(frame);
  }

  axes(pen, frame, colour) {
    const {width, height, X} = frame, {view} = this.shared, most = Math.max(2, Math.floor((width - pad.left) / 85));
    pen.lineWidth = 1;
    const ys = frame.log ? log_ticks(frame.low, frame.high) : ticks(frame.low, frame.high, 5);
    for (const tick of ys) {
      const y = Math.round(frame.at(tick)) + .5;
      pen.strokeStyle = colour('grid');
      pen.beginPath(); pen.moveTo(pad.left, y); pen.lineTo(width - pad.right, y); pen.stroke();
      pen.fillStyle = colour('dim'); pen.textAlign = 'right';
      pen.fillText(this.what.format(frame.log ? 10 ** tick : tick), pad.left - 6, y + 3.5);
    }
    const time = view.x === 'time', inner = width - pad.left - pad.right;
    for (const tick of (time ? time_ticks : ticks)(frame.begin, frame.end, most)) {
      const x = pad.left + (tick - frame.begin) / (frame.end - frame.begin) * inner;
      const text = time ? (tick ? duration(tick) : '0') : short(tick, 4), half = pen.measureText(text).width / 2;
      pen.fillStyle = colour('dim'); pen.textAlign = 'center';
      pen.fillText(text, Math.min(Math.max(x, pad.left + half - 8), width - half - 1), height - 18);
    }
    pen.textAlign = 'right';
    pen.fillText(time ? 'time since the first step' : view.x === 'tokens' ? 'tokens' : 'step', width - pad.right, height - 4);
    pen.strokeStyle = colour('line');
    pen.beginPath(); pen.moveTo(pad.left, height - pad.bottom + .5); pen.lineTo(width - pad.right, height - pad.bottom + .5); pen.stroke();
  }

  draw_marks(pen, {X, height}, colour) {
    const bottom = height - pad.bottom;
    for (const {step, generation} of this.marks.generations) {
      const x = Math.round(X(+step)) + .5;
      pen.strokeStyle = colour('warn'); pen.setLineDash([3, 3]);
      pen.beginPath(); pen.moveTo(x, pad.top); pen.lineTo(x, bottom); pen.stroke(); pen.setLineDash([]);
      pen.fillStyle = colour('warn'); pen.textAlign = 'left'; pen.fillText(`g${generation}`, x + 3, pad.top + 4);
    }
    const triangle = (x, y, down, fill) => {
      pen.fillStyle = fill;
      pen.beginPath(); pen.moveTo(x, y); pen.lineTo(x - 4, y + (down ? -6 : 6)); pen.lineTo(x + 4, y + (down ? -6 : 6)); pen.fill();
    };
    for (const {step} of this.marks.checkpoints) triangle(X(step - 1), bottom - 5, false, colour('good'));
    for (const {step} of this.marks.commands) triangle(X(step), pad.top + 1, true, colour('main'));
    for (const line of this.data)
      for (const {step} of line.bad) {
        pen.strokeStyle = colour('bad'); pen.lineWidth = 2;
        pen.beginPath(); pen.moveTo(X(step), pad.top); pen.lineTo(X(step), pad.top + 12); pen.stroke(); pen.lineWidth = 1;
      }
  }

  draw_line(pen, {X, Y}, colour, line, number) {
    const main = colour(`c${number % 7 + 1}`), {smooth} = this.shared.view, noisy = smooth > 0 && this.what.lines[number].noisy;
    const path = points => { pen.beginPath(); points.forEach((p, i) => i ? pen.lineTo(X(p.step), Y(p.mean)) : pen.moveTo(X(p.step), Y(p.mean))); };
    const stroke = (points, style, width, alpha) => { path(points); pen.strokeStyle = style; pen.lineWidth = width; pen.globalAlpha = alpha; pen.lineJoin = 'round'; pen.stroke(); pen.globalAlpha = 1; };
    const band = (points, style, alpha) => {
      if (!points.some(p => p.high > p.low)) return;
      pen.beginPath();
      points.forEach((p, i) => i ? pen.lineTo(X(p.step), Y(p.high)) : pen.moveTo(X(p.step), Y(p.high)));
      for (let i = points.length; i--;) pen.lineTo(X(points[i].step), Y(points[i].low));
      pen.fillStyle = style; pen.globalAlpha = alpha; pen.fill(); pen.globalAlpha = 1;
    };
    for (const lost of line.lost) { band(lost, colour('dim'), .15); stroke(lost, colour('dim'), 1, .7); }
    band(line.kept, main, .16);
    stroke(line.kept, main, noisy ? 1 : 1.7, noisy ? .35 : 1);
    if (noisy) stroke(smoothed(line.kept, smooth), main, 1.9, 1);
    if (line.kept.length < 40)
      for (const p of line.kept) { pen.fillStyle = main; pen.beginPath(); pen.arc(X(p.step), Y(p.mean), 2.4, 0, 7); pen.fill(); }
  }

  draw_cursor(pen, frame, colour) {
    const {cursor} = this.shared, bottom = frame.height - pad.bottom;
    if (this.drag) {
      const [a, b] = [this.drag.from, this.drag.to].sort((x, y) => x - y);
      pen.fillStyle = colour('main'); pen.globalAlpha = .14; pen.fillRect(a, pad.top, b - a, bottom - pad.top); pen.globalAlpha = 1;
    }
    if (cursor === null) return;
    const x = Math.round(frame.X(cursor)) + .5;
    pen.strokeStyle = colour('dim');
    pen.beginPath(); pen.moveTo(x, pad.top); pen.lineTo(x, bottom); pen.stroke();
    this.data.forEach((line, i) => {
      const point = nearest(line.kept, cursor);
      if (!point) return;
      pen.fillStyle = colour(`c${i % 7 + 1}`); pen.beginPath(); pen.arc(frame.X(point.step), frame.Y(point.mean), 3.4, 0, 7); pen.fill();
    });
  }

  tell() {
    const {cursor} = this.shared, {format} = this.what;
    const texts = this.data.map(line => {
      const point = cursor === null ? line.kept.at(-1) : nearest(line.kept, cursor);
      return point && `${format(point.mean)}${point.high > point.low ? ` (${format(point.low)} – ${format(point.high)})` : ''}`;
    }).filter(Boolean);
    const step = cursor === null ? (this.data[0].kept.at(-1) || {}).step : (nearest(this.data[0].kept, cursor) || {}).step;
    const text = texts.length ? `${step === undefined ? '' : `step ${short(step, 7)}: `}${texts.join(' · ')}` : '';
    put(this.read, text);
    this.canvas.setAttribute('aria-label', `${this.what.title}, ${text}`);
  }

  // Pixels to steps, by halving: the axis may be time.
  step_at(x) {
    const frame = this.frame();
    if (!frame) return null;
    let low = frame.first, high = frame.last;
    for (let i = 0; i < 40; ++i) { const middle = (low + high) / 2; frame.X(middle) < x ? low = middle : high = middle; }
    return Math.round(low);
  }

  listen() {
    const {canvas, shared} = this, at = event => event.clientX - canvas.getBoundingClientRect().left;
    canvas.addEventListener('pointerdown', event => {
      if (event.pointerType === 'mouse') { this.drag = {from: at(event), to: at(event)}; canvas.setPointerCapture(event.pointerId); }
    });
    canvas.addEventListener('pointermove', event => {
      if (this.drag) this.drag.to = at(event);
      shared.cursor = this.step_at(at(event));
      shared.on_cursor();
    });
    canvas.addEventListener('pointerup', () => {
      const drag = this.drag;
      this.drag = null;
      if (drag && Math.abs(drag.to - drag.from) > 6) shared.on_zoom(...[drag.from, drag.to].map(x => this.step_at(x)).sort((a, b) => a - b));
    });
    canvas.addEventListener('pointerleave', () => { if (!this.drag) { shared.cursor = null; shared.on_cursor(); } });
    canvas.addEventListener('dblclick', () => shared.on_zoom(null));
    canvas.addEventListener('keydown', event => this.key(event));
    canvas.addEventListener('blur', () => { shared.cursor = null; shared.on_cursor(); });
  }

  // Arrows move the cursor, + and - zoom around it, 0 or Escape shows everything.
  key(event) {
    const frame = this.frame(), {shared} = this;
    if (!frame) return;
    const span = frame.last - frame.first, cursor = shared.cursor ?? Math.round(frame.first + span / 2);
    const zoom = factor => shared.on_zoom(Math.max(0, Math.round(cursor - span * factor / 2)), Math.round(cursor + span * factor / 2));
    const all = () => { shared.cursor = null; shared.on_zoom(null); };
    const keys = {
      ArrowLeft: () => shared.cursor = Math.max(frame.first, cursor - Math.max(1, Math.round(span / 50))),
      ArrowRight: () => shared.cursor = Math.min(frame.last, cursor + Math.max(1, Math.round(span / 50))),
      '+': () => zoom(.5), '=': () => zoom(.5), '-': () => zoom(2), 0: all, Escape: all};
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
    shared.on_cursor();
  }
}

function nearest(points, step) {
  if (!points.length) return null;
  let low = 0, high = points.length - 1;
  while (low < high) { const middle = (low + high) >> 1; points[middle].step < step ? low = middle + 1 : high = middle; }
  return low > 0 && step - points[low - 1].step < points[low].step - step ? points[low - 1] : points[low];
}
