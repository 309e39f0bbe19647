// katman generate: a trained model continues a text.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "data_pipeline/clean/utf8.h"
#include "orchestrator/cli/cli.h"
#include "orchestrator/loaded_model.h"
#include "parallel/checkpoint/safetensors.h"

namespace katman {
namespace {

struct Request {
  std::string checkpoint, prompt, prompt_file, logits;
  std::vector<int32_t> ids;
  int64_t step = -1, tokens = 100;
  Sampling sampling;
  std::string device = "auto", precision = "fp32";
  int threads = 0;
  bool json = false;
};

std::vector<int32_t> prompt_ids(const Request& request, const Tokenizer& tokenizer,
                                int64_t vocabulary) {
  if (!request.ids.empty()) {
    for (const int32_t id : request.ids)
      require_usage(id >= 0 && id < vocabulary, "--ids: {} is not a token; this model has 0 to {}",
                    id, vocabulary - 1);
    return request.ids;
  }
  const std::string text =
      request.prompt_file.empty() ? request.prompt : read_text(request.prompt_file);
  std::vector<uint32_t> ids;
  Encoder(tokenizer).encode(text, ids);
  // Without a prompt, a document begins.
  if (ids.empty()) ids.push_back(tokenizer.end_of_document());
  return {ids.begin(), ids.end()};
}

// Prints text as it grows, whole characters at a time.
class Stream {
 public:
  void add(std::string_view bytes) {
    text_ += bytes;
    const size_t ready = text_.size() - incomplete_utf8_bytes(text_);
    write(ready - written_);
  }
  void finish() {
    write(text_.size() - written_);
    fmt::print("\n");
  }

 private:
  void write(size_t count) {
    std::fwrite(text_.data() + written_, 1, count, stdout);
    std::fflush(stdout);
    written_ += count;
  }
  std::string text_;
  size_t written_ = 0;
};

std::string text_of(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  return tokenizer.decode(std::vector<uint32_t>(ids.begin(), ids.end()));
}

void speak(const Request& request, LoadedModel& model, const Tokenizer& tokenizer,
           const std::vector<int32_t>& prompt) {
  Stream stream;
  if (!request.json && request.ids.empty()) stream.add(text_of(tokenizer, prompt));
  const auto on_token = [&](int32_t id) {
    if (!request.json)
      stream.add(tokenizer.decode(std::vector<uint32_t>{static_cast<uint32_t>(id)}));
    return true;
  };
  const auto end = static_cast<int32_t>(tokenizer.end_of_document());
  const auto made =
      generate(model.generator(), prompt, request.tokens, request.sampling, end, on_token);
  if (!request.json) return stream.finish();
  // Bytes that are no UTF-8 become U+FFFD: JSON has no other way to hold them.
  fmt::print("{}\n", nlohmann::ordered_json{{"checkpoint", model.info().directory.string()},
                                            {"step", model.info().step},
                                            {"prompt_ids", prompt},
                                            {"ids", made},
                                            {"text", text_of(tokenizer, made)}}
                         .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void write_logits(const std::string& path, const std::vector<int32_t>& ids,
                  const std::vector<float>& logits) {
  const auto rows = static_cast<int64_t>(ids.size());
  const Files files;
  FileWriter file(files, path);
  const std::string head =
      safetensors_head({{"logits", "F32", {rows, static_cast<int64_t>(logits.size()) / rows}, 0, 0},
                        {"tokens", "I32", {rows}, 0, 0}},
                       {});
  file.write(std::as_bytes(std::span(head)));
  file.write(std::as_bytes(std::span(logits)));
  file.write(std::as_bytes(std::span(ids)));
  file.commit();
}

void run(const Request& request) {
  request.sampling.check();
  require_usage(request.prompt.empty() || request.prompt_file.empty(),
                "give --prompt or --prompt-file, not both");
  const auto checkpoint = chosen_checkpoint(request.checkpoint, request.step);
  const Tokenizer tokenizer = tokenizer_of(checkpoint);
  LoadedModel model(checkpoint, request.device, request.threads, request.precision);
  const auto prompt = prompt_ids(request, tokenizer, model.info().model.vocabulary);
  if (request.logits.empty())
    speak(request, model, tokenizer, prompt);
  else
    write_logits(request.logits, prompt, model.logits(prompt));
}

}  // namespace

void add_generate(CLI::App& app) {
  auto request = std::make_shared<Request>();
  auto* command = app.add_subcommand("generate", "let a trained model continue a text");
  command
      ->add_option("--checkpoint", request->checkpoint,
                   "a run's directory, its checkpoints, or one of them")
      ->required();
  command->add_option("--step", request->step, "the checkpoint of this step; default: the newest");
  command->add_option("--prompt", request->prompt, "the text to continue; default: a new document");
  command->add_option("--prompt-file", request->prompt_file, "a file with it");
  command->add_option("--ids", request->ids, "the prompt as token ids")->delimiter(',');
  command->add_option("--tokens", request->tokens, "at most so many new ones")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  Sampling& sampling = request->sampling;
  command->add_option("--temperature", sampling.temperature, "0: always the most likely token")
      ->capture_default_str();
  command->add_option("--top-k", sampling.top_k, "only the k most likely tokens; 0: all");
  command->add_option("--top-p", sampling.top_p, "only the most likely that together reach p")
      ->capture_default_str();
  command->add_option("--seed", sampling.seed, "another seed, another text")->capture_default_str();
  command->add_option("--device", request->device, "auto, cpu, reference or cuda:N")
      ->capture_default_str();
  command->add_option("--threads", request->threads, "0: all cores")->capture_default_str();
  command->add_option("--precision", request->precision, "fp32 or bf16")->capture_default_str();
  command->add_option("--logits", request->logits,
                      "write the logits at every position of the prompt to this safetensors file "
                      "instead");
  command->add_flag("--json", request->json, "prompt, ids and text as JSON");
  command->footer(
      "Example: katman generate --checkpoint runs/gpt2-124m --prompt \"Once upon a time\" --top-p "
      "0.9");
  command->callback([request] { run(*request); });
}

}  // namespace katman
