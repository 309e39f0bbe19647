// What keeps a request of the dashboard from being answered, before anybody looks at what it asks.
#pragma once

#include <string>

namespace httplib {
struct Request;
}

namespace katman {

// A page of another site that is open in the same browser shall not reach us: neither by a name
// that it lets point here (on loopback, the host must be loopback), nor by a form (JSON only, and
// from our own origin, whose scheme is https with TLS).
bool is_from_our_page(const httplib::Request& request, bool loopback, bool tls);

// The token that a request carries: "Authorization: Bearer TOKEN", or the cookie that the page sets
// when somebody has logged in. Empty: none.
std::string token_of(const httplib::Request& request);

}  // namespace katman
