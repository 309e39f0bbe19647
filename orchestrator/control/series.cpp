#include "orchestrator/control/series.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace katman {
namespace fs = std::filesystem;
namespace {

constexpr int64_t levels = 10;  // 0: values; the widest bucket holds 4^9 = 262,144 steps
constexpr int64_t width_of(int64_t level) { return int64_t{1} << (2 * level); }
constexpr int64_t most_bytes_at_once = 4 << 20;
constexpr int64_t endless = int64_t{1} << 62;

int64_t round_down(int64_t step, int64_t width) { return step / width * width; }
int64_t round_up(int64_t step, int64_t width) { return round_down(step + width - 1, width); }

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

// What the new lines of a metrics.jsonl hold, ready to be stored.
struct Lines {
  struct Value {
    int64_t generation, step;
    double value;
  };
  std::map<std::string, std::vector<Value>> values;  // [name]
  std::map<int64_t, int64_t> begins;                 // [generation]
  Series::News news;

  explicit Lines(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      const auto record = nlohmann::json::parse(line, nullptr, false);
      if (record.is_object() && record.value("step", nlohmann::json()).is_number_unsigned())
        take(record);
    }
  }

  void take(const nlohmann::json& record) {
    const int64_t step = record["step"];
    const auto generation = record.value("generation", int64_t{0});
    begins.try_emplace(generation, step);
    for (const auto& [name, value] : record.items()) {
      if (name == "step" || name == "generation") continue;
      if (!value.is_number() && !value.is_null()) continue;
      const double number = value.is_null() ? NAN : value.get<double>();
      values[name].push_back({generation, step, number});
      news.newest[name] = number;
    }
    if (record.contains("loss")) news.steps_done = static_cast<uint64_t>(step + 1);
  }
};

// The first step from which later generations did a generation's work again.
int64_t discarded_from(const std::map<int64_t, int64_t>& begins, int64_t generation) {
  int64_t from = endless;
  for (auto later = begins.upper_bound(generation); later != begins.end(); ++later)
    from = std::min(from, later->second);
  return from;
}

void append(SeriesReply& reply, int64_t generation, bool discarded, int64_t step,
            const Summary& bucket) {
  SeriesPoint& point = *reply.add_points();
  const bool some = bucket.count > 0;
  point.set_generation(static_cast<uint64_t>(generation));
  point.set_step(static_cast<uint64_t>(step));
  point.set_low(some ? bucket.low : NAN);
  point.set_high(some ? bucket.high : NAN);
  point.set_mean(some ? bucket.sum / static_cast<double>(bucket.count) : NAN);
  point.set_last(some ? bucket.last : NAN);
  point.set_bad(static_cast<uint32_t>(bucket.bad));
  point.set_discarded(discarded);
}

}  // namespace

