# The lists of sources and flags are in native/sources.gypi, which CMakeLists.txt reads too.
{
  "includes": ["native/sources.gypi"],
  "variables": {
    # RINGWAY_WERROR=1 turns warnings into errors; CI sets it.
    "ringway_werror%": "<!(node -p \"process.env.RINGWAY_WERROR === '1' ? 1 : 0\")",
  },
  "target_defaults": {
    "include_dirs": ["<@(ringway_include)"],
    # One standard only: Node 20 asks for gnu++17, later ones for gnu++20.
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": ["-std=c++20", "<@(ringway_cflags)", "<@(ringway_warnings)"],
    "ldflags": ["<@(ringway_ldflags)"],
    "conditions": [["ringway_werror==1", {"cflags_cc": ["-Werror"]}]],
  },
  "targets": [
    {
      "target_name": "ringway",
      "sources": ["<@(ringway_addon_sources)"],
      "defines": ["<@(ringway_addon_defines)"],
    },
    {
      "target_name": "ringway_peer",
      "type": "executable",
      "product_extension": "",
      "sources": ["<@(ringway_peer_sources)"],
    },
    {
      "target_name": "ringway_bench_peer",
      "type": "executable",
      "product_extension": "",
      "sources": ["<@(ringway_bench_peer_sources)"],
    },
  ],
}
