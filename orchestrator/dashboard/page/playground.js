// Two checkpoints side by side: the same prompt, the words as they come.
import {get, lines, live} from './api.js';
import {el, empty} from './tools.js';

export function playground_page(name, step) {
  const prompt = el('textarea', {id: 'prompt', 'aria-label': 'prompt', placeholder: 'A text to go on with; several examples (shots) may stand before it. Empty: a new document.'});
  const field = (label, id, value, attributes) => el('label.field', {}, label, el('input', {id, value, type: 'number', step: 'any', ...attributes}));
  const sampling = el('div.fields', {}, field('new tokens', 'tokens', 100, {min: 1, max: 4096}), field('temperature (0: always the likeliest)', 'temperature', .8, {min: 0}), field('top k (0: all)', 'top_k', 0, {min: 0}), field('top p', 'top_p', .95, {min: 0, max: 1}), field('seed', 'seed', 1, {min: 0}));
  const chat = el('input', {type: 'checkbox', id: 'chat'});
  const sides = [side(name, step), side('', '')];
  const go = el('button.main', {id: 'generate', onclick: () => start()}, 'generate'), stop = el('button', {id: 'end', disabled: true, onclick: () => control && control.abort()}, 'stop');
  const task = el('select', {id: 'task', 'aria-label': 'task'}), shots = el('input', {id: 'shots', type: 'number', min: 0, max: 50, value: 5}), answer = el('span.dim', {id: 'right', role: 'status'});
  const question = el('div.row', {}, task, el('label', {}, 'shots', shots), el('button.small', {id: 'pose', onclick: () => pose()}, 'pose a question'), answer);
  let control = null, filled = '', number = 0;
  get('api/tasks').then(names => task.replaceChildren(...names.map(name => el('option', {}, name)))).catch(error => answer.replaceChildren(error.message));

  // The next question of a task behind examples with answers, to be completed.
  async function pose() {
    try {
      const posed = await get('api/question', {task: task.value, shots: shots.value || 0, number: number++});
      prompt.value = posed.text;
      node.querySelector('#tokens').value = posed.tokens;
      node.querySelector('#temperature').value = 0;
      answer.replaceChildren(`right would be: ${posed.answer}`);
    } catch (error) { answer.replaceChildren(error.message); }
  }

  function side(run_name, wanted) {
    const run = el('select', {'aria-label': 'run', onchange: () => steps('')}), checkpoint = el('select', {'aria-label': 'checkpoint'}), said = el('div.box.pad.said', {'aria-live': 'polite'}, '');
    async function steps(choose) {
      checkpoint.replaceChildren();
      if (!run.value) return;
      const details = await get('api/run', {run: run.value}).catch(() => ({checkpoints: []}));
      checkpoint.replaceChildren(...[...details.checkpoints].reverse().map(saved => el('option', {value: saved.step}, `step ${saved.step}`)));
      if (choose) checkpoint.value = choose;
    }
    return {node: el('section', {}, el('div.row', {}, run, checkpoint), said), run, checkpoint, said, steps, first: run_name, wanted};
  }

  function fill() {
    const runs = live.runs.filter(run => +run.committed > 0).map(run => run.name).reverse();
    if (runs.join() === filled) return;
    filled = runs.join();
    sides.forEach((one, i) => {
      const before = one.run.value || one.first || (i === 0 ? runs[0] : '');
      one.run.replaceChildren(...(i ? [el('option', {value: ''}, 'compare with…')] : []), ...runs.map(run => el('option', {}, run)));
      one.run.value = runs.includes(before) ? before : i ? '' : runs[0] || '';
      one.steps(one.wanted);
    });
  }

  async function one_text(one, signal) {
    if (!one.run.value || !one.checkpoint.value) return;
    const value_of = id => +node.querySelector('#' + id).value;
    const body = {run: one.run.value, step: +one.checkpoint.value, prompt: prompt.value, chat: chat.checked, tokens: value_of('tokens'), temperature: value_of('temperature'), top_k: value_of('top_k'), top_p: value_of('top_p'), seed: value_of('seed')};
    one.said.replaceChildren(el('span.dim', {}, 'loading the model…'));
    let words = null;
    try {
      for await (const line of lines('api/generate', body, signal)) {
        if (line.error) one.said.append(el('p.bad', {}, line.error));
        if (!line.text) continue;
        if (words === null) { words = ''; one.said.replaceChildren(); }
        words += line.text;
        one.said.append(line.text);
      }
      if (words === null && !one.said.querySelector('.bad')) one.said.replaceChildren(el('span.dim', {}, 'nothing'));
    } catch (error) { one.said.append(el('p.bad', {}, error.name === 'AbortError' ? 'stopped' : error.message)); }
  }

  async function start() {
    control = new AbortController();
    go.disabled = true; stop.disabled = false;
    await Promise.all(sides.map(one => one_text(one, control.signal)));
    go.disabled = false; stop.disabled = true;
  }
  const body = el('div', {}, question, prompt, sampling, el('div.row', {}, go, stop, el('label', {}, chat, 'ask it as a question of a chat (for models that were fine-tuned on conversations)')), el('div.two', {}, sides.map(one => one.node)));
  const nothing = empty('No run has a checkpoint yet: once one has, it can be asked here.');
  const node = el('div', {}, el('h1', {}, 'Playground'), el('p.dim', {}, 'Checkpoints go on with a text. It runs on the orchestrator\'s machine, beside the runs.'), body);
  return {node, draw() {
    const any = live.runs.some(run => +run.committed > 0), now = any ? body : nothing;
    if (node.lastChild !== now) node.lastChild.replaceWith(now);
    fill();
  }, close() { if (control) control.abort(); }};
}
