#!/bin/sh
# Sets up what is needed beside Python. `set-up.sh services`: MariaDB, Redis and Kafka; without an argument also what else the
# tests need: Chromium, strace, nginx, shellcheck, mandoc, systemd's tools, STOMP for Perl and Ruby, Node.js with packages, a Spring
# application; `set-up.sh mysql`: MySQL alone, unpacked in services/.mysql. What cannot be installed is named in one line each
# and left out; the tests that need it then say so, and fail where CI is set. No service of the
# system's is started or enabled.
set -u
cd "$(dirname "$0")" || exit 1

updated=no
debian() { # debian PACKAGE...: install Debian packages, if this is Debian and we may
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
	echo "installing $* from Debian" >&2
	if [ $updated = no ]; then
		apt-get update -qq >/dev/null 2>&1
		updated=yes
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
}

policy=/usr/sbin/policy-rc.d
debian_server() { # debian_server UNIT PACKAGE...: the same for packages that would start a server, now and at each boot
	unit=$1
	shift
	made_policy=no
	if [ "$(id -u)" = 0 ] && [ ! -e $policy ]; then # Debian asks this program whether it may start a service; 101 is no
		made_policy=yes
		trap 'rm -f $policy' EXIT
		printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
	fi
	debian "$@"
	installed=$?
	[ $made_policy = no ] || rm -f $policy
	if [ $installed = 0 ] && command -v systemctl >/dev/null; then
		systemctl disable --quiet "$unit" >/dev/null 2>&1
	fi
	return $installed
}

missing() {
	echo "not installed: $1" >&2
}

has() { # has PROGRAM: also where servers are put, which a plain user's PATH leaves out
	command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || [ -x "/usr/local/sbin/$1" ]
}

kafka() { # Kafka's jars by Maven, then the archive of its classes; marked as done by the checksum of the pom
	ready="services/java/jars/.ready-$(cksum <services/java/pom.xml | cut -d ' ' -f 1)"
	[ ! -e "$ready" ] || return 0
	if ! command -v mvn >/dev/null || ! command -v java >/dev/null; then
		debian maven openjdk-17-jre-headless || debian maven default-jre-headless ||
			missing "Java 17 and Maven, for Kafka: need root and apt-get, or java and mvn in PATH"
	fi
	command -v mvn >/dev/null || return 1
	echo "fetching the artifacts of tests/services/java/pom.xml" >&2
	rm -rf services/java/jars
	if ! mvn --batch-mode --quiet -Dstyle.color=never --file services/java/pom.xml dependency:copy-dependencies >&2; then
		missing "Kafka: Maven failed"
		return 1
	fi
	(cd .. && .venv/bin/python -m tests.services.archive) || missing "the archive of Kafka's classes: it starts slower"
	touch "$ready"
}

schema() { # the schema of user data, out of Debian's package of cloud-init, which itself is not installed
	file=$PWD/deploy/cloud-init/schema.json
	[ ! -e "$file" ] || return 0
	command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
	unpacked=$(mktemp -d) && chmod 755 "$unpacked"
	(cd "$unpacked" && { apt-get download -qq cloud-init || { apt-get update -qq && apt-get download -qq cloud-init; }; } &&
		dpkg -x cloud-init_*.deb .) >/dev/null 2>&1
	mkdir -p "$(dirname "$file")"
	cp "$unpacked"/usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json "$file" 2>/dev/null
	copied=$?
	rm -rf "$unpacked"
	return $copied
}

