#include "orchestrator/control/series.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

namespace katman {
namespace fs = std::filesystem;
namespace {

constexpr int64_t levels = 10;  // the widest bucket holds 4^9 = 262,144 steps
constexpr int64_t width_of(int64_t level) { return int64_t{1} << (2 * level); }
constexpr int64_t most_bytes_at_once = 4 << 20;

// Whole lines from `offset` on; moves it behind them.
std::string new_lines(const fs::path& file, int64_t& offset) {
  std::error_code missing;
  const auto size = static_cast<int64_t>(fs::file_size(file, missing));
  if (missing) return {};
  if (size < offset) offset = 0;  // somebody began the file anew
  if (size == offset) return {};
  std::ifstream in(file, std::ios::binary);
  in.seekg(offset);
  std::string bytes(static_cast<size_t>(std::min(size - offset, most_bytes_at_once)), '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(std::max<std::streamsize>(0, in.gcount())));
  bytes.resize(bytes.rfind('\n') == std::string::npos ? 0 : bytes.rfind('\n') + 1);
  offset += static_cast<int64_t>(bytes.size());
  return bytes;
}

}  // namespace

struct Series::Bucket {
  double low = std::numeric_limits<double>::infinity(), high = -low, sum = 0, last = 0;
  int64_t count = 0, bad = 0;

  void add(double value) {
    if (!std::isfinite(value)) {
      ++bad;
      return;
    }
    low = std::min(low, value);
    high = std::max(high, value);
    sum += value;
    last = value;
    ++count;
  }
};

Series::Series(Database& database) : database_(database) {
  database_.run(
      "create table if not exists series(run text, name text, level integer, generation integer,"
      " step integer, low real, high real, sum real, count integer, last real, bad integer,"
      " primary key(run, name, level, generation, step)) without rowid;"
      "create table if not exists followed(run text primary key, offset integer);"
      // Where each generation began: what earlier ones did from there on is discarded.
      "create table if not exists begins(run text, generation integer, step integer,"
      " primary key(run, generation));");
}

Series::News Series::follow(const std::string& run, const fs::path& metrics) {
  News news;
  Query before(database_, "select offset from followed where run = ?");
  before << run;
  int64_t offset = before.next() ? before.integer(0) : 0;
  std::istringstream lines(new_lines(metrics, offset));
  std::map<Key, Bucket> buckets;
  std::map<int64_t, int64_t> begins;  // [generation]
  for (std::string line; std::getline(lines, line);) {
    const auto record = nlohmann::json::parse(line, nullptr, false);
    if (!record.is_object() || !record.value("step", nlohmann::json()).is_number_integer())
      continue;
    const int64_t step = record["step"];
    const int64_t generation = record.value("generation", int64_t{0});
    begins.try_emplace(generation, step);
    for (const auto& [name, value] : record.items()) {
      if (name == "step" || name == "time" || name == "generation") continue;
      if (!value.is_number() && !value.is_null()) continue;
      const double number = value.is_null() ? NAN : value.get<double>();
      for (int64_t level = 0; level < levels; ++level)
        buckets[{name, level, generation, step / width_of(level) * width_of(level)}].add(number);
      news.newest[name] = number;
    }
    if (record.contains("loss")) news.steps_done = static_cast<uint64_t>(step + 1);
  }
  if (buckets.empty()) return news;
  Transaction transaction(database_);
  store(run, buckets);
  Query begin(database_, "insert or ignore into begins values(?, ?, ?)");
  for (const auto& [generation, step] : begins) (begin << run << generation << step).run();
  (Query(database_, "insert or replace into followed values(?, ?)") << run << offset).run();
  transaction.commit();
  return news;
}

void Series::store(const std::string& run, const std::map<Key, Bucket>& buckets) {
  Query merge(database_,
              "insert into series values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
              " on conflict do update set low = min(low, excluded.low),"
              " high = max(high, excluded.high), sum = sum + excluded.sum,"
              " count = count + excluded.count, bad = bad + excluded.bad,"
              " last = case when excluded.count > 0 then excluded.last else last end");
  for (const auto& [key, bucket] : buckets) {
    const auto& [name, level, generation, step] = key;
    merge << run << name << level << generation << step << bucket.low << bucket.high << bucket.sum
          << bucket.count << bucket.last << bucket.bad;
    merge.run();
  }
}

SeriesReply Series::read(const SeriesRequest& request) {
  const int64_t most = request.most_points() ? request.most_points() : 1000;
  const auto points_at = [&](int64_t at) {
    Query count(database_, "select count(*) from series where run = ? and name = ? and level = ?");
    count << request.run() << request.name() << at;
    return count.next() ? count.integer(0) : 0;
  };
  // From the widest down: no level that is counted has many more rows than asked for.
  int64_t level = levels - 1;
  while (level > 0 && points_at(level - 1) <= most) --level;

  const std::map<int64_t, int64_t> begins = beginnings(request.run());
  const auto discarded = [&](int64_t generation, int64_t step) {
    return std::any_of(begins.upper_bound(generation), begins.end(),
                       [&](const auto& later) { return later.second <= step; });
  };
  SeriesReply reply;
  reply.set_width(static_cast<uint64_t>(width_of(level)));
  Query rows(database_,
             "select generation, step, low, high, sum, count, last, bad from series"
             " where run = ? and name = ? and level = ? order by generation, step");
  rows << request.run() << request.name() << level;
  while (rows.next()) {
    SeriesPoint& point = *reply.add_points();
    const auto count = static_cast<double>(rows.integer(5));
    point.set_generation(static_cast<uint64_t>(rows.integer(0)));
    point.set_step(static_cast<uint64_t>(rows.integer(1)));
    point.set_low(count > 0 ? rows.real(2) : NAN);
    point.set_high(count > 0 ? rows.real(3) : NAN);
    point.set_mean(rows.real(4) / count);
    point.set_last(count > 0 ? rows.real(6) : NAN);
    point.set_bad(static_cast<uint32_t>(rows.integer(7)));
    point.set_discarded(discarded(rows.integer(0), rows.integer(1)));
  }
  return reply;
}

std::map<int64_t, int64_t> Series::beginnings(const std::string& run) {
  std::map<int64_t, int64_t> begins;
  Query all(database_, "select generation, step from begins where run = ?");
  all << run;
  while (all.next()) begins[all.integer(0)] = all.integer(1);
  return begins;
}

std::vector<std::string> Series::names(const std::string& run) {
  std::vector<std::string> names;
  Query query(database_, "select distinct name from series where run = ? and level = ?");
  query << run << levels - 1;
  while (query.next()) names.push_back(query.text(0));
  return names;
}

}  // namespace katman
