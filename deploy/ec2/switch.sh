#!/bin/sh
# switch.sh VERSION [PORT...]: changes the servers of this machine over to an installed version, one after another; without
# ports those that /etc/stompgate/instances names. Each sends its clients to the others first. When one does not become healthy,
# all go back to the version of before, and the exit code is 1. The same command rolls back: name the older version.
set -eu
root=${MACHINE_ROOT:-}
patience_s=${PATIENCE_S:-30}
version=$1
shift
# shellcheck disable=SC2046 # a word for each port
[ $# -gt 0 ] || set -- $(cat "$root/etc/stompgate/instances")
home=$root/opt/stompgate
before=$(readlink "$home/current" || true)

say() {
	echo "switch: $*" >&2
}

point_to() { # point_to RELEASE: in one step, so that there is always a version
	ln -sfn "$1" "$home/next"
	mv -T "$home/next" "$home/current"
}

healthy() { # healthy PORT: ready, or degraded, which is no reason to go back
	left=$patience_s
	until curl --silent --fail --noproxy 127.0.0.1 --max-time 5 --output /dev/null "http://127.0.0.1:$1/health/ready"; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || return 1
		sleep 1
	done
}

changed=
back() {
	if [ -z "$before" ] || [ "$before" = "releases/$version" ]; then
		say "there is no version to go back to"
		exit 1
	fi
	say "going back to $before"
	point_to "$before"
	for port in $changed; do
		if systemctl restart "stompgate@$port" && healthy "$port"; then
			say "$port is healthy on $before"
		else
			say "$port is NOT healthy on $before either"
		fi
	done
	exit 1
}

[ -e "$home/releases/$version/.complete" ] || { say "$version is not installed: install.sh comes first"; exit 1; }
STOMPGATE_CONFIG=$root/etc/stompgate/stompgate.toml "$home/releases/$version/bin/stompgate" check-config >/dev/null ||
	{ say "nothing was changed: $version does not take the settings"; exit 1; }
point_to "releases/$version"
for port in "$@"; do
	changed="$changed $port"
	if ! systemctl restart "stompgate@$port" || ! healthy "$port"; then
		say "$port does not become healthy on $version"
		back
	fi
	say "$port is healthy on $version"
done
