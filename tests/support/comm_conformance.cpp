#include "tests/support/comm_conformance.h"

#include <cmath>

#include "core/random.h"

namespace katman::testing {
namespace {

constexpr Key stream = Key(7);

// Element i of what rank r contributes; not exactly representable sums, so that order shows.
float value(int rank, int64_t i) {
  return random_normal(stream.at(static_cast<uint64_t>(rank)), static_cast<uint64_t>(i));
}

template <class T>
Tensor upload(Backend& device, const std::vector<T>& values) {
  const Tensor t = device.empty({static_cast<int64_t>(values.size())}, dtype_of<T>::value);
  device.upload(values.data(), t);
  return t;
}
template <class T>
std::vector<T> download(Backend& device, const Tensor& t) {
  std::vector<T> values(static_cast<size_t>(t.elements()));
  device.download(t, values.data());
  return values;
}

template <class T>
Tensor contribution(Backend& device, int rank, int64_t elements) {
  std::vector<T> values;
  for (int64_t i = 0; i < elements; ++i) values.push_back(T(value(rank, i)));
  return upload(device, values);
}

// The definition: in rank order, in f32, rounded once.
template <class T>
T sum(int ranks, int64_t i) {
  float total = static_cast<float>(T(value(0, i)));
  for (int rank = 1; rank < ranks; ++rank) total += static_cast<float>(T(value(rank, i)));
  return T(total);
}

template <class T>
void expect_sums(Backend& device, const Tensor& t, int ranks, int64_t first, const char* what) {
  const auto values = download<T>(device, t);
  for (int64_t i = 0; i < t.elements(); ++i) {
    const auto got = static_cast<float>(values[static_cast<size_t>(i)]);
    const auto want = static_cast<float>(sum<T>(ranks, first + i));
    require(got == want, "{}: element {} is {}, not {}", what, i, got, want);
  }
}

// Odd and even sizes, one element, nothing, and enough for every chunking inside.
const std::vector<int64_t> sizes = {0, 1, 3, 1000, 1025, 9001};

template <class T>
void all_reduce_sums_in_rank_order(Comm& world, Backend& device) {
  for (int64_t n : sizes) {
    Tensor t = contribution<T>(device, world.rank(), n);
    world.all_reduce(t).wait();
    expect_sums<T>(device, t, world.size(), 0, "all_reduce");
  }
}

template <class T>
void reduce_scatter_keeps_my_slice(Comm& world, Backend& device) {
  for (int64_t n : sizes) {
    const Tensor all = contribution<T>(device, world.rank(), n * world.size());
    const Tensor apart = device.empty({n}, dtype_of<T>::value);
    world.reduce_scatter(all, apart).wait();
    expect_sums<T>(device, apart, world.size(), n * world.rank(), "reduce_scatter");
    const Tensor inside = all.slice(n * world.rank(), n);
    world.reduce_scatter(all, inside).wait();
    expect_sums<T>(device, inside, world.size(), n * world.rank(), "reduce_scatter in place");
  }
}

void all_gather_orders_by_rank(Comm& world, Backend& device) {
  for (int64_t n : sizes) {
    const Tensor all = device.empty({n * world.size()}, DType::i32);
    const Tensor mine = all.slice(n * world.rank(), n);  // in place
    std::vector<int32_t> values;
    for (int64_t i = 0; i < n; ++i)
      values.push_back(static_cast<int32_t>(world.rank() * 100000 + i));
    device.upload(values.data(), mine);
    world.all_gather(mine, all).wait();
    const auto gathered = download<int32_t>(device, all);
    for (int64_t i = 0; i < all.elements(); ++i)
      require(gathered[static_cast<size_t>(i)] == i / n * 100000 + i % n,
              "all_gather: element {} is {}", i, gathered[static_cast<size_t>(i)]);
  }
}

// A ring, both directions at once, many in flight: pairs by order alone.
void transfers_pair_in_order(Comm& world, Backend& device) {
  const int next = (world.rank() + 1) % world.size();
  const int previous = (world.rank() + world.size() - 1) % world.size();
  if (next == world.rank()) return;
  constexpr int rounds = 5;
  std::vector<Tensor> out, in;
  std::vector<Work> works;
  for (int round = 0; round < rounds; ++round) {
    const int64_t n = sizes[static_cast<size_t>(round + 1)];
    in.push_back(device.empty({n}, DType::f32));
    works.push_back(world.recv(in.back(), previous));
    out.push_back(contribution<float>(device, world.rank() + 100 * round, n));
    works.push_back(world.send(out.back(), next));
  }
  for (Work& work : works) work.wait();
  for (int round = 0; round < rounds; ++round) {
    const auto values = download<float>(device, in[static_cast<size_t>(round)]);
    for (int64_t i = 0; i < static_cast<int64_t>(values.size()); ++i)
      require(values[static_cast<size_t>(i)] == value(previous + 100 * round, i),
              "transfer {} from rank {}: element {} is wrong", round, previous, i);
  }
}

void collectives_in_flight_do_not_mix(Comm& world, Backend& device) {
  const Tensor a = contribution<float>(device, world.rank(), 5000);
  const Tensor b = contribution<bf16>(device, world.rank(), 300);
  Work first = world.all_reduce(a);
  Work second = world.all_reduce(b);
  second.wait();
  first.wait();
  expect_sums<float>(device, a, world.size(), 0, "the first of two all_reduces");
  expect_sums<bf16>(device, b, world.size(), 0, "the second of two all_reduces");
}

void split_orders_by_key(Comm& world, Backend& device) {
  // Odd and even ranks apart, in reverse.
  const auto half = world.split(world.rank() % 2, -world.rank(), "half");
  const int expected_size = (world.size() + 1 - world.rank() % 2) / 2;
  require(half->size() == expected_size, "a half has {} ranks, not {}", half->size(),
          expected_size);
  const int expected_rank = expected_size - 1 - world.rank() / 2;
  require(half->rank() == expected_rank, "rank {} of its half, not {}", half->rank(),
          expected_rank);
  require(half->name() == "half", "a half calls itself {}", half->name());
  const Tensor t = upload<float>(device, {static_cast<float>(world.rank())});
  half->all_reduce(t).wait();
  const float got = download<float>(device, t)[0];
  float want = 0;
  for (int rank = world.rank() % 2; rank < world.size(); rank += 2)
    want += static_cast<float>(rank);
  require(got == want, "the sum over a half is {}, not {}", got, want);
  // Groups of a group.
  const auto alone = half->split(half->rank(), 0, "alone");
  require(alone->size() == 1, "a group of one has {} ranks", alone->size());
  alone->barrier();
}

void integers_move_but_do_not_add(Comm& world, Backend& device) {
  const Tensor t = device.empty({4}, DType::i32);
  try {
    world.all_reduce(t).wait();
  } catch (const Error& error) {
    require(std::string(error.what()).find("I32") != std::string::npos,
            "the refusal does not name the type: {}", error.what());
    return;
  }
  fail("an all_reduce of I32 was accepted");
}

void slices_must_fit(Comm& world, Backend& device) {
  const Tensor all = device.empty({4 * world.size() + 1}, DType::f32);
  try {
    world.all_gather(all.slice(0, 4), all).wait();
  } catch (const Error&) {
    return;
  }
  fail("an all_gather whose slices do not fill the whole was accepted");
}

}  // namespace

Tensor host_tensor(const Shape& shape, DType dtype) {
  return Tensor(host_queue().staging().take(shape.elements() * bytes_of(dtype)), 0, shape, dtype);
}

const std::vector<CommCase>& comm_cases() {
  static const std::vector<CommCase> cases = {
      {"all_reduce_sums_f32_in_rank_order", all_reduce_sums_in_rank_order<float>},
      {"all_reduce_sums_bf16_in_f32_and_rounds_once", all_reduce_sums_in_rank_order<bf16>},
      {"reduce_scatter_keeps_my_slice_of_f32", reduce_scatter_keeps_my_slice<float>},
      {"reduce_scatter_keeps_my_slice_of_bf16", reduce_scatter_keeps_my_slice<bf16>},
      {"all_gather_orders_by_rank", all_gather_orders_by_rank},
      {"transfers_pair_in_order", transfers_pair_in_order},
      {"collectives_in_flight_do_not_mix", collectives_in_flight_do_not_mix},
      {"split_orders_by_key", split_orders_by_key},
      {"integers_move_but_do_not_add", integers_move_but_do_not_add},
      {"slices_must_fit", slices_must_fit},
  };
  return cases;
}

}  // namespace katman::testing
