// `katman data build` on one thread beside what nobody can leave out: decompressing the files and
// parsing their HTML with libxml2, as xmllint does. In processor time, so that a busy machine
// distorts little.
//
//   bench_data crawl/*.warc.gz
#include <fmt/core.h>
#include <libxml/HTMLparser.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>

#include "data_pipeline/build.h"

namespace katman {
namespace {

namespace fs = std::filesystem;

double processor_seconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double seconds_of(const std::function<void()>& act) {
  const double begin = processor_seconds();
  act();
  return processor_seconds() - begin;
}

void for_each_page(const std::vector<InputFile>& files,
                   const std::function<void(const Page&)>& use) {
  for (const InputFile& file : files) {
    const auto reader = open_pages(file.path);
    for (Page page; reader->next(page);) use(page);
  }
}

void parse(const Page& page) {
  if (page.kind != PageKind::html) return;
  const htmlDocPtr document = htmlReadMemory(
      page.bytes.data(), static_cast<int>(page.bytes.size()), nullptr, nullptr,
      HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET);
  xmlFreeDoc(document);
}

void measure(const std::vector<std::string>& inputs, const std::string& scratch) {
  const auto files = list_inputs(inputs);
  uint64_t pages = 0, bytes = 0;
  const double read_s = seconds_of([&] {
    for_each_page(files, [&](const Page& page) { ++pages, bytes += page.bytes.size(); });
  });
  const double parse_s = seconds_of([&] { for_each_page(files, parse); }) - read_s;
  BuildOptions options;
  options.inputs = inputs;
  options.out = (fs::path(scratch) / "bench_data.corpus").string();
  options.force = true;
  Progress progress;
  const double build_s = seconds_of([&] { build_corpus(options, progress); });
  fs::remove_all(options.out);
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const double mb = static_cast<double>(bytes) * 1e-6;
  fmt::print("{} pages, {:.1f} MB\n", pages, mb);
  fmt::print("reading and decompressing  {:8.2f} s {:9.1f} MB/s\n", read_s, mb / read_s);
  fmt::print("parsing with libxml2       {:8.2f} s {:9.1f} MB/s\n", parse_s, mb / parse_s);
  fmt::print("katman data build          {:8.2f} s {:9.1f} MB/s   {:.2f} of both together\n",
             build_s, mb / build_s, build_s / (read_s + parse_s));
  fmt::print("resident memory, at most   {:8.0f} MB\n",
             static_cast<double>(usage.ru_maxrss) * 1024e-6);
}

}  // namespace
}  // namespace katman

int main(int argc, char** argv) try {
  std::vector<std::string> inputs;
  std::string scratch = ".";
  CLI::App app("Building a corpus beside decompressing and parsing alone.");
  app.add_option("INPUT", inputs)->required();
  app.add_option("--scratch", scratch, "a directory for the corpus, which is removed");
  CLI11_PARSE(app, argc, argv);
  katman::measure(inputs, scratch);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
