#include "core/model/lora.h"

#include <algorithm>

namespace katman {

bool Lora::adapts(const std::string& name) const {
  const std::string last = name.substr(name.rfind('.') + 1);
  return rank > 0 && std::ranges::find(on, last) != on.end();
}

bool is_adapter(const std::string& parameter) {
  return parameter.ends_with(".lora_a") || parameter.ends_with(".lora_b");
}

}  // namespace katman
