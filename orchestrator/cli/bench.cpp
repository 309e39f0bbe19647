// katman bench: how fast this machine is at what Katman does, always beside a yardstick.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
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
  command.add_option("--precision", bench.precision, "fp32 or bf16; of a step, tf32 and fp8 too")
      ->capture_default_str();
  command.add_option("--threads", bench.threads, "0: all cores")->capture_default_str();
}

void add_peak_option(CLI::App& command, int64_t& size, const std::string& besides) {
  command.add_option("--peak", size, "extent of the square product to compare with" + besides)
      ->capture_default_str();
}

// Where the device's time went; what takes least is left out.
void show(const TraceFigures& trace) {
  constexpr size_t most_lines = 20, most_letters = 60;
  const auto steps = static_cast<double>(trace.steps);
  fmt::print(
      "trace             of {} steps: the device is busy for {:.1f} % of them with {:.0f} kernels, "
      "copies and fills a step; the longest gap is {:.0f} us\n\n{:>10}{:>8}{:>8}  {}\n",
      trace.steps, 100 * trace.busy, static_cast<double>(trace.activities) / steps,
      trace.longest_gap_s * 1e6, "ms a step", "calls", "%", "what");
  double all = 0;
  for (const KernelTime& kernel : trace.kernels) all += kernel.seconds;
  for (size_t i = 0; i < std::min(trace.kernels.size(), most_lines); ++i) {
    const KernelTime& kernel = trace.kernels[i];
    fmt::print("{:>10.3f}{:>8.1f}{:>8.1f}  {}\n", 1e3 * kernel.seconds / steps,
               static_cast<double>(kernel.calls) / steps, 100 * kernel.seconds / all,
               kernel.name.substr(0, most_letters));
  }
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
  if (figures.peak_flops > 0)
    fmt::print(
        "peak              {:.1f} GFLOP/s (a {}-cubed product)\n"
        "utilisation       {:.1f} % of that = tokens/s * FLOPs per token / peak\n",
        figures.peak_flops * 1e-9, figures.peak_size, 100 * figures.mfu);
  if (figures.nominal_flops > 0)
    fmt::print("                  {:.1f} % of the {:.0f} TFLOP/s that the data sheet promises\n",
               100 * figures.nominal_mfu, figures.nominal_flops * 1e-12);
  fmt::print("loss              {:.4f} -> {:.4f}\n", figures.first_loss, figures.last_loss);
  fmt::print("memory            {:.2f} GB, {} allocations after the first step\n",
             static_cast<double>(figures.memory_bytes) * 1e-9, figures.late_allocations);
  if (figures.trace) show(*figures.trace);
}

Json to_json(const TraceFigures& trace) {
  Json kernels = Json::array();
  for (const KernelTime& kernel : trace.kernels)
    kernels.push_back(
        {{"name", kernel.name}, {"calls", kernel.calls}, {"seconds", kernel.seconds}});
  return {{"steps", trace.steps},
          {"seconds", trace.seconds},
          {"busy", trace.busy},
          {"longest_gap_s", trace.longest_gap_s},
          {"activities", trace.activities},
          {"kernels", kernels}};
}

Json to_json(const StepFigures& figures) {
  Json json = {{"device", figures.device},
               {"tokens_per_step", figures.tokens_per_step},
               {"best_s", figures.best_s},
               {"median_s", figures.median_s},
               {"enqueue_s", figures.enqueue_s},
               {"tokens_per_s", figures.tokens_per_s},
               {"flops_per_token", figures.flops_per_token},
               {"peak_size", figures.peak_size},
               {"peak_flops", figures.peak_flops},
               {"mfu", figures.mfu},
               {"nominal_flops", figures.nominal_flops},
               {"nominal_mfu", figures.nominal_mfu},
               {"first_loss", figures.first_loss},
               {"last_loss", figures.last_loss},
               {"memory_bytes", figures.memory_bytes},
               {"late_allocations", figures.late_allocations}};
  if (figures.trace) json["trace"] = to_json(*figures.trace);
  return json;
}

void show(const GemmReport& report) {
  fmt::print("{}\na {}-cubed product: {:.1f} GFLOP/s, measured", report.device, report.peak_size,
             report.peak_flops * 1e-9);
  if (report.nominal_flops > 0)
    fmt::print("; {:.1f} by the data sheet", report.nominal_flops * 1e-9);
  fmt::print("\n\n");
  fmt::print("{:<26}{:>8}{:>8}{:>8}{:>12}{:>12}{:>8}\n", "product", "m", "n", "k", "ms", "GFLOP/s",
             "share");
  for (const GemmFigures& p : report.products)
    fmt::print("{:<26}{:>8}{:>8}{:>8}{:>12.3f}{:>12.1f}{:>8.2f}\n", p.name, p.m, p.n, p.k,
               p.best_s * 1e3, p.flops * 1e-9, p.share);
  double together = 0, apart = 0;
  for (const GemmFigures& p : report.products)
    if (p.apart_s > 0) together += p.best_s, apart += p.apart_s;
  if (apart > 0)
    fmt::print("\ngradients of weights and biases in one operation take {:.3f} of two's time\n",
               together / apart);
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
                        {"share", p.share},
                        {"apart_s", p.apart_s}});
  return {{"device", report.device},
          {"peak_size", report.peak_size},
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
  command
      ->add_option("--recompute", bench->recompute,
                   "of activations in the backward pass: none, selective or full")
      ->capture_default_str();
  add_peak_option(*command, bench->peak_size, "; 0: none");
  command->add_flag("--any-order", bench->any_order,
                    "sums in whatever order is fastest on a GPU, not the same twice: what fixed "
                    "orders cost");
  command->add_flag("--trace", bench->trace,
                    "three more steps, traced: how busy a GPU is and with what (needs CUPTI)");
  command->footer("Example: katman bench step --preset gpt2-124m --micro-batch 4");
}

void add_gemm(CLI::App& parent) {
  auto bench = std::make_shared<GemmBench>();
  auto* command =
      add_bench_command(parent, "gemm", "every matrix product of a model", bench, run_gemm_bench);
  add_device_options(*command, *bench);
  command->add_option("--rows", bench->rows, "tokens of a micro-batch")->capture_default_str();
  command->add_option("--seconds", bench->seconds, "to spend on each")->capture_default_str();
  add_peak_option(*command, bench->peak_size, "");
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
