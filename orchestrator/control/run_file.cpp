// Text to RunSpec and back, and single fields by their path.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/error.h"
#include "orchestrator/control/spec.h"

namespace katman {
namespace {

namespace pb = google::protobuf;

std::string field_names(const pb::Descriptor* type) {
  std::string names;
  for (int i = 0; i < type->field_count(); ++i)
    names += (i ? ", " : "") + std::string(type->field(i)->name());
  return names;
}

// Keeps the first complaint: later ones are mostly its echo.
class FirstError : public pb::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (text.empty()) text = fmt::format("line {}, column {}: {}", line + 1, column + 1, message);
  }
  std::string text;
};

bool is_string(const pb::FieldDescriptor& field) {
  return field.cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING;
}

// Sets a field from its text; of a list, adds one element.
void set_value(pb::Message& message, const pb::FieldDescriptor& field, const std::string& value,
               const std::string& assignment) {
  const pb::Reflection& reflection = *message.GetReflection();
  if (is_string(field) && field.is_repeated()) return reflection.AddString(&message, &field, value);
  if (is_string(field)) return reflection.SetString(&message, &field, value);
  pb::TextFormat::Parser parser;
  FirstError first;
  parser.RecordErrorsTo(&first);
  require_usage(parser.ParseFieldValueFromString(value, &field, &message),
                "--set {}: '{}' is not a value of {}, which is {}", assignment, value,
                assignment.substr(0, assignment.find('=')),
                field.enum_type() ? "one of its named kinds (see proto/run.proto)"
                                  : "of type " + std::string(field.cpp_type_name()));
}

// "a,b" replaces what a list holds.
void set_list(pb::Message& message, const pb::FieldDescriptor& field, const std::string& value,
              const std::string& assignment) {
  message.GetReflection()->ClearField(&message, &field);
  for (size_t begin = 0; begin < value.size();) {
    const size_t end = std::min(value.find(',', begin), value.size());
    set_value(message, field, value.substr(begin, end - begin), assignment);
    begin = end + 1;
  }
}

}  // namespace

RunSpec parse_run_spec(const std::string& text, const std::string& where) {
  RunSpec spec;
  FirstError first;
  pb::TextFormat::Parser parser;
  parser.RecordErrorsTo(&first);
  const bool parsed = parser.ParseFromString(text, &spec);
  require_usage(parsed, "{}: {} (fields of a run file: {}; proto/run.proto explains each)", where,
                first.text, field_names(RunSpec::descriptor()));
  return spec;
}

RunSpec read_run_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  require_usage(in.good() && !std::filesystem::is_directory(path),
                "cannot read the run file {}: is there such a file?", path);
  return parse_run_spec({std::istreambuf_iterator<char>(in), {}}, path);
}

void set_field(RunSpec& spec, const std::string& assignment) {
  const auto equals = assignment.find('=');
  require_usage(equals != std::string::npos && equals > 0,
                "--set {}: write it as path=value, for example --set model.layers=4", assignment);
  const std::string path = assignment.substr(0, equals);
  const std::string value = assignment.substr(equals + 1);

  pb::Message* message = &spec;
  const pb::FieldDescriptor* field = nullptr;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    require_usage(field == nullptr || field->message_type() != nullptr,
                  "--set {}: '{}' has no fields of its own", assignment,
                  field ? field->name() : "");
    if (field) message = message->GetReflection()->MutableMessage(message, field);
    field = message->GetDescriptor()->FindFieldByName(name);
    require_usage(field != nullptr, "--set {}: there is no field '{}' here; there are: {}",
                  assignment, name, field_names(message->GetDescriptor()));
    begin = end + 1;
  }
  require_usage(field->message_type() == nullptr,
                "--set {}: '{}' is a group; set one of its fields: {}", assignment, path,
                field->message_type() ? field_names(field->message_type()) : "");

  if (field->is_repeated()) return set_list(*message, *field, value, assignment);
  set_value(*message, *field, value, assignment);
}

std::string to_text(const RunSpec& spec) {
  std::string text;
  pb::TextFormat::PrintToString(spec, &text);
  return text;
}

std::vector<std::string> differences(const google::protobuf::Message& before,
                                     const google::protobuf::Message& after) {
  std::string report;
  pb::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&report);
  differencer.Compare(before, after);
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < report.size();) {
    const size_t end = std::min(report.find('\n', begin), report.size());
    if (end > begin) lines.push_back(report.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

}  // namespace katman
