// The emulation that tests/emulated_cuda runs kernels on must show what it promises to show.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tests/emulated_cuda/cuda_runtime.h"

namespace {

class EmulatedDevice : public ::testing::Test {
 protected:
  EmulatedDevice() { cudaStreamCreateWithFlags(&stream, 0); }
  ~EmulatedDevice() override { cudaStreamDestroy(stream); }

  template <class... Params, class... Args>
  cudaError_t run(unsigned blocks, unsigned threads, size_t shared, void (*kernel)(Params...),
                  Args... args) {
    cudaLaunchConfig_t config = {};
    config.gridDim = blocks;
    config.blockDim = threads;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    const cudaError_t result = cudaLaunchKernelEx(&config, kernel, args...);
    cudaStreamSynchronize(stream);
    return result;
  }

  cudaStream_t stream = nullptr;
};

// Every thread writes its number and reads its neighbour's.
template <bool synchronised>
void neighbours(int* out) {
  int* shared = reinterpret_cast<int*>(emulated::shared_memory());
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (synchronised) __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

TEST_F(EmulatedDevice, a_barrier_makes_what_others_wrote_visible_and_its_absence_shows) {
  constexpr int blocks = 4, threads = 64;
  std::vector<int> expected, with(blocks * threads), without(blocks * threads);
  for (int i = 0; i < blocks * threads; ++i) expected.push_back((i + 1) % threads);
  run(blocks, threads, threads * sizeof(int), neighbours<true>, with.data());
  run(blocks, threads, threads * sizeof(int), neighbours<false>, without.data());
  EXPECT_EQ(with, expected);
  EXPECT_NE(without, expected);
  // Another order in every block: a race differs from run to run.
  std::vector<int> again(blocks * threads);
  run(blocks, threads, threads * sizeof(int), neighbours<false>, again.data());
  EXPECT_NE(without, again);
}

void sums_and_votes(int* out) {
  int sum = static_cast<int>(threadIdx.x);
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  const unsigned odd = __ballot_sync(~0u, threadIdx.x % 2);
  out[threadIdx.x] = odd == 0xaaaaaaaau ? sum : -1;
}

TEST_F(EmulatedDevice, lanes_of_a_warp_exchange_values) {
  std::vector<int> out(64);
  run(1, 64, 0, sums_and_votes, out.data());
  EXPECT_EQ(std::set<int>(out.begin(), out.begin() + 32), std::set<int>{496});
  EXPECT_EQ(std::set<int>(out.begin() + 32, out.end()), std::set<int>{496 + 32 * 32});
}

void half_waits() {
  if (threadIdx.x < 32) __syncthreads();
}
void lanes_part() {
  if (threadIdx.x % 2)
    __syncwarp();
  else
    __shfl_sync(~0u, 1, 0);
}

TEST_F(EmulatedDevice, threads_that_would_wait_for_ever_stop_the_program_with_a_sentence) {
  EXPECT_DEATH(run(1, 64, 0, half_waits), "32 wait at a barrier.*32 have returned");
  EXPECT_DEATH(run(1, 32, 0, lanes_part), "different operations");
}

void nothing() {}

TEST_F(EmulatedDevice, limits_of_a_launch_are_kept) {
  EXPECT_EQ(run(1, 1024, 48 << 10, nothing), cudaSuccess);
  EXPECT_EQ(run(1, 1056, 0, nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(run(0, 32, 0, nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(run(1, 32, 64 << 10, nothing), cudaErrorInvalidConfiguration);
  cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 << 10);
  EXPECT_EQ(run(1, 32, 64 << 10, nothing), cudaSuccess);
  EXPECT_NE(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10),
            cudaSuccess);
}

TEST_F(EmulatedDevice, a_stream_works_no_earlier_than_somebody_waits) {
  int host = 1, device = 0, copy = 0;
  cudaStream_t other = nullptr;
  cudaEvent_t event = nullptr;
  cudaStreamCreateWithFlags(&other, 0);
  cudaEventCreate(&event);
  cudaMemcpyAsync(&device, &host, sizeof host, cudaMemcpyHostToDevice, stream);
  cudaEventRecord(event, stream);
  cudaMemcpyAsync(&copy, &device, sizeof copy, cudaMemcpyDeviceToDevice, other);
  cudaStreamSynchronize(other);
  EXPECT_EQ(copy, 0) << "the other stream had no reason to wait";
  cudaStreamWaitEvent(other, event);
  cudaMemcpyAsync(&copy, &device, sizeof copy, cudaMemcpyDeviceToDevice, other);
  host = 2;  // too early: the copy has not been made
  cudaStreamSynchronize(other);
  EXPECT_EQ(copy, 2);
  cudaEventDestroy(event);
  cudaStreamDestroy(other);
}

// A product of 16 x 16 and 16 x 8 by the tensor core's fragments, against the definition.
void one_product(const uint16_t* a, const uint16_t* b, float* c) {
  const unsigned row = threadIdx.x / 4, pair = threadIdx.x % 4 * 2;
  const auto two = [](const uint16_t* m, unsigned first, unsigned second) {
    return static_cast<uint32_t>(m[second]) << 16 | m[first];
  };
  uint32_t left[4], right[2];
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned at = (row + i % 2 * 8) * 16 + pair + i / 2 * 8;
    left[i] = two(a, at, at + 1);
  }
  for (unsigned i = 0; i < 2; ++i) {
    const unsigned at = (pair + i * 8) * 8 + row;
    right[i] = two(b, at, at + 8);
  }
  float sums[4] = {};
  emulated::multiply_add(sums, left, right[0], right[1]);
  for (unsigned e = 0; e < 4; ++e) c[(row + e / 2 * 8) * 8 + pair + e % 2] = sums[e];
}

TEST_F(EmulatedDevice, a_tensor_core_multiplies_matrices) {
  std::vector<uint16_t> a(256), b(128);  // bf16 of small integers
  const auto bits = [](int value) {
    const auto number = static_cast<float>(value);
    uint32_t word;
    std::memcpy(&word, &number, sizeof word);
    return static_cast<uint16_t>(word >> 16);
  };
  const auto x = [](int i, int k) { return (i * 3 + k) % 7 - 3; };
  const auto y = [](int k, int j) { return (k + j * 5) % 9 - 4; };
  for (int i = 0; i < 256; ++i) a[static_cast<size_t>(i)] = bits(x(i / 16, i % 16));
  for (int i = 0; i < 128; ++i) b[static_cast<size_t>(i)] = bits(y(i / 8, i % 8));
  std::vector<float> c(128);
  run(1, 32, 0, one_product, a.data(), b.data(), c.data());
  for (int i = 0; i < 128; ++i) {
    int sum = 0;
    for (int k = 0; k < 16; ++k) sum += x(i / 8, k) * y(k, i % 8);
    EXPECT_EQ(c[static_cast<size_t>(i)], static_cast<float>(sum)) << i;
  }
}

}  // namespace