mysql() { # MySQL and its libraries out of Debian's unstable suite, unpacked: nothing that is installed here changes
	[ ! -x services/.mysql/mysqld ] || return 0
	command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
	# shellcheck disable=SC2016 # apt-get fills them in
	mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' | sed -n 's/^Debian //p' | head -n 1)
	[ -n "$mirror" ] || return 1
	echo "unpacking MySQL from Debian's unstable suite" >&2
	rm -rf services/.mysql && mkdir -p services/.mysql/apt/lists/partial services/.mysql/apt/archives/partial services/.mysql/apt/none
	(
		cd services/.mysql || exit 1
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >apt/sources.list
		: >apt/status
		cat >apt/apt.conf <<-END
			Dir::State::lists "$PWD/apt/lists";
			Dir::State::status "$PWD/apt/status";
			Dir::State::extended_states "$PWD/apt/extended_states";
			Dir::Cache "$PWD/apt";
			Dir::Etc::sourcelist "$PWD/apt/sources.list";
			Dir::Etc::sourceparts "$PWD/apt/none";
			Dir::Etc::preferencesparts "$PWD/apt/none";
			APT::Sandbox::User "root";
			Debug::NoLocking "true";
		END
		export APT_CONFIG="$PWD/apt/apt.conf"
		apt-get update -qq && apt-get install --download-only --no-install-recommends -y -qq mysql-server-core || exit 1
		for package in apt/archives/*.deb; do
			dpkg -x "$package" root || exit 1
		done
		rm -rf apt
		find root/usr/share -mindepth 1 -maxdepth 1 ! -name mysql -exec rm -rf {} +
		# Linked against libraries that are newer than the system's, so it is started by the loader that belongs to them.
		cat >mysqld.new <<-END
			#!/bin/sh
			lib=$PWD/root/usr/lib/$(uname -m)-linux-gnu
			exec "\$lib"/ld-linux-*.so.? --library-path "\$lib" $PWD/root/usr/sbin/mysqld "\$@" --basedir=$PWD/root/usr
		END
		chmod 755 mysqld.new && ./mysqld.new --version >&2 && mv mysqld.new mysqld
	)
}

if [ "${1:-}" = mysql ]; then
	mysql || missing "MySQL: needs apt-get and Debian's unstable suite; TEST_MYSQLD may name the program of another one"
	exit 0
fi
has mariadbd || debian_server mariadb mariadb-server || missing "MariaDB: needs root and apt-get, or mariadbd in PATH"
has redis-server || debian_server redis-server redis-server || missing "Redis: needs root and apt-get, or redis-server in PATH"
kafka
if ! has mariadbd || ! has redis-server || ! command -v java >/dev/null; then
	if docker info >/dev/null 2>&1 || podman info >/dev/null 2>&1; then
		echo "a container engine is here: deploy/compose.yaml runs MySQL, Kafka, Redis and all the rest" >&2
	fi
fi
[ "${1:-}" != services ] || exit 0

spring() { # the Spring application, built by Maven; marked as done by the checksum of its sources
	ready="spring/target/.ready-$(cat spring/pom.xml spring/src/main/java/stompgate/spring/*.java | cksum | cut -d ' ' -f 1)"
	[ ! -e "$ready" ] || return 0
	if ! command -v javac >/dev/null || ! command -v mvn >/dev/null; then
		debian maven openjdk-17-jdk-headless || debian maven default-jdk-headless
	fi
	if ! command -v javac >/dev/null || ! command -v mvn >/dev/null; then
		missing "a JDK and Maven, for tests/spring: need root and apt-get, or javac and mvn in PATH"
		return 1
	fi
	echo "building tests/spring" >&2
	rm -rf spring/target
	if mvn --batch-mode --quiet -Dstyle.color=never --file spring/pom.xml package >&2; then
		touch "$ready"
	else
		missing "tests/spring: Maven failed"
	fi
}

spring
has chromium || debian chromium || missing "Chromium: needs root and apt-get, or chromium in PATH"
has strace || debian strace || missing "strace: needs root and apt-get, or strace in PATH"
has nginx || debian_server nginx nginx-light || missing "nginx: needs root and apt-get, or nginx in PATH"
has shellcheck || debian shellcheck || missing "shellcheck: needs root and apt-get, or shellcheck in PATH"
has mandoc || debian mandoc || missing "mandoc: needs root and apt-get, or mandoc in PATH"
has curl || debian curl || missing "curl: needs root and apt-get, or curl in PATH"
# Only for its tools that look at unit files: by itself this package neither starts anything nor becomes the init of the system.
has systemd-analyze || debian systemd || missing "systemd's tools: need root and apt-get, or systemd-analyze in PATH"
schema || missing "the schema of cloud-init's user data: needs apt-get and dpkg"
if ! has node || ! has npm; then
	debian nodejs npm || missing "Node.js and npm: need root and apt-get, or node and npm in PATH"
fi

perl -MNet::Stomp -e 1 2>/dev/null || debian libnet-stomp-perl || missing "Net::Stomp: needs root and apt-get, or Perl with that module"
ruby -r stomp -e 1 2>/dev/null || debian ruby-stomp || missing "ruby-stomp: needs root and apt-get, or Ruby with the gem stomp"

cd node || exit 1
ready="node_modules/.ready-$(cksum <package-lock.json | cut -d ' ' -f 1)"
if has npm && [ ! -e "$ready" ]; then
	echo "installing tests/node/package-lock.json" >&2
	if npm ci --omit=optional --ignore-scripts --no-fund --no-audit --loglevel=error >/dev/null; then
		touch "$ready"
	else
		missing "npm packages of tests/node: npm ci failed"
	fi
fi
exit 0
