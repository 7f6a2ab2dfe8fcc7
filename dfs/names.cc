// Removing entries, with all below them.
#include "dfs/locks.h"
#include "dfs/mount.h"
#include "runtime/parallel.h"

namespace cairn::dfs {
namespace {

// Entries of one directory that are removed at once: enough to share durable writes.
constexpr size_t kRemovesAtOnceMax = 64;

}  // namespace

/// One entry of a directory that is being emptied.
struct Mount::Doomed {
  std::string name;
  bool is_dir = false;      // still there: it has to be emptied first
  model::ObjectId oid;      // of a directory
  FsResult<void> result;
};

/// A directory that is being emptied.
struct Mount::Emptying {
  model::ObjectId dir;
  Bytes position;
  bool eof = false;
  std::vector<Doomed> subdirs;  // of the last page; the last one is under work
};

Task<FsResult<bool>> Mount::is_empty_dir(model::ObjectId dir) {
  Node node;
  node.oid = dir;
  node.mode = S_IFDIR;
  PageRequest request{.names_max = 1};
  for (;;) {
    CO_TRY(page, co_await list(node, request));
    if (!page.names.empty()) co_return false;
    if (page.eof) co_return true;
    request.position = std::move(page.position);
  }
}

Task<FsResult<void>> Mount::drop_object(const Entry& entry) {
  if (entry.is_link()) co_return done();  // its object was never written
  // A look is cheap, a punch is a durable write.
  CO_TRY(newest, co_await container_->max_epoch(entry.oid));
  if (newest == 0) co_return done();
  CO_TRY(epoch, co_await container_->punch_object(entry.oid, 0));
  co_return done();
}

/// Removes an entry that is no directory. `doomed` tells how it went.
Task<Result<void>> Mount::remove_leaf(model::ObjectId dir, Doomed& doomed) {
  auto entry = co_await fetch_entry(*container_, {dir, doomed.name});
  // "." is an entry like others here, but not for fetch_entry().
  if (!entry && entry.error().number() != ENOENT && doomed.name != ".") {
    doomed.result = fail(entry.error());
    co_return Result<void>{};
  }
  if (entry && entry->is_dir()) {
    doomed.is_dir = true;
    doomed.oid = entry->oid;
    co_return Result<void>{};
  }
  doomed.result = co_await punch_entry(*container_, {dir, doomed.name});
  if (!doomed.result && doomed.result.error().number() == ENOENT) doomed.result = done();
  if (doomed.result && entry) doomed.result = co_await drop_object(*entry);
  co_return Result<void>{};
}

/// Removes what is no directory from the next page of one. @returns the directories in that page
Task<FsResult<std::vector<Mount::Doomed>>> Mount::remove_page(model::ObjectId dir,
                                                              DirPage page) {
  std::vector<Doomed> all(page.names.size());
  std::vector<Task<Result<void>>> tasks;
  tasks.reserve(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].name = std::move(page.names[i]);
    tasks.push_back(remove_leaf(dir, all[i]));
  }
  CO_TRY(ran, co_await run_all(reactor_, std::move(tasks), kRemovesAtOnceMax));
  for (const Doomed& doomed : all) {
    if (!doomed.result) co_return fail(doomed.result.error());
  }
  std::erase_if(all, [](const Doomed& doomed) { return !doomed.is_dir; });
  co_return std::move(all);
}

/// Depth first, so that a crash leaves a smaller tree with all its parents.
Task<FsResult<void>> Mount::remove_tree(model::ObjectId top) {
  std::vector<Emptying> path;
  path.push_back({.dir = top});
  for (;;) {
    Emptying& here = path.back();
    if (!here.subdirs.empty()) {
      path.push_back({.dir = here.subdirs.back().oid});
      continue;
    }
    if (!here.eof) {
      Node node;
      node.oid = here.dir;
      node.mode = S_IFDIR;
      CO_TRY(page, co_await list(node, {.position = std::move(here.position)}));
      here.position = std::move(page.position);
      here.eof = page.eof;
      CO_TRY(subdirs, co_await remove_page(here.dir, std::move(page)));
      here.subdirs = std::move(subdirs);
      continue;
    }
    const model::ObjectId emptied = here.dir;
    path.pop_back();
    if (path.empty()) co_return done();  // the caller removes the top
    Emptying& above = path.back();
    auto gone = co_await punch_entry(*container_, {above.dir, above.subdirs.back().name});
    if (!gone && gone.error().number() != ENOENT) co_return fail(gone.error());
    CO_TRY(epoch, co_await container_->punch_object(emptied, 0));
    above.subdirs.pop_back();
  }
}

Task<FsResult<model::ObjectId>> Mount::remove(const Node& parent, const std::string& name,
                                              bool force) {
  CO_TRY(allowed, check_writable());
  CO_TRY(placed, check_parent(parent, name));
  const Locks locks = co_await lock({{parent.oid, name}});
  CO_TRY(entry, co_await fetch_entry(*container_, {parent.oid, name}));
  if (entry.is_dir()) {
    CO_TRY(empty, co_await is_empty_dir(entry.oid));
    if (!empty && !force) co_return fs_fail(ENOTEMPTY, "dfs: the directory is not empty");
    if (!empty) {
      CO_TRY(emptied, co_await remove_tree(entry.oid));
    }
  }
  // The condition makes one of several removers the one that drops the object.
  CO_TRY(punched, co_await punch_entry(*container_, {parent.oid, name}));
  CO_TRY(dropped, co_await drop_object(entry));
  co_return entry.oid;
}

}  // namespace cairn::dfs
