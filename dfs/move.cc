// Moves and exchanges: several updates, ordered so that at every moment each object has a name.
#include <cstdio>

#include "dfs/locks.h"
#include "dfs/mount.h"

namespace cairn::dfs {
namespace {

// Lost races with creates and removes of the target before a move gives up.
constexpr int kRetriesMax = 16;

/// Where one side of an exchange stays while its place is taken. Of the object, so that what a
/// crash leaves behind tells what it is.
std::string parking_name(model::ObjectId oid) {
  char text[64];
  std::snprintf(text, sizeof(text), ".exchange-%016llx%016llx",
                static_cast<unsigned long long>(oid.hi), static_cast<unsigned long long>(oid.lo));
  return text;
}

}  // namespace

/// Overwrites an entry that exists, and takes off what the new one does not have.
Task<FsResult<void>> Mount::replace_entry(EntryPlace place, const Entry& entry,
                                          const std::vector<Xattr>& xattrs) {
  CO_TRY(written, co_await write_entry(*container_, place, entry, xattrs,
                                       model::cond::kDkeyUpdate));
  CO_TRY(akeys, co_await list_akeys(*container_, place));
  std::erase_if(akeys, [&](const std::string& akey) {
    if (akey == kInodeAkey) return true;
    if (akey == kTargetAkey) return entry.is_link() && !entry.target.empty();
    return std::any_of(xattrs.begin(), xattrs.end(), [&](const Xattr& xattr) {
      return akey.size() == kXattrPrefix.size() + xattr.name.size() &&
             akey.starts_with(kXattrPrefix) && akey.ends_with(xattr.name);
    });
  });
  if (akeys.empty()) co_return done();
  std::vector<ByteView> stale;
  for (const std::string& akey : akeys) stale.push_back(as_bytes(akey));
  CO_TRY(epoch, co_await container_->punch_akeys({.oid = place.dir, .dkey = as_bytes(place.name)},
                                                 std::move(stale)));
  co_return done();
}

/// Open handles of a directory learn where it is now.
void Mount::relink(const Entry& moved, const Node& new_parent) {
  const auto known = links_.find(moved.oid);
  if (!moved.is_dir() || known == links_.end()) return;
  if (const auto link = known->second.lock()) link->parent = new_parent.link;
}

Task<FsResult<std::optional<model::ObjectId>>> Mount::move_locked(const Node& parent,
                                                                  const std::string& name,
                                                                  const Node& new_parent,
                                                                  const std::string& new_name) {
  const EntryPlace from{parent.oid, name};
  const EntryPlace to{new_parent.oid, new_name};
  CO_TRY(entry, co_await fetch_entry(*container_, from));
  if (from.dir == to.dir && name == new_name) co_return std::nullopt;
  Locks circles{*this, {}};
  if (entry.is_dir()) co_await circles.take_tree();
  if (entry.is_dir() && is_below(new_parent, entry.oid)) {
    co_return fs_fail(EINVAL, "dfs: a directory cannot be moved below itself");
  }
  CO_TRY(xattrs, co_await fetch_xattrs(*container_, from));
  entry.ctime = now();

  std::optional<Entry> replaced;
  for (int tries = 0;; ++tries) {
    if (tries == kRetriesMax) co_return fs_fail(EAGAIN, "dfs: the target of a move keeps changing");
    auto target = co_await fetch_entry(*container_, to);
    if (!target && target.error().number() != ENOENT) co_return fail(target.error());
    FsResult<void> written;
    if (target) {
      if (target->is_dir() && !entry.is_dir()) {
        co_return fs_fail(EINVAL, "dfs: only a directory can replace a directory");
      }
      if (target->is_dir()) {
        CO_TRY(empty, co_await is_empty_dir(target->oid));
        if (!empty) co_return fs_fail(ENOTEMPTY, "dfs: the directory to replace is not empty");
      }
      replaced = std::move(*target);
      written = co_await replace_entry(to, entry, xattrs);
    } else {
      replaced.reset();
      written = co_await write_entry(*container_, to, entry, xattrs, model::cond::kDkeyInsert);
    }
    if (written) break;
    const int number = written.error().number();
    if (number != EEXIST && number != ENOENT) co_return fail(written.error());
  }
  auto punched = co_await punch_entry(*container_, from);
  if (!punched) {
    // Somebody removed it meanwhile, and its object with it: nothing was left to move.
    if (punched.error().number() == ENOENT) (void)co_await punch_entry(*container_, to);
    co_return fail(punched.error());
  }
  relink(entry, new_parent);
  if (!replaced) co_return std::nullopt;
  if (replaced->oid != entry.oid) {
    CO_TRY(dropped, co_await drop_object(*replaced));
  }
  co_return replaced->oid;
}

Task<FsResult<std::optional<model::ObjectId>>> Mount::move(const Node& parent,
                                                           const std::string& name,
                                                           const Node& new_parent,
                                                           const std::string& new_name) {
  CO_TRY(allowed, check_writable());
  CO_TRY(from, check_parent(parent, name));
  CO_TRY(to, check_parent(new_parent, new_name));
  const Locks locks = co_await lock({{parent.oid, name}, {new_parent.oid, new_name}});
  co_return co_await move_locked(parent, name, new_parent, new_name);
}

Task<FsResult<void>> Mount::exchange_locked(const Node& parent1, const std::string& name1,
                                            const Node& parent2, const std::string& name2) {
  const EntryPlace first{parent1.oid, name1};
  const EntryPlace second{parent2.oid, name2};
  auto entry1 = co_await fetch_entry(*container_, first);
  auto entry2 = entry1 ? co_await fetch_entry(*container_, second) : entry1;
  if (!entry2) {
    if (entry2.error().number() != ENOENT) co_return fail(entry2.error());
    co_return fs_fail(EINVAL, "dfs: an exchange needs two entries that exist");
  }
  Locks circles{*this, {}};
  if (entry1->is_dir() || entry2->is_dir()) co_await circles.take_tree();
  if (entry1->is_dir() && is_below(parent2, entry1->oid)) {
    co_return fs_fail(EINVAL, "dfs: a directory cannot change places with what is below it");
  }
  if (entry2->is_dir() && is_below(parent1, entry2->oid)) {
    co_return fs_fail(EINVAL, "dfs: a directory cannot change places with what is below it");
  }
  CO_TRY(xattrs1, co_await fetch_xattrs(*container_, first));
  CO_TRY(xattrs2, co_await fetch_xattrs(*container_, second));
  entry1->ctime = entry2->ctime = now();

  const std::string parking = parking_name(entry2->oid);
  const EntryPlace parked{parent2.oid, parking};
  CO_TRY(kept, co_await write_entry(*container_, parked, *entry2, xattrs2,
                                    model::cond::kDkeyInsert));
  CO_TRY(moved1, co_await replace_entry(second, *entry1, xattrs1));
  CO_TRY(moved2, co_await replace_entry(first, *entry2, xattrs2));
  CO_TRY(unparked, co_await punch_entry(*container_, parked));
  relink(*entry1, parent2);
  relink(*entry2, parent1);
  co_return done();
}

Task<FsResult<void>> Mount::exchange(const Node& parent1, const std::string& name1,
                                     const Node& parent2, const std::string& name2) {
  CO_TRY(allowed, check_writable());
  CO_TRY(checked1, check_parent(parent1, name1));
  CO_TRY(checked2, check_parent(parent2, name2));
  if (parent1.oid == parent2.oid && name1 == name2) {
    co_return fs_fail(EEXIST, "dfs: an entry cannot change places with itself");
  }
  const Locks locks = co_await lock({{parent1.oid, name1}, {parent2.oid, name2}});
  co_return co_await exchange_locked(parent1, name1, parent2, name2);
}

}  // namespace cairn::dfs
