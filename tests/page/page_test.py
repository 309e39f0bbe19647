#!/usr/bin/env python3
"""The dashboard in headless Chromium, on live runs: what it shows is so, and every button does what it says.

    tests/page/page_test.py [KATMAN] [TEST...]     KATMAN: build/release/katman
"""

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from browser import Browser

ROOT = pathlib.Path(__file__).resolve().parents[2]
KATMAN = str(ROOT / "build/release/katman")
RUN = """steps: {steps} seed: 7
model {{ preset: "tiny" layers: 4 hidden: 32 heads: 4 sequence: 32 }}
data {{ batch_tokens: 256 micro_batch: 2 corpus: "{corpus}" }}
learning_rate {{ peak: 1e-2 }} validation {{ every_steps: 1000 sequences: 4 }}
checkpoint {{ every_steps: {every} }} mesh {{ {mesh} }} device {{ threads: 1 }}
"""


# Of two thirds of the pages: an address, and what somebody would like to be one.
SOURCES = ["https://a.example/{}?q=<b>1</b>", "javascript:alert({})//<img src=x onerror=alert(1)>"]


class Service:
    """An orchestrator with a directory and a corpus of its own."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="katman-page-")
        self.data = pathlib.Path(self.folder.name)
        words = random.Random(7)
        self.lexicon = ["".join(words.choices("abcdefghijklmnopqrstuvwxyz", k=words.randint(2, 8))) for _ in range(300)]
        with open(self.data / "pages.jsonl", "w") as out:
            for i in range(60):
                source = {} if i % 3 == 0 else {"url": SOURCES[i % 3 - 1].format(i)}
                out.write(json.dumps({"text": " ".join(words.choices(self.lexicon, k=400)), **source}) + "\n")
        self.corpus = str(self.data / "corpus")
        self.katman("data", "build", "--out", self.corpus, "--vocabulary", "300", "--validation", "0.1", str(self.data / "pages.jsonl"))
        self.start()

    def katman(self, *words):
        done = subprocess.run([KATMAN, *words], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"katman {' '.join(words)}: {done.stderr}")
        return done.stdout

    def start(self):
        self.log = open(self.data / "orchestrate.log", "w+")
        self.process = subprocess.Popen(
            [KATMAN, "orchestrate", "--data", str(self.data / "runs-of-it"), "--slots", "4", "--listen", "127.0.0.1:0",
             "--dashboard", "127.0.0.1:0"], stderr=self.log, stdout=self.log)
        found = self.wait(lambda: re.search(r"dashboard: (http://\S+/)[\s\S]*--to (\S+)", self.said()), "it listens")
        self.url, self.address = found[1], found[2]

    def said(self):
        return (self.data / "orchestrate.log").read_text()

    def wait(self, condition, what, seconds=60):
        end = time.monotonic() + seconds
        while True:
            if value := condition():
                return value
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} s: {what}\n{self.said()}")
            time.sleep(0.05)

    def submit(self, name, mesh="", steps=1000000, every=1000000, more=""):
        file = self.data / f"{name}.textproto"
        file.write_text(RUN.format(corpus=self.corpus, mesh=mesh, steps=steps, every=every) + more)
        self.katman("submit", str(file), "--to", self.address)

    def directory(self, name):
        return self.data / "runs-of-it/runs" / name

    def metrics(self, name):
        file = self.directory(name) / "metrics.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def workers(self, name):
        found = subprocess.run(["pgrep", "-f", f"^{KATMAN} worker .*{self.directory(name)}/"], capture_output=True, text=True)
        return found.stdout.split()

    def kill(self, name):
        subprocess.run([KATMAN, "runs", "kill", name, "--to", self.address], capture_output=True)
        self.wait(lambda: not self.workers(name), f"the workers of {name} are gone")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service()
        cls.browser = Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.__exit__()
        cls.service.stop()

    def setUp(self):
        self.browser.errors.clear()

    def tearDown(self):
        for run in self.service.directory("").iterdir():
            if self.service.workers(run.name):
                self.service.kill(run.name)

    def show(self, page, width=1400, dark=False):
        self.browser.look(width, 1000, dark)
        self.browser.open("about:blank")
        self.browser.open(self.service.url + "#" + page)

    def state(self):
        return self.browser.js("document.querySelector('.head .state').textContent")

    def wait_for(self, state, generation=r"\d+"):
        """Until the page shows the state of a generation; the list that it lives on is up to a second old."""
        self.browser.until(f"document.querySelector('.head .state').textContent === '{state}' && /generation {generation} /.test(document.querySelector('.about').textContent)", 150)

    def press(self, verb):
        """Presses a button and gives what the page says at the end."""
        self.browser.until(f"!document.querySelector('#{verb}').disabled")
        self.browser.js("document.querySelector('#answer').className = 'answer'")
        self.browser.click("#" + verb)
        if verb == "KILL_RUN":
            self.browser.until("Boolean(document.querySelector('dialog[open] #really'))")
            self.browser.click("#really")
        self.browser.until("/done|refused/.test(document.querySelector('#answer').className)", 60)
        return self.browser.js("document.querySelector('#answer').textContent")

    def test_1_a_run_is_submitted_by_the_form_and_what_is_wrong_is_shown_where_it_is_wrong(self):
        self.show("submit")
        for name, value in {"name": "formed", "steps": "30", "data.corpus": self.service.corpus, "model.hidden": "32",
                            "model.heads": "5", "model.sequence": "32", "model.layers": "2", "evaluation.tasks": "builtin:reversal"}.items():
            self.browser.fill(f"input[name='{name}']", value)
        heads = self.browser.until("(() => { const node = document.querySelector(\"input[name='model.heads']\"); return node.getAttribute('aria-invalid') && node.parentNode.innerText; })()")
        self.assertIn("5", heads)
        self.assertTrue(self.browser.js("document.querySelector('#send').disabled"))
        self.browser.fill("input[name='model.heads']", "4")
        plan = self.browser.until("document.querySelector('#plan').innerText")
        self.assertIn("on 1 ranks", plan)
        self.browser.click("#send")
        self.browser.until("location.hash === '#run/formed'")
        self.wait_for("completed")
        self.assertIn("eval/reversal/0-shot/exact_match", {name for line in self.service.metrics("formed") for name in line})
        self.browser.errors = [error for error in self.browser.errors if "400" not in error]  # the complaint
        self.assertEqual(self.browser.errors, [])

    def test_2_every_button_does_what_it_says(self):
        self.service.submit("pressed")
        self.show("run/pressed")
        self.wait_for("running")
        said = self.press("CHECKPOINT_NOW")
        step = re.search(r"done, .* at step (\d+)", said)[1]
        self.assertTrue(list(self.service.directory("pressed").glob(f"checkpoints/step-{int(step):08d}.*/manifest*")), said)
        self.assertIn("done", self.press("PAUSE_RUN"))
        self.wait_for("paused")
        self.assertEqual(self.service.workers("pressed"), [])
        self.assertTrue(self.browser.js("document.querySelector('#CHECKPOINT_NOW').disabled"))
        self.press("RESUME_RUN")
        self.wait_for("running", 2)
        before = self.service.workers("pressed")
        self.assertEqual(len(before), 1)
        self.assertIn("done", self.press("RESTART_RUN"))
        self.wait_for("running", 3)
        self.assertNotEqual(self.service.workers("pressed"), before)
        self.browser.fill("#reason", "enough of it")
        self.assertIn("done", self.press("KILL_RUN"))
        self.service.wait(lambda: not self.service.workers("pressed"), "the worker is gone")
        self.press("RESUME_RUN")
        self.wait_for("running", 4)
        self.assertIn("done", self.press("STOP_RUN"))
        self.wait_for("stopped", 4)
        self.show("run/pressed/logs")
        self.browser.until("document.querySelector('#events').innerText.includes('kill by dashboard: enough of it')")
        self.assertEqual(self.browser.errors, [])

    def test_3_charts_draw_what_the_run_wrote_down_and_zoom(self):
        self.service.submit("drawn", steps=300, every=50)
        self.show("run/drawn/charts")
        self.wait_for("completed")
        losses = {line["step"]: line["loss"] for line in self.service.metrics("drawn") if "loss" in line}
        read = self.browser.until("(() => { const text = document.querySelector('.chart .read').textContent; return text.startsWith('step 299:') && text; })()")
        self.assertAlmostEqual(float(re.search(r"299: ([\d.]+)", read)[1]), losses[299], delta=2e-3)
        drawn = "(() => { const c = document.querySelector('.chart canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 0; i < d.length; i += 4) if (d[i + 2] > 120 && d[i] < 80 && d[i + 3] > 200) ++n; return n; })()"
        self.assertGreater(self.browser.js(drawn), 200, "there is a blue line")
        self.browser.js("window.asked = []; const real = fetch; window.fetch = (url, options) => { asked.push(url); return real(url, options); }")
        self.browser.drag(".chart canvas", 0.5, 0.7)
        url = self.browser.until("asked.find(url => /series.*from=/.test(url))")
        start, end = int(re.search(r"from=(\d+)", url)[1]), int(re.search(r"to=(\d+)", url)[1])
        self.assertTrue(60 < start < end < 250, url)
        read = self.browser.until("(() => { const text = document.querySelector('.chart .read').textContent; return !text.startsWith('step 299:') && text; })()")
        self.browser.click(".chart + .chart h3")
        self.browser.js("document.querySelector('.chart canvas').focus()")
        self.browser.key("ArrowRight")
        read = self.browser.until(f"(() => {{ const text = document.querySelector('.chart .read').textContent, step = +text.match(/step (\\d+)/)[1]; return step >= {start} && step <= {end} && text; }})()")
        step, value = re.search(r"step (\d+): ([\d.]+)", read).groups()
        self.assertAlmostEqual(float(value), losses[int(step)], delta=2e-3)
        self.browser.key("Escape")
        self.browser.until("document.querySelector('.chart .read').textContent.startsWith('step 299:')")
        self.assertEqual(self.browser.errors, [])

    def test_3b_tasks_have_charts_of_their_own_with_a_standard_error(self):
        task = self.service.data / "task.jsonl"
        questions = [{"question": word, "choices": self.service.lexicon[:3], "answer": i % 3} for i, word in enumerate(self.service.lexicon[:12])]
        task.write_text("\n".join(json.dumps(line) for line in [{"task": "words", "kind": "multiple_choice"}, *questions]))
        self.service.submit("asked", steps=40, more=f'evaluation {{ tasks: "{task}" every_steps: 10 shots: [0, 2] }}')
        self.show("run/asked/charts")
        self.wait_for("completed")
        newest = [line for line in self.service.metrics("asked") if "eval/words/2-shot/acc" in line][-1]
        self.assertEqual(newest["step"], 39)
        chart = "[...document.querySelectorAll('.chart')].find(chart => chart.querySelector('h3').textContent.startsWith('words · acc0-shot'))"
        read = self.browser.until(f"(() => {{ const chart = {chart}, text = chart && chart.querySelector('.read').textContent; return text && text.startsWith('step 39:') && text; }})()")
        means = [float(value) for value in re.findall(r"([\d.]+) \(", read)]
        self.assertEqual(len(means), 2, read)
        for shots, mean in zip((0, 2), means):
            self.assertAlmostEqual(mean, newest[f"eval/words/{shots}-shot/acc"], delta=2e-3)
        low = float(re.findall(r"\(([\d.]+) –", read)[0])
        self.assertAlmostEqual(means[0] - low, newest["eval/words/0-shot/acc_stderr"], delta=2e-3)
        self.assertEqual(self.browser.errors, [])

    def test_4_the_timeline_ranks_and_documents_are_those_of_the_run(self):
        self.service.submit("staged", mesh="pp: 2 dp: 2", steps=200)
        self.show("run/staged/pipeline")
        self.wait_for("completed")
        self.show("run/staged/pipeline")
        label = self.browser.until("(document.querySelector('#gantt') || {getAttribute() {}}).getAttribute('aria-label')")
        stages = [str(self.service.directory("staged") / f"timelines/stage-{stage}") for stage in range(2)]
        told = self.service.katman("schedule", "--timeline", *stages)
        self.assertIn(re.search(r"bubble ([\d.]+) %", label)[1], told)
        name, start, end = pathlib.Path(stages[0]).read_text().split()[:3]
        self.browser.js("document.querySelector('#gantt').focus()")
        self.browser.key("ArrowRight")
        first = self.browser.js("document.querySelector('#told').textContent")
        self.assertTrue(first.startswith("stage 0: forward, micro-batch 0"), first)
        length = (float(end) - float(start)) * 1e3
        self.assertAlmostEqual(float(re.search(r"([\d.]+) (?:ms|µs), from", first)[1]) / (1 if " ms, from" in first else 1e3), length, delta=0.02 * length)
        self.show("run/staged/ranks")
        cells = self.browser.until("document.querySelectorAll('.cell').length")
        self.assertEqual(cells, 4)
        written = json.loads((self.service.directory("staged") / "ranks.json").read_text())
        self.assertEqual({(rank["dp"], rank["pp"]) for rank in written["ranks"]}, {(0, 0), (0, 1), (1, 0), (1, 1)})
        self.show("run/staged/data")
        text = self.browser.until("(document.querySelector('.document p') || {}).innerText")
        known = sum(word in self.service.lexicon for word in text.rstrip("…").split()[1:-1])
        self.assertGreater(known, 3, text)
        self.check_sources()
        self.assertEqual(self.browser.errors, [])

    def check_sources(self):
        """Of each piece in some steps: what the corpus says, a link if it is an address of the web, never markup."""
        kinds = {"link": 0, "hostile": 0, "place": 0}
        for step in range(4):
            self.browser.fill("#step", str(step))
            self.browser.until(f"/^sample {8 * step} /.test((document.querySelector('.sample h3') || {{}}).textContent)")
            self.check_sources_of_step(step, kinds)
        self.assertTrue(all(kinds.values()), kinds)
        self.assertEqual(self.browser.js("document.querySelectorAll('.sample img, .sample b').length"), 0)

    def check_sources_of_step(self, step, kinds):
        sources = self.browser.js("[...document.querySelectorAll('.document .source')].map(node => [node.tagName, node.textContent, node.getAttribute('href'), node.rel || ''])")
        batch = self.browser.js(f"fetch('api/batch?run=staged&step={step}&first=0&count=8').then(reply => reply.json())")
        told = [piece["source"] for sample in batch["samples"] for piece in sample["documents"]]
        self.assertEqual([text for _, text, _, _ in sources], told)
        for tag, text, href, rel in sources:
            if text.startswith("https://a.example/"):
                kinds["link"] += 1
                self.assertEqual((tag, href), ("A", text.replace("<", "%3C").replace(">", "%3E")))
                self.assertIn("noopener", rel)
            else:
                kinds["hostile" if text.startswith("javascript:") else "place"] += 1
                self.assertEqual((tag, href), ("SPAN", None))
                self.assertRegex(text, r"^javascript:alert\(\d+\)//<img|^pages\.jsonl:\d+$")

    def test_5_a_checkpoint_is_read_back_goes_on_under_another_layout_and_answers(self):
        self.service.submit("saved", mesh="pp: 2", steps=60, every=30)
        self.show("run/saved/checkpoints")
        self.wait_for("completed")
        self.browser.until("document.querySelectorAll('#tab tbody tr').length === 2")
        self.browser.click("#tab tbody tr:last-child button")
        self.browser.until("/whole/.test(document.querySelector('#tab tbody tr:last-child').innerText)")
        self.browser.js("[...document.querySelectorAll('#tab tbody tr:last-child button')].at(-1).click()")
        for field, value in {"name": "moved", "tp": "2", "pp": "1"}.items():
            self.browser.fill(f"#tab input[name='{field}']", value)
        effect = self.browser.until("(() => { const text = document.querySelector('#effect').innerText; return /tp=2 dp=1 pp=1/.test(text) && text; })()")
        self.assertIn("30 steps behind", effect)
        self.browser.until("!document.querySelector('#fork').disabled")
        self.browser.click("#fork")
        self.browser.until("location.hash === '#run/moved'")
        self.wait_for("completed")
        steps = [line["step"] for line in self.service.metrics("moved") if "loss" in line]
        self.assertEqual(steps, list(range(30, 60)))
        old = {line["step"]: line["loss"] for line in self.service.metrics("saved") if "loss" in line}
        new = {line["step"]: line["loss"] for line in self.service.metrics("moved") if "loss" in line}
        self.assertAlmostEqual(old[30], new[30], delta=0.01)

        self.show("playground/saved/30")
        self.browser.until("document.querySelector('.two select').value === 'saved' && document.querySelectorAll('.two select')[1].value === '30'")
        self.browser.until("document.querySelectorAll('#task option').length > 10")
        self.browser.js("document.querySelector('#task').value = 'add3'")
        self.browser.fill("#shots", "2")
        self.browser.click("#pose")
        self.browser.until("/^right would be: \\d+$/.test(document.querySelector('#right').textContent)")
        self.assertEqual(self.browser.js("document.querySelector('#prompt').value.match(/plus/g).length"), 3, "two shots and a question")
        self.browser.fill("#tokens", "12")
        self.browser.fill("#temperature", "0.8")
        self.browser.fill("#prompt", self.service.lexicon[0] + " ")
        self.browser.click("#generate")
        said = self.browser.until("(() => { const text = document.querySelector('.said').innerText; return !document.querySelector('#generate').disabled && text; })()", 60)
        self.assertTrue(said.startswith(self.service.lexicon[0]) and len(said) > len(self.service.lexicon[0]) + 3, said)
        self.assertEqual(self.browser.errors, [])

    def test_6_nothing_overflows_or_moves_and_a_lost_orchestrator_is_said(self):
        self.service.submit("seen", mesh="dp: 2")
        for page in ("runs", "run/seen/charts", "run/seen/ranks", "run/seen/checkpoints", "run/seen/logs", "run/drawn/data", "submit", "playground"):
            for width in (1400, 420):
                self.show(page, width, dark=width == 420)
                time.sleep(0.4)
                self.assertLessEqual(self.browser.js("document.documentElement.scrollWidth - innerWidth"), 0, (page, width))
        self.show("run/seen/charts")
        self.browser.until("document.querySelectorAll('.chart').length > 5")
        time.sleep(1)
        shift = self.browser.js("new Promise(done => { let sum = 0; new PerformanceObserver(list => { for (const entry of list.getEntries()) sum += entry.value; }).observe({type: 'layout-shift'}); setTimeout(() => done(sum), 3000); })")
        self.browser.errors = [error for error in self.browser.errors if "api/check" not in error]  # the empty form
        self.assertLess(shift, 0.02, "nothing moves while figures come in")
        self.assertEqual(self.browser.errors, [])
        os.kill(self.service.process.pid, signal.SIGSTOP)
        try:
            self.browser.until("/no word from the orchestrator/.test(document.querySelector('#link').textContent)")
        finally:
            os.kill(self.service.process.pid, signal.SIGCONT)
        self.browser.until("/slots in use/.test(document.querySelector('#link').textContent)")


if __name__ == "__main__":
    if len(sys.argv) > 1 and os.path.exists(sys.argv[1]):
        KATMAN = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
