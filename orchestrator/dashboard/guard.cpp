#include "orchestrator/dashboard/guard.h"

#include <httplib.h>

#include "orchestrator/control/address.h"

namespace katman {

bool is_from_our_page(const httplib::Request& request, bool loopback, bool tls) {
  const std::string host = request.get_header_value("Host");
  if (loopback && !is_loopback(host.substr(0, host.rfind(':')))) return false;
  const std::string origin = request.get_header_value("Origin");
  if (!origin.empty() && origin != (tls ? "https://" : "http://") + host) return false;
  return request.method != "POST" ||
         request.get_header_value("Content-Type").starts_with("application/json");
}

std::string token_of(const httplib::Request& request) {
  const std::string authorization = request.get_header_value("Authorization");
  if (authorization.starts_with("Bearer ")) return authorization.substr(7);
  const std::string cookies = "; " + request.get_header_value("Cookie"), name = "; katman=";
  const size_t at = cookies.find(name);
  if (at == std::string::npos) return {};
  const size_t begin = at + name.size();
  return cookies.substr(begin, cookies.find(';', begin) - begin);
}

}  // namespace katman
