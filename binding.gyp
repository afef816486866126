{
  # The CPU build for machines with a compiler and Python but no CMake: `node-gyp rebuild`. CMakeLists.txt is the main build.
  "targets": [{
    "target_name": "hyper_know",
    "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except"],
    "sources": ["<!@(node -p \"['native/src','native/src/cpu','native/src/addon'].flatMap(d => fs.readdirSync(d).filter(f => f.endsWith('.cc')).map(f => d + '/' + f)).join(' ')\")"],
    "defines": ["NAPI_VERSION=8", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-rtti"],
    "cflags_cc": ["-std=c++20", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi", "-fno-math-errno", "-fno-trapping-math"],
    "xcode_settings": {"CLANG_CXX_LANGUAGE_STANDARD": "c++20", "GCC_SYMBOLS_PRIVATE_EXTERN": "YES", "GCC_OPTIMIZATION_LEVEL": "3", "OTHER_CPLUSPLUSFLAGS": ["-fno-math-errno", "-fno-trapping-math"]},
    "conditions": [
      # The kernels are written with the vector types of GCC and Clang: on Windows the Clang that comes with Visual Studio.
      ["OS=='win'", {"msbuild_toolset": "ClangCL", "msvs_settings": {"VCCLCompilerTool": {"AdditionalOptions": ["/std:c++20", "/clang:-O3", "/clang:-fno-math-errno", "/clang:-fno-trapping-math"]}}}],
      ["OS=='linux'", {"ldflags": ["-Wl,-z,nodelete", "-Wl,-z,now", "-Wl,--exclude-libs,ALL"]}]
    ]
  }]
}
