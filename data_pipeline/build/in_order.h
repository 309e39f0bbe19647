// Parallel work on ordered streams: any number of threads, the same result as one.
#pragma once

#include <functional>

namespace katman {

// A stream of batches is a lane. Pulling a batch from it is serial (a file is read), working on the
// batch is parallel (pages are parsed), and committing the result is serial again, in the order of
// pulling (text is written). Each step returns the next one as a closure.
using Commit = std::function<void()>;
using Work = std::function<Commit()>;    // runs on any thread, beside the work of other batches
using Lane = std::function<Work()>;      // pulls the next batch; returns an empty Work at the end
using NextLane = std::function<Lane()>;  // opens the next lane; returns an empty Lane at the end

// Runs all lanes to their end on `threads` threads (the caller is one of them).
//
// Within a lane, pulls never overlap and commits never overlap; a commit may overlap a pull. Lanes
// are opened in order, at most `threads` at once, and the oldest is served first; a further one is
// opened when a thread would otherwise wait, so that one long stream and a thousand short ones both
// keep all threads busy. A lane gets at most 4 batches per thread ahead of its commits, which
// bounds memory. The first exception thrown by any step stops everything and is rethrown here.
void run_in_order(int threads, const NextLane& next_lane);

}  // namespace katman
