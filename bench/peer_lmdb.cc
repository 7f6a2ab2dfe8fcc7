// LMDB; a part of the build only where its package is installed.
#include "bench/peers.h"

#if CAIRN_BENCH_LMDB
#include <lmdb.h>
#include <sys/stat.h>

#include <cstring>
#endif

namespace cairn::bench {

#if CAIRN_BENCH_LMDB

const bool kHaveLmdb = true;

namespace {

void check(int status) {
  if (status != 0) die(std::string("LMDB: ") + mdb_strerror(status));
}

class Lmdb final : public FetchPeer, public ListPeer {
 public:
  Lmdb(const std::string& directory, uint64_t keys, size_t value_bytes, size_t batch)
      : into_(value_bytes, 'x'), keys_(keys), batch_(batch) {
    check(mkdir(directory.c_str(), 0700));
    check(mdb_env_create(&env_));
    check(mdb_env_set_mapsize(env_, 1u << 30));
    check(mdb_env_open(env_, directory.c_str(), MDB_NOSYNC, 0600));
    fill();
  }
  ~Lmdb() override {
    if (cursor_ != nullptr) mdb_cursor_close(cursor_);
    mdb_txn_abort(reader_);
    mdb_env_close(env_);
  }

  void get(size_t count) override {
    // One read transaction an operation, as each of ours sees the newest state.
    for (size_t done = 0; done < count; done += batch_) {
      check(mdb_txn_renew(reader_));
      for (size_t i = 0; i < batch_; ++i) get_one();
      mdb_txn_reset(reader_);
    }
  }

  void list(size_t count) override {
    listed_.clear();
    for (size_t done = 0; done < count; ++done) {
      if (cursor_ == nullptr) {
        check(mdb_txn_renew(reader_));
        check(mdb_cursor_open(reader_, dbi_, &cursor_));
      }
      MDB_val k{};
      MDB_val v{};
      const int status = mdb_cursor_get(cursor_, &k, &v, MDB_NEXT);
      if (status == MDB_NOTFOUND) {
        mdb_cursor_close(cursor_);
        cursor_ = nullptr;
        mdb_txn_reset(reader_);
        continue;
      }
      check(status);
      listed_.append(static_cast<const char*>(k.mv_data) + dkey_at_, kKeyBytes);
    }
  }

 private:
  void get_one() {
    std::string key = peer_key(random_.below(keys_));
    MDB_val k{key.size(), key.data()};
    MDB_val v{};
    check(mdb_get(reader_, dbi_, &k, &v));
    std::memcpy(into_.data(), v.mv_data, v.mv_size);
  }
  void fill() {
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn));
    check(mdb_dbi_open(txn, nullptr, 0, &dbi_));
    for (uint64_t i = 0; i < keys_; ++i) {
      std::string key = peer_key(i);
      MDB_val k{key.size(), key.data()};
      MDB_val v{into_.size(), into_.data()};
      check(mdb_put(txn, dbi_, &k, &v, 0));
    }
    check(mdb_txn_commit(txn));
    check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &reader_));
    mdb_txn_reset(reader_);
  }

  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;
  MDB_cursor* cursor_ = nullptr;  // while a list is under way
  std::string listed_;
  const size_t dkey_at_ = peer_key(0).find(key_text(0));
  MDB_txn* reader_ = nullptr;
  std::string into_;
  uint64_t keys_ = 0;
  size_t batch_ = 1;
  SeededRandom random_{1};
};

}  // namespace

std::unique_ptr<FetchPeer> make_lmdb_fetches(const std::string& directory, uint64_t keys,
                                             size_t value_bytes, size_t batch) {
  return std::make_unique<Lmdb>(directory, keys, value_bytes, batch);
}

std::unique_ptr<ListPeer> make_lmdb_list(const std::string& directory, uint64_t keys,
                                         size_t value_bytes) {
  return std::make_unique<Lmdb>(directory, keys, value_bytes, 1);
}

#else

const bool kHaveLmdb = false;
std::unique_ptr<FetchPeer> make_lmdb_fetches(const std::string&, uint64_t, size_t, size_t) {
  return nullptr;
}
std::unique_ptr<ListPeer> make_lmdb_list(const std::string&, uint64_t, size_t) { return nullptr; }

#endif

}  // namespace cairn::bench
