// Ranks over tp x dp x pp: a colour a rank, and who is slow stands out.
import {get, live} from './api.js';
import {bytes, duration, el, empty, percent, seconds, table} from './tools.js';

const figures = {
  busy_s: ['computing', seconds, 'of a step, without waiting for others or for data: the rank that all others wait for computes longest'],
  wait_s: ['waiting for others', seconds, 'of a step: who waits least is who is waited for'],
  data_s: ['waiting for data', seconds, 'of a step'],
  step_s: ['step', seconds, 'the whole step, as this rank saw it'],
  resident_bytes: ['memory', bytes, 'resident on the host'],
};

const median = values => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)];

// From a pale to a strong blue, readable on both; the share is of the largest.
function shade(node, part) {
  node.style.background = `color-mix(in srgb, var(--c1) ${Math.round(8 + 84 * part)}%, var(--box))`;
  node.style.color = part > .55 ? 'var(--on-main)' : 'var(--text)';
}

export function ranks_tab(name) {
  const chosen = el('select', {id: 'figure', 'aria-label': 'figure', onchange: draw}, Object.entries(figures).map(([key, [text]]) => el('option', {value: key}, text)));
  const what = el('span.dim'), map = el('div.heat'), list = el('div.box.scroll'), verdict = el('p', {role: 'status', id: 'verdict'}), age = el('span.dim.num');
  const body = el('div', {}, el('div.row', {}, el('label', {}, 'colour', chosen), what, el('span.grow'), age), verdict, map, el('h2', {}, 'Every rank'), list);
  const node = el('div', {}, empty('The ranks have not told anything yet: they do every two seconds or so while they train.'));
  let data = null, stands = [];

  async function refresh(details) {
    stands = (details.ranks || []).filter(rank => rank.waits_for && rank.waits_s > 5);
    const fresh = await get('api/ranks', {run: name});
    if (!fresh.ranks) return;
    data = fresh;
    if (node.firstChild !== body) node.replaceChildren(body);
    draw();
  }

  // Slow: a tenth longer at work than the middle of the ranks that do the same, those of its stage.
  const peers = rank => data.ranks.filter(other => other.pp === rank.pp).map(other => other.busy_s);
  const ahead = rank => rank.busy_s / median(peers(rank)) - 1;
  const is_slow = rank => ahead(rank) > .1;

  // In words: ranks that are slow, and stages that have more to do than others.
  function judge() {
    const slow = data.ranks.filter(is_slow);
    const stages = Array.from({length: data.mesh.pp}, (_, pp) => median(data.ranks.filter(rank => rank.pp === pp).map(rank => rank.busy_s)));
    const mean = stages.reduce((sum, s) => sum + s, 0) / stages.length, longest = stages.indexOf(Math.max(...stages));
    const says = [];
    for (const rank of stands) says.push(`Rank ${rank.rank} on ${rank.host} has stood for ${seconds(rank.waits_s)} in ${rank.waits_for}.`);
    if (slow.length) says.push(`Slow: ${slow.map(rank => `rank ${rank.rank} on ${rank.host}, ${percent(ahead(rank))} longer at work than its stage`).join('; ')}.`);
    if (stages[longest] > 1.1 * mean) says.push(`Stage ${longest} computes ${percent(stages[longest] / mean - 1)} longer than the mean of the stages: the others wait for it.`);
    return says.join(' ');
  }

  function cell(rank, key, low, high) {
    const node = el(is_slow(rank) ? 'div.cell.slow' : 'div.cell', {title: `rank ${rank.rank} on ${rank.host}: ` + Object.entries(figures).map(([k, [text, format]]) => `${text} ${format(rank[k])}`).join(', ')}, figures[key][1](rank[key]));
    shade(node, high > low ? (rank[key] - low) / (high - low) : .3);
    return node;
  }

  function draw() {
    const key = chosen.value, {mesh, ranks} = data, values = ranks.map(rank => rank[key]);
    const low = Math.min(...values) * (key === 'resident_bytes' ? 0 : .5), high = Math.max(...values);
    what.textContent = figures[key][2];
    age.textContent = `step ${data.step}, ${duration(live.now - data.time)} ago`;
    const says = judge();
    verdict.className = says ? 'warn' : 'dim';
    verdict.textContent = says || (ranks.length > 1 ? 'No rank and no stage stands out.' : 'A run of one rank.');
    map.replaceChildren(...Array.from({length: mesh.pp}, (_, pp) => {
      const cells = el('div.cells');
      cells.style.gridTemplateColumns = `max-content repeat(${mesh.tp}, minmax(${mesh.tp > 8 ? 14 : 46}px, 1fr))`;
      cells.append(el('span.axis', {}, ''), ...Array.from({length: mesh.tp}, (_, tp) => el('span.axis', {}, `tp ${tp}`)));
      for (let dp = 0; dp < mesh.dp; ++dp)
        cells.append(el('span.axis', {}, `dp ${dp}`), ...ranks.filter(rank => rank.pp === pp && rank.dp === dp).sort((a, b) => a.tp - b.tp).map(rank => cell(rank, key, low, high)));
      return el('div.box.pad', {}, el('h3', {}, `stage ${pp}`), cells);
    }));
    const keys = Object.keys(figures);
    list.replaceChildren(table([['rank'], ['stage'], ['dp'], ['tp'], ['host', 1], ...keys.map(k => [figures[k][0]])],
      [...ranks].sort((a, b) => b.busy_s - a.busy_s).slice(0, 200).map(rank => el('tr', {}, el('td', {}, rank.rank), el('td', {}, rank.pp), el('td', {}, rank.dp), el('td', {}, rank.tp), el('td.l', {}, rank.host),
        keys.map(k => el('td', {}, figures[k][1](rank[k])))))));
  }
  return {node, refresh};
}
