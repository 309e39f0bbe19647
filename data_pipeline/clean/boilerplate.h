// What an element's attributes say about its being content.
#pragma once

#include <string_view>

namespace katman {

// A stronger word on an element is a larger value.
enum class Role {
  none,       // nothing is known
  suspect,    // named like navigation, advertising and the like; its text decides
  main,       // announced as the page's main content
  invisible,  // hidden, or declared to be something other than content
};

// One attribute's word on its element. `name` in lower case; `value` as written.
Role role_of_attribute(std::string_view name, std::string_view value);

}  // namespace katman
