// One run: how it stands, what can be asked of it, and a tab for each side of it.
import {ask, find, get, live} from './api.js';
import {Charts} from './charts.js';
import {checkpoints_tab} from './checkpoints.js';
import {data_tab} from './data.js';
import {file_tab, logs_tab} from './logs.js';
import {pipeline_tab} from './pipeline.js';
import {ranks_tab} from './ranks.js';
import {counted, duration, el, empty, mood, new_id, over, percent, put, short, time_left, warnings, words} from './tools.js';

// What each command is called, whether it can be taken now, and what it does.
const verbs = {
  CHECKPOINT_NOW: ['checkpoint now', run => run.live, 'save after the next step and go on'],
  PAUSE_RUN: ['pause', run => run.desired === 'RUN' && !over(run), 'save, leave, and give the slots back'],
  RESUME_RUN: ['resume', run => !run.live && !['COMPLETED', 'QUEUED'].includes(run.state), 'queue it again, from its newest checkpoint'],
  RESTART_RUN: ['restart', run => run.live, 'save, leave, and start again'],
  STOP_RUN: ['stop', run => !over(run), 'save and leave for good; resume goes on'],
  KILL_RUN: ['kill', run => run.live, 'end the processes now'],
};

function buttons(name, say) {
  const reason = el('input', {id: 'reason', placeholder: 'reason, kept with the event', size: 28, 'aria-label': 'reason'});
  const all = Object.entries(verbs).map(([verb, [text, , what]]) =>
    el(verb === 'KILL_RUN' ? 'button.danger' : 'button', {id: verb, title: what, onclick: event => command(name, verb, reason, event.target, say)}, text));
  return {node: el('div.row', {role: 'group', 'aria-label': 'commands'}, all, reason), draw(run) {
    for (const button of all) button.disabled = !verbs[button.id][1](run);
  }};
}

// Asks before steps are lost.
function sure(run) {
  const lost = run.step - run.committed;
  return new Promise(decide => {
    const dialog = el('dialog', {'aria-labelledby': 'question', onclose: () => { dialog.remove(); decide(dialog.returnValue === 'kill'); }},
      el('h2', {id: 'question', class: 'sure'}, `End ${run.name} now?`),
      el('p', {}, lost > 0 ? `${lost} steps since the checkpoint of step ${run.committed} are lost.` : 'Nothing is lost: its last step is saved.'),
      el('p.dim', {}, 'To keep them, use stop: it saves first.'),
      el('div.row', {}, el('button', {onclick: () => dialog.close('keep')}, 'keep it running'), el('button.danger', {id: 'really', onclick: () => dialog.close('kill')}, 'kill')));
    document.body.append(dialog);
    dialog.showModal();
  });
}

async function command(name, verb, reason, button, say) {
  const run = find(name), text = verbs[verb][0];
  const request = {id: new_id(), run: name, verb, expected_version: run.version, actor: 'dashboard', reason: reason.value};
  if (verb === 'KILL_RUN' && !await sure(run)) return;
  button.classList.add('busy');
  say(`${text}: requested`, '');
  try {
    let result = await ask('api/command', request);
    for (; result.outcome === 'PENDING'; result = await ask('api/command', request)) {  // the same id asks again
      say(`${text}: taken, not done yet`, '');
      await new Promise(done => setTimeout(done, 300));
    }
    const at = find(name) || run;
    say(`${text}: ${result.outcome.toLowerCase()}, ${result.text} · at step ${verb === 'CHECKPOINT_NOW' ? result.run.committed : at.step}`, result.outcome === 'DONE' ? 'done' : 'refused');
    reason.value = '';
  } catch (error) { say(`${text}: ${error.message}`, 'refused'); }
  button.classList.remove('busy');
}

const kinds = [['productive', 'productive'], ['recomputed', 'recomputed'], ['waiting for data', 'data'], ['checkpointing', 'checkpointing'], ['validating', 'validating'], ['restarting', 'restarting'], ['queued', 'queued'], ['paused', 'paused'], ['other', 'other']];

// Where the time since the submission went: adds up to all of it.
function time_bar() {
  const parts = kinds.map(([, key]) => el(`i.k-${key}`)), values = kinds.map(() => el('b'));
  const keys = kinds.map(([text, key], i) => el('span', {}, el(`i.k-${key}`), text + ' ', values[i]));
  const share = el('div.share', {role: 'img', id: 'share'}, parts);
  const node = el('section.box.pad', {'aria-label': 'where the time went'}, share, el('div.keys', {}, keys));
  return {node, draw(details) {
    const seconds = Object.fromEntries((details.time_spent || []).map(part => [part.what, part.seconds]));
    const all = Object.values(seconds).reduce((sum, s) => sum + s, 0) || 1;
    kinds.forEach(([text], i) => {
      const part = (seconds[text] || 0) / all;
      parts[i].style.width = `${100 * part}%`;
      parts[i].title = `${text}: ${duration(seconds[text] || 0)}`;
      keys[i].hidden = !(part >= 5e-4);
      put(values[i], `${percent(part, part < .1 ? 1 : 0)}, ${seconds[text] < 60 ? `${Number((+seconds[text] || 0).toPrecision(2))} s` : duration(seconds[text])}`);
    });
    share.setAttribute('aria-label', kinds.map(([text]) => `${text} ${percent((seconds[text] || 0) / all)}`).join(', '));
  }};
}

