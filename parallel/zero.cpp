#include "parallel/zero.h"

#include <algorithm>
#include <ranges>

namespace katman {

Zero::Zero(Params& params, Backend& backend, const Groups& groups, const AdamConfig& adam,
           bool sequence_parallel)
    : backend_(backend), groups_(groups), adam_(adam), sequence_parallel_(sequence_parallel) {
  for (Bucket& bucket : params.buckets()) slices_.push_back(make_slice(bucket));
}

Zero::Slice Zero::make_slice(Bucket& bucket) {
  const int64_t ranks = groups_.dp->size(), elements = bucket.value.elements();
  require(elements % ranks == 0, "a bucket of {} elements cannot be cut over {} replicas", elements,
          ranks);
  Slice slice{.bucket = &bucket,
              .begin = elements / ranks * groups_.dp->rank(),
              .count = elements / ranks,
              .value = {},
              .grad = {},
              .master = {},
              .m = {},
              .v = {},
              .countable = {},
              .replicated = {},
              .tied = {}};
  slice.value = bucket.value.slice(slice.begin, slice.count);
  slice.grad = bucket.grad.slice(slice.begin, slice.count);
  slice.master =
      slice.value.dtype() == DType::f32 ? slice.value : backend_.zeros({slice.count}, DType::f32);
  slice.m = backend_.zeros({slice.count}, DType::f32);
  slice.v = backend_.zeros({slice.count}, DType::f32);
  for (Param* param : bucket.params) {
    if (param->replicated && sequence_parallel_) slice.replicated.push_back(param);
    if (param->tied) slice.tied.push_back(param);
  }
  slice.countable = countable_ranges(slice);
  return slice;
}

// Neighbours are one range: between them lie zeros.
std::vector<Tensor> Zero::countable_ranges(const Slice& slice) const {
  std::vector<Tensor> ranges;
  int64_t begin = 0, end = 0;  // of the range that may still grow
  const auto close = [&] {
    if (end > begin) ranges.push_back(slice.grad.slice(begin, end - begin));
    begin = end = 0;
  };
  for (const Part& part : parts(slice)) {
    if (!counted_here(*part.param)) {
      close();
      continue;
    }
    if (end == begin) begin = part.slice_begin;
    end = part.slice_begin + part.end - part.begin;
  }
  close();
  return ranges;
}

void Zero::initialise(Key seed) {
  for (const Slice& slice : slices_) {
    if (slice.value.dtype() == DType::f32) continue;  // the masters are the values
    for (const Part& part : parts(slice)) {
      const auto values = initial_values(*part.param, seed, part.begin, part.end);
      backend_.upload(values.data(), slice.master.slice(part.slice_begin, part.end - part.begin));
    }
  }
}

std::vector<Zero::Part> Zero::parts(const Slice& slice) const {
  std::vector<Part> found;
  for (size_t i = 0; i < slice.bucket->params.size(); ++i) {
    Param* param = slice.bucket->params[i];
    const int64_t offset = slice.bucket->offsets[i];
    const int64_t begin = std::max(slice.begin, offset);
    const int64_t end = std::min(slice.begin + slice.count, offset + param->mine.elements());
    if (begin < end) found.push_back({param, begin - offset, end - offset, begin - slice.begin});
  }
  return found;
}

bool Zero::counted_here(const Param& param) const {
  if (param.replicated && groups_.tp->rank() != 0) return false;
  return !param.tied || groups_.embedding->rank() == 0;
}

void Zero::ready(size_t bucket) {
  slices_[bucket].ready = true;
  for (Slice& slice : std::views::reverse(slices_)) {
    if (!slice.tied.empty()) continue;
    if (!slice.ready) return;
    if (!slice.started) start(slice);
  }
}

void Zero::finish_reduce() {
  for (size_t bucket = slices_.size(); bucket-- > 0;) ready(bucket);
  for (Slice& slice : std::views::reverse(slices_)) {
    if (slice.started) continue;
    sum_tied(slice);
    start(slice);
  }
  for (Slice& slice : slices_) {
    slice.work.wait();
    slice.ready = slice.started = false;
  }
}

void Zero::start(Slice& slice) {
  slice.started = true;
  sum_replicated(slice);
  slice.work = groups_.dp->reduce_scatter(slice.bucket->grad, slice.grad);
}

// With the sequence split, each tensor rank has seen its own rows. The small gradients travel as
// one.
void Zero::sum_replicated(const Slice& slice) {
  int64_t total = 0;
  for (const Param* param : slice.replicated) total += param->grad.elements();
  if (total == 0) return;
  const Tensor packed = backend_.empty({total}, DType::f32);
  const auto for_each = [&](auto use) {
    int64_t begin = 0;
    for (const Param* param : slice.replicated) {
      use(param->grad.flat(), packed.slice(begin, param->grad.elements()));
      begin += param->grad.elements();
    }
  };
  for_each([&](const Tensor& grad, const Tensor& place) { backend_.copy(grad, place); });
  groups_.tp->all_reduce(packed).wait();
  for_each([&](const Tensor& grad, const Tensor& place) { backend_.copy(place, grad); });
}

void Zero::sum_tied(const Slice& slice) {
  for (const Param* param : slice.tied) groups_.embedding->all_reduce(param->grad.flat()).wait();
}

void Zero::square_norm(const Tensor& out) {
  for (const Slice& slice : slices_)
    for (const Tensor& range : slice.countable) backend_.sum_squares(range, out);
}

void Zero::update(int64_t step, float rate, float grad_scale) {
  for (const Slice& slice : slices_) {
    AdamW adamw;
    adamw.value = slice.value;
    adamw.master = slice.master;
    adamw.m = slice.m;
    adamw.v = slice.v;
    adamw.grad = slice.grad;
    adamw.rate = rate;
    adamw.beta1 = adam_.beta1;
    adamw.beta2 = adam_.beta2;
    adamw.epsilon = adam_.epsilon;
    adamw.decay = slice.bucket->decay ? adam_.weight_decay : 0;
    adamw.grad_scale = grad_scale;
    adamw.step = step + 1;
    backend_.adamw(adamw);
  }
  gather_values();
}

void Zero::gather_values() {
  for (Slice& slice : slices_)
    slice.work = groups_.dp->all_gather(slice.value, slice.bucket->value);
  for (Slice& slice : slices_) slice.work.wait();
  backend_.weights_changed();
}

std::vector<Piece> Zero::pieces() {
  std::vector<Piece> found;
  for (const Slice& slice : slices_)
    for (const Part& part : parts(slice)) {
      int64_t begin = part.slice_begin;
      for (const Box& box : boxes_of_range(part.param->mine, part.begin, part.end)) {
        const auto add = [&](Piece::What what, const Tensor& state) {
          found.push_back({what, part.param->name, part.param->global, box,
                           state.slice(begin, box.elements()), counted_here(*part.param)});
        };
        add(Piece::What::master, slice.master);
        add(Piece::What::m, slice.m);
        add(Piece::What::v, slice.v);
        begin += box.elements();
      }
    }
  return found;
}

void Zero::values_from_masters() {
  for (const Slice& slice : slices_)
    if (slice.value.dtype() != DType::f32) backend_.cast(slice.master, slice.value);
  gather_values();
}

int64_t Zero::state_bytes() const {
  int64_t bytes = 0;
  for (const Slice& slice : slices_) {
    bytes += slice.m.bytes() + slice.v.bytes();
    if (slice.value.dtype() != DType::f32) bytes += slice.master.bytes();
  }
  return bytes;
}

}  // namespace katman
