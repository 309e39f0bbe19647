#!/usr/bin/env python3
"""Every score of `katman eval` beside lm-evaluation-harness with `transformers`, on the exported model.

Both read the same examples; few-shot contexts are compared with the harness's own `first_n` sampler, and for
random shots the contexts that Katman drew are given to the harness as they are. Skipped, and said so, where
lm_eval is missing: tests/parity/setup installs it.
"""
import json
import os
import pathlib
import re
import string
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

try:
    import datasets
    import lm_eval
    import yaml
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
except ImportError as error:
    print(f"skip lm-evaluation-harness is not installed ({error.name}): run tests/parity/setup again")
    sys.exit(0)

from support import ROOT, Checks, katman, make_corpus

SEQUENCE = 96
RUN = f"""
steps: 60
seed: 3
model {{ preset: "tiny" layers: 2 hidden: 64 heads: 4 sequence: {SEQUENCE} }}
data {{ batch_tokens: 1536 }}
learning_rate {{ peak: 1e-2 warmup_steps: 5 }}
device {{ precision: "fp32" }}
"""


def make_tasks():
    """[name, header, examples] of every kind; texts are this repository's own."""
    lines = [line.strip() for line in (ROOT / "README.md").read_text().splitlines() if len(line) > 60]
    words = [line.split(" ") for line in lines]
    choice = [{"question": " ".join(w[:6]) + (" " if i % 5 == 0 else ""),
               "choices": [" ".join(w[6:9]), " ".join(words[i - 1][2:4]) + " çok 中文", words[i - 2][1] + "!",
                           " ".join(words[i - 3][:5])], "answer": 0}
              for i, w in enumerate(words) if len(w) > 9][:24]
    for i, example in enumerate(choice):  # the right one is not always the first
        right, turn = example["choices"][0], i % 4
        example["choices"] = example["choices"][turn:] + example["choices"][:turn]
        example["answer"] = example["choices"].index(right)
    completion = [{"question": f"Count: {i}, {i + 1},", "answer": [str(i + 2), f"the {i + 2}"]} for i in range(16)]
    return [
        ("choices", {"kind": "multiple_choice", "description": "Go on.\n\n", "mutual_information": True,
                     "sampler": "first"}, choice),
        ("words", {"kind": "last_word"}, [{"text": line} for line in lines[:24]]),
        ("texts", {"kind": "perplexity"},
         [{"text": "  " + lines[0] + "\n"}, {"text": "\n".join(lines[:12])}, {"text": lines[5] + " é\u00a0ü"}]),
        ("counts", {"kind": "completion", "tokens": 8, "stop": ["\n", "."], "sampler": "first"}, completion),
    ]


