// One step as the stages of the first replica did it: a row a stage, a box an action.
import {get} from './api.js';
import {colours, el, empty, percent, put, seconds} from './tools.js';

const actions = {F: ['forward', 'c1'], B: ['backward', 'c2'], I: ['input gradients', 'c2'], W: ['weight gradients', 'c5'], SF: ['send', 'c7'], SB: ['send', 'c7'], RF: ['wait', 'line'], RB: ['wait', 'line'], R: ['reduce', 'c4']};
const row = 34, left = 62, top = 8, foot = 26;

export function pipeline_tab(name) {
  const canvas = el('canvas', {tabindex: 0, role: 'img', id: 'gantt'}), frame = el('div.box.pad.gantt', {}, canvas);
  const zoom = el('input', {type: 'range', min: 1, max: 20, step: .5, value: 1, 'aria-label': 'zoom', oninput: draw});
  const told = el('p.num', {id: 'told', role: 'status'}, ' '), bars = el('div.bars'), legend = el('p.legend');
  const body = el('div', {}, el('h2', {}, 'Bubble: the part of the step in which a stage does not compute'), el('div.box.pad', {}, bars),
    el('h2', {}, 'The newest step that was written down'), el('div.row', {}, el('label', {}, 'zoom', zoom), legend), frame, told);
  const node = el('div', {}, empty('No step has been written down yet: the first one appears a moment after training has begun.'));
  const resized = new ResizeObserver(() => draw());
  let data = null, boxes = [], hovered = -1;
  const kinds = new Map(Object.values(actions).map(pair => [pair[0], pair]));
  legend.append(...[...kinds.values()].map(([text, colour]) => el('span', {}, el(`i.a-${colour}`), text)));

  async function refresh() {
    const fresh = await get('api/timeline', {run: name});
    if (!fresh.ranks) return;
    data = fresh;
    if (node.firstChild !== body) { node.replaceChildren(body); resized.observe(frame); }
    const lines = [['measured', data.measured, 'idle time of the stages in this step'], ['simulated', data.simulated, 'the same schedule with the costs that were measured, nothing else in the way'], [`${data.kind} in theory`, data.theory, 'all stages alike, transfers free']];
    bars.replaceChildren(...lines.flatMap(([text, value, what]) => {
      const part = el('i');
      part.style.width = `${100 * value}%`;
      return [el('span', {title: what}, text), el('div', {}, part), el('b.num', {}, percent(value, 1))];
    }));
    draw();
  }

  function draw() {
    if (!data) return;
    const scale = devicePixelRatio || 1, colour = colours(), width = Math.max(280, frame.clientWidth - 30) * +zoom.value, height = top + row * data.ranks.length + foot;
    canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
    canvas.width = Math.min(16000, width * scale); canvas.height = height * scale;
    const pen = canvas.getContext('2d'), X = s => left + s / data.makespan_s * (width - left - 8);
    pen.setTransform(canvas.width / width, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = '11.5px system-ui, "DejaVu Sans", sans-serif'; pen.textBaseline = 'middle';
    boxes = [];
    data.ranks.forEach((spans, rank) => {
      const y = top + rank * row;
      pen.fillStyle = colour('dim'); pen.textAlign = 'left'; pen.fillText(`stage ${rank}`, 2, y + row / 2 - 2);
      pen.fillStyle = colour('dim-bg'); pen.fillRect(left, y, width - left - 8, row - 5);
      for (const [letters, stage, micro, start, end] of spans) {
        const [, fill] = actions[letters], wide = X(end) - X(start), compute = 'FBIW'.includes(letters);
        boxes.push({rank, x: X(start), wide, y, letters, stage, micro, start, end});
        pen.fillStyle = colour(fill);
        pen.fillRect(X(start), compute ? y : y + 8, Math.max(wide - (wide > 3 ? .7 : 0), .6), compute ? row - 5 : row - 21);
        if (compute && wide > 18) { pen.fillStyle = colour('box'); pen.textAlign = 'center'; pen.fillText(`${letters}${micro}`, X(start) + wide / 2, y + row / 2 - 2); }
      }
    });
    const hit = boxes[hovered];
    if (hit) { pen.strokeStyle = colour('text'); pen.lineWidth = 2; pen.strokeRect(hit.x, hit.y, Math.max(hit.wide, 2), row - 5); pen.lineWidth = 1; }
    pen.fillStyle = colour('dim'); pen.textAlign = 'center';
    const most = Math.max(2, Math.floor(width / 130));
    for (let i = 0; i <= most; ++i) pen.fillText(i ? seconds(data.makespan_s * i / most) : '0', Math.min(X(data.makespan_s * i / most), width - 26), height - 10);
    canvas.setAttribute('aria-label', `timeline of ${data.ranks.length} stages over ${seconds(data.makespan_s)}, bubble ${percent(data.measured, 1)}`);
  }

  function tell(number) {
    hovered = number;
    const hit = boxes[number];
    put(told, hit ? `stage ${hit.rank}: ${actions[hit.letters][0]}${hit.letters === 'R' ? '' : `, micro-batch ${hit.micro}`}${hit.stage !== hit.rank ? `, model chunk ${hit.stage}` : ''}, ${seconds(hit.end - hit.start)}, from ${seconds(hit.start)}` : ' ');
    draw();
  }
  canvas.addEventListener('pointermove', event => {
    const number = boxes.findIndex(hit => event.offsetX >= hit.x && event.offsetX <= hit.x + Math.max(hit.wide, 2) && event.offsetY >= hit.y && event.offsetY < hit.y + row);
    if (number !== hovered) tell(number);
  });
  canvas.addEventListener('keydown', event => {
    const move = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (move && boxes.length) { event.preventDefault(); tell((hovered + move + boxes.length) % boxes.length); }
  });
  return {node, refresh, close: () => resized.disconnect()};
}
