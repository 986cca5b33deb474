#!/bin/sh
# install.sh: puts the version of this bundle into /opt/stompgate/releases/VERSION, beside those that are there, the service unit
# into /etc/systemd/system, and the manual page of the version in use to where man looks. What runs goes on as it is: switch.sh changes over.
set -eu
root=${MACHINE_ROOT:-}
bundle=$(cd "$(dirname "$0")/.." && pwd)
wheel=$(find "$bundle" -maxdepth 1 -name 'stompgate-*.whl')
version=$(basename "$wheel" | cut -d - -f 2)
release=$root/opt/stompgate/releases/$version

if [ ! -e "$release/.complete" ]; then
	rm -rf "$release"
	mkdir -p "$root/opt/stompgate/releases"
	python3 -m venv "$release"
	pip=${PIP_PROGRAM:-$release/bin/pip}
	"$pip" install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$bundle/run.lock"
	"$pip" install --quiet --disable-pip-version-check --no-deps --no-index "$wheel"
	cp -R "$bundle/ec2" "$release/deploy"
	touch "$release/.complete"
fi
man=$root/usr/local/share/man/man1
mkdir -p "$root/etc/systemd/system" "$root/etc/stompgate" "$man"
cp "$bundle/systemd/stompgate@.service" "$root/etc/systemd/system/"
ln -sfn "$root/opt/stompgate/current/share/man/man1/stompgate.1" "$man/stompgate.1"
systemctl daemon-reload
echo "stompgate $version is in $release"
