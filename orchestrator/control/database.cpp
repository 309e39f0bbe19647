#include "orchestrator/control/database.h"

#include <sqlite3.h>

#include "core/error.h"
#include "core/log.h"

namespace katman {

Database::Database(const std::filesystem::path& file) : file_(file) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(file.c_str(), &handle_, flags, nullptr) != SQLITE_OK) {
    const std::string why = sqlite3_errmsg(handle_);
    sqlite3_close(handle_);
    fail("cannot open {}: {}", file.string(), why);
  }
  sqlite3_busy_timeout(handle_, 10'000);
  run("pragma journal_mode = wal; pragma synchronous = normal");
}

Database::~Database() { sqlite3_close(handle_); }

void Database::fail_now() const { fail("{}: {}", file_.string(), sqlite3_errmsg(handle_)); }

void Database::run(const std::string& statements) {
  if (sqlite3_exec(handle_, statements.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) fail_now();
}

Query::Query(Database& database, const char* statement) : database_(database) {
  if (sqlite3_prepare_v2(database.handle_, statement, -1, &statement_, nullptr) != SQLITE_OK)
    database.fail_now();
}

Query::~Query() { sqlite3_finalize(statement_); }

Query& Query::operator<<(std::string_view value) {
  if (sqlite3_bind_text64(statement_, ++bound_, value.data(), value.size(), SQLITE_TRANSIENT,
                          SQLITE_UTF8) != SQLITE_OK)
    database_.fail_now();
  return *this;
}

Query& Query::operator<<(int64_t value) {
  if (sqlite3_bind_int64(statement_, ++bound_, value) != SQLITE_OK) database_.fail_now();
  return *this;
}

Query& Query::operator<<(double value) {
  if (sqlite3_bind_double(statement_, ++bound_, value) != SQLITE_OK) database_.fail_now();
  return *this;
}

bool Query::next() {
  const int state = sqlite3_step(statement_);
  if (state != SQLITE_ROW && state != SQLITE_DONE) database_.fail_now();
  return state == SQLITE_ROW;
}

void Query::run() {
  while (next()) {
  }
  sqlite3_reset(statement_);
  bound_ = 0;
}

std::string Query::text(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return {bytes, bytes + sqlite3_column_bytes(statement_, column)};
}

int64_t Query::integer(int column) const { return sqlite3_column_int64(statement_, column); }
double Query::real(int column) const { return sqlite3_column_double(statement_, column); }

Transaction::~Transaction() {
  if (committed_) return;
  try {
    database_.run("rollback");
  } catch (const Error& error) {
    spdlog::error("{}", error.what());
  }
}

void Transaction::commit() {
  database_.run("commit");
  committed_ = true;
}

}  // namespace katman
