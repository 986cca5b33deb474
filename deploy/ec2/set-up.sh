#!/bin/sh
# set-up.sh: turns a fresh Debian or Ubuntu into a chat service behind TLS, with what /etc/stompgate/machine.conf says. Run again
# it changes nothing that was changed by hand. The packages that user-data.yaml names must be there.
set -eu
root=${MACHINE_ROOT:-}
here=$(cd "$(dirname "$0")" && pwd)
etc=$root/etc/stompgate
# DOMAIN: the name that clients use. EMAIL: for Let's Encrypt; empty where a certificate is brought along.
# PORTS: one server for each.
DOMAIN="" EMAIL="" PORTS=8070
# shellcheck source=/dev/null
. "$etc/machine.conf"
[ -n "$DOMAIN" ] || { echo "set-up: DOMAIN is missing in /etc/stompgate/machine.conf" >&2; exit 2; }
# shellcheck disable=SC2086 # a word for each port
set -- $PORTS
if [ $# -gt 1 ] && [ ! -e "$root/etc/credstore/stompgate.store" ]; then
	echo "set-up: several servers are one service over one database only: /etc/credstore/stompgate.store is missing" >&2
	exit 2
fi

keep() { # keep FILE: write standard input there, unless the file is there already
	if [ -e "$1" ]; then cat >/dev/null; else mkdir -p "$(dirname "$1")" && cat >"$1"; fi
}

sh "$here/install.sh"
version=$(basename "$(dirname "$here")" | sed 's/^stompgate-//')

sed "s/chat\.example\.org/$DOMAIN/g" "$here/stompgate.toml" | keep "$etc/stompgate.toml"
echo "$PORTS" >"$etc/instances"

# The log of each server as a file, for an agent that reads files. It is cut by logrotate.
mkdir -p "$root/var/log/stompgate"
keep "$root/etc/systemd/system/stompgate@.service.d/log-file.conf" <"$here/log-file.conf"
keep "$root/etc/logrotate.d/stompgate" <"$here/logrotate.conf"
keep "$root/opt/aws/amazon-cloudwatch-agent/etc/amazon-cloudwatch-agent.d/stompgate.json" <"$here/cloudwatch-agent.json"
systemctl daemon-reload

# Until there is another certificate one that is signed by itself: nginx starts, and what renews it has someone to ask.
tls=$etc/tls
if [ ! -e "$tls/fullchain.pem" ]; then
	mkdir -p "$tls" && chmod 700 "$tls"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj "/CN=$DOMAIN" \
		-addext "subjectAltName=DNS:$DOMAIN" -keyout "$tls/privkey.pem" -out "$tls/fullchain.pem" 2>/dev/null
	touch "$tls/self-signed"
fi
mkdir -p "$root/var/www/stompgate"
for port; do
	echo "server 127.0.0.1:$port max_fails=1 fail_timeout=2s;"
done >"$etc/nginx-servers.conf"
keep "$etc/nginx-identity.conf" <"$here/nginx-identity.conf"
sed "s/chat\.example\.org/$DOMAIN/g" "$here/nginx.conf" | keep "$root/etc/nginx/conf.d/stompgate.conf"
rm -f "$root/etc/nginx/sites-enabled/default"
# As Debian delivers it nginx has 768 connections, of which each client takes two, and as many files.
sed -i 's/worker_connections 768;/worker_connections 16384;/' "$root/etc/nginx/nginx.conf"
echo 'worker_rlimit_nofile 65536;' | keep "$root/etc/nginx/modules-enabled/99-stompgate.conf"

for port; do
	systemctl enable --quiet "stompgate@$port"
done
sh "$here/switch.sh" "$version" "$@"
systemctl enable --quiet nginx
systemctl restart nginx

if [ -n "$EMAIL" ] && [ -e "$tls/self-signed" ]; then
	if certbot certonly --non-interactive --agree-tos --email "$EMAIL" --webroot --webroot-path "$root/var/www/stompgate" \
		--domain "$DOMAIN" --deploy-hook "/bin/sh $root/opt/stompgate/current/deploy/certificate.sh"; then
		rm -f "$tls/self-signed"
	else
		echo "set-up: no certificate yet: does $DOMAIN lead here, and is port 80 open? Then run set-up.sh again" >&2
	fi
fi
echo "set-up: https://$DOMAIN/test/ is served by $# server(s)"