void Summary::add(double value) {
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

void Summary::add(const Summary& later) {
  low = std::min(low, later.low);
  high = std::max(high, later.high);
  sum += later.sum;
  if (later.count > 0) last = later.last;
  count += later.count;
  bad += later.bad;
}

Series::Series(Database& database) : database_(database) {
  database_.run(
      "create table if not exists series_names(id integer primary key, run text, name text,"
      " unique(run, name));"
      // A value that was not finite is null.
      "create table if not exists series_values(series integer, generation integer, step integer,"
      " value real, primary key(series, generation, step)) without rowid;"
      "create table if not exists series_buckets(series integer, level integer,"
      " generation integer, step integer, low real, high real, sum real, last real,"
      " count integer, bad integer, primary key(series, level, generation, step)) without rowid;"
      "create table if not exists followed(run text primary key, offset integer);"
      "create table if not exists begins(run text, generation integer, step integer,"
      " primary key(run, generation));");
}

std::optional<int64_t> Series::number_of(const std::string& run, const std::string& name) {
  Query query(database_, "select id from series_names where run = ? and name = ?");
  query << run << name;
  return query.next() ? std::optional(query.integer(0)) : std::nullopt;
}

int64_t Series::made_number(const std::string& run, const std::string& name) {
  Query insert(database_, "insert or ignore into series_names(run, name) values(?, ?)");
  (insert << run << name).run();
  return number_of(run, name).value();
}

Series::News Series::follow(const std::string& run, const fs::path& metrics) {
  Query before(database_, "select offset from followed where run = ?");
  before << run;
  int64_t offset = before.next() ? before.integer(0) : 0;
  const std::string text = new_lines(metrics, offset);
  if (text.empty()) return {};
  const Lines lines(text);

  Transaction transaction(database_);
  Query insert(database_, "insert or replace into series_values values(?, ?, ?, ?)");
  Query merge(database_,
              "insert into series_buckets values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
              " on conflict do update set low = min(low, excluded.low),"
              " high = max(high, excluded.high), sum = sum + excluded.sum,"
              " last = case when excluded.count > 0 then excluded.last else last end,"
              " count = count + excluded.count, bad = bad + excluded.bad");
  for (const auto& [name, values] : lines.values) {
    const int64_t series = made_number(run, name);
    std::map<std::array<int64_t, 3>, Summary> buckets;  // [level, generation, step]
    for (const auto& [generation, step, value] : values) {
      (insert << series << generation << step << value).run();  // SQLite keeps NaN as null
      for (int64_t level = 1; level < levels; ++level)
        buckets[{level, generation, round_down(step, width_of(level))}].add(value);
    }
    for (const auto& [key, bucket] : buckets) {
      merge << series << key[0] << key[1] << key[2] << bucket.low << bucket.high << bucket.sum
            << bucket.last << bucket.count << bucket.bad;
      merge.run();
    }
  }
  Query begin(database_, "insert or ignore into begins values(?, ?, ?)");
  for (const auto& [generation, step] : lines.begins) (begin << run << generation << step).run();
  (Query(database_, "insert or replace into followed values(?, ?)") << run << offset).run();
  transaction.commit();
  News news = lines.news;
  news.any = true;
  return news;
}

Series::News Series::follow_to_the_end(const std::string& run, const fs::path& metrics) {
  News all;
  for (News news = follow(run, metrics); news.any; news = follow(run, metrics)) {
    if (news.steps_done > 0) all.steps_done = news.steps_done;
    for (const auto& [name, value] : news.newest) all.newest[name] = value;
    all.any = true;
  }
  return all;
}

// How many rows of a level begin in [from, to).
int64_t Series::points(Place place, int64_t level, int64_t from, int64_t to) {
  Query count(database_, level == 0
                             ? "select count(*) from series_values where series = ?1"
                               " and generation = ?2 and step >= ?3 and step < ?4"
                             : "select count(*) from series_buckets where series = ?1"
                               " and level = ?5 and generation = ?2 and step >= ?3 and step < ?4");
  count << place.first << place.second << round_down(from, width_of(level)) << to;
  if (level > 0) count << level;
  return count.next() ? count.integer(0) : 0;
}

// The rows of a level that begin in [from, to).
std::vector<Series::Point> Series::rows(Place place, int64_t level, int64_t from, int64_t to) {
  std::vector<Point> points;
  if (level == 0) {
    Query query(database_,
                "select step, value, value is null from series_values where series = ?"
                " and generation = ? and step >= ? and step < ? order by step");
    query << place.first << place.second << from << to;
    while (query.next()) {
      points.push_back({query.integer(0), {}});
      points.back().bucket.add(query.integer(2) ? NAN : query.real(1));
    }
    return points;
  }
  Query query(database_,
              "select step, low, high, sum, last, count, bad from series_buckets where series = ?"
              " and level = ? and generation = ? and step >= ? and step < ? order by step");
  query << place.first << level << place.second << from << to;
  while (query.next())
    points.push_back({query.integer(0),
                      {query.real(1), query.real(2), query.real(3), query.real(4), query.integer(5),
                       query.integer(6)}});
  return points;
}

// [from, to) as one bucket: whole buckets of this level, and finer ones at both ends.
Summary Series::total(Place place, int64_t level, int64_t from, int64_t to) {
  Summary all;
  if (from >= to) return all;
  const int64_t first = round_up(from, width_of(level)), last = round_down(to, width_of(level));
  if (first >= last) return level == 0 ? all : total(place, level - 1, from, to);
  if (level > 0) all.add(total(place, level - 1, from, first));
  for (const Point& point : rows(place, level, first, last)) all.add(point.bucket);
  if (level > 0) all.add(total(place, level - 1, last, to));
  return all;
}

// [from, to) in buckets of this level, the first and the last cut where the range cuts them.
std::vector<Series::Point> Series::cover(Place place, int64_t level, int64_t from, int64_t to) {
  const int64_t width = width_of(level);
  const int64_t first = round_up(from, width), last = std::max(first, round_down(to, width));
  std::vector<Point> points;
  const auto cut = [&](int64_t begin, int64_t end) {
    if (begin >= end) return;
    const Summary part = total(place, level, begin, end);
    if (part.count + part.bad > 0) points.push_back({begin, part});
  };
  cut(from, std::min(first, to));
  const auto whole = rows(place, level, first, last);
  points.insert(points.end(), whole.begin(), whole.end());
  cut(std::max(last, from), to);
  return points;
}

SeriesReply Series::read(const SeriesRequest& request) {
  SeriesReply reply;
  reply.set_width(1);
  const auto series = number_of(request.run(), request.name());
  if (!series) return reply;
  const int64_t most = request.most_points() ? request.most_points() : 1000;
  const auto from = static_cast<int64_t>(std::min<uint64_t>(request.from(), endless));
  const int64_t to =
      request.to() ? static_cast<int64_t>(std::min<uint64_t>(request.to(), endless)) : endless;
  const std::map<int64_t, int64_t> begins = beginnings(request.run());
  const auto points_at = [&](int64_t level) {
    int64_t all = 0;
    for (const auto& [generation, begin] : begins)
      all += points({*series, generation}, level, from, to);
    return all;
  };
  // From the widest down: no level that is counted has many more rows than asked for.
  int64_t level = levels - 1;
  while (level > 0 && points_at(level - 1) <= most) --level;
  reply.set_width(static_cast<uint64_t>(width_of(level)));
  for (const auto& [generation, begin] : begins) {
    const int64_t first = std::max(from, begin);  // the first bucket says where it really begins
    const int64_t until =
        std::clamp(discarded_from(begins, generation), first, std::max(first, to));
    for (const auto& [step, bucket] :
         cover({*series, generation}, level, first, std::min(until, to)))
      append(reply, generation, false, step, bucket);
    for (const auto& [step, bucket] : cover({*series, generation}, level, until, to))
      append(reply, generation, true, step, bucket);
  }
  return reply;
}

Series::Totals Series::totals(const std::string& run, const std::string& name) {
  Totals totals;
  const auto series = number_of(run, name);
  if (!series) return totals;
  const std::map<int64_t, int64_t> begins = beginnings(run);
  for (const auto& [generation, begin] : begins) {
    const int64_t until = discarded_from(begins, generation);
    totals.counting.add(total({*series, generation}, levels - 1, 0, until));
    totals.discarded.add(total({*series, generation}, levels - 1, until, endless));
  }
  return totals;
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
  Query query(database_, "select name from series_names where run = ? order by name");
  query << run;
  while (query.next()) names.push_back(query.text(0));
  return names;
}

}  // namespace katman
