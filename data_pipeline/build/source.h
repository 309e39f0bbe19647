// What a document is called in the corpus: corpus/sources.h keeps it.
#pragma once

#include <string>

#include "data_pipeline/read/pages.h"

namespace katman {

// The address that the page's record gives, else its place: the name of its file, and behind a
// colon its number where the file held more than it.
//
// One line of at most max_source_bytes that is harmless wherever it is printed: control characters
// and those without a width of their own, which hide or turn around what stands beside them, are
// percent-encoded as in URLs, what is not UTF-8 becomes U+FFFD, and of a longer one the beginning
// stays, with "…" for the rest.
std::string source_of(const Page& page, const std::string& file_name);

}  // namespace katman
