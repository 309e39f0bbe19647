// What a run has saved: where each came from, whether it is whole, and what going on from it would do.
import {ask, find, get} from './api.js';
import {bytes, counted, el, empty, new_id, percent, put, short, table, when} from './tools.js';

// The checkpoint that a generation began with: the newest of an earlier one before its first step.
function parent_of(saved, details) {
  const begin = details.generations.find(begin => begin.generation === saved.generation);
  const earlier = details.checkpoints.filter(other => +other.step < +saved.step);
  const same = earlier.filter(other => other.generation === saved.generation).at(-1);
  if (same) return `step ${same.step}`;
  return begin && +begin.step > 0 ? `step ${begin.step}, of an earlier generation` : 'the beginning';
}

export function checkpoints_tab(name) {
  const list = el('div'), place = el('div');
  let details = null, key = '';

  function verdict(saved) {
    if (saved.verified === 'whole') return el('span.good', {}, 'whole');
    if (['waiting', 'reading'].includes(saved.verified)) return el('span.dim', {}, saved.verified + '…');
    const button = el('button.small', {'aria-label': `verify the checkpoint of step ${saved.step}`, onclick: async () => {
      button.disabled = true;
      try { await ask('api/verify', {run: name, step: +saved.step}); } catch (error) { button.after(el('span.bad', {}, ' ' + error.message)); }
    }}, 'verify');
    return saved.verified ? el('span.bad', {}, saved.verified) : button;
  }

  // Steps are lost: the first press asks, the second does it.
  async function roll_back(saved, button) {
    if (button.textContent !== 'really?') { button.textContent = 'really?'; return; }
    button.disabled = true;
    try {
      const result = await ask('api/command', {id: new_id(), run: name, verb: 'ROLL_BACK_RUN', step: +saved.step, expected_version: details.run.version, actor: 'dashboard', reason: ''});
      button.after(el('span.dim', {}, ` ${result.outcome.toLowerCase()}: ${result.text}`));
    } catch (error) { button.after(el('span.bad', {}, ' ' + error.message)); }
  }

  function refresh(fresh) {
    details = fresh;
    const now = JSON.stringify([details.checkpoints, details.run.state]);
    if (now === key) return;
    key = now;
    if (!details.checkpoints.length) return list.replaceChildren(empty('Nothing has been saved yet.'));
    const rows = [...details.checkpoints].reverse().map(saved => el('tr', {}, el('td', {}, saved.step), el('td', {}, saved.generation), el('td.l', {}, parent_of(saved, details)),
      el('td', {}, bytes(saved.bytes)), el('td.l', {}, saved.layout || '–'), el('td.l', {}, when(saved.saved_at)), el('td.l.wrap.small', {}, verdict(saved)),
      el('td.l', {}, saved.discarded ? el('span.dim', {}, 'behind a rollback ') : el('button.small', {disabled: details.run.state === 'COMPLETED', title: 'end the processes now and start again from here; later checkpoints do not count any more', onclick: event => roll_back(saved, event.target)}, 'roll back to here'), ' ', el('button.small', {onclick: () => layout(saved)}, 'go on from here…'), ' ',el('a', {href: `#playground/${encodeURIComponent(name)}/${saved.step}`}, 'ask it'))));
    list.replaceChildren(el('div.box.scroll', {}, table([['after step'], ['generation'], ['made from', 1], ['size'], ['layout', 1], ['saved', 1], ['read back', 1], ['', 1]], rows)));
  }

  function layout(saved) {
    place.replaceChildren(layout_form(name, saved, details));
    place.scrollIntoView({block: 'nearest', behavior: 'smooth'});
    place.querySelector('input').focus({preventScroll: true});
  }
  return {node: el('div', {}, list, place), refresh};
}

// A run of its own that begins with the checkpoint, on another layout if wanted; the old one stays.
function layout_form(name, saved, details) {
  const mesh = Object.fromEntries((saved.layout.match(/\w+=\d+/g) || []).map(part => part.split('=')));
  const field = (key, value, attributes) => el('input', {name: key, value, ...attributes, oninput: soon});
  const inputs = {name: field('name', `${name}-from-${saved.step}`), tp: field('tp', mesh.tp || 1, {type: 'number', min: 1}), dp: field('dp', mesh.dp || 1, {type: 'number', min: 1}), pp: field('pp', mesh.pp || 1, {type: 'number', min: 1})};
  const now = (details.run_file.match(/schedule: "([^"]*)"/) || [])[1] || '1f1b';
  const schedule = el('select', {name: 'schedule', onchange: soon}, ['gpipe', '1f1b', 'interleaved', 'zero_bubble', 'zero_bubble_h2'].map(kind => el('option', {}, kind)));
  schedule.value = now;
  const effect = el('div', {'aria-live': 'polite', id: 'effect'}), complaint = el('div.complaint', {role: 'alert'});
  const go = el('button.main', {id: 'fork', onclick: submit}, 'submit this run');
  let timer = 0;
  const fields = () => ({run: name, step: saved.step, schedule: schedule.value, ...Object.fromEntries(Object.entries(inputs).map(([key, input]) => [key, input.value]))});
  function soon() { clearTimeout(timer); timer = setTimeout(preview, 200); }

  async function preview() {
    go.disabled = true;
    try {
      const plan = await get('api/layout', fields());
      put(complaint, plan.ranks > plan.slots ? `${plan.ranks} ranks are more than the ${plan.slots} slots here.` : '');
      go.disabled = plan.ranks > plan.slots;
      const lines = [
        ['layout', `${saved.layout} → ${plan.layout}, ${counted(plan.ranks, 'rank')}`],
        ['reads', `${bytes(saved.bytes)} in all; each rank only its own part`],
        ['goes on', `after step ${saved.step} of ${plan.steps}${+plan.steps_behind ? `, ${plan.steps_behind} steps behind ${name}` : ''}`],
        ['batch', `the same ${short(plan.tokens_per_step)} tokens per step, the same samples; ${plan.micro_batches} micro-batches per replica`],
        ['bubble', `${percent(plan.bubble, 1)} in theory`],
        ['the fullest rank holds', plan.memory.map(([what, size]) => `${what} ${bytes(size)}`).join(', ')],
        ['changes', 'nothing but rounding; the old run and its checkpoints stay']];
      effect.replaceChildren(table([['', 1], ['', 1]], lines.map(([what, text]) => el('tr', {}, el('td.l.dim', {}, what), el('td.l.wrap', {}, text)))));
    } catch (error) { effect.replaceChildren(); put(complaint, error.message); }
  }

  async function submit() {
    go.disabled = true;
    const wanted = fields();
    try {
      const run = await ask('api/fork', {id: new_id(), ...wanted, step: +wanted.step, tp: +wanted.tp, dp: +wanted.dp, pp: +wanted.pp});
      location.hash = '#run/' + encodeURIComponent(run.name);
    } catch (error) { put(complaint, error.message); go.disabled = false; }
  }
  preview();
  return el('section', {}, el('h2', {}, `Go on from step ${saved.step}`), el('div.box.pad', {}, el('div.fields', {}, Object.entries(inputs).map(([key, input]) => el('label.field', {}, key, input)), el('label.field', {}, 'schedule', schedule)),
    complaint, effect, el('div.row', {}, go, el('span.dim', {}, find(name) && find(name).live ? 'The run that is under way goes on, too.' : ''))));
}
