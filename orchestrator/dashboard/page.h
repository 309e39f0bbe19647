// The files of the page, as the build put them into the program.
#pragma once

#include <span>
#include <string_view>

namespace katman {

struct Asset {
  std::string_view path;  // "/", "/style.css", "/charts.js"
  std::string_view type;  // for Content-Type
  std::string_view bytes;
};

std::span<const Asset> page_assets();

}  // namespace katman
