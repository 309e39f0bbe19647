// All runs, one a row, updated in place: a row that has the focus keeps it.
import {get, live} from './api.js';
import {event_table} from './logs.js';
import {counted, duration, el, empty, mood, percent, put, short, svg, time_left, warnings, words} from './tools.js';

const heads = [['run', 1], ['state', 1], ['for'], ['loss'], ['now'], ['validation'], ['step'], ['tokens'], ['tokens/s'], ['of peak'], ['ranks'], ['restarts'], ['time left']];

function spark_line(points) {
  const low = Math.min(...points), high = Math.max(...points);
  return points.map((y, i) => `${(i / Math.max(1, points.length - 1) * 106 + 2).toFixed(1)},${(21 - (y - low) / (high - low || 1) * 18).toFixed(1)}`).join(' ');
}

function new_row(run) {
  const cells = heads.map(([, left]) => el(left ? 'td.l' : 'td'));
  const state = el('span.state'), line = svg('polyline'), bar = el('i'), step = el('span');
  cells[0].append(el('a', {href: '#run/' + encodeURIComponent(run.name)}, run.name));
  cells[1].append(state);
  cells[3].append(svg('svg', {class: 'spark', viewBox: '0 0 110 24', role: 'img', 'aria-label': `loss of ${run.name} over its steps`}, line));
  cells[6].append(step, el('span.progress', {}, bar));
  return {node: el('tr', {}, cells), cells, state, line, bar, step};
}

function fill(row, run, sparks) {
  const {cells} = row, loss = value => value ? short(value, 4) : '–';
  row.state.className = `state ${mood(run.state)}`;
  put(row.state, words(run.state) + (warnings(run) ? ' ⚠' : ''));
  cells[1].title = [run.why, warnings(run)].filter(Boolean).join('\n');
  const texts = [, , duration(live.now - run.since), , loss(run.loss), loss(run.validation_loss), , short(run.tokens), run.tokens_per_s ? short(run.tokens_per_s) : '–', run.utilisation ? percent(run.utilisation) : '–', String(run.ranks), String(run.restarts), time_left(run) || '–'];
  texts.forEach((text, i) => put(cells[i], text));
  put(row.step, `${short(run.step, 4)} / ${short(run.steps, 4)}`);
  row.bar.style.width = `${100 * run.step / Math.max(1, run.steps)}%`;
  const points = spark_line(sparks[run.name] || []);
  if (row.line.getAttribute('points') !== points) row.line.setAttribute('points', points);
}

export function runs_page() {
  const rows = new Map(), body = el('tbody');
  const search = el('input', {type: 'search', placeholder: 'find a run, or a state', 'aria-label': 'find a run', oninput: draw});
  const count = el('span.dim');
  const head = el('tr', {}, heads.map(([text, left]) => el(left ? 'th.l' : 'th', {scope: 'col'}, text)));
  const list = el('div', {id: 'runs'}, empty('connecting…')), events = el('div.box.scroll', {id: 'events'});
  const whole = el('div.box.scroll', {}, el('table', {}, el('thead', {}, head), body));
  let sparks = {}, asked = 0;

  function draw() {
    if (!live.runs.length) {
      list.replaceChildren(empty('No runs yet. ', el('a', {href: '#submit'}, 'Submit one'), ', or in a shell: ', el('code', {}, 'katman submit RUN.textproto')));
      return;
    }
    const needle = search.value.toLowerCase();
    const wanted = live.runs.filter(run => `${run.name} ${words(run.state)}`.toLowerCase().includes(needle)).sort((a, b) => b.order - a.order);
    for (const run of wanted) {
      if (!rows.has(run.name)) rows.set(run.name, new_row(run));
      fill(rows.get(run.name), run, sparks);
    }
    const nodes = wanted.map(run => rows.get(run.name).node);
    if (nodes.length !== body.children.length || nodes.some((node, i) => node !== body.children[i])) body.replaceChildren(...nodes);
    if (list.firstChild !== whole) list.replaceChildren(whole);
    const running = live.runs.filter(run => run.state === 'RUNNING').length;
    put(count, `${counted(live.runs.length, 'run')}, ${running} running`);
    if (Date.now() - asked > 5000) {
      asked = Date.now();
      get('api/sparks').then(reply => { sparks = reply; draw(); }, () => 0);
    }
  }
  const draw_events = () => events.replaceChildren(event_table(live.events.slice(-60).reverse(), true));
  draw_events();
  const node = el('div', {}, el('div.row', {}, el('h1', {}, 'Runs'), count, el('span.grow'), search), list, el('h2', {}, 'Latest events'), events);
  return {node, draw, event: draw_events};
}
