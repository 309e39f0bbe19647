// Talking to the orchestrator, and what it told last.
const decode = text => { try { return JSON.parse(text); } catch { return {error: text.slice(0, 300)}; } };

export async function ask(path, body) {
  const options = body ? {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(body)} : {};
  const reply = await fetch(path, options);
  const json = decode(await reply.text());
  if (!reply.ok) throw new Error(json.error || reply.statusText || `status ${reply.status}`);
  return json;
}

export const get = (path, fields = {}) => ask(path + '?' + new URLSearchParams(fields));

// Lines of JSON as they come.
export async function* lines(path, body, signal) {
  const reply = await fetch(path, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(body), signal});
  if (!reply.ok) throw new Error(decode(await reply.text()).error);
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = '';;) {
    const {value, done} = await reader.read();
    rest += value || '';
    const whole = rest.split('\n');
    rest = whole.pop();
    for (const line of whole) if (line) yield JSON.parse(line);
    if (done) return;
  }
}

export const live = {runs: [], slots: 0, now: 0, events: [], heard: 0};
export const find = name => live.runs.find(run => run.name === name);

// Calls on_runs about once a second, on_event for everything that happens.
export function listen(on_runs, on_event) {
  const stream = new EventSource('api/events');
  stream.addEventListener('runs', message => {
    const list = JSON.parse(message.data);
    Object.assign(live, {runs: list.runs, slots: list.slots, now: list.now, heard: Date.now()});
    on_runs();
  });
  stream.addEventListener('happened', message => {
    const event = JSON.parse(message.data);
    if (live.events.some(known => known.seq === event.seq)) return;
    live.events.push(event);
    if (live.events.length > 1000) live.events.splice(0, 200);
    on_event(event);
  });
}
