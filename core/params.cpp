#include "core/params.h"

#include <algorithm>
#include <thread>

namespace katman {
namespace {

constexpr int64_t param_alignment = 32;  // elements: a cache line of bf16, two of fp32

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Elements of one row of the box: what one index of its first axis holds.
int64_t row_elements(const Box& box) {
  return box.rank() > 0 && box.extent[0] > 0 ? box.elements() / box.extent[0] : 1;
}

int64_t stored_elements(const Param& param) {
  return param.mine.elements() + param.spare_rows * row_elements(param.mine);
}

Tensor zeros(Backend& backend, int64_t elements, DType type) {
  const Tensor flat(backend.pool().take(elements * bytes_of(type)), 0, {elements}, type);
  backend.fill_zero(flat);
  return flat;
}

// Gives every param of `bucket` its windows on the bucket's storage.
void slice_bucket(Bucket& bucket) {
  for (size_t i = 0; i < bucket.params.size(); ++i) {
    Param& param = *bucket.params[i];
    std::vector<int64_t> extents = param.mine.extent;
    if (param.spare_rows) extents[0] += param.spare_rows;
    const Shape padded{std::span<const int64_t>(extents)};
    const auto window = [&](const Tensor& flat) {
      return flat.slice(bucket.offsets[i], padded.elements()).view(padded);
    };
    const auto mine = [&](const Tensor& stored) {
      return stored.flat().slice(0, param.mine.elements()).view(param.mine.shape());
    };
    param.padded_value = window(bucket.value);
    param.value = mine(param.padded_value);
    if (!bucket.grad) continue;
    param.padded_grad = window(bucket.grad);
    param.grad = mine(param.padded_grad);
  }
}

// Calls work(begin, end) on disjoint ranges that cover [0, count), on all cores when it is long.
template <class Work>
void in_parallel(int64_t count, const Work& work) {
  constexpr int64_t worth_a_thread = 1 << 17;
  const int64_t threads = std::clamp<int64_t>(count / worth_a_thread, 1,
                                              std::max(1u, std::thread::hardware_concurrency()));
  std::vector<std::jthread> others;
  for (int64_t t = 1; t < threads; ++t)
    others.emplace_back([&work, begin = count * t / threads, end = count * (t + 1) / threads] {
      work(begin, end);
    });
  work(0, count / threads);
}

// The row-major index in the global tensor of element `element` of `box`.
int64_t global_index(const Shape& global, const Box& box, int64_t element) {
  int64_t index = 0, stride = 1;
  for (int axis = global.rank(); axis-- > 0;) {
    const auto i = static_cast<size_t>(axis);
    index += (box.begin[i] + element % box.extent[i]) * stride;
    element /= box.extent[i];
    stride *= global[axis];
  }
  return index;
}

}  // namespace

Param& Params::declare(Param param) {
  require(contains(param.global, param.mine), "box {} of {} is outside its shape {}",
          to_string(param.mine), param.name, to_string(param.global));
  require(!find(param.name), "the parameter {} is declared twice", param.name);
  require(buckets_.empty() && frozen_.empty(),
          "the parameter {} is declared after the buckets were laid out", param.name);
  return params_.emplace_back(std::move(param));
}

void Params::freeze(const std::function<bool(const Param&)>& which) {
  require(buckets_.empty(), "parameters are frozen after the buckets were laid out");
  for (Param& param : params_) param.frozen = which(param);
}

void Params::allocate(Backend& backend, DType value_type, int64_t bucket_elements, int64_t pad_to,
                      bool gradients) {
  require(buckets_.empty() && frozen_.empty(), "the buckets are laid out already");
  lay_out(buckets_, backend, value_type, bucket_elements, pad_to, false, gradients);
  lay_out(frozen_, backend, value_type, bucket_elements, pad_to, true, false);
  if (gradients) share_scratch(backend);
}

void Params::share_scratch(Backend& backend) {
  const auto vector = [](const Param& param) { return param.frozen && param.mine.rank() == 1; };
  int64_t longest = 0;
  for (const Param& param : params_)
    if (vector(param)) longest = std::max(longest, param.mine.elements());
  if (longest == 0) return;
  const Tensor scratch = zeros(backend, longest, DType::f32);
  for (Param& param : params_)
    if (vector(param)) param.grad = scratch.slice(0, param.mine.elements());
}

void Params::lay_out(std::deque<Bucket>& buckets, Backend& backend, DType value_type,
                     int64_t bucket_elements, int64_t pad_to, bool frozen, bool gradients) {
  for (const bool decay : {true, false}) {
    int64_t size = 0;
    const auto close = [&] {
      if (size == 0) return;
      Bucket& bucket = buckets.back();
      bucket.value = zeros(backend, round_up(size, pad_to), value_type);
      if (gradients) bucket.grad = zeros(backend, round_up(size, pad_to), DType::f32);
      slice_bucket(bucket);
      size = 0;
    };
    for (Param& param : params_) {
      if (param.decay != decay || param.frozen != frozen) continue;
      const int64_t stored = round_up(stored_elements(param), param_alignment);
      if (size > 0 && size + stored > bucket_elements) close();
      if (size == 0) buckets.emplace_back().decay = decay;
      buckets.back().params.push_back(&param);
      buckets.back().offsets.push_back(size);
      size += stored;
    }
    close();
  }
}

void Params::initialise(Backend& backend, Key seed) {
  for (Param& param : params_) {
    const std::vector<float> values = initial_values(param, seed);
    if (param.value.dtype() == DType::f32) {
      backend.upload(values.data(), param.value);
    } else {
      const std::vector<bf16> rounded(values.begin(), values.end());
      backend.upload(rounded.data(), param.value);
    }
  }
  backend.weights_changed();
}

Param* Params::find(const std::string& name) {
  const auto found = std::ranges::find(params_, name, &Param::name);
  return found == params_.end() ? nullptr : &*found;
}

Param& Params::at(const std::string& name) {
  Param* param = find(name);
  require(param != nullptr, "this rank holds no parameter {}", name);
  return *param;
}

int64_t Params::elements() const {
  int64_t sum = 0;
  for (const Param& param : params_) sum += param.mine.elements();
  return sum;
}

int64_t Params::trained_elements() const {
  int64_t sum = 0;
  for (const Param& param : params_)
    if (!param.frozen) sum += param.mine.elements();
  return sum;
}

void Params::zero_grads(Backend& backend) {
  for (const Bucket& bucket : buckets_) backend.fill_zero(bucket.grad);
}

std::vector<float> initial_values(const Param& param, Key seed) {
  return initial_values(param, seed, 0, param.mine.elements());
}

std::vector<float> initial_values(const Param& param, Key seed, int64_t begin, int64_t end) {
  require(0 <= begin && begin <= end && end <= param.mine.elements(),
          "elements [{}, {}) are outside box {} of {}", begin, end, to_string(param.mine),
          param.name);
  const float constant = param.init.kind == Init::Kind::one ? 1.0f : 0.0f;
  std::vector<float> values(static_cast<size_t>(end - begin), constant);
  if (param.init.kind != Init::Kind::normal) return values;
  const Key key = seed.at(param.name);
  const int64_t run = param.mine.rank() ? param.mine.extent.back() : 1;  // contiguous globally
  in_parallel(end - begin, [&](int64_t first, int64_t last) {
    int64_t index = 0;
    for (int64_t i = first; i < last; ++i, ++index) {
      const int64_t element = begin + i;
      if (i == first || element % run == 0) index = global_index(param.global, param.mine, element);
      values[static_cast<size_t>(i)] =
          param.init.deviation * random_normal(key, static_cast<uint64_t>(index));
    }
  });
  return values;
}

}  // namespace katman
