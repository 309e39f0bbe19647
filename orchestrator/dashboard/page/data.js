// Which documents a step was trained on: a batch is a function of the step, so any can be shown.
import {get} from './api.js';
import {el, empty, short} from './tools.js';

const shown_at_once = 8;

// Where a document came from: text that somebody else wrote. A link if it is a whole address of the web, and nothing else.
function source(piece) {
  const text = piece.source ?? piece.source_error ?? 'source unknown';
  let address = null;
  try { if (piece.source && !text.endsWith('…')) address = new URL(text); } catch { /* a place in a file */ }
  if (!address || !['http:', 'https:'].includes(address.protocol)) return el(piece.source ? 'span.source' : 'span.source.dim', {}, text);
  return el('a.source', {href: address.href, target: '_blank', rel: 'noopener noreferrer nofollow', referrerpolicy: 'no-referrer'}, text);
}

export function data_tab(name) {
  const step = el('input', {type: 'number', min: 0, id: 'step', 'aria-label': 'step', onchange: () => show(0)});
  const body = el('div', {id: 'batch'}, empty('connecting…')), pager = el('div.row');
  let last = 0, begun = false;

  async function show(first) {
    let batch;
    try { batch = await get('api/batch', {run: name, step: step.value || 0, first, count: shown_at_once}); } catch (error) { body.replaceChildren(empty(error.message)); pager.replaceChildren(); return; }
    body.replaceChildren(...batch.samples.map(sample));
    const end = first + batch.samples.length;
    pager.replaceChildren(el('button.small', {disabled: first === 0, onclick: () => show(Math.max(0, first - shown_at_once))}, '← before'),
      el('span.num', {}, `samples ${first + 1} to ${end} of ${batch.batch}, ${short(batch.sequence)} tokens each; the corpus has ${short(batch.documents_of_corpus)} documents${batch.sources ? '' : ', and does not say where they came from: it was imported, or built before that was kept'}`),
      el('button.small', {disabled: end >= batch.batch, onclick: () => show(end)}, 'after →'));
  }

  function sample(one) {
    return el('div.box.pad.sample', {}, el('h3', {}, `sample ${one.index}`, el('span.dim', {}, ` · epoch ${one.epoch + 1}, tokens from ${one.first_token} on`)),
      one.documents.map(piece => el(piece.from > 0 ? 'div.document.cut' : 'div.document', {},
        source(piece), el('span.dim.num', {}, `document ${piece.number} in ${piece.shard}: ${piece.tokens} of its ${piece.of} tokens${piece.from > 0 ? `, from token ${piece.from} on` : ''}`),
        el('p', {}, piece.text + (piece.tokens > 64 ? '…' : '')))));
  }

  function refresh(details) {
    last = Math.max(0, details.run.step - 1);
    step.max = details.run.steps - 1;
    if (begun) return;
    begun = true;
    step.value = last;
    show(0);
  }
  const newest = el('button.small', {onclick: () => { step.value = last; show(0); }}, 'newest step');
  const move = by => el('button.small', {'aria-label': by < 0 ? 'the step before' : 'the step after', onclick: () => { step.value = Math.max(0, +step.value + by); show(0); }}, by < 0 ? '−' : '+');
  return {node: el('div', {}, el('div.row', {}, el('label', {}, 'step', move(-1), step, move(1)), newest), pager, body), refresh};
}
