#!/bin/sh
# Sets up what the tests need beside Python: Chromium, strace, Node.js with packages. What cannot be installed is named in
# one line each and left out; the tests that need it then say so, and fail where CI is set.
set -u
cd "$(dirname "$0")/node" || exit 1

updated=no
debian() { # debian PACKAGE...: install Debian packages, if this is Debian and we may
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
	echo "installing $* from Debian"
	if [ $updated = no ]; then
		apt-get update -qq >/dev/null 2>&1
		updated=yes
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
}

missing() {
	echo "not installed: $1 (tests that need it are left out)" >&2
}

if ! command -v chromium >/dev/null && ! debian chromium; then
	missing "chromium: needs root and apt-get, or a chromium in PATH"
fi

if ! command -v strace >/dev/null && ! debian strace; then
	missing "strace: needs root and apt-get, or a strace in PATH"
fi

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
	debian nodejs npm || missing "node and npm: need root and apt-get, or both in PATH"
fi

ready="node_modules/.ready-$(cksum <package-lock.json | cut -d ' ' -f 1)"
if command -v npm >/dev/null && [ ! -e "$ready" ]; then
	echo "installing tests/node/package-lock.json"
	if npm ci --no-fund --no-audit --loglevel=error >/dev/null; then
		touch "$ready"
	else
		missing "npm packages of tests/node: npm ci failed"
	fi
fi
exit 0
