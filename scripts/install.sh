# Sourced by scripts/demo and scripts/test: installs what they need and this machine lacks. Debian or a relative of it.

# have NAME: whether a command is there.
have() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND…: runs it as root, through sudo where we are not root.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need_packages THING=PACKAGE…: installs the Debian package of each command, or file by its absolute path, that is missing.
need_packages() {
  local wanted=() pair thing
  for pair in "$@"; do
    thing=${pair%%=*}
    case "$thing" in
      /*) [ -e "$thing" ] || wanted+=("${pair#*=}") ;;
      *) have "$thing" || wanted+=("${pair#*=}") ;;
    esac
  done
  [ ${#wanted[@]} = 0 ] && return 0
  if ! have apt-get; then
    echo "missing: ${wanted[*]}; this is no Debian, so please install them yourself" >&2
    return 1
  fi
  echo "installing ${wanted[*]}" >&2
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >&2
}

# need_to_build: a C compiler, and what librdkafka is built against.
need_to_build() {
  need_packages cc=build-essential make=build-essential pkg-config=pkg-config \
    /usr/include/openssl/ssl.h=libssl-dev /usr/include/zlib.h=zlib1g-dev
}

# need_rust: the toolchain in rust-toolchain.toml is fetched by rustup on first use; rustup itself must be there.
need_rust() {
  have cargo && return 0
  if [ -x "$HOME/.cargo/bin/cargo" ]; then
    PATH="$HOME/.cargo/bin:$PATH"
    return 0
  fi
  echo "Rust is missing: install rustup first (https://rustup.rs), then run this again" >&2
  return 1
}

# need_cargo_tool NAME VERSION: a cargo subcommand, built once. Any installed version will do.
need_cargo_tool() {
  have "$1" && return 0
  echo "installing $1 $2 (once, a few minutes)" >&2
  # A debug build: it is run once a test run, and takes half as long to build.
  cargo install --quiet --locked --debug "$1" --version "$2" >&2
}