def normalised(text):
    """SQuAD's normalisation, written from its definition."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def squad(completion, answers):
    best_match = best_f1 = 0.0
    for answer in answers:
        given, wanted = normalised(completion).split(), normalised(answer).split()
        shared = sum(min(given.count(w), wanted.count(w)) for w in set(given))
        f1 = 2 * shared / (len(given) + len(wanted)) if given and wanted else float(given == wanted)
        best_match, best_f1 = max(best_match, float(given == wanted)), max(best_f1, f1)
    return {"exact_match": best_match, "f1": best_f1}


def harness_task(name, header, folder, contexts=None):
    """The same task for the harness; `contexts` replace the questions."""
    data = folder / f"{name}.data.jsonl"
    examples = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()[1:]]
    for i, example in enumerate(examples):
        if contexts:
            example["question"] = contexts[i]
        if header["kind"] == "last_word":
            head, tail = example["text"].rsplit(" ", 1)
            example = {"question": head, "target": " " + tail}
            examples[i] = example
    data.write_text("".join(json.dumps(e) + "\n" for e in examples))
    mean = lambda metric: {"metric": metric, "aggregation": "mean", "higher_is_better": True}
    config = {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}},
              "test_split": "test", "fewshot_split": "test", "fewshot_config": {"sampler": "first_n"},
              "description": "" if contexts else header.get("description", "")}
    if header["kind"] == "multiple_choice":
        config |= {"output_type": "multiple_choice", "doc_to_text": "{{question}}", "doc_to_choice": "choices",
                   "doc_to_target": "answer",
                   "metric_list": [mean(m) for m in ("acc", "acc_norm", "acc_bytes", "acc_mutual_info")]}
    elif header["kind"] == "last_word":
        config |= {"output_type": "loglikelihood", "doc_to_text": "{{question}}", "doc_to_target": "{{target}}",
                   "metric_list": [mean("acc"), {"metric": "perplexity", "aggregation": "perplexity",
                                                 "higher_is_better": False}]}
    elif header["kind"] == "perplexity":
        config |= {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}",
                   "metric_list": [{"metric": m} for m in ("word_perplexity", "byte_perplexity", "bits_per_byte")]}
    else:
        config |= {"output_type": "generate_until", "doc_to_text": "{{question}}", "doc_to_target": "{{answer[0]}}",
                   "process_results": lambda doc, results: squad(results[0], doc["answer"]),
                   "generation_kwargs": {"until": header["stop"], "max_gen_toks": header["tokens"], "do_sample": False},
                   "metric_list": [mean("exact_match"), mean("f1")]}
    return config


def harness_scores(model, config, shots):
    task = lm_eval.api.task.ConfigurableTask(config=config)
    task.set_config("num_fewshot", shots)
    results = lm_eval.evaluate(lm=model, task_dict={config["task"]: task}, bootstrap_iters=2000, log_samples=True)
    table = results["results"][config["task"]]
    return {key.split(",")[0]: value for key, value in table.items() if "," in key}, results["samples"][config["task"]]


def likelihoods(samples):
    """Of every example, those of its requests."""
    return [[float(response[0][0]) for response in sample["resps"]]
            for sample in sorted(samples, key=lambda s: s["doc_id"])]


def close(checks, what, ours, theirs, tolerance):
    checks.report(abs(ours - theirs) <= tolerance * abs(theirs), f"{what}: {theirs:.6g} there, {tolerance:.0e} allowed")


def compare(checks, model, run, folder, name, header, shots, own_contexts):
    file, samples_file = folder / f"{name}.jsonl", folder / "samples.jsonl"
    out = katman("eval", "--checkpoint", run, "--tasks", file, "--shots", shots, "--seed", 5, "--json",
                 "--samples", samples_file)
    ours = json.loads(out)["results"][0]["metrics"]
    our_samples = [json.loads(line) for line in samples_file.read_text().splitlines()]
    contexts = [s["context"] for s in our_samples] if own_contexts else None
    theirs, samples = harness_scores(model, harness_task(name, header, folder, contexts), 0 if own_contexts else shots)
    what = f"{name}, {shots} shots{', drawn by katman' if own_contexts else ''}"
    for metric, figures in ours.items():
        close(checks, f"{what}: {metric} {figures['value']:.4f}", figures["value"], float(theirs[metric]), 1e-4)
        error = theirs.get(metric + "_stderr", "N/A")
        # A bootstrapped error scatters, is by sqrt((n - 1) / n) too small, and means nothing where it is larger
        # than the value: a perplexity's is then made by the worst example alone.
        if error != "N/A" and (metric != "perplexity" or float(error) < float(theirs[metric])):
            close(checks, f"{what}: standard error of {metric}", figures["standard_error"], float(error),
                  0.2 if metric == "perplexity" else 1e-4)
    if header["kind"] == "multiple_choice":
        mine = [s["log_likelihoods"] + s["unconditional"] for s in our_samples]
        checks.near(f"{what}: log-likelihoods", sum(mine, []), sum(likelihoods(samples), []), 1e-5)
    if header["kind"] == "completion":
        texts = [s["filtered_resps"][0] for s in sorted(samples, key=lambda s: s["doc_id"])]
        checks.same(f"{what}: completions", [s["completion"] for s in our_samples], texts)


def main():
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        datasets.config.HF_DATASETS_CACHE = folder / "cache"
        corpus, run, exported = make_corpus(folder), folder / "run", folder / "exported"
        (folder / "run.textproto").write_text(RUN)
        katman("train", folder / "run.textproto", "--set", f"directory={run}", "--set", f"data.corpus={corpus}")
        katman("checkpoint", "export", "--to", "hf", exported, run)
        model = HFLM(pretrained=str(exported), tokenizer=str(exported), device="cpu", dtype="float32", batch_size=4)
        for name, header, examples in make_tasks():
            (folder / f"{name}.jsonl").write_text(
                "".join(json.dumps(e) + "\n" for e in [{"task": name} | header] + examples))
            compare(checks, model, run, folder, name, header, 0, False)
            if header.get("sampler") == "first":
                compare(checks, model, run, folder, name, header, 2, False)
                random = json.loads((folder / f"{name}.jsonl").read_text().splitlines()[0]) | {"sampler": "random"}
                (folder / f"{name}.jsonl").write_text("".join(json.dumps(e) + "\n" for e in [random] + examples))
                compare(checks, model, run, folder, name, header, 3, True)
    checks.finish()


if __name__ == "__main__":
    main()
