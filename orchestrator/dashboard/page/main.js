// Which page is shown, and what keeps it live.
import {ask, listen, live} from './api.js';
import {playground_page} from './playground.js';
import {run_page} from './run.js';
import {runs_page} from './runs.js';
import {submit_page} from './submit.js';
import {$, duration, el, put} from './tools.js';

// #run/NAME/tab: page, name, tab. A page is {node, draw(), event(event), close()}.
const pages = {runs: runs_page, run: run_page, submit: submit_page, playground: playground_page};
const links = [['runs', 'runs'], ['submit', 'submit a run'], ['playground', 'playground']];

function route() {
  const [page, name, tab] = location.hash.slice(1).split('/').map(decodeURIComponent);
  return {page: pages[page] ? page : 'runs', name: name || '', tab: tab || ''};
}

let shown = null;
function go() {
  const {page, name, tab} = route();
  if (shown && shown.key === `${page}/${name}` && shown.to_tab) return shown.to_tab(tab);
  if (shown && shown.close) shown.close();
  shown = pages[page](name, tab);
  shown.key = `${page}/${name}`;
  $('main').replaceChildren(shown.node);
  document.title = name ? `${name} · Katman` : 'Katman';
  $('nav').replaceChildren(...links.map(([to, text]) => el('a', {href: '#' + to, 'aria-current': to === page || (to === 'runs' && page === 'run') ? 'page' : null}, text)));
  scrollTo(0, 0);
  draw();
}

function draw() {
  if (!live.heard) return;
  shown.draw();
}

// A view without fresh evidence says so: it must not look alive.
function link() {
  const age = (Date.now() - live.heard) / 1000, lost = !live.heard || age > 4;
  const used = live.runs.filter(run => run.live).reduce((sum, run) => sum + run.ranks, 0);
  put($('link'), lost ? live.heard ? `no word from the orchestrator for ${duration(age)}` : 'connecting…' : `${used} of ${live.slots} slots in use`);
  $('link').classList.toggle('lost', lost && Boolean(live.heard));
  document.body.classList.toggle('stale', lost);
}

// Where tokens are known, one is asked for; the cookie that answers stays out of reach of scripts.
function log_in() {
  const token = el('input', {type: 'password', id: 'token', autocomplete: 'current-password', 'aria-label': 'token'}), complaint = el('div.complaint', {role: 'alert'});
  const send = async () => {
    try { await ask('api/login', {token: token.value.trim()}); location.reload(); } catch (error) { put(complaint, error.message); }
  };
  token.addEventListener('keydown', event => { if (event.key === 'Enter') send(); });
  $('main').replaceChildren(el('h1', {}, 'Log in'), el('p.dim', {}, 'This orchestrator wants a token: a viewer\'s to see, an operator\'s to command.'), el('div.row', {}, token, el('button.main', {id: 'login', onclick: send}, 'log in')), complaint);
  token.focus();
}

async function start() {
  const reply = await fetch('api/runs');
  if (reply.status === 401) return log_in();
  listen(() => { link(); draw(); }, event => shown.event && shown.event(event));
  setInterval(link, 1000);
  addEventListener('hashchange', go);
  go();
}
// "/" goes to the search field of a page.
addEventListener('keydown', event => {
  if (event.key !== '/' || /INPUT|TEXTAREA|SELECT/.test(event.target.tagName)) return;
  const field = document.querySelector('input[type=search]');
  if (field) { event.preventDefault(); field.focus(); }
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => shown && draw());
start();
