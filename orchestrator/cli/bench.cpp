// katman bench: how fast this machine is at what Katman does, always beside a yardstick.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "orchestrator/bench/gemm.h"
#include "orchestrator/bench/generate.h"
#include "orchestrator/bench/step.h"
#include "orchestrator/bench/tokenize.h"
#include "orchestrator/cli/cli.h"

namespace katman {
namespace {

using Json = nlohmann::ordered_json;

// Options that the benchmarks of a device share.
template <class Bench>
void add_device_options(CLI::App& command, Bench& bench) {
  command.add_option("--preset", bench.preset, "the model")->capture_default_str();
  command.add_option("--device", bench.device, "auto, cpu, reference or cuda:N")
      ->capture_default_str();
  command.add_option("--precision", bench.precision, "fp32 or bf16; of a step, fp8 too")
      ->capture_default_str();
  command.add_option("--threads", bench.threads, "0: all cores")->capture_default_str();
}

void show(const StepFigures& figures) {
  fmt::print("device            {}\n", figures.device);
  fmt::print("tokens per step   {}\n", figures.tokens_per_step);
  fmt::print("seconds per step  {:.4f} (median), {:.4f} (best)\n", figures.median_s,
             figures.best_s);
  fmt::print("                  {:.4f} until the host has enqueued one\n", figures.enqueue_s);
  fmt::print("tokens/s          {:.1f}\n", figures.tokens_per_s);
  fmt::print(
      "model FLOPs       {:.1f} million per token = 6 per weight of a matrix product + 6 * layers "
      "* "
      "hidden * sequence for causal attention\n",
      figures.flops_per_token * 1e-6);
  fmt::print("peak              {:.1f} GFLOP/s (a 4096-cubed product)\n",
             figures.peak_flops * 1e-9);
  fmt::print("utilisation       {:.1f} % of that = tokens/s * FLOPs per token / peak\n",
             100 * figures.mfu);
  if (figures.nominal_flops > 0)
    fmt::print("                  {:.1f} % of the {:.0f} TFLOP/s that the data sheet promises\n",
               100 * figures.nominal_mfu, figures.nominal_flops * 1e-12);
  fmt::print("loss              {:.4f} -> {:.4f}\n", figures.first_loss, figures.last_loss);
  fmt::print("memory            {:.2f} GB, {} allocations after the first step\n",
             static_cast<double>(figures.memory_bytes) * 1e-9, figures.late_allocations);
}

Json to_json(const StepFigures& figures) {
  return {{"device", figures.device},
          {"tokens_per_step", figures.tokens_per_step},
          {"best_s", figures.best_s},
          {"median_s", figures.median_s},
          {"enqueue_s", figures.enqueue_s},
          {"tokens_per_s", figures.tokens_per_s},
          {"flops_per_token", figures.flops_per_token},
          {"peak_flops", figures.peak_flops},
          {"mfu", figures.mfu},
          {"nominal_flops", figures.nominal_flops},
          {"nominal_mfu", figures.nominal_mfu},
          {"first_loss", figures.first_loss},
          {"last_loss", figures.last_loss},
          {"memory_bytes", figures.memory_bytes},
          {"late_allocations", figures.late_allocations}};
}

void show(const GemmReport& report) {
  fmt::print("{}\na 4096-cubed product: {:.1f} GFLOP/s, measured", report.device,
             report.peak_flops * 1e-9);
  if (report.nominal_flops > 0)
    fmt::print("; {:.1f} by the data sheet", report.nominal_flops * 1e-9);
  fmt::print("\n\n");
  fmt::print("{:<26}{:>8}{:>8}{:>8}{:>12}{:>12}{:>8}\n", "product", "m", "n", "k", "ms", "GFLOP/s",
             "share");
  for (const GemmFigures& p : report.products)
    fmt::print("{:<26}{:>8}{:>8}{:>8}{:>12.3f}{:>12.1f}{:>8.2f}\n", p.name, p.m, p.n, p.k,
               p.best_s * 1e3, p.flops * 1e-9, p.share);
}

Json to_json(const GemmReport& report) {
  Json products = Json::array();
  for (const GemmFigures& p : report.products)
    products.push_back({{"name", p.name},
                        {"m", p.m},
                        {"n", p.n},
                        {"k", p.k},
                        {"best_s", p.best_s},
                        {"flops", p.flops},
                        {"share", p.share}});
  return {{"device", report.device},
          {"peak_flops", report.peak_flops},
          {"nominal_flops", report.nominal_flops},
          {"products", products}};
}

void show(const GenerateFigures& figures) {
  fmt::print("device            {}\n", figures.device);
  fmt::print("seconds per step  {:.5f} (median)\n", figures.median_s);
  fmt::print("tokens/s          {:.1f} (prompts: {:.1f})\n", figures.tokens_per_s,
             figures.prompt_tokens_per_s);
  fmt::print("weights           {:.1f} MB read for a step\n",
             static_cast<double>(figures.weight_bytes) * 1e-6);
  fmt::print("bandwidth         {:.1f} GB/s (reading 1 GB, the same threads)\n",
             figures.bandwidth * 1e-9);
  fmt::print("of the bandwidth  {:.1f} % = weights / seconds per step / bandwidth\n",
             100 * figures.bandwidth_share);
}

Json to_json(const GenerateFigures& figures) {
  return {{"device", figures.device},
          {"tokens_per_s", figures.tokens_per_s},
          {"prompt_tokens_per_s", figures.prompt_tokens_per_s},
          {"median_s", figures.median_s},
          {"weight_bytes", figures.weight_bytes},
          {"bandwidth", figures.bandwidth},
          {"bandwidth_share", figures.bandwidth_share}};
}

void show(const TokenizeFigures& figures) {
  fmt::print("text          {}: {:.1f} MB, {:.2f} bytes per token\n", figures.text,
             static_cast<double>(figures.bytes) * 1e-6, figures.bytes_per_token);
  fmt::print("tokenizer     {}: {} tokens\n", figures.tokenizer, figures.vocabulary);
  fmt::print("encode        {:.1f} MB/s, {:.2f} million tokens/s (first pass {:.1f} MB/s)\n",
             figures.encode_mb_per_s, figures.encode_tokens_per_s * 1e-6, figures.first_mb_per_s);
  fmt::print("decode        {:.1f} MB/s\n", figures.decode_mb_per_s);
  fmt::print("learn         {:.1f} MB/s to count, then {:.2f} s\n", figures.count_mb_per_s,
             figures.learn_s);
  fmt::print("all per second of one core\n");
}

Json to_json(const TokenizeFigures& figures) {
  return {{"text", figures.text},
          {"tokenizer", figures.tokenizer},
          {"vocabulary", figures.vocabulary},
          {"bytes", figures.bytes},
          {"tokens", figures.tokens},
          {"bytes_per_token", figures.bytes_per_token},
          {"first_mb_per_s", figures.first_mb_per_s},
          {"encode_mb_per_s", figures.encode_mb_per_s},
          {"encode_tokens_per_s", figures.encode_tokens_per_s},
          {"decode_mb_per_s", figures.decode_mb_per_s},
          {"count_mb_per_s", figures.count_mb_per_s},
          {"learn_s", figures.learn_s}};
}

// A subcommand that measures with `run` and shows what came out as a table or as JSON.
template <class Bench, class Run>
CLI::App* add_bench_command(CLI::App& parent, const char* name, const char* about,
                            std::shared_ptr<Bench> bench, Run run) {
  auto* command = parent.add_subcommand(name, about);
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "figures as JSON");
  command->callback([bench, json, run] {
    const auto figures = run(*bench);
    if (*json)
      fmt::print("{}\n", to_json(figures).dump());
    else
      show(figures);
  });
  return command;
}

void add_step(CLI::App& parent) {
  auto bench = std::make_shared<StepBench>();
  auto* command = add_bench_command(parent, "step", "a whole training step on random tokens", bench,
                                    run_step_bench);
  add_device_options(*command, *bench);
  command->add_option("--sequence", bench->sequence, "tokens; 0: the preset's");
  command->add_option("--micro-batch", bench->micro_batch, "sequences per forward pass")
      ->capture_default_str();
  command->add_option("--micro-batches", bench->micro_batches, "per optimizer step")
      ->capture_default_str();
  command->add_option("--steps", bench->steps, "timed, after one to warm up")
      ->capture_default_str();
  command->footer("Example: katman bench step --preset gpt2-124m --micro-batch 4");
}

void add_gemm(CLI::App& parent) {
  auto bench = std::make_shared<GemmBench>();
  auto* command =
      add_bench_command(parent, "gemm", "every matrix product of a model", bench, run_gemm_bench);
  add_device_options(*command, *bench);
  command->add_option("--rows", bench->rows, "tokens of a micro-batch")->capture_default_str();
  command->add_option("--seconds", bench->seconds, "to spend on each")->capture_default_str();
  command->footer("Example: katman bench gemm --preset gpt2-355m --precision fp32");
}

void add_generate_bench(CLI::App& parent) {
  auto bench = std::make_shared<GenerateBench>();
  auto* command = add_bench_command(parent, "generate", "writing text, against memory bandwidth",
                                    bench, run_generate_bench);
  add_device_options(*command, *bench);
  command->add_option("--batch", bench->batch, "texts at a time")->capture_default_str();
  command->add_option("--prompt", bench->prompt, "tokens of each prompt")->capture_default_str();
  command->add_option("--tokens", bench->tokens, "timed steps")->capture_default_str();
  command->footer("Example: katman bench generate --preset gpt2-124m --precision bf16");
}

void add_tokenize(CLI::App& parent) {
  auto bench = std::make_shared<TokenizeBench>();
  auto* command = add_bench_command(parent, "tokenize", "one core encoding, decoding and learning",
                                    bench, run_tokenize_bench);
  command->add_option("FILE", bench->files, "UTF-8 text; none: made-up text");
  command->add_option("--tokenizer", bench->tokenizer,
                      "a tokenizer.json; none: one learned from the text");
  command->add_option("--vocabulary", bench->vocabulary, "of a tokenizer that is learned")
      ->capture_default_str();
  command->add_option("--seconds", bench->seconds, "to spend on each figure")
      ->capture_default_str();
  command->footer("Example: katman bench tokenize book.txt --tokenizer corpus/tokenizer.json");
}

}  // namespace

void add_bench(CLI::App& app) {
  auto* bench = app.add_subcommand("bench", "measure this machine, as a table or as JSON");
  bench->require_subcommand(1);
  bench->footer("Example: katman bench step --preset gpt2-124m");
  add_step(*bench);
  add_gemm(*bench);
  add_generate_bench(*bench);
  add_tokenize(*bench);
}

}  // namespace katman
