// A file read to its end, and what stopped it there.
#pragma once

#include <string>
#include <vector>

#include "core/error.h"
#include "data_pipeline/read/pages.h"

namespace katman::testing {

struct WholeRead {
  std::vector<Page> pages;
  ReadCounters counters;
  std::string error;  // empty: the file ended
};

inline WholeRead read_pages(const std::string& path, const ReadOptions& options = {}) {
  WholeRead read;
  try {
    const auto reader = open_pages(path, options);
    try {
      for (Page page; reader->next(page);) read.pages.push_back(page);
    } catch (const Error& error) {
      read.error = error.what();
    }
    read.counters = reader->counters();
  } catch (const Error& error) {
    read.error = error.what();
  }
  return read;
}

}  // namespace katman::testing
