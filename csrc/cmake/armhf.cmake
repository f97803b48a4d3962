# Cross build for 32-bit ARM Linux with Debian's g++-arm-linux-gnueabihf: cmake --toolchain csrc/cmake/armhf.cmake
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7)
set(CMAKE_C_COMPILER arm-linux-gnueabihf-gcc)
set(CMAKE_CXX_COMPILER arm-linux-gnueabihf-g++)
# VFP and no NEON: NEON flushes subnormals to zero on this architecture. GCC 12 gives false alarms about std::string
# (PR105651).
set(CMAKE_C_FLAGS_INIT "-march=armv7-a -mfpu=vfpv3-d16 -mfloat-abi=hard")
set(CMAKE_CXX_FLAGS_INIT "-march=armv7-a -mfpu=vfpv3-d16 -mfloat-abi=hard -Wno-restrict")
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)  # so that qemu needs no ARM system beside it
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-arm-static)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE NEVER)  # the JSON header comes from the building Python