function facts() {
  const names = ['step', 'loss', 'validation', 'tokens/s', 'of peak', 'tokens', 'time left', 'saved at', 'restarts'];
  const values = names.map(() => el('b', {}, '–')), labels = names.map(name => el('span', {}, name));
  const node = el('div.facts', {}, names.map((_, i) => el('div.fact', {}, values[i], labels[i])));
  return {node, draw(run) {
    const loss = value => value ? Number(value).toFixed(4) : '–';
    const texts = [short(run.step, 5), loss(run.loss), loss(run.validation_loss), run.tokens_per_s ? short(run.tokens_per_s) : '–', run.utilisation ? percent(run.utilisation, 1) : '–', short(run.tokens), time_left(run) || '–', run.committed > 0 ? `step ${short(run.committed, 5)}` : 'none', String(run.restarts)];
    texts.forEach((text, i) => { put(values[i], text); values[i].title = text; });
    put(labels[0], `of ${short(run.steps, 5)} steps`);
  }};
}

const tabs = {
  charts: ['charts', name => { const charts = new Charts(name); return {node: charts.box, refresh: details => charts.refresh(details), event: () => charts.show(), close: () => charts.close(), draw: () => charts.draw_soon()}; }],
  pipeline: ['pipeline', pipeline_tab], ranks: ['ranks', ranks_tab], checkpoints: ['checkpoints', checkpoints_tab],
  data: ['data', data_tab], logs: ['logs and events', logs_tab], file: ['run file', file_tab]};

export function run_page(name, first_tab) {
  const title = el('h1', {}, name), state = el('span.state'), age = el('span.dim.num'), why = el('div.why'), warning = el('div.warn', {role: 'status'}), about = el('div.about');
  const answer = el('div.answer', {id: 'answer', role: 'status'});
  const say = (text, mood) => { answer.textContent = text; answer.className = `answer ${mood}`; };
  const commands = buttons(name, say), numbers = facts(), bar = time_bar(), place = el('div', {id: 'tab'});
  const nav = el('nav.tabs', {'aria-label': 'sides of the run'}), missing = el('div');
  let details = null, asked = 0, tab = null;

  function to_tab(wanted) {
    const key = tabs[wanted] ? wanted : 'charts';
    if (tab && tab.close) tab.close();
    tab = tabs[key][1](name);
    place.replaceChildren(tab.node);
    nav.replaceChildren(...Object.entries(tabs).map(([to, [text]]) => el('a', {href: `#run/${encodeURIComponent(name)}/${to}`, 'aria-current': to === key ? 'page' : null}, text)));
    if (details) tab.refresh(details);
  }

  async function refresh() {
    asked = Date.now();
    try { details = await get('api/run', {run: name}); } catch (error) { missing.replaceChildren(empty(error.message)); return; }
    missing.replaceChildren();
    bar.draw(details);
    await Promise.resolve(tab.refresh(details)).catch(error => say(error.message, 'refused'));
  }

  function draw() {
    const run = find(name);
    if (!run) { if (Date.now() - asked > 5000) refresh(); return; }
    state.className = `state ${mood(run.state)}`;
    put(state, words(run.state));
    put(age, `for ${duration(live.now - run.since)}`);
    put(why, run.why);
    put(warning, warnings(run));
    const silent = run.live && run.heard_at ? live.now - run.heard_at : 0;
    put(about, [`generation ${run.generation}`, `${counted(run.ranks, 'rank')} by ${run.launcher}`, run.priority ? `priority ${run.priority}` : '', silent ? `heard ${silent < 2 ? 'just now' : duration(silent) + ' ago'}` : '', run.directory].filter(Boolean).join(' · '));
    commands.draw(run);
    numbers.draw(run);
    if (Date.now() - asked > (run.live ? 2000 : 10000)) refresh();
  }

  const node = el('div', {}, missing, el('div.head', {}, title, state, age), why, warning, about, numbers.node, commands.node, answer, bar.node, nav, place);
  to_tab(first_tab);
  return {node, draw, to_tab, event(event) { if (event.run === name && tab.event) tab.event(event); }, close() { if (tab.close) tab.close(); }};
}
