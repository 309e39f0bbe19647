#include "parallel/checkpoint/gather.h"

#include <algorithm>
#include <iterator>

namespace katman {

std::vector<int64_t> gather(Comm& comm, Backend& backend, int64_t mine) {
  // Two halves each: groups move 32-bit integers.
  const Tensor all = backend.empty({comm.size(), 2}, DType::i32);
  const Tensor slice = all.slice(comm.rank(), 1);
  backend.upload(&mine, slice);
  comm.all_gather(slice, all).wait();
  std::vector<int64_t> numbers(static_cast<size_t>(comm.size()));
  backend.download(all, numbers.data());
  return numbers;
}

std::vector<std::string> gather(Comm& comm, Backend& backend, const std::string& mine) {
  const auto sizes = gather(comm, backend, std::ssize(mine));
  const int64_t longest = std::ranges::max(sizes);
  if (longest == 0) return std::vector<std::string>(sizes.size());
  std::string padded = mine;
  padded.resize(static_cast<size_t>(longest));
  const Tensor all = backend.empty({comm.size(), longest}, DType::u8);
  const Tensor slice = all.slice(comm.rank(), 1);
  backend.upload(padded.data(), slice);
  comm.all_gather(slice, all).wait();
  std::string together(static_cast<size_t>(all.elements()), '\0');
  backend.download(all, together.data());
  std::vector<std::string> texts;
  for (size_t rank = 0; rank < sizes.size(); ++rank)
    texts.push_back(
        together.substr(rank * static_cast<size_t>(longest), static_cast<size_t>(sizes[rank])));
  return texts;
}

}  // namespace katman
