// For LD_PRELOAD: an idea of what this machine is called that depends on the rank of the process,
// so that one machine passes for two whoever runs the tests. Ranks take turns on "n0" and "n1".
#include <cstdio>
#include <cstdlib>

extern "C" int gethostname(char* name, size_t size) {
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  std::snprintf(name, size, "n%d", rank ? std::atoi(rank) % 2 : 0);
  return 0;
}
