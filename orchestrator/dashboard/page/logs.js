// What happened, and what the processes said.
import {get, live} from './api.js';
import {el, put, table, when} from './tools.js';

export function event_table(events, with_run) {
  if (!events.length) return el('div.empty', {}, 'Nothing has happened yet.');
  const heads = [['when', 1], ...(with_run ? [['run', 1]] : []), ['generation'], ['what', 1], ['', 1]];
  return table(heads, events.map(event => el('tr', {}, el('td.l.small', {}, when(event.time)),
    with_run && el('td.l', {}, el('a', {href: '#run/' + encodeURIComponent(event.run)}, event.run)),
    el('td', {}, event.generation), el('td.l', {}, event.kind), el('td.l.wrap', {}, event.text))));
}

const is_crash = event => event.kind === 'state' && /^(recovering|failed|needs attention)/.test(event.text);

// Lines with the words that were searched for, marked.
function marked(text, needle) {
  if (!needle) return [text];
  const parts = [], low = text.toLowerCase();
  let at = 0;
  for (let next; (next = low.indexOf(needle.toLowerCase(), at)) >= 0; at = next + needle.length)
    parts.push(text.slice(at, next), el('mark', {}, text.slice(next, next + needle.length)));
  return [...parts, text.slice(at)];
}

export function logs_tab(name) {
  const generation = el('select', {id: 'generation', 'aria-label': 'generation', onchange: ask});
  const needle = el('input', {type: 'search', id: 'needle', placeholder: 'lines with…', 'aria-label': 'lines with', oninput: soon});
  const rank = el('input', {type: 'number', min: 0, id: 'rank', placeholder: 'all', 'aria-label': 'rank', oninput: soon});
  const log = el('pre.box', {id: 'log', tabindex: 0, 'aria-label': 'log'}), crashes = el('div'), events = el('div.box.scroll', {id: 'events'}), more = el('span.dim');
  const event_needle = el('input', {type: 'search', placeholder: 'events with…', 'aria-label': 'events with', oninput: draw_events});
  let timer = 0, shown = '', count = 0, told = '';
  function soon() { clearTimeout(timer); timer = setTimeout(ask, 250); }

  async function ask() {
    // Rank 0 speaks for the run, without a name.
    const named = rank.value !== '' && +rank.value > 0, words = named ? `[rank ${rank.value}]` : needle.value;
    const fields = {run: name, generation: generation.value || 0, contains: words, bytes: 262144};
    let text;
    try { text = (await get('api/logs', fields)).text; } catch (error) { text = error.message; }
    if (rank.value === '0') text = text.split('\n').filter(line => !line.includes('[rank ')).join('\n');
    if (named && needle.value) text = text.split('\n').filter(line => line.toLowerCase().includes(needle.value.toLowerCase())).join('\n');
    put(more, text.length >= 262144 ? 'the last 256 KiB' : '');
    if (text === shown) return;
    shown = text;
    const at_end = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    log.replaceChildren(...(text ? marked(text, needle.value) : ['nothing']));
    if (at_end) log.scrollTop = log.scrollHeight;
  }

  function draw_events() {
    const words = event_needle.value.toLowerCase();
    events.replaceChildren(event_table(live.events.filter(event => event.run === name && `${event.kind} ${event.text}`.toLowerCase().includes(words)).slice(-200).reverse(), false));
  }

  // How the last generations that crashed ended, newest first.
  async function draw_crashes() {
    const last = live.events.filter(event => event.run === name && is_crash(event)).slice(-3).reverse();
    const key = last.map(event => event.seq).join();
    if (key === told) return;
    told = key;
    const tails = await Promise.all(last.map(event => get('api/logs', {run: name, generation: event.generation, bytes: 2048}).then(reply => reply.text, error => error.message)));
    crashes.replaceChildren(...last.flatMap((event, i) => [
      el('div.row', {}, el('span.state.bad', {}, `generation ${event.generation} ended`), el('span', {}, when(event.time)), el('span.dim', {}, event.text)),
      el('pre.box.wrap', {}, tails[i] || 'its log is empty')]));
    if (last.length) crashes.prepend(el('h2', {}, 'How it crashed'));
  }

  function refresh(details) {
    if (+details.run.generation !== count) {
      count = +details.run.generation;
      generation.replaceChildren(...Array.from({length: count}, (_, i) => el('option', {value: count - i}, `generation ${count - i}`)));
    }
    draw_crashes();
    ask();
  }
  draw_events();
  const node = el('div', {}, crashes, el('h2', {}, 'Log'), el('div.row', {}, generation, el('label', {}, 'rank', rank), needle, more), log,
    el('h2', {}, 'Events'), el('div.row', {}, event_needle), events);
  return {node, refresh, event() { draw_events(); draw_crashes(); }};
}

export function file_tab() {
  const file = el('pre.box', {id: 'file', tabindex: 0, 'aria-label': 'run file'});
  return {node: el('div', {}, el('p.dim', {}, 'The run file with every default filled in.'), file), refresh(details) { put(file, details.run_file); }};
}
