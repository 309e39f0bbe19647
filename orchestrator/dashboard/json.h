// Protobuf's own JSON, so that page, command line and wire cannot drift apart.
#pragma once

#include <google/protobuf/util/json_util.h>

#include <string>

#include "core/error.h"

namespace katman {

inline std::string to_json(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  require(status.ok(), "cannot write {} as JSON: {}", message.GetTypeName(), status.ToString());
  return json;
}

template <class T>
T from_json(const std::string& body) {
  T message;
  const auto status = google::protobuf::util::JsonStringToMessage(body, &message);
  require_usage(status.ok(), "this is no {}: {}", T::descriptor()->name(),
                std::string(status.message()));
  return message;
}

}  // namespace katman
