// The directory a build works in, and its last step: everything at once, or nothing.
#pragma once

#include <string>

namespace katman {

// Holds the right to write to the directory `out`: a lock against other builds, and a scratch
// directory out/building for everything unfinished, removed at the end whatever happens. What an
// earlier build left behind when it was killed is removed first.
class Workplace {
 public:
  // Makes `out` if needed. Throws UsageError if it holds a corpus and not `replace`.
  Workplace(const std::string& out, bool replace);
  ~Workplace();
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  const std::string& scratch() const { return scratch_; }  // for files that die with the build
  const std::string& result() const { return result_; }    // for files that publish() moves

  // Moves everything in result() to `out`: first the old manifest goes, with what it names, then
  // the files come, and corpus.json is written last. Killed anywhere in between, `out` has no
  // manifest and says so when it is opened.
  void publish(const std::string& manifest_json);

 private:
  std::string out_, building_, scratch_, result_;
  bool made_out_ = false;
  int lock_ = -1;
};

}  // namespace katman
