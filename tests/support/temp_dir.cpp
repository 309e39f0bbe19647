#include "tests/support/temp_dir.h"

#include <stdlib.h>

#include <fstream>
#include <iterator>

#include "core/error.h"

namespace katman::testing {
namespace fs = std::filesystem;

TempDir::TempDir() {
  std::string pattern = (fs::temp_directory_path() / "katman-test-XXXXXX").string();
  require(mkdtemp(pattern.data()) != nullptr, "cannot make a directory like {}", pattern);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string TempDir::write(std::string_view name, std::string_view bytes) const {
  const fs::path path = path_ / name;
  fs::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  require(out.good(), "cannot write {}", path.string());
  return path.string();
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  require(in.good(), "cannot read {}", path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace katman::testing
