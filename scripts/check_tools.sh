#!/bin/sh
# Names what is missing before anything is installed, with the command that installs it.
missing=0
need() { # need COMMAND WHY INSTALL
    command -v "$1" >/dev/null 2>&1 && return
    echo "missing: $1 ($2). Install it with: $3" >&2
    missing=1
}
need node "runs the Solidity and circuit compilers at build time" "apt-get install nodejs npm (version 18 or newer, 20 is what this is tested on)"
need npm "installs anvil, forge and the compilers" "apt-get install npm"
[ "$missing" = 0 ] || exit 1
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 18 ] || { echo "node $major is too old: Node 20 is what this is tested on" >&2; exit 1; }
case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) ;;
    *) echo "anvil and forge are pinned for Linux on x86_64; this is $(uname -s) on $(uname -m)" >&2; exit 1 ;;
esac
