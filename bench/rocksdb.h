// What both kinds of RocksDB peer share; included only where its package is installed.
#pragma once

#include <memory>
#include <string>

#include <rocksdb/db.h>

namespace cairn::bench {

/// Ends the program with what RocksDB says.
void check(const rocksdb::Status& status);
/// Direct I/O for what is not its log, no compression; its defaults else.
rocksdb::Options plain_options();
std::unique_ptr<rocksdb::DB> open_rocksdb(const rocksdb::Options& options,
                                          const std::string& directory);
/// Puts numbers [0, keys) and flushes.
void fill_rocksdb(rocksdb::DB& db, uint64_t keys, const std::string& value);

}  // namespace cairn::bench
