// Goal: libdaos lives in one process with a protobuf that the program brings. Method: use both,
// with the program's loaded first and last.
#include <daos.h>
#include <dlfcn.h>
#include <google/protobuf/struct.pb.h>

#include <cstdio>
#include <string>

int main(int argc, char** argv) {
  google::protobuf::Struct before;
  (*before.mutable_fields())["key"].set_string_value("value");
  std::string bytes = before.SerializeAsString();

  void* const library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (library == nullptr) return std::fprintf(stderr, "dlopen: %s\n", dlerror()), 1;
  const auto name2id =
      reinterpret_cast<int (*)(const char*)>(dlsym(library, "daos_oclass_name2id"));
  if (name2id == nullptr || name2id("SX") != OC_SX)
    return std::fprintf(stderr, "libdaos: wrong\n"), 1;

  google::protobuf::Struct after;
  if (!after.ParseFromString(bytes) || after.fields().at("key").string_value() != "value") {
    return std::fprintf(stderr, "protobuf: wrong after libdaos was loaded\n"), 1;
  }
  std::puts("beside protobuf: both work");
  return 0;
}
