// A new run, from a form or a run file; what is wrong with it is shown where it is wrong.
import {ask} from './api.js';
import {bytes, el, new_id, percent, put, short} from './tools.js';

// Fields of the form by their path in the run file. What the form leaves out stays as the file says.
const groups = [
  ['Run', [['name', 'name', 'text', 'my-run'], ['steps', 'steps', 'number', '1000'], ['seed', 'seed', 'number', '']]],
  ['Data', [['data.corpus', 'corpus directory', 'text', ''], ['data.batch_tokens', 'tokens per step', 'number', ''], ['data.micro_batch', 'micro-batch, sequences', 'number', '']]],
  ['Model', [['model.preset', 'preset', 'text', 'tiny'], ['model.layers', 'layers', 'number', ''], ['model.hidden', 'hidden', 'number', ''], ['model.heads', 'heads', 'number', ''], ['model.sequence', 'sequence, tokens', 'number', '']]],
  ['Optimizer', [['learning_rate.peak', 'peak learning rate', 'number', ''], ['learning_rate.warmup_steps', 'warm-up steps', 'number', ''], ['optimizer.weight_decay', 'weight decay', 'number', ''], ['optimizer.clip_norm', 'clip norm', 'number', '']]],
  ['Ranks', [['mesh.tp', 'tensor (tp)', 'number', ''], ['mesh.dp', 'replicas (dp)', 'number', ''], ['mesh.pp', 'stages (pp)', 'number', ''], ['mesh.schedule', 'schedule', 'text', '']]],
  ['Every so many steps', [['validation.every_steps', 'validate', 'number', ''], ['checkpoint.every_steps', 'checkpoint', 'number', '']]],
  ['Tasks it is asked', [['evaluation.tasks', 'a task file or builtin:NAME', 'text', ''], ['evaluation.shots', 'shots', 'number', ''], ['evaluation.every_steps', 'every so many steps', 'number', '']]],
];

// The form as protobuf text: one block per message, strings in quotes.
function to_text(values) {
  const blocks = new Map([['', []]]);
  for (const [path, value, kind] of values) {
    if (value === '') continue;
    const [block, field] = path.includes('.') ? path.split('.') : ['', path];
    if (!blocks.has(block)) blocks.set(block, []);
    blocks.get(block).push(`${field}: ${kind === 'text' ? JSON.stringify(value) : value}`);
  }
  return [...blocks].filter(([, lines]) => lines.length).map(([block, lines]) => block ? `${block} { ${lines.join(' ')} }` : lines.join('\n')).join('\n') + '\n';
}

export function submit_page() {
  const inputs = new Map(), complaints = new Map();
  const form = el('div', {}, groups.map(([title, fields]) => el('fieldset', {}, el('legend', {}, title), el('div.fields', {}, fields.map(([path, label, kind, value]) => {
    const input = el('input', {name: path, value, type: kind, step: kind === 'number' ? 'any' : null, placeholder: 'default', oninput: () => { pristine = false; from_form(); }});
    inputs.set(path, [input, kind]);
    complaints.set(path, el('span.bad'));
    return el('label.field', {}, label, input, complaints.get(path));
  })))));
  const file = el('textarea.code', {id: 'runfile', spellcheck: 'false', 'aria-label': 'run file', oninput: () => { touched = true; pristine = false; soon(); }});
  const priority = el('input', {type: 'number', value: 0, 'aria-label': 'priority'});
  const complaint = el('div.complaint', {id: 'said', role: 'alert'}), plan = el('div', {id: 'plan', 'aria-live': 'polite'});
  const send = el('button.main', {id: 'send', onclick: submit}, 'submit');
  const open = el('input', {type: 'file', 'aria-label': 'open a run file', onchange: async event => { file.value = await event.target.files[0].text(); touched = true; pristine = false; check(); }});
  let timer = 0, touched = false, asked = 0, pristine = true;
  function soon() { clearTimeout(timer); timer = setTimeout(check, 300); }
  function from_form() {
    if (touched && !confirm('Replace the run file below by what the form says?')) return;
    touched = false;
    file.value = to_text([...inputs].map(([path, [input, kind]]) => [path, input.value, kind]));
    soon();
  }

  // The sentence names the field by its path, or the line: shown there, too.
  function place(message) {
    for (const [path, [input]] of inputs) { input.removeAttribute('aria-invalid'); put(complaints.get(path), ''); }
    file.removeAttribute('aria-invalid');
    put(complaint, message);
    if (!message) return;
    // "data.corpus is missing", "name '../x' ...": single words only where a sentence begins.
    const says = path => new RegExp(`(${path.includes('.') ? '^|[^\\w.]' : '^|: '})${path.replace('.', '\\.')}([^\\w.]|$)`).test(message);
    const paths = [...inputs.keys()].filter(says);
    for (const path of paths) { inputs.get(path)[0].setAttribute('aria-invalid', 'true'); put(complaints.get(path), message); }
    if (!paths.length) file.setAttribute('aria-invalid', 'true');
  }
  const request = () => ({id: new_id(), run_file: file.value, priority: +priority.value, actor: 'dashboard'});

  async function check() {
    const mine = ++asked;
    let answer, message = '';
    try { answer = await ask('api/check', request()); } catch (error) { message = error.message; }
    if (mine !== asked) return;
    send.disabled = Boolean(message);
    if (pristine && message) message = '';  // nobody has written anything yet
    place(message);
    plan.replaceChildren();
    if (answer) plan.append(el('p', {}, el('b', {}, 'Fits. '), `${short(answer.parameters)} parameters on ${answer.ranks} ranks (${answer.layout}); ${answer.steps} steps of ${short(answer.tokens_per_step)} tokens in ${answer.micro_batches} micro-batches per replica; bubble ${percent(answer.bubble, 1)} in theory; the fullest rank holds ${answer.memory.map(([what, size]) => `${what} ${bytes(size)}`).join(', ')}.`),
      el('details', {}, el('summary', {}, 'with every default filled in'), el('pre', {}, answer.run_file)));
  }

  async function submit() {
    send.disabled = true;
    try {
      const run = await ask('api/submit', request());
      location.hash = '#run/' + encodeURIComponent(run.name);
    } catch (error) { place(error.message); send.disabled = false; }
  }
  from_form();
  const node = el('div', {}, el('h1', {}, 'Submit a run'), el('p.dim', {}, 'A name, steps and a corpus are enough; what is left empty takes its default. proto/run.proto explains every field.'),
    el('div.two', {}, form, el('div', {}, el('div.row', {}, el('h3', {}, 'Run file'), el('span.grow'), open), file, complaint, plan, el('div.row', {}, el('label', {}, 'priority', priority), send, el('span.dim', {}, 'in a shell: katman submit RUN.textproto')))));
  return {node, draw() {}};
}
