// Removing entries, with all below them.
#include "dfs/atomically.h"
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

Task<FsResult<bool>> Mount::is_empty_dir(client::Container& view, model::ObjectId dir) {
  Bytes position;
  for (bool eof = false; !eof;) {
    model::ListRequest request;
    request.count_max = 1;
    request.bytes_max = kNameBytesMax;
    request.position = std::move(position);
    CO_TRY(listed, co_await view.list(dir, std::move(request)));
    if (!listed.lengths.empty()) co_return false;
    position = std::move(listed.position);
    eof = listed.eof;
  }
  co_return true;
}

Task<FsResult<void>> Mount::drop_object(client::Container& view, const Entry& entry) {
  if (entry.is_link()) co_return done();  // its object was never written
  // A look is cheap, a punch is a write.
  CO_TRY(newest, co_await container_->max_epoch(entry.oid));
  if (newest == 0) co_return done();
  CO_TRY(epoch, co_await view.punch_object(entry.oid, 0));
  co_return done();
}

/// Removes an entry that is no directory. @returns whether it was one; `doomed` says which
Task<FsResult<bool>> Mount::remove_leaf_in(client::Container& view, EntryPlace place,
                                           Doomed& doomed) {
  doomed.is_dir = false;  // what an attempt before has seen
  auto entry = co_await fetch_entry(view, place);
  // "." is an entry like others here, but not for fetch_entry().
  if (!entry && entry.error().number() != ENOENT && place.name != ".") {
    co_return fail(entry.error());
  }
  if (entry && entry->is_dir()) {
    doomed.is_dir = true;
    doomed.oid = entry->oid;
    co_return true;
  }
  CO_TRY(punched, co_await punch_entry(view, place));
  if (entry) {
    CO_TRY(dropped, co_await drop_object(view, *entry));
  }
  co_return false;
}

/// `doomed` tells how it went.
Task<Result<void>> Mount::remove_leaf(model::ObjectId dir, Doomed& doomed) {
  auto removed = co_await atomically<bool>([&](client::Container& view) {
    return remove_leaf_in(view, {dir, doomed.name}, doomed);
  });
  if (!removed) doomed.result = fail(removed.error());
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
    CO_TRY(gone, co_await atomically<bool>([&](client::Container& view) {
             return remove_emptied_in(view, {above.dir, above.subdirs.back().name}, emptied);
           }));
    above.subdirs.pop_back();
  }
}

/// The entry and the object of a directory whose entries are gone.
Task<FsResult<bool>> Mount::remove_emptied_in(client::Container& view, EntryPlace place,
                                              model::ObjectId emptied) {
  CO_TRY(entry, co_await punch_entry(view, place));
  CO_TRY(object, co_await view.punch_object(emptied, 0));
  co_return true;
}

struct Mount::RemovePlace {
  EntryPlace entry;
  bool force = false;
};

/// One attempt, in a transaction. Of several removers, the others find nothing when they try again.
Task<FsResult<model::ObjectId>> Mount::remove_in(client::Container& view,
                                                 const RemovePlace& place) {
  CO_TRY(entry, co_await fetch_entry(view, place.entry));
  if (entry.is_dir()) {
    CO_TRY(empty, co_await is_empty_dir(view, entry.oid));
    if (!empty && !place.force) co_return fs_fail(ENOTEMPTY, "dfs: the directory is not empty");
  }
  CO_TRY(punched, co_await punch_entry(view, place.entry));
  CO_TRY(dropped, co_await drop_object(view, entry));
  co_return entry.oid;
}

Task<FsResult<model::ObjectId>> Mount::remove(const Node& parent, const std::string& name,
                                              bool force) {
  CO_TRY(allowed, check_writable());
  CO_TRY(placed, check_parent(parent, name));
  const Locks locks = co_await lock({{parent.oid, name}});
  const EntryPlace place{parent.oid, name};
  if (force) {
    CO_TRY(entry, co_await fetch_entry(*container_, place));
    if (entry.is_dir()) {
      CO_TRY(emptied, co_await remove_tree(entry.oid));
    }
  }
  const RemovePlace doomed{place, force};
  co_return co_await atomically<model::ObjectId>(
      [&](client::Container& view) { return remove_in(view, doomed); });
}

}  // namespace cairn::dfs
