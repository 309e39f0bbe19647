// The arrows between folders (README, "A tour of the code"), held by a test: who may include whom.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {
namespace fs = std::filesystem;

struct Include {
  std::string file, target;  // both relative to the root
};

std::vector<Include> includes_of(const std::string& folder) {
  static const std::regex quoted(R"re(^\s*#include\s+["<]([^">]+)[">])re");
  std::vector<Include> found;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(KATMAN_SOURCE_DIR) / folder)) {
    static const std::set<std::string> kinds = {".h", ".cpp", ".cu", ".cuh"};
    if (!kinds.count(entry.path().extension().string())) continue;
    std::ifstream in(entry.path());
    const auto name = fs::relative(entry.path(), KATMAN_SOURCE_DIR).string();
    for (std::string line; std::getline(in, line);) {
      std::smatch match;
      if (std::regex_search(line, match, quoted)) found.push_back({name, match[1]});
    }
  }
  return found;
}

std::string first_folder(const std::string& path) { return path.substr(0, path.find('/')); }

TEST(Architecture, folders_include_only_what_the_arrows_allow) {
  const std::map<std::string, std::set<std::string>> allowed = {
      {"core", {"core"}},
      {"data_pipeline", {"data_pipeline", "core"}},
      {"parallel", {"parallel", "core", "proto"}},
      {"orchestrator", {"orchestrator", "parallel", "data_pipeline", "core", "proto"}},
  };
  for (const auto& [folder, targets] : allowed) {
    size_t own = 0;
    for (const auto& include : includes_of(folder)) {
      const auto target = first_folder(include.target);
      if (!allowed.count(target) && target != "proto" && target != "tests") continue;
      ++own;
      EXPECT_TRUE(targets.count(target)) << include.file << " includes " << include.target;
    }
    EXPECT_GT(own, 0u) << folder
                       << " has no includes at all: is the scan looking in the right place?";
  }
}

TEST(Architecture, foreign_libraries_stay_in_their_rooms) {
  struct Rule {
    std::regex header;
    std::string room;  // prefix of the only files that may include it
  };
  const std::vector<Rule> rules = {
      {std::regex("^(oneapi/dnnl/|dnnl)"), "core/cpu/"},
      {std::regex("^omp\\.h$"), "core/cpu/"},
      {std::regex("^(cuda|cublas|cudnn|cupti)"), "core/cuda/"},
      {std::regex("^mpi\\.h$"), "parallel/comm/mpi"},
      {std::regex("^nccl\\.h$"), "parallel/comm/nccl"},
      {std::regex("^grpc"), "orchestrator/"},
  };
  for (const std::string folder : {"core", "data_pipeline", "parallel", "orchestrator"}) {
    for (const auto& include : includes_of(folder)) {
      for (const auto& rule : rules) {
        if (!std::regex_search(include.target, rule.header)) continue;
        EXPECT_EQ(include.file.rfind(rule.room, 0), 0u)
            << include.file << " includes " << include.target << "; only " << rule.room << "* may";
      }
    }
  }
}

}  // namespace
