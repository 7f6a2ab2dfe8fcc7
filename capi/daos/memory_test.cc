// A call for whose arguments there is no memory: -DER_NOMEM, and the next one works. The home is a
// real one, in this process.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <new>
#include <string>
#include <vector>

#include "capi/daos/library.h"

namespace {

/// The next large allocation of this thread fails.
thread_local bool armed = false;
constexpr size_t kLarge = 2u << 10;

void* allocate(size_t bytes) {
  if (armed && bytes >= kLarge) {
    armed = false;
    throw std::bad_alloc();
  }
  void* const memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t bytes) { return allocate(bytes); }
void* operator new[](size_t bytes) { return allocate(bytes); }
// Memory of the store's own: without it the process ends.
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return std::malloc(bytes); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return std::malloc(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace cairn::capi {
namespace {

namespace fs = std::filesystem;
constexpr size_t kMany = 400;

class MemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "cairn_memory_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    setenv("CAIRN_LOG", "off", 1);
    setenv("CAIRN_HOME", (root_ + "/home").c_str(), 1);
    ASSERT_EQ(daos_init(), 0);
    client::System& sys = *capi::system().value();
    ASSERT_TRUE(sys.context().run(sys.pool_create({.label = "p", .bytes = 128u << 20})));
    ASSERT_EQ(daos_pool_connect2("p", nullptr, DAOS_PC_RW, &pool_, nullptr, nullptr), 0);
    ASSERT_EQ(daos_cont_create_with_label(pool_, "c", nullptr, nullptr, nullptr), 0);
    ASSERT_EQ(daos_cont_open2(pool_, "c", DAOS_COO_RW, &cont_, nullptr, nullptr), 0);
  }
  void TearDown() override {
    EXPECT_EQ(daos_fini(), 0);
    fs::remove_all(root_);
  }
  /// Without memory, then with it.
  template <class Call>
  static void expect_no_memory_once(const char* what, Call call) {
    armed = true;
    EXPECT_EQ(call(), -DER_NOMEM) << what;
    EXPECT_FALSE(armed) << what << " asks for no large memory: the case proves nothing";
    armed = false;
    EXPECT_EQ(call(), 0) << what;
  }

  daos_handle_t pool_{}, cont_{};
  std::string root_;
};

TEST_F(MemoryTest, Objects_with_many_akeys) {
  daos_obj_id_t oid{.lo = 1, .hi = 0};
  daos_handle_t object{};
  ASSERT_EQ(daos_obj_generate_oid(cont_, &oid, DAOS_OT_MULTI_HASHED, OC_S1, 0, 0), 0);
  ASSERT_EQ(daos_obj_open(cont_, oid, DAOS_OO_RW, &object, nullptr), 0);
  std::vector<std::string> names;
  for (size_t i = 0; i < kMany; ++i) names.push_back("a" + std::to_string(i));
  char value = 'v';
  d_iov_t iov{&value, 1, 1};
  std::vector<d_sg_list_t> sgls(kMany, d_sg_list_t{1, 0, &iov});
  std::vector<daos_iod_t> iods(kMany);
  for (size_t i = 0; i < kMany; ++i) {
    d_iov_set(&iods[i].iod_name, names[i].data(), names[i].size());
    iods[i].iod_type = DAOS_IOD_SINGLE;
    iods[i].iod_size = 1;
    iods[i].iod_nr = 1;
  }
  daos_key_t dkey{};
  d_iov_set(&dkey, names[0].data(), names[0].size());
  const auto count = static_cast<unsigned>(kMany);
  expect_no_memory_once("daos_obj_update()", [&] {
    return daos_obj_update(object, DAOS_TX_NONE, 0, &dkey, count, iods.data(), sgls.data(),
                           nullptr);
  });
  expect_no_memory_once("daos_obj_fetch()", [&] {
    return daos_obj_fetch(object, DAOS_TX_NONE, 0, &dkey, count, iods.data(), sgls.data(), nullptr,
                          nullptr);
  });
  std::vector<daos_key_t> akeys;
  for (const daos_iod_t& iod : iods) akeys.push_back(iod.iod_name);
  expect_no_memory_once("daos_obj_punch_akeys()", [&] {
    return daos_obj_punch_akeys(object, DAOS_TX_NONE, 0, &dkey, count, akeys.data(), nullptr);
  });
  EXPECT_EQ(daos_obj_close(object, nullptr), 0);
}

TEST_F(MemoryTest, Arrays_with_many_ranges) {
  daos_obj_id_t oid{.lo = 2, .hi = 0};
  daos_handle_t array{};
  ASSERT_EQ(daos_array_generate_oid(cont_, &oid, true, OC_S1, 0, 0), 0);
  ASSERT_EQ(daos_array_create(cont_, oid, DAOS_TX_NONE, 1, 1 << 20, &array, nullptr), 0);
  std::vector<daos_range_t> ranges(kMany);
  for (size_t i = 0; i < kMany; ++i) ranges[i] = {.rg_idx = 3 * i, .rg_len = 1};
  std::string data(kMany, 'd');
  d_iov_t iov{data.data(), data.size(), data.size()};
  d_sg_list_t sgl{1, 0, &iov};
  daos_array_iod_t iod{};
  iod.arr_nr = kMany;
  iod.arr_rgs = ranges.data();
  expect_no_memory_once("daos_array_write()",
                        [&] { return daos_array_write(array, DAOS_TX_NONE, &iod, &sgl, nullptr); });
  EXPECT_EQ(daos_array_close(array, nullptr), 0);
}

TEST_F(MemoryTest, Attributes_by_the_hundred) {
  constexpr size_t kAttributes = 100;
  std::vector<std::string> names;
  for (size_t i = 0; i < kAttributes; ++i) names.push_back("attribute" + std::to_string(i));
  std::vector<const char*> name_of;
  for (const std::string& name : names) name_of.push_back(name.c_str());
  std::vector<const void*> values(kAttributes, "v");
  std::vector<size_t> sizes(kAttributes, 1);
  expect_no_memory_once("daos_cont_set_attr()", [&] {
    return daos_cont_set_attr(cont_, static_cast<int>(kAttributes), name_of.data(), values.data(),
                              sizes.data(), nullptr);
  });
}

}  // namespace
}  // namespace cairn::capi
