// Moves and exchanges: a transaction each, so that every object has exactly one name at any moment.
#include "dfs/atomically.h"
#include "dfs/locks.h"
#include "dfs/mount.h"

namespace cairn::dfs {

struct Mount::MovePlaces {
  const Node& parent;
  const std::string& name;
  const Node& new_parent;
  const std::string& new_name;
  Locks& locks;  // held until the outcome is known
};

struct Mount::Moved {
  std::optional<Entry> entry;               // nothing: it was there already
  std::optional<model::ObjectId> replaced;
};

/// Open handles of a directory learn where it is now.
void Mount::relink(const Entry& moved, const Node& new_parent) {
  const auto known = links_.find(moved.oid);
  if (!moved.is_dir() || known == links_.end()) return;
  if (const auto link = known->second.lock()) link->parent = new_parent.link;
}

/// One attempt, in a transaction.
Task<FsResult<Mount::Moved>> Mount::move_in(client::Container& view, const MovePlaces& places) {
  const EntryPlace from{places.parent.oid, places.name};
  const EntryPlace to{places.new_parent.oid, places.new_name};
  Moved moved;
  CO_TRY(entry, co_await fetch_entry(view, from));
  if (from.dir == to.dir && from.name == to.name) co_return std::move(moved);
  if (entry.is_dir()) co_await places.locks.take_tree();
  if (entry.is_dir() && is_below(places.new_parent, entry.oid)) {
    co_return fs_fail(EINVAL, "dfs: a directory cannot be moved below itself");
  }
  CO_TRY(xattrs, co_await fetch_xattrs(view, from));
  auto target = co_await fetch_entry(view, to);
  if (!target && target.error().number() != ENOENT) co_return fail(target.error());
  if (target) {
    if (target->is_dir() && !entry.is_dir()) {
      co_return fs_fail(EINVAL, "dfs: only a directory can replace a directory");
    }
    if (target->is_dir()) {
      CO_TRY(empty, co_await is_empty_dir(view, target->oid));
      if (!empty) co_return fs_fail(ENOTEMPTY, "dfs: the directory to replace is not empty");
    }
    CO_TRY(cleared, co_await punch_entry(view, to));
    moved.replaced = target->oid;
    if (target->oid != entry.oid) {
      CO_TRY(dropped, co_await drop_object(view, *target));
    }
  }
  entry.ctime = now();
  CO_TRY(written, co_await write_entry(view, to, entry, xattrs, 0));
  CO_TRY(punched, co_await punch_entry(view, from));
  moved.entry = std::move(entry);
  co_return std::move(moved);
}

Task<FsResult<std::optional<model::ObjectId>>> Mount::move(const Node& parent,
                                                           const std::string& name,
                                                           const Node& new_parent,
                                                           const std::string& new_name) {
  CO_TRY(allowed, check_writable());
  CO_TRY(from, check_parent(parent, name));
  CO_TRY(to, check_parent(new_parent, new_name));
  Locks locks = co_await lock({{parent.oid, name}, {new_parent.oid, new_name}});
  const MovePlaces places{parent, name, new_parent, new_name, locks};
  CO_TRY(moved, co_await atomically<Moved>(
                    [&](client::Container& view) { return move_in(view, places); }));
  if (moved.entry) relink(*moved.entry, new_parent);
  co_return moved.replaced;
}

/// One attempt, in a transaction.
Task<FsResult<std::pair<Entry, Entry>>> Mount::exchange_in(client::Container& view,
                                                           const MovePlaces& places) {
  const EntryPlace first{places.parent.oid, places.name};
  const EntryPlace second{places.new_parent.oid, places.new_name};
  auto entry1 = co_await fetch_entry(view, first);
  auto entry2 = entry1 ? co_await fetch_entry(view, second) : entry1;
  if (!entry2) {
    if (entry2.error().number() != ENOENT) co_return fail(entry2.error());
    co_return fs_fail(EINVAL, "dfs: an exchange needs two entries that exist");
  }
  if (entry1->is_dir() || entry2->is_dir()) co_await places.locks.take_tree();
  if (entry1->is_dir() && is_below(places.new_parent, entry1->oid)) {
    co_return fs_fail(EINVAL, "dfs: a directory cannot change places with what is below it");
  }
  if (entry2->is_dir() && is_below(places.parent, entry2->oid)) {
    co_return fs_fail(EINVAL, "dfs: a directory cannot change places with what is below it");
  }
  CO_TRY(xattrs1, co_await fetch_xattrs(view, first));
  CO_TRY(xattrs2, co_await fetch_xattrs(view, second));
  entry1->ctime = entry2->ctime = now();
  CO_TRY(cleared1, co_await punch_entry(view, first));
  CO_TRY(cleared2, co_await punch_entry(view, second));
  CO_TRY(written1, co_await write_entry(view, second, *entry1, xattrs1, 0));
  CO_TRY(written2, co_await write_entry(view, first, *entry2, xattrs2, 0));
  co_return std::pair(std::move(*entry1), std::move(*entry2));
}

Task<FsResult<void>> Mount::exchange(const Node& parent1, const std::string& name1,
                                     const Node& parent2, const std::string& name2) {
  CO_TRY(allowed, check_writable());
  CO_TRY(checked1, check_parent(parent1, name1));
  CO_TRY(checked2, check_parent(parent2, name2));
  if (parent1.oid == parent2.oid && name1 == name2) {
    co_return fs_fail(EEXIST, "dfs: an entry cannot change places with itself");
  }
  Locks locks = co_await lock({{parent1.oid, name1}, {parent2.oid, name2}});
  const MovePlaces places{parent1, name1, parent2, name2, locks};
  CO_TRY(exchanged, co_await atomically<std::pair<Entry, Entry>>(
                        [&](client::Container& view) { return exchange_in(view, places); }));
  relink(exchanged.first, parent2);
  relink(exchanged.second, parent1);
  co_return done();
}

}  // namespace cairn::dfs
