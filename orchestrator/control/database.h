// SQLite, in the few words that the store needs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace katman {

// One connection to one file; made when it does not exist. Write-ahead logging: a killed process
// loses nothing, a power failure at most the last transactions and never consistency. Not to be
// used by two threads at a time. Errors name the file.
class Database {
 public:
  explicit Database(const std::filesystem::path& file);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // One or several statements without parameters.
  void run(const std::string& statements);

 private:
  friend class Query;
  [[noreturn]] void fail_now() const;
  std::filesystem::path file_;
  sqlite3* handle_ = nullptr;
};

// One statement: bind in order, then step through its rows.
//   Query q(db, "select text from events where run = ?");  q << name;  while (q.next()) q.text(0);
class Query {
 public:
  Query(Database& database, const char* statement);
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Query& operator<<(std::string_view value);
  Query& operator<<(int64_t value);
  Query& operator<<(uint64_t value) { return *this << static_cast<int64_t>(value); }
  Query& operator<<(double value);
  // Moves to the next row; false when there is none.
  bool next();
  // Runs a statement to its end and makes it ready for other values.
  void run();

  std::string text(int column) const;
  int64_t integer(int column) const;
  double real(int column) const;

 private:
  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

// All or nothing: undone unless commit() was reached.
class Transaction {
 public:
  explicit Transaction(Database& database) : database_(database) {
    database_.run("begin immediate");
  }
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool committed_ = false;
};

}  // namespace katman
