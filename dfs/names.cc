// Removing entries, with all below them.
#include "dfs/locks.h"
#include "dfs/mount.h"

namespace cairn::dfs {
namespace {

/// A directory that is being emptied.
struct Emptying {
  model::ObjectId dir;
  DirPage page;
  size_t next = 0;  // in page.names
};

}  // namespace

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

/// Depth first, so that a crash leaves a smaller tree with all its parents.
Task<FsResult<void>> Mount::remove_tree(model::ObjectId top) {
  std::vector<Emptying> path;
  path.push_back({.dir = top});
  while (!path.empty()) {
    Emptying& here = path.back();
    if (here.next == here.page.names.size()) {
      if (here.page.eof) {
        const model::ObjectId emptied = here.dir;
        path.pop_back();
        if (path.empty()) break;  // the caller removes the top
        Emptying& above = path.back();
        auto gone = co_await punch_entry(*container_, {above.dir, above.page.names[above.next]});
        if (!gone && gone.error().number() != ENOENT) co_return fail(gone.error());
        CO_TRY(epoch, co_await container_->punch_object(emptied, 0));
        ++above.next;
        continue;
      }
      Node node;
      node.oid = here.dir;
      node.mode = S_IFDIR;
      CO_TRY(page, co_await list(node, {.position = std::move(here.page.position)}));
      here.page = std::move(page);
      here.next = 0;
      continue;
    }
    const std::string& name = here.page.names[here.next];
    auto entry = co_await fetch_entry(*container_, {here.dir, name});
    // "." is an entry like others here, but not for fetch_entry().
    const bool fetched = entry.has_value();
    if (!fetched && entry.error().number() != ENOENT && name != ".") {
      co_return fail(entry.error());
    }
    if (fetched && entry->is_dir()) {
      path.push_back({.dir = entry->oid});
      continue;
    }
    auto gone = co_await punch_entry(*container_, {here.dir, name});
    if (!gone && gone.error().number() != ENOENT) co_return fail(gone.error());
    if (fetched) {
      CO_TRY(dropped, co_await drop_object(*entry));
    }
    ++here.next;
  }
  co_return done();
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
