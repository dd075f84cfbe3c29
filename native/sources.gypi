{
  "variables": {
    "ringway_include": ["native/include"],
    "ringway_addon_sources": ["native/addon.cpp"],
    "ringway_addon_defines": ["NAPI_VERSION=8", "NDEBUG"],
    "ringway_peer_sources": ["native/test/peer.cpp"],
    "ringway_bench_peer_sources": ["bench/peer.cpp"],
    "ringway_cflags": ["-O2", "-ffunction-sections", "-fdata-sections", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti"],
    "ringway_warnings": ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion"],
    "ringway_ldflags": ["-static-libstdc++", "-Wl,--exclude-libs,ALL", "-Wl,--gc-sections"]
  }
}
